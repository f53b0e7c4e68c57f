// What a forked process must not keep of its parent's descriptors.
#pragma once

#include <vector>

namespace cofferdam::host {

// Closes every descriptor that is not among these; -1 is passed over. 0, 1 and 2 are among them.
void close_others(std::vector<int> keep);

}  // namespace cofferdam::host

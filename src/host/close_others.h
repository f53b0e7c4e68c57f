// What a forked process must not keep of its parent's descriptors.
#pragma once

#include <vector>

namespace cofferdam::host {

// Closes every descriptor that is not among these, of which there is one at least; -1 is passed over.
void close_others(std::vector<int> keep);

}  // namespace cofferdam::host

// For file systems whose layers stand in the guest's tree as well, and change behind the VFS.
#pragma once

#include <string>
#include <vector>

#include "base/ref.h"

namespace cofferdam::kernel {

class Dentry;
class Vfs;

// What the cache says of the last of `names`, which lead down from `top`, is asked for again when it is next needed.
// Nothing if `top` is null.
void forget_cached(Vfs&, Ref<Dentry> const& top, std::vector<std::string> const& names);

}  // namespace cofferdam::kernel

// The root file system of a bundle, mounted from what containerd's snapshotter says.
#pragma once

#include <string>
#include <vector>

#include "base/outcome.h"

namespace cofferdam::shim {

struct RootMount {
  std::string type, source, target;  // target: below the root file system; mostly empty
  std::vector<std::string> options;  // as in fstab(5)
};

// One over the other at `directory`, which is made. On failure nothing stays mounted.
Outcome<> mount_root(std::vector<RootMount> const& mounts, std::string const& directory);
// Every mount there, also when it is busy. True if nothing is mounted there any more.
bool unmount_root(std::string const& directory);

}  // namespace cofferdam::shim

// directfs: a directory (or a single file) of the host, through a donated descriptor.
//
// The sentry makes *at calls with single names on directory descriptors and never follows a symlink, so nothing that
// the guest names leads out of the donated tree. Owners, modes and inode numbers are the host's.
#pragma once

#include <string>

#include "base/ref.h"
#include "base/result.h"
#include "host/fd.h"
#include "kernel/vfs/vfs.h"

namespace cofferdam::fs::host {

struct Options {
  // Nobody else changes the tree: dentries and attributes are cached without asking again. Else each use asks the host.
  bool exclusive = true;
  // Shown as the mount's source.
  std::string source;
};

// `root`: a directory, opened with O_PATH or O_RDONLY; or a regular file, opened for reading (and writing).
// Clears the process's umask, since files get the modes that the guest's umask leaves.
Result<Ref<kernel::FileSystem>> create(kernel::Vfs&, cofferdam::host::OwnedFd root, Options);

}  // namespace cofferdam::fs::host

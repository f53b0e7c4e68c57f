// overlay: a writable layer over read-only ones (as overlayfs of Linux, Documentation/filesystems/overlayfs).
//
// What is changed is copied up first; what is removed is covered by a whiteout (a character device 0:0); a directory
// that replaces a lower one is opaque. Layers are reached through their inodes: those of a container's root are mounted
// nowhere, those of mount(2) stand in the guest's own tree.
#pragma once

#include <string>
#include <vector>

#include "base/ref.h"
#include "base/result.h"
#include "kernel/vfs/vfs.h"

namespace cofferdam::fs::overlay {

struct Options {
  Ref<kernel::Inode> upper;                // null: read-only
  std::vector<Ref<kernel::Inode>> lowers;  // topmost first; nobody else changes them
  std::string source = "overlay";
  std::string shown;  // for /proc/mounts: the layers' places
  // Of layers that stand in the guest's tree: keep their mounts. What is cached there of the upper one is forgotten
  // when it changes.
  kernel::Path upper_place;
  std::vector<kernel::Path> lower_places;
  bool user_xattrs = false;  // user.overlay.* instead of trusted.overlay.*
};

Result<Ref<kernel::FileSystem>> create(kernel::Vfs&, Options);

// For mount(2): lowerdir=A[:B…][,upperdir=C,workdir=D], userxattr.
kernel::FileSystemType file_system_type();

}  // namespace cofferdam::fs::overlay

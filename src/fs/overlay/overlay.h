// overlay: a writable layer in memory over read-only layers (as overlayfs of Linux,
// Documentation/filesystems/overlayfs).
//
// What is changed is copied up first; what is removed is covered by a whiteout (a character device 0:0); a directory
// that replaces a lower one is opaque. All layers are reached through their inodes alone: they are mounted nowhere.
#pragma once

#include <string>
#include <vector>

#include "base/ref.h"
#include "base/result.h"
#include "kernel/vfs/vfs.h"

namespace cofferdam::fs::overlay {

struct Options {
  Ref<kernel::FileSystem> upper;                // a fresh tmpfs
  std::vector<Ref<kernel::FileSystem>> lowers;  // topmost first; exclusive: nobody else changes them
  std::string source = "overlay";
};

Result<Ref<kernel::FileSystem>> create(kernel::Vfs&, Options);

}  // namespace cofferdam::fs::overlay

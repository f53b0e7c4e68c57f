// Files that stand for namespaces (nsfs of Linux): where /proc/PID/ns leads, what setns(2) takes, and what keeps a
// namespace without processes alive.
#pragma once

#include "base/ref.h"
#include "base/result.h"
#include "kernel/namespace/namespace.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/path.h"

namespace cofferdam::kernel {

// "mnt:[4026531832]".
std::string namespace_text(Namespace const&);

// A place for it, of the file system that Vfs keeps for such.
Path namespace_path(Kernel&, Ref<Namespace>);
Ref<FileSystem> make_namespace_file_system(uint64_t device);

// Null: the file is of something else.
Ref<Namespace> namespace_of(File const&);

}  // namespace cofferdam::kernel

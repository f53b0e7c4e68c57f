// tmpcopyup: a tmpfs that begins with what stood at its mount point.
#pragma once

#include "base/result.h"
#include "kernel/vfs/inode.h"

namespace cofferdam::sentry {

// Copies directories, regular files, symbolic links, FIFOs and device nodes with owner, mode and times, before any task
// runs. Sockets and what lies on other mounts are left out. ENOSPC when the target is full; ELOOP beyond a depth that
// no image has.
Result<void> copy_tree(kernel::Inode& from, kernel::Inode& to);

}  // namespace cofferdam::sentry

// procfs: /proc (man 5 proc). The source follows the tree: system/ holds what stands at its root, sys/ is /proc/sys,
// process/ is /proc/PID.
#pragma once

#include "kernel/vfs/vfs.h"

namespace cofferdam::fs::proc {

kernel::FileSystemType file_system_type();

}  // namespace cofferdam::fs::proc

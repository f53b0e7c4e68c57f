// sysfs: what programs ask of /sys: CPUs, caches, NUMA nodes, huge pages, network interfaces.
#pragma once

#include "kernel/vfs/vfs.h"

namespace cofferdam::fs::sys {

kernel::FileSystemType file_system_type();

}  // namespace cofferdam::fs::sys

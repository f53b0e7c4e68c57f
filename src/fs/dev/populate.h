// /dev of a container: a tmpfs that the assembly mounts, filled with what the OCI specification's "default devices" and
// "/dev symbolic links" name, and the mount points of pts, shm and mqueue.
#pragma once

#include "kernel/kernel.h"
#include "kernel/vfs/path.h"

namespace cofferdam::fs::dev {

// directory: the root of an empty, writable file system; before the first task runs. What stands there already stays.
Result<void> populate_dev(kernel::Kernel&, kernel::Path const& directory);

}  // namespace cofferdam::fs::dev

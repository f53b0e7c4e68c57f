// Where a mount's root stands in its own file system: "/" but for bind mounts of a part (field 4 of mountinfo).
#pragma once

#include <string>

#include "kernel/vfs/mount.h"
#include "kernel/vfs/vfs.h"

namespace cofferdam::kernel {

std::string root_in_file_system(Vfs&, Mount const&);

}  // namespace cofferdam::kernel

// F_NOTIFY of fcntl(2) ("dnotify"): a signal when something happens in a directory.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/file.h"

namespace cofferdam::kernel {

class Task;

// Adds DN_* events to those that the file's owner is told of, until the table closes a descriptor of the file; a mask
// of none (or DN_MULTISHOT alone) ends it. ENOTDIR; EINVAL where fs.dir-notify-enable is 0.
Result<void> set_directory_notify(Task&, File&, int fd, uint32_t mask);
// close(2) of a descriptor of the directory.
void end_directory_notify(FdTable const&, File&);

}  // namespace cofferdam::kernel

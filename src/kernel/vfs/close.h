// What close(2) does besides dropping the reference.
#pragma once

#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/file.h"

namespace cofferdam::kernel {

class Task;

// The file has left a descriptor of the table: gives up the table's POSIX locks on it (fcntl_locking(2)), then the
// file's own flush, whose error is close's result.
Result<void> close_descriptor(Task&, FdTable const&, File&);

}  // namespace cofferdam::kernel

// Handlers of this family; each is documented by its man page.
#pragma once

#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

Result<void> sys_close(Task&, Fd);
Result<void> sys_close_range(Task&, uint32_t first, uint32_t last, uint32_t flags);
Result<int> sys_dup(Task&, Fd);
Result<int> sys_dup2(Task&, Fd, Fd to);
Result<int> sys_dup3(Task&, Fd, Fd to, int32_t flags);
Result<uint64_t> sys_fcntl(Task&, Fd, int32_t command, uint64_t argument);
Result<uint64_t> sys_ioctl(Task&, Fd, uint32_t request, uint64_t argument);
Result<void> sys_flock(Task&, Fd, int32_t operation);

}  // namespace cofferdam::syscalls

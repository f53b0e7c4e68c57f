// Handlers of this family; each is documented by its man page.
#pragma once

#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

Result<void> sys_mount(Task&, UserCString source, UserCString target, UserCString type, uint64_t flags, UserAddr data);
Result<void> sys_umount2(Task&, UserCString target, int32_t flags);
Result<void> sys_pivot_root(Task&, UserCString new_root, UserCString put_old);

}  // namespace cofferdam::syscalls

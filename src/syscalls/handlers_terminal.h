// Handlers of this family; each is documented by its man page.
#pragma once

#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

Result<void> sys_vhangup(Task&);

}  // namespace cofferdam::syscalls

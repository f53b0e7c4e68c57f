// Handlers of this family; each is documented by its man page.
#pragma once

#include <time.h>

#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

Result<uint64_t> sys_futex(Task&, UserAddr word, int32_t operation, uint32_t value, UserAddr timeout_or_count,
                           UserAddr second, uint32_t third);
Result<void> sys_set_robust_list(Task&, UserAddr head, uint64_t length);
Result<void> sys_get_robust_list(Task&, int32_t tid, UserPtr<uint64_t> head, UserPtr<uint64_t> length);

}  // namespace cofferdam::syscalls

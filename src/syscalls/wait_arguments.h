// What calls with a time-out and a temporary signal mask have in common (ppoll, pselect6, epoll_pwait, recvmmsg).
#pragma once

#include <time.h>

#include "kernel/task/task.h"
#include "kernel/user_memory.h"

namespace cofferdam::syscalls {

// A relative time: never when the pointer is null. EFAULT, EINVAL.
Result<kernel::Deadline> read_relative_timeout(kernel::Task&, kernel::UserPtr<timespec>);
// poll(2)'s milliseconds: negative is never.
kernel::Deadline deadline_from_milliseconds(int64_t timeout_ms);

// Sets the mask until the call returns; nothing when the pointer is null. EINVAL for a wrong size; EFAULT.
Result<void> set_temporary_mask(kernel::Task&, kernel::UserPtr<uint64_t> mask, size_t size);

}  // namespace cofferdam::syscalls

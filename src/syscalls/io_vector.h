// struct iovec arrays of readv(2), sendmsg(2), process_vm_readv(2).
#pragma once

#include <vector>

#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

// EINVAL for more than IOV_MAX entries or lengths whose sum is no ssize_t; EFAULT. The sum is cut to MAX_RW_COUNT.
Result<std::vector<UserSlice>> read_io_vector(Task&, UserAddr vector, uint64_t count);

}  // namespace cofferdam::syscalls

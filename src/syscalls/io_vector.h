// struct iovec arrays of readv(2), sendmsg(2), process_vm_readv(2).
#pragma once

#include <vector>

#include "kernel/vfs/file.h"
#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

// EINVAL for more than IOV_MAX entries or lengths whose sum is no ssize_t; EFAULT. The sum is cut to MAX_RW_COUNT.
Result<std::vector<UserSlice>> read_io_vector(Task&, UserAddr vector, uint64_t count);

// preadv2(2) and pwritev2(2) of an open file; at its stream where it has no position.
Result<size_t> read_file_at(Task&, kernel::File&, std::vector<UserSlice>, int64_t offset, int32_t rwf);
Result<size_t> write_file_at(Task&, kernel::File&, std::vector<UserSlice>, int64_t offset, int32_t rwf);

}  // namespace cofferdam::syscalls

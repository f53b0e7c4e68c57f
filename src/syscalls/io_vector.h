// struct iovec arrays of readv(2), sendmsg(2), process_vm_readv(2).
#pragma once

#include <vector>

#include "kernel/vfs/file.h"
#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

inline constexpr uint64_t max_transfer = 0x7ffff000;  // MAX_RW_COUNT

// EINVAL for a length that is no ssize_t; EFAULT; `too_many` for more than UIO_MAXIOV entries. The sum of the lengths
// is cut to `limit`.
Result<std::vector<UserSlice>> read_io_vector(Task&, UserAddr vector, uint64_t count, uint64_t limit = max_transfer,
                                              Errno too_many = Errno::Inval);

// preadv2(2) and pwritev2(2) of an open file; at its stream where it has no position.
Result<size_t> read_file_at(Task&, kernel::File&, std::vector<UserSlice>, int64_t offset, int32_t rwf);
Result<size_t> write_file_at(Task&, kernel::File&, std::vector<UserSlice>, int64_t offset, int32_t rwf);

}  // namespace cofferdam::syscalls

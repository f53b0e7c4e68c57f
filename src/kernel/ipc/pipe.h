// Pipes and FIFOs (pipe(7), fifo(7)), and what splice(2), tee(2) and vmsplice(2) do with them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/ref.h"
#include "base/result.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/path.h"

namespace cofferdam::kernel {

class Task;

// pipe2(2): the read end and the write end. flags: O_NONBLOCK, O_DIRECT.
Result<std::pair<Ref<File>, Ref<File>>> make_pipe(Task&, int flags);

// open(2) of a FIFO, with the blocking rules of fifo(7): the VFS's FifoOpener. ENXIO; RestartSys.
Result<Ref<File>> open_fifo(Task&, Path const&, int flags);

bool is_pipe(File const&);

// fcntl(2) F_GETPIPE_SZ and F_SETPIPE_SZ: EBADF when the file is no pipe; EINVAL, EPERM, EBUSY.
Result<uint64_t> pipe_size(File&);
Result<uint64_t> set_pipe_size(Task&, File&, uint64_t bytes);

// splice(2) and tee(2). Descriptors' access modes, overlaps of offsets and the equality of pipes have not been checked
// but for "is a pipe": EBADF for a wrong access mode, EINVAL for two ends of one pipe. `nowait` is SPLICE_F_NONBLOCK or
// O_NONBLOCK of a pipe end. All give the count of bytes moved, 0 at end of file. From the read end of a pipe to a file,
// at `offset` where that is seekable.
Result<size_t> splice_from_pipe(Task&, File& pipe, File& to, uint64_t offset, size_t count, bool nowait);
Result<size_t> splice_to_pipe(Task&, File& from, uint64_t offset, File& pipe, size_t count, bool nowait);
Result<size_t> splice_pipes(Task&, File& from, File& to, size_t count, bool nowait);
Result<size_t> tee_pipes(Task&, File& from, File& to, size_t count, bool nowait);

}  // namespace cofferdam::kernel

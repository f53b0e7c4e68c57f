// How the VFS opens a FIFO: kernel/ipc hands this in, so that the VFS need not know pipes.
#pragma once

#include "base/ref.h"
#include "base/result.h"

namespace cofferdam::kernel {

class File;
class Task;
struct Path;

// Opens the FIFO at the path (its pipe hangs on Inode::fifo), blocking for the other end as fifo(7). The access
// permission has been checked. ENXIO for O_WRONLY|O_NONBLOCK without a reader.
using FifoOpener = Result<Ref<File>> (*)(Task&, Path const&, int flags);

}  // namespace cofferdam::kernel

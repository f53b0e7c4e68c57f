// A host descriptor that was donated (standard input, output, error, preserved descriptors) as a guest's open file.
#pragma once

#include "base/result.h"
#include "host/fd.h"
#include "kernel/kernel.h"
#include "kernel/vfs/file.h"

namespace cofferdam::sentry {

// Its own position is the host description's, as other processes on the host may share it. ENOTSUP for what no
// program reads as standard input (block devices, directories).
Result<Ref<kernel::File>> make_host_file(kernel::Kernel&, host::OwnedFd);

}  // namespace cofferdam::sentry

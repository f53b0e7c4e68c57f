// An inherited host descriptor as a guest's file: the container's standard input, output and error.
#pragma once

#include "base/ref.h"
#include "base/result.h"
#include "host/fd.h"
#include "kernel/vfs/file.h"

namespace cofferdam::kernel {
class Kernel;
}

namespace cofferdam::dev {

// Takes over the descriptor. To be called before the jail closes, while /proc is there: a pipe or terminal is opened
// anew, so that it need not block and nobody else's flags change.
Result<Ref<kernel::File>> make_host_stream(kernel::Kernel&, host::OwnedFd);

}  // namespace cofferdam::dev

// Connecting to the host's sockets (--host-uds open).
#pragma once

#include "base/result.h"
#include "host/fd.h"
#include "kernel/vfs/inode.h"

namespace cofferdam::fs::host {

// Not blocking: EAGAIN. ECONNREFUSED for an inode that is not on a shared mount, or nobody listens.
Result<cofferdam::host::OwnedFd> connect_socket(kernel::Inode&, int type);

}  // namespace cofferdam::fs::host

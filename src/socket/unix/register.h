// AF_UNIX for a sandbox: what the assembly needs to know of it.
#pragma once

#include <functional>

#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::kernel {
class Inode;
class Kernel;
}  // namespace cofferdam::kernel

namespace cofferdam::unix_sockets {

// Connects to a socket of the host (a socket file on a shared mount) of this type, without blocking.
using HostConnector = std::function<Result<host::OwnedFd>(kernel::Inode&, int type)>;
// Without a connector the host's sockets are out of reach.
void register_family(kernel::Kernel&, HostConnector = {});

}  // namespace cofferdam::unix_sockets

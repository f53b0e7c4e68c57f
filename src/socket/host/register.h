// AF_INET, AF_INET6 and AF_NETLINK by the host's kernel: what the assembly needs to know of them.
#pragma once

#include "host/fd.h"

namespace cofferdam::kernel {
class Kernel;
}

namespace cofferdam::host_sockets {

// proc_net: the directory /proc/PID/net of the network namespace. broker: see privileged.h; may be none.
void register_families(kernel::Kernel&, host::OwnedFd proc_net, host::OwnedFd broker);

}  // namespace cofferdam::host_sockets

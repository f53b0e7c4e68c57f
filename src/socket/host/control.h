// Ancillary data (cmsg(3)) on its way to the host's kernel and back.
#pragma once

#include <span>
#include <vector>

#include "kernel/ipc/socket.h"

namespace cofferdam::host_sockets {

// What the guest gave to sendmsg(2), for the host. EINVAL for what is not on the list (control.cc). Descriptors
// and credentials are passed over, as Linux does.
Result<std::vector<std::byte>> control_for_host(kernel::ControlData const&);

// What the host's recvmsg(2) stored; what carries descriptors is left out.
std::vector<kernel::ControlData::Other> control_from_host(std::span<std::byte const>);

}  // namespace cofferdam::host_sockets

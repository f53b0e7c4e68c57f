// The ioctls that tell about network interfaces (netdevice(7)), asked of the host's kernel.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace cofferdam::kernel {
class Task;
}

namespace cofferdam::host_sockets {

// `socket`: any socket of the host's in the right namespace. ENOTTY for what is no such ioctl; EPERM for those that
// set.
Result<uint64_t> host_interface_ioctl(kernel::Task&, int socket, uint32_t request, uint64_t argument);

}  // namespace cofferdam::host_sockets

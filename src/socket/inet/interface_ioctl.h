// ioctls about network interfaces (netdevice(7)), which any socket answers.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace cofferdam::kernel {
class Task;
}
namespace cofferdam::netstack {
class Stack;
}

namespace cofferdam::inet {

// ENOTTY for what is none of them, EPERM for what would change something.
Result<uint64_t> interface_ioctl(kernel::Task&, netstack::Stack&, uint32_t request, uint64_t argument);

}  // namespace cofferdam::inet

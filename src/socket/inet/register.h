// AF_INET and AF_INET6 for a sandbox: what the assembly needs to know of them.
#pragma once

namespace cofferdam::kernel {
class Kernel;
}

namespace cofferdam::inet {

// Both families over one stack of the kernel's own, which has a loopback interface.
void register_families(kernel::Kernel&);

}  // namespace cofferdam::inet

// AF_UNIX for a sandbox: what the assembly needs to know of it.
#pragma once

namespace cofferdam::kernel {
class Kernel;
}

namespace cofferdam::unix_sockets {

void register_family(kernel::Kernel&);

}  // namespace cofferdam::unix_sockets

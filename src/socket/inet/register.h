// AF_INET and AF_INET6 for a sandbox: what the assembly needs to know of them.
#pragma once

#include <string>
#include <vector>

#include "host/fd.h"
#include "netstack/routes.h"

namespace cofferdam::kernel {
class Kernel;
}

namespace cofferdam::inet {

// Both families over one stack of the kernel's own, which has a loopback interface.
void register_families(kernel::Kernel&);

// An Ethernet interface of the host's that the stack takes over.
struct HostLink {
  std::string name;
  uint32_t mtu = 1500;
  netstack::HardwareAddress hardware{};
  std::vector<netstack::Prefix> addresses;
  bool autoconfigure = false;  // it listens to IPv6 routers
  host::OwnedFd socket;        // host::PacketSocket
};
// route.interface: 1 for the first link of `links`, and so on.
void add_links(kernel::Kernel&, std::vector<HostLink> links, std::vector<netstack::Route> const& routes);

}  // namespace cofferdam::inet

// Links, addresses, routes and neighbours as rtnetlink(7) writes them.
#pragma once

#include <sys/socket.h>

#include "kernel/ipc/netlink_body.h"
#include "netstack/stack.h"

namespace cofferdam::inet {

kernel::NetlinkBody link_body(netstack::Interface&);
// lifetimes: of an address that a router's advertisement made.
kernel::NetlinkBody address_body(netstack::Interface const&, netstack::Prefix const&,
                                 std::optional<netstack::Autoconfiguration::Lifetimes> const& lifetimes,
                                 netstack::Time now);
kernel::NetlinkBody route_body(netstack::Route const&);
// The way to one destination, as `ip route get` asks for it.
kernel::NetlinkBody path_body(netstack::Address const& destination, netstack::Path const&);
kernel::NetlinkBody neighbour_body(netstack::Interface const&, netstack::NeighbourEntry const&);

inline uint8_t family_of(netstack::Address const& a) { return a.is_v4() ? AF_INET : AF_INET6; }

}  // namespace cofferdam::inet

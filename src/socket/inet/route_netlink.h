// NETLINK_ROUTE (rtnetlink(7)): links, addresses, routes and neighbours, told to everybody, changed by CAP_NET_ADMIN.
#pragma once

#include <span>

#include "netstack/stack.h"
#include "socket/inet/netlink_answer.h"

namespace cofferdam::inet {

// What the request comes to: 0 or an errno. may_change: the asker has CAP_NET_ADMIN.
int answer_route(bool may_change, netstack::Stack&, std::span<std::byte const> body, NetlinkAnswer&);

}  // namespace cofferdam::inet

// NETLINK_ROUTE of the host's kernel, to read (rtnetlink(7)).
#pragma once

#include "socket/host/host_socket.h"

namespace cofferdam::host_sockets {

// Can everything in the message be answered without changing anything? EPERM otherwise. For HostNetlinkSocket and
// tests.
Result<void> check_route_request(std::span<std::byte const> message);

class HostNetlinkSocket final : public HostSocket {
 public:
  using HostSocket::HostSocket;

 protected:
  Result<void> check_message(std::span<std::byte const> message) override { return check_route_request(message); }
};

}  // namespace cofferdam::host_sockets

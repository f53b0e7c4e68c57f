// The sockets of the stack, one by one, for /proc/net and sock_diag(7).
#pragma once

#include <vector>

#include "netstack/tcp_endpoint.h"
#include "netstack/udp_endpoint.h"

namespace cofferdam::inet {

struct SocketRow {
  netstack::Peer local, remote;
  netstack::TcpState state = netstack::TcpState::Closed;
  size_t send_queue = 0, receive_queue = 0;
  uint64_t inode = 0, drops = 0;
  uint32_t uid = 0, interface = 0;
  Ref<netstack::TcpEndpoint> tcp;  // null: UDP, or TIME-WAIT
};

// Of AF_INET (`four`) or AF_INET6; bounded. Listeners first.
std::vector<SocketRow> tcp_rows(netstack::Stack&, bool four);
std::vector<SocketRow> udp_rows(netstack::Stack&, bool four);
std::vector<SocketRow> raw_rows(netstack::Stack&, bool four);   // local.port: the protocol
std::vector<SocketRow> echo_rows(netstack::Stack&, bool four);  // ping sockets; local.port: the identifier

}  // namespace cofferdam::inet

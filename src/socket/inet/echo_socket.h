// The open file of a socket for ICMP echo (icmp(7), "ping sockets").
#pragma once

#include "netstack/echo_endpoint.h"
#include "socket/inet/datagram_socket.h"

namespace cofferdam::inet {

// net.ipv4.ping_group_range: EACCES for who is in no group of it.
Result<void> check_may_ping(kernel::Task&);

class EchoSocket final : public DatagramSocket {
 public:
  EchoSocket(kernel::Task& creator, std::shared_ptr<Network>, int domain, int flags);
  ~EchoSocket() override;
  Result<void> bind(kernel::Task&, kernel::SocketAddress const&) override;
  Result<void> connect(kernel::Task&, kernel::SocketAddress const&) override;

 protected:
  netstack::DatagramEndpoint& endpoint() const override { return *endpoint_; }
  Result<size_t> transmit(kernel::Task&, netstack::Chain, std::optional<netstack::Peer> to, SendParameters const&,
                          int flags) override;
  void set_bound_interface(uint32_t i) override { endpoint_->bound_interface = i; }

 private:
  Ref<netstack::EchoEndpoint> const endpoint_;
};

}  // namespace cofferdam::inet

// The open file of a raw IP socket (raw(7), ipv6(7), icmp(7) for the filters).
#pragma once

#include "netstack/raw_endpoint.h"
#include "socket/inet/datagram_socket.h"

namespace cofferdam::inet {

class RawSocket final : public DatagramSocket {
 public:
  RawSocket(kernel::Task& creator, std::shared_ptr<Network>, int domain, int protocol, int flags);
  ~RawSocket() override;
  Result<void> bind(kernel::Task&, kernel::SocketAddress const&) override;
  Result<void> connect(kernel::Task&, kernel::SocketAddress const&) override;

 protected:
  netstack::DatagramEndpoint& endpoint() const override { return *endpoint_; }
  Result<size_t> transmit(kernel::Task&, netstack::Chain, std::optional<netstack::Peer> to, SendParameters const&,
                          int flags) override;
  Result<std::optional<netstack::Peer>> parse_destination(kernel::SocketAddress const&) const override;
  Result<std::optional<std::vector<std::byte>>> get_own_option(int level, int name, size_t room) override;
  Result<bool> set_own_option(kernel::Task&, int level, int name, OptionValue) override;
  bool bound() const override { return false; }
  void set_bound_interface(uint32_t i) override { endpoint_->bound_interface = i; }
  void ip_options_changed() override;

 private:
  bool is_icmp() const;
  Result<netstack::Peer> parse_bind(kernel::SocketAddress const&) const;
  Ref<netstack::RawEndpoint> const endpoint_;
};

}  // namespace cofferdam::inet

// The open file of a UDP socket (udp(7)).
#pragma once

#include "netstack/udp_endpoint.h"
#include "socket/inet/inet_socket.h"

namespace cofferdam::inet {

class UdpSocket final : public InetSocket {
 public:
  UdpSocket(kernel::Task& creator, std::shared_ptr<Network>, int domain, int flags);
  ~UdpSocket() override;
  Result<void> bind(kernel::Task&, kernel::SocketAddress const&) override;
  Result<void> connect(kernel::Task&, kernel::SocketAddress const&) override;
  Result<kernel::SocketAddress> local_address() override;
  Result<kernel::SocketAddress> peer_address() override;
  Result<void> shutdown(kernel::ShutdownHow) override;
  Result<size_t> send(kernel::Task&, kernel::IoSource&, kernel::SendRequest&) override;
  Result<kernel::ReceiveResult> receive(kernel::Task&, kernel::IoSink&, int flags) override;
  kernel::PollMask poll() override;

 protected:
  int take_error() override { return endpoint_->take_error(); }
  Result<int> input_queue() override { return static_cast<int>(endpoint_->next_size()); }
  Result<int> output_queue() override { return 0; }  // what was sent has left
  Result<bool> set_own_option(kernel::Task&, int level, int name, std::span<std::byte const>) override;
  void socket_option_changed(int name, int value) override;
  void ip_options_changed() override { endpoint_->v6_only = v6_only_.load(); }
  bool bound() const override { return static_cast<bool>(endpoint_->binding()); }
  void set_bound_interface(uint32_t i) override { endpoint_->bind_to_interface(i); }

 private:
  Result<netstack::SendOptions> send_options(kernel::SendRequest const&, bool multicast) const;
  void add_control(netstack::Datagram const&, kernel::ReceiveResult&) const;
  Ref<netstack::UdpEndpoint> const endpoint_;
  std::atomic<bool> timestamp_{false}, timestamp_ns_{false};
};

}  // namespace cofferdam::inet

// The open file of a UDP socket (udp(7)).
#pragma once

#include "netstack/udp_endpoint.h"
#include "socket/inet/datagram_socket.h"

namespace cofferdam::inet {

class UdpSocket final : public DatagramSocket {
 public:
  UdpSocket(kernel::Task& creator, std::shared_ptr<Network>, int domain, int flags);
  ~UdpSocket() override;
  Result<void> bind(kernel::Task&, kernel::SocketAddress const&) override;
  Result<void> connect(kernel::Task&, kernel::SocketAddress const&) override;

 protected:
  netstack::DatagramEndpoint& endpoint() const override { return *endpoint_; }
  Result<size_t> transmit(kernel::Task&, netstack::Chain, std::optional<netstack::Peer> to, SendParameters const&,
                          int flags) override;
  Result<std::optional<netstack::Peer>> parse_destination(kernel::SocketAddress const&) const override;
  Result<bool> own_control(kernel::ControlData::Other const&, SendParameters&) const override;
  void add_own_control(netstack::Datagram const&, kernel::ReceiveResult&) const override;
  Result<std::optional<std::vector<std::byte>>> get_own_option(int level, int name, size_t room) override;
  Result<bool> set_own_option(kernel::Task&, int level, int name, OptionValue) override;
  void socket_option_changed(int name, int value) override;
  bool bound() const override { return static_cast<bool>(endpoint_->binding()); }
  void set_bound_interface(uint32_t i) override { endpoint_->bind_to_interface(i); }

 private:
  // What MSG_MORE and UDP_CORK keep back: one datagram in the making.
  struct Corked {
    bool active = false;
    netstack::Chain payload;
    std::optional<netstack::Peer> to;
    SendParameters parameters;
  };
  Result<size_t> send_now(kernel::Task&, netstack::Chain, std::optional<netstack::Peer> const& to,
                          SendParameters const&);
  Result<void> push_corked(kernel::Task&) REQUIRES(cork_mutex_);
  void drop_corked() REQUIRES(cork_mutex_);

  Ref<netstack::UdpEndpoint> const endpoint_;
  std::atomic<bool> cork_{false};
  std::atomic<uint16_t> segment_size_{0};
  Mutex cork_mutex_;
  Corked corked_ GUARDED_BY(cork_mutex_);
};

}  // namespace cofferdam::inet

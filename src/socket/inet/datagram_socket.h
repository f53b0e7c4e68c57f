// What the open files of UDP, raw and ICMP echo sockets have in common: one datagram a call, with ancillary data, and
// the error queue (ip(7), ipv6(7), socket(7)).
#pragma once

#include "netstack/datagram_endpoint.h"
#include "socket/inet/inet_socket.h"
#include "socket/inet/timestamps.h"

namespace cofferdam::inet {

// How one datagram goes out: what the socket was set to, and what its ancillary data says.
struct SendParameters {
  netstack::SendOptions options;
  std::vector<std::byte> header_options;  // what options.ip_options points to
  uint16_t segment_size = 0;              // UDP_SEGMENT; 0: it is not cut
};

class DatagramSocket : public InetSocket {
 public:
  Result<kernel::SocketAddress> local_address() override;
  Result<kernel::SocketAddress> peer_address() override;
  Result<void> shutdown(kernel::ShutdownHow) override;
  Result<size_t> send(kernel::Task&, kernel::IoSource&, kernel::SendRequest&) override;
  Result<kernel::ReceiveResult> receive(kernel::Task&, kernel::IoSink&, int flags) override;
  Result<uint64_t> ioctl(kernel::Task&, uint32_t request, uint64_t argument) override;
  kernel::PollMask poll() override;

 protected:
  using InetSocket::InetSocket;
  virtual netstack::DatagramEndpoint& endpoint() const = 0;
  // Sends it; EINVAL and what the endpoint says.
  virtual Result<size_t> transmit(kernel::Task&, netstack::Chain, std::optional<netstack::Peer> to,
                                  SendParameters const&, int flags) = 0;
  // Where a message is to go; nothing: to the peer.
  virtual Result<std::optional<netstack::Peer>> parse_destination(kernel::SocketAddress const& a) const {
    return TRY(parse(a, AddressUse::Connect));
  }
  // Ancillary data of a level of its own. False: it is not known.
  virtual Result<bool> own_control(kernel::ControlData::Other const&, SendParameters&) const { return false; }
  virtual void add_own_control(netstack::Datagram const&, kernel::ReceiveResult&) const {}
  // The address that a datagram came from, as its receiver is told.
  virtual kernel::SocketAddress source_of(netstack::Datagram const& d) const { return to_sockaddr(d.source, domain()); }

  int take_error() override { return endpoint().take_error(); }
  Result<int> input_queue() override { return static_cast<int>(endpoint().next_size()); }
  Result<int> output_queue() override { return 0; }  // what was sent has left
  void socket_option_changed(int name, int value) override;
  void ip_options_changed() override;
  netstack::Memberships* memberships() const override { return &endpoint().memberships; }
  netstack::DatagramEndpoint* datagrams() const override { return &endpoint(); }
  bool bound() const override { return endpoint().local().port != 0; }
  uint32_t path_mtu() const override;
  Result<void> set_filter(Ref<kernel::bpf::SocketFilter> const&) override;

 private:
  Result<SendParameters> send_parameters(kernel::SendRequest const&, bool multicast, bool v4) const;
  Result<void> ip_control(kernel::ControlData::Other const&, SendParameters&) const;
  Result<void> ipv6_control(kernel::ControlData::Other const&, SendParameters&) const;
  Result<netstack::Datagram> take(int flags, size_t& from);
  Result<kernel::ReceiveResult> deliver(netstack::Datagram&, kernel::IoSink&, int flags, size_t from);
  void add_control(netstack::Datagram const&, kernel::ReceiveResult&) const;
  void add_ip_control(netstack::Datagram const&, kernel::ReceiveResult&) const;
  void add_ipv6_control(netstack::Datagram const&, kernel::ReceiveResult&) const;
  Result<kernel::ReceiveResult> receive_error(kernel::IoSink&);
  void tell_of_size(netstack::Peer const& to);

  std::atomic<bool> dont_route_{false};
  std::atomic<netstack::Time> last_arrival_{0};  // SIOCGSTAMP
};

}  // namespace cofferdam::inet

// UDP (RFC 768, RFC 1122 4.1): one endpoint per socket.
#pragma once

#include "netstack/datagram_endpoint.h"

namespace cofferdam::netstack {

class UdpEndpoint final : public DatagramEndpoint {
 public:
  static constexpr size_t max_payload = 65507;

  UdpEndpoint(Stack& stack, bool v4, Ref<EndpointObserver> observer)
      : DatagramEndpoint(stack, v4, std::move(observer)) {}
  ~UdpEndpoint() override = default;

  Result<void> bind(BindRequest);  // EINVAL: bound already; EADDRINUSE, EADDRNOTAVAIL
  // Takes datagrams from there only, and sends there. EADDRNOTAVAIL, ENETUNREACH.
  Result<void> connect(Peer const&, BindRequest defaults);
  void disconnect();
  void close();
  // EDESTADDRREQ, EMSGSIZE, ENETUNREACH, EACCES (broadcast without permission), ECONNREFUSED (told of earlier).
  Result<size_t> send(Chain payload, std::optional<Peer> to, SendOptions, BindRequest defaults);
  Ref<PortBinding> binding() const;
  void bind_to_interface(uint32_t);      // 0: any again
  std::atomic<bool> no_checksum{false};  // over IPv4 (SO_NO_CHECK)

  // From the stack.
  void deliver(IpInfo const&, UdpHeader const&, Packet&);
  void on_icmp(Peer const& remote, IcmpError const&, Bytes transport);

 private:
  Result<void> bind_locked(BindRequest) REQUIRES(mutex_);
  uint16_t port_locked() const override REQUIRES(mutex_) { return binding_ ? binding_->port() : uint16_t{0}; }
  Ref<PortBinding> binding_ GUARDED_BY(mutex_);
  bool bound_port_ GUARDED_BY(mutex_) = false;  // by bind(2), not by the way
};

}  // namespace cofferdam::netstack

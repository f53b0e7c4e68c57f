// ICMP echo for programs without privileges (icmp(7): SOCK_DGRAM with IPPROTO_ICMP): requests out, replies in. The
// identifier of the messages is the socket's port.
#pragma once

#include "netstack/datagram_endpoint.h"

namespace cofferdam::netstack {

class EchoEndpoint final : public DatagramEndpoint {
 public:
  EchoEndpoint(Stack& stack, bool v4, Ref<EndpointObserver> observer)
      : DatagramEndpoint(stack, v4, std::move(observer)) {}
  ~EchoEndpoint() override { close(); }

  // The port is the identifier; 0: one that is free. EINVAL: bound already; EADDRINUSE, EADDRNOTAVAIL.
  Result<void> bind(BindRequest);
  Result<void> connect(Peer const&, BindRequest defaults);
  void disconnect();
  void close();
  // An echo request with its ICMP header; identifier and checksum are filled in. EINVAL: it is none; EDESTADDRREQ,
  // EMSGSIZE, ENETUNREACH, EACCES; the pending error.
  Result<size_t> send(Chain message, std::optional<Peer> to, SendOptions, BindRequest defaults);

  // From the stack: an answer, beginning with its ICMP header.
  void deliver(IpInfo const&, uint16_t identifier, Packet const&);
  void on_icmp(Address const& remote, IcmpError const&, Bytes transport);

 private:
  Result<void> bind_locked(BindRequest const&) REQUIRES(mutex_);
  uint16_t port_locked() const override REQUIRES(mutex_) { return binding_ ? binding_->port() : uint16_t{0}; }
  Ref<PortBinding> binding_ GUARDED_BY(mutex_);
  bool bound_by_user_ GUARDED_BY(mutex_) = false;
};

}  // namespace cofferdam::netstack

// UDP (RFC 768, RFC 1122 4.1): one endpoint per socket.
#pragma once

#include <atomic>
#include <optional>

#include "base/mutex.h"
#include "netstack/endpoint.h"
#include "netstack/stack.h"

namespace cofferdam::netstack {

struct Datagram {
  Chain payload;
  Peer source, destination;
  uint32_t interface = 0;
  uint8_t ttl = 0, tos = 0;
  Time arrival = 0;
};

class UdpEndpoint final : public RefCounted {
 public:
  static constexpr size_t max_payload = 65507;
  static constexpr size_t overhead = 704;  // what a queued datagram counts beyond its bytes

  UdpEndpoint(Stack& stack, bool v4, Ref<EndpointObserver> observer);
  ~UdpEndpoint() override;
  bool is_v4_socket() const { return v4_; }

  Result<void> bind(BindRequest);  // EINVAL: bound already; EADDRINUSE, EADDRNOTAVAIL
  // Takes datagrams from there only, and sends there. EADDRNOTAVAIL, ENETUNREACH.
  Result<void> connect(Peer const&, BindRequest defaults);
  void disconnect();
  void close();
  // EDESTADDRREQ, EMSGSIZE, ENETUNREACH, EACCES (broadcast without permission), ECONNREFUSED (told of earlier).
  Result<size_t> send(Chain payload, std::optional<Peer> to, SendOptions, BindRequest defaults);
  // The oldest one; peek leaves it in the queue. EAGAIN; the pending error.
  Result<Datagram> receive(bool peek);
  Peer local() const;
  std::optional<Peer> remote() const;
  Events ready() const;
  int take_error();
  size_t next_size() const;  // of the oldest datagram
  void shutdown(bool read, bool write);
  void set_receive_limit(size_t n) { receive_limit_.store(n, std::memory_order_relaxed); }
  std::atomic<bool> allow_broadcast{false}, v6_only{false};
  std::atomic<uint32_t> bound_interface{0};
  EndpointOwner owner;
  Ref<PortBinding> binding() const;
  struct Summary {
    Peer local;
    std::optional<Peer> remote;
    size_t queued_bytes = 0;
    uint64_t drops = 0;
  };
  Summary summary() const;

  // From the stack.
  void deliver(IpInfo const&, UdpHeader const&, Packet&);
  void on_icmp(Peer const& remote, IcmpError const&);

 private:
  Result<void> bind_locked(BindRequest) REQUIRES(mutex_);
  Stack& stack_;
  bool const v4_;
  Ref<EndpointObserver> const observer_;
  mutable Mutex mutex_;
  Ref<PortBinding> binding_ GUARDED_BY(mutex_);
  Address local_address_ GUARDED_BY(mutex_), bound_address_ GUARDED_BY(mutex_);
  bool bound_port_ GUARDED_BY(mutex_) = false;  // by bind(2), not by the way
  std::optional<Peer> remote_ GUARDED_BY(mutex_);
  Ring<Datagram> queue_ GUARDED_BY(mutex_);
  size_t queued_ GUARDED_BY(mutex_) = 0;
  uint64_t drops_ GUARDED_BY(mutex_) = 0;
  int error_ GUARDED_BY(mutex_) = 0;
  bool shut_read_ GUARDED_BY(mutex_) = false,
                  shut_write_ GUARDED_BY(mutex_) = false, closed_ GUARDED_BY(mutex_) = false;
  std::atomic<size_t> receive_limit_{212992};
};

}  // namespace cofferdam::netstack

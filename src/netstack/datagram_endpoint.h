// What the endpoints of UDP, raw IP and ICMP echo have in common: names, a bounded queue of what arrived, a pending
// error. Under their own lock; see stack.h for the order.
#pragma once

#include <atomic>
#include <optional>

#include "base/mutex.h"
#include "netstack/endpoint.h"
#include "netstack/error_queue.h"
#include "netstack/memberships.h"
#include "netstack/ring.h"
#include "netstack/stack.h"

namespace cofferdam::netstack {

struct Datagram {
  Chain payload;
  Peer source, destination;
  uint32_t interface = 0;
  uint8_t ttl = 0, tos = 0;
  Time arrival = 0;
  std::vector<std::byte> ip_options;  // of IPv4, as they came
  uint32_t dropped_before = 0;        // datagrams that had no room, since the endpoint was made (SO_RXQ_OVFL)
  uint32_t segment_size = 0;          // several datagrams in one, each but the last of this size; 0: one (UDP_GRO)
  Datagram copy() const;              // shares the payload
};

// Looks at what arrives before it is queued.
class InputFilter : public RefCounted {
 public:
  // How many bytes may pass, counted from the beginning of `header`, which stood before the packet's; 0: nothing may.
  // Called with locks of the stack held: it may not call back.
  virtual size_t pass(IpInfo const&, Bytes header, Packet const&) = 0;
};

class DatagramEndpoint : public RefCounted {
 public:
  static constexpr size_t overhead = 704;  // what a queued datagram counts beyond its bytes

  DatagramEndpoint(Stack& stack, bool v4, Ref<EndpointObserver> observer);
  Stack& stack() const { return stack_; }
  bool is_v4_socket() const { return v4_; }

  // The oldest one; peek leaves it in the queue. EAGAIN; the pending error.
  Result<Datagram> receive(bool peek);
  // The one that holds the byte at `offset` of the queue, which stays there; `offset` becomes that within it
  // (SO_PEEK_OFF).
  Result<Datagram> peek_at(size_t& offset);
  // Would take() or peek_at() give anything but EAGAIN? Takes nothing, no pending error either.
  bool has_at(size_t offset) const;
  Peer local() const;
  std::optional<Peer> remote() const;
  Events ready() const;
  int take_error();
  size_t next_size() const;  // of the oldest datagram
  void shutdown(bool read, bool write);
  void set_filter(Ref<InputFilter>);  // null: none
  // Errors about IPv4 and IPv6 packets that come beside the datagrams, too (IP_RECVERR, IPV6_RECVERR).
  std::atomic<bool> wants_errors{false}, wants_errors6{false};
  void queue_record(ErrorRecord);
  Result<ErrorRecord> take_record();  // EAGAIN
  bool has_records() const;
  void set_receive_limit(size_t n) { receive_limit_.store(n, std::memory_order_relaxed); }
  std::atomic<bool> allow_broadcast{false}, v6_only{false};
  std::atomic<uint32_t> bound_interface{0};
  std::atomic<bool> hears_other_groups{true};  // IP_MULTICAST_ALL
  std::atomic<bool> any_source{false};         // may send from addresses that are not this host's (IP_TRANSPARENT)
  std::atomic<bool> gathers{false};            // UDP_GRO
  Memberships memberships;
  EndpointOwner owner;
  struct Summary {
    Peer local;
    std::optional<Peer> remote;
    size_t queued_bytes = 0;
    uint64_t drops = 0;
  };
  Summary summary() const;

 protected:
  ~DatagramEndpoint() override = default;
  static constexpr size_t max_records = 64, max_gathered = 65507;
  // Appends what is left of the packet to the queue; false: that is full. `header` stood before it, for the filter.
  bool enqueue(IpInfo const&, Peer const& source, Peer const& destination, Packet&, Bytes header = {});
  bool gather(Datagram const& like, Packet&) REQUIRES(mutex_);
  // An ICMP error about a packet of this endpoint's. concerns: also who does not ask for such hears of it, if it is
  // final.
  void on_error(Peer const& destination, IcmpError const&, Bytes payload, bool concerns);
  void report(int error);  // becomes the pending error
  void clear_queue() REQUIRES(mutex_);
  // May the address be bound to by datagrams: one of this host's, of a group, a broadcast one? EADDRNOTAVAIL.
  Result<void> check_bindable(Address const&, bool any_address) const;
  // 0.0.0.0 and :: mean this host.
  static Peer resolved(Peer);
  // Where a datagram to `remote` goes. ENETUNREACH, EACCES (broadcast without permission), EINVAL (from an address that
  // is not this host's).
  Result<Path> path_to(Peer const& remote, Address source, SendOptions const&) const;
  virtual uint16_t port_locked() const REQUIRES(mutex_) = 0;

  Stack& stack_;
  bool const v4_;
  Ref<EndpointObserver> const observer_;
  mutable Mutex mutex_;
  Address local_address_ GUARDED_BY(mutex_), bound_address_ GUARDED_BY(mutex_);
  std::optional<Peer> remote_ GUARDED_BY(mutex_);
  int error_ GUARDED_BY(mutex_) = 0;
  bool shut_read_ GUARDED_BY(mutex_) = false,
                  shut_write_ GUARDED_BY(mutex_) = false, closed_ GUARDED_BY(mutex_) = false;

 private:
  // The datagram at this many queued bytes; `offset` becomes the rest, within it.
  Datagram const* find(size_t& offset) const REQUIRES(mutex_);

  Ring<Datagram> queue_ GUARDED_BY(mutex_);
  size_t queued_ GUARDED_BY(mutex_) = 0;
  uint64_t drops_ GUARDED_BY(mutex_) = 0;
  Ring<ErrorRecord> records_ GUARDED_BY(mutex_);
  Ref<InputFilter> filter_ GUARDED_BY(mutex_);
  std::atomic<size_t> receive_limit_{212992};
};

}  // namespace cofferdam::netstack

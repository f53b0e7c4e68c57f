// What a packet socket has seen and nobody has read yet (packet(7)).
#pragma once

#include <linux/if_packet.h>

#include <vector>

#include "base/mutex.h"
#include "kernel/bpf/socket_filter.h"
#include "netstack/ring.h"
#include "netstack/stack.h"
#include "socket/inet/network.h"
#include "socket/inet/packet_ring.h"

namespace cofferdam::inet {

struct ArrivedPacket {
  std::vector<std::byte> bytes;  // as many as passed the filter
  PacketFacts facts;
  netstack::Time at = 0;
};

// Filled under locks of the stack, read by the socket: it outlives whichever goes first. What has been read is told
// once: PACKET_STATISTICS.
class PacketQueue final : public RefCounted {
 public:
  // cooked: packets come without their link header (SOCK_DGRAM).
  PacketQueue(netstack::Stack&, Ref<Notifier>, bool cooked);
  ~PacketQueue() override;

  void add(netstack::TappedPacket const&, netstack::Packet const&);
  void wake() { notifier_->on_events(netstack::event_in); }
  Result<ArrivedPacket> take(bool peek);  // EAGAIN
  bool readable() const;
  size_t next_size() const;  // of the oldest packet
  size_t queued_bytes() const;

  void set_filter(Ref<kernel::bpf::SocketFilter>);
  void set_receive_limit(size_t n) { receive_limit_.store(n, std::memory_order_relaxed); }
  void ignore_outgoing(bool on) { ignores_outgoing_.store(on, std::memory_order_relaxed); }
  bool ignores_outgoing() const { return ignores_outgoing_.load(std::memory_order_relaxed); }
  tpacket_stats take_statistics();

  // Null: none. EBUSY: there is one already, or it is mapped.
  Result<void> set_ring(Ref<PacketRing>);
  Ref<PacketRing> ring() const;

 private:
  void store(std::vector<std::byte> bytes, PacketFacts&, netstack::Time) REQUIRES(mutex_);
  static constexpr size_t overhead = 704;  // what a queued packet counts beyond its bytes

  netstack::Stack& stack_;
  Ref<Notifier> const notifier_;
  bool const cooked_;
  std::atomic<size_t> receive_limit_{212992};
  std::atomic<bool> ignores_outgoing_{false};
  mutable Mutex mutex_;
  Ref<kernel::bpf::SocketFilter> filter_ GUARDED_BY(mutex_);
  Ref<PacketRing> ring_ GUARDED_BY(mutex_);
  netstack::Ring<ArrivedPacket> queue_ GUARDED_BY(mutex_);
  size_t queued_ GUARDED_BY(mutex_) = 0;
  tpacket_stats statistics_ GUARDED_BY(mutex_){};
};

// Which bytes of the link header stand before a packet, and how long they are.
inline constexpr uint16_t link_header_size = netstack::EthernetHeader::size;

// The address of an interface as packet(7) gives it, without who sent what.
sockaddr_ll link_address(netstack::Interface const&);
// ETH_P_* of a frame whose header says this: lengths are of IEEE 802.2.
uint16_t frame_protocol(uint16_t type);

}  // namespace cofferdam::inet

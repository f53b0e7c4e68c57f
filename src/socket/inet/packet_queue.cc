#include "socket/inet/packet_queue.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <net/if_arp.h>
#include <sys/socket.h>

#include <algorithm>

#include "socket/inet/timestamps.h"

namespace cofferdam::inet {

using netstack::Packet;
using netstack::TapKind;
using netstack::TappedPacket;

namespace {

PacketFacts facts_of(TappedPacket const& about, Packet const& packet) {
  PacketFacts f;
  f.from = link_address(about.interface);
  f.from.sll_protocol = htons(frame_protocol(about.link.type));
  f.from.sll_pkttype = static_cast<uint8_t>(about.kind);
  std::ranges::copy(about.link.source, f.from.sll_addr);
  // A checksum that nobody has made yet, or one that was found good.
  bool const unmade = about.kind == TapKind::Outgoing || about.interface.is_loopback();
  if (packet.checksum_verified) f.status = unmade ? TP_STATUS_CSUMNOTREADY : TP_STATUS_CSUM_VALID;
  return f;
}

uint32_t run_filter(kernel::bpf::SocketFilter const& filter, std::span<std::byte const> frame,
                    std::span<std::byte const> seen, sockaddr_ll const& from) {
  kernel::bpf::PacketView view;
  view.bytes = seen;
  view.network = frame.subspan(link_header_size);
  view.link = frame;
  view.protocol = ntohs(from.sll_protocol);
  view.packet_type = from.sll_pkttype;
  view.interface = static_cast<uint32_t>(from.sll_ifindex);
  view.hardware_type = from.sll_hatype;
  return filter.run(view);
}

}  // namespace

sockaddr_ll link_address(netstack::Interface const& i) {
  sockaddr_ll a{};
  a.sll_family = AF_PACKET;
  a.sll_ifindex = static_cast<int>(i.index());
  a.sll_hatype = i.is_loopback() ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
  a.sll_halen = ETH_ALEN;
  std::ranges::copy(i.facts().hardware, a.sll_addr);
  return a;
}

uint16_t frame_protocol(uint16_t type) { return type < ETH_P_802_3_MIN ? ETH_P_802_2 : type; }

PacketQueue::PacketQueue(netstack::Stack& stack, Ref<Notifier> notifier, bool cooked)
    : stack_(stack), notifier_(std::move(notifier)), cooked_(cooked) {}

PacketQueue::~PacketQueue() {
  MutexLock lock(mutex_);
  stack_.charge(-static_cast<int64_t>(queued_));
}

// The whole frame is copied once: filters look at any of its bytes.
void PacketQueue::add(TappedPacket const& about, Packet const& packet) {
  if (about.kind == TapKind::Outgoing && ignores_outgoing()) return;
  std::vector<std::byte> frame(link_header_size + packet.size());
  about.link.write(std::span(frame).first(link_header_size));
  packet.copy_to(std::span(frame).subspan(link_header_size));
  PacketFacts facts = facts_of(about, packet);
  MutexLock lock(mutex_);
  size_t const link = cooked_ ? link_header_size : 0;
  size_t kept = frame.size() - link;
  facts.whole = kept;
  facts.network_offset = static_cast<uint16_t>(link_header_size - link);
  if (filter_) {
    uint32_t const passes = run_filter(*filter_, frame, std::span(frame).subspan(link), facts.from);
    if (passes == 0) return;
    kept = std::min<size_t>(kept, passes);
  }
  if (cooked_) frame.erase(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(link));
  frame.resize(kept);
  store(std::move(frame), facts, about.at);
}

void PacketQueue::store(std::vector<std::byte> bytes, PacketFacts& facts, netstack::Time at) {
  if (ring_) {
    if (statistics_.tp_drops != 0) facts.status |= TP_STATUS_LOSING;
    ring_->put(bytes, facts, wall_clock_ns(at)) ? ++statistics_.tp_packets : ++statistics_.tp_drops;
    return;
  }
  size_t const charge = bytes.size() + overhead;
  if (queued_ >= receive_limit_.load(std::memory_order_relaxed) || !stack_.may_charge(charge)) {
    ++statistics_.tp_drops;
    return;
  }
  ++statistics_.tp_packets;
  queued_ += charge;
  stack_.charge(static_cast<int64_t>(charge));
  queue_.push_back({std::move(bytes), facts, at});
}

Result<ArrivedPacket> PacketQueue::take(bool peek) {
  MutexLock lock(mutex_);
  if (queue_.empty()) return fail(Errno::Again);
  if (peek) return queue_.front();
  ArrivedPacket taken = std::move(queue_.front());
  queue_.pop_front();
  size_t const charge = taken.bytes.size() + overhead;
  queued_ -= charge;
  stack_.charge(-static_cast<int64_t>(charge));
  return taken;
}

bool PacketQueue::readable() const {
  MutexLock lock(mutex_);
  return !queue_.empty() || (ring_ && ring_->readable());
}

size_t PacketQueue::next_size() const {
  MutexLock lock(mutex_);
  return queue_.empty() ? 0 : queue_.front().bytes.size();
}

size_t PacketQueue::queued_bytes() const {
  MutexLock lock(mutex_);
  return queued_;
}

void PacketQueue::set_filter(Ref<kernel::bpf::SocketFilter> filter) {
  MutexLock lock(mutex_);
  std::swap(filter_, filter);
}

// tp_packets counts those that were dropped, too.
tpacket_stats PacketQueue::take_statistics() {
  MutexLock lock(mutex_);
  tpacket_stats s = std::exchange(statistics_, {});
  s.tp_packets += s.tp_drops;
  return s;
}

Result<void> PacketQueue::set_ring(Ref<PacketRing> ring) {
  MutexLock lock(mutex_);
  if (ring_ && (ring || ring_->mapped())) return fail(Errno::Busy);
  std::swap(ring_, ring);
  return {};
}

Ref<PacketRing> PacketQueue::ring() const {
  MutexLock lock(mutex_);
  return ring_;
}

}  // namespace cofferdam::inet

#include "netstack/packet_tap.h"

#include <algorithm>

#include "netstack/stack.h"

namespace cofferdam::netstack {
namespace {

constexpr uint16_t ether_802_2 = 4;  // ETH_P_802_2: frames that say their length in place of a type
constexpr bool is_length(uint16_t type) { return type < 0x600; }

}  // namespace

void Stack::add_tap(Ref<PacketTap> tap) {
  WriteLock lock(taps_mutex_);
  taps_.push_back(std::move(tap));
  tap_count_.store(taps_.size(), std::memory_order_relaxed);
}

void Stack::remove_tap(PacketTap const& tap) {
  Ref<PacketTap> dropped;  // dies after the lock
  WriteLock lock(taps_mutex_);
  auto const at = std::ranges::find_if(taps_, [&](auto const& t) { return t == &tap; });
  if (at == taps_.end()) return;
  dropped = std::move(*at);
  taps_.erase(at);
  tap_count_.store(taps_.size(), std::memory_order_relaxed);
}

void Stack::tap(TappedPacket const& about, Packet const& packet, PacketTap const* sender) {
  ReadLock lock(taps_mutex_);
  for (auto const& t : taps_) {
    bool const all = t->protocol_ == PacketTap::every_protocol;
    if (t == sender || (t->interface_ != 0 && t->interface_ != about.interface.index())) continue;
    bool const wanted = t->protocol_ == about.link.type || (t->protocol_ == ether_802_2 && is_length(about.link.type));
    if (!all && (!wanted || about.kind == TapKind::Outgoing)) continue;
    t->on_packet(about, packet);
    t->waiting_.store(true, std::memory_order_relaxed);
    taps_waiting_.store(true, std::memory_order_release);
  }
}

void Stack::notify_taps() {
  if (!taps_waiting_.load(std::memory_order_relaxed) || !taps_waiting_.exchange(false, std::memory_order_acquire))
    return;
  std::vector<Ref<PacketTap>> told;
  {
    ReadLock lock(taps_mutex_);
    for (auto const& t : taps_)
      if (t->waiting_.exchange(false, std::memory_order_relaxed)) told.push_back(t);
  }
  for (auto const& t : told) t->after_packets();
}

}  // namespace cofferdam::netstack

#include "netstack/neighbours.h"

#include <algorithm>

#include "netstack/stack.h"

namespace cofferdam::netstack {

void Neighbours::transmit(PacketPtr p, HardwareAddress const& to) {
  Bytes first = p->peek(1);
  if (first.empty()) return;
  uint16_t type = load8(first, 0) >> 4 == 4 ? ether_ipv4 : ether_ipv6;
  stack_.transmit_frame(interface_, {to, interface_.facts().hardware, type}, std::move(p));
}

// ARP request, or neighbour solicitation (RFC 4861 7.2.2).
void Neighbours::ask(Address const& about, HardwareAddress const* unicast) {
  auto p = std::make_unique<Packet>();
  auto const& own = interface_.facts().hardware;
  Address source = interface_.source_for(about);
  if (about.is_v4()) {
    ArpPacket arp;
    arp.sender_hardware = own;
    arp.sender = source;
    arp.target = about;
    arp.write(p->push(ArpPacket::size));
    return stack_.transmit_frame(interface_, {unicast ? *unicast : hardware_broadcast, own, ether_arp}, std::move(p));
  }
  Address to = unicast ? about : about.solicited_node();
  constexpr size_t length = IcmpHeader::size + 16 + 8;
  auto b = p->push(length);
  IcmpHeader{135, 0, 0, 0}.write(b);
  std::memcpy(b.data() + 8, about.bytes().data(), 16);
  store8(b, 24, 1);  // source link-layer address
  store8(b, 25, 1);
  std::memcpy(b.data() + 26, own.data(), own.size());
  Checksum sum = pseudo_header(source, to, protocol_icmpv6, length);
  sum.add(b);
  store16(b, 2, sum.value());
  Ipv6Header ip;
  ip.payload_length = length;
  ip.next_header = protocol_icmpv6;
  ip.hop_limit = 255;
  ip.source = source;
  ip.destination = to;
  ip.write(p->push(Ipv6Header::size));
  auto tail = to.bytes().subspan(12);
  HardwareAddress group{0x33, 0x33, load8(tail, 0), load8(tail, 1), load8(tail, 2), load8(tail, 3)};
  transmit(std::move(p), unicast ? *unicast : group);
}

// Makes room: the entry that nobody has used for longest goes.
void Neighbours::evict() {
  auto oldest = std::min_element(table_.begin(), table_.end(),
                                 [](auto const& a, auto const& b) { return a.second.used < b.second.used; });
  if (oldest != table_.end()) table_.erase(oldest);
}

void Neighbours::send(Address const& to, PacketPtr p) {
  Time now = stack_.now();
  bool question = false;
  {
    MutexLock lock(mutex_);
    auto at = table_.find(to);
    if (at == table_.end() || at->second.state == NeighbourState::Failed) {
      if (at == table_.end() && table_.size() >= max_entries) evict();
      Entry fresh;
      fresh.deadline = now + probe_interval;
      fresh.probes = 1;
      at = table_.insert_or_assign(to, std::move(fresh)).first;
      question = true;
      stack_.wheel().arm(*this, now + probe_interval);
    }
    Entry& e = at->second;
    e.used = now;
    if (e.state == NeighbourState::Reachable && e.deadline <= now) e.state = NeighbourState::Stale;
    if (e.state == NeighbourState::Stale) {
      e.state = NeighbourState::Delay;
      e.deadline = now + delay_time;
      stack_.wheel().arm(*this, e.deadline);
    }
    if (e.state == NeighbourState::Incomplete) {
      if (e.waiting.count() >= max_waiting) e.waiting.pop();
      e.waiting.push(std::move(p));
    } else {
      transmit(std::move(p), e.hardware);
    }
  }
  if (question) ask(to, nullptr);
}

void Neighbours::learn(Address const& who, HardwareAddress const& hardware, bool create, bool solicited,
                       bool override_known) {
  Time now = stack_.now();
  MutexLock lock(mutex_);
  auto at = table_.find(who);
  if (at == table_.end()) {
    if (!create) return;
    if (table_.size() >= max_entries) evict();
    at = table_.try_emplace(who).first;
    at->second.used = now;
  }
  Entry& e = at->second;
  bool unknown = e.state == NeighbourState::Incomplete || e.state == NeighbourState::Failed;
  bool differs = e.hardware != hardware;
  if (!unknown && differs && !override_known) return;
  e.hardware = hardware;
  if (solicited) {
    e.state = NeighbourState::Reachable;
    e.deadline = now + reachable_time;
  } else if (unknown || differs) {
    e.state = NeighbourState::Stale;
    e.deadline = never;
  }
  e.probes = 0;
  while (PacketPtr p = e.waiting.pop()) transmit(std::move(p), hardware);
}

void Neighbours::confirm(Address const& who) {
  MutexLock lock(mutex_);
  auto at = table_.find(who);
  if (at == table_.end() || at->second.state == NeighbourState::Incomplete ||
      at->second.state == NeighbourState::Failed)
    return;
  at->second.state = NeighbourState::Reachable;
  at->second.deadline = stack_.now() + reachable_time;
}

std::vector<NeighbourEntry> Neighbours::entries() const {
  std::vector<NeighbourEntry> all;
  MutexLock lock(mutex_);
  for (auto const& [address, e] : table_) all.push_back({address, e.hardware, e.state});
  return all;
}

void Neighbours::on_timer(Time now) {
  struct Question {
    Address about;
    std::optional<HardwareAddress> unicast;
  };
  std::vector<Question> questions;
  PacketList lost;
  {
    MutexLock lock(mutex_);
    Time next = never;
    for (auto& [address, e] : table_) {
      bool asks =
          e.state == NeighbourState::Incomplete || e.state == NeighbourState::Delay || e.state == NeighbourState::Probe;
      if (!asks) continue;
      if (e.deadline <= now && e.state == NeighbourState::Delay) {
        e.state = NeighbourState::Probe;
        e.probes = 0;
      }
      if (e.deadline <= now && e.probes >= max_probes) {
        e.state = NeighbourState::Failed;
        e.deadline = never;
        while (PacketPtr p = e.waiting.pop()) lost.push(std::move(p));
        continue;
      }
      if (e.deadline <= now) {
        ++e.probes;
        e.deadline = now + probe_interval;
        bool incomplete = e.state == NeighbourState::Incomplete;
        questions.push_back({address, incomplete ? std::nullopt : std::optional(e.hardware)});
      }
      next = std::min(next, e.deadline);
    }
    if (next != never) stack_.wheel().arm(*this, next);
  }
  for (auto const& q : questions) ask(q.about, q.unicast ? &*q.unicast : nullptr);
  while (PacketPtr p = lost.pop()) stack_.unreachable(std::move(p));
}

}  // namespace cofferdam::netstack

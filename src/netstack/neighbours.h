// Who has which hardware address on an Ethernet: the cache behind ARP (RFC 826) and NDP (RFC 4861 7.3).
#pragma once

#include <vector>

#include <absl/container/flat_hash_map.h>

#include "base/mutex.h"
#include "netstack/address.h"
#include "netstack/interface.h"
#include "netstack/timer_wheel.h"

namespace cofferdam::netstack {

class Stack;

enum class NeighbourState : uint8_t { Incomplete, Reachable, Stale, Delay, Probe, Failed };

struct NeighbourEntry {
  Address address;
  HardwareAddress hardware{};
  NeighbourState state = NeighbourState::Incomplete;
};

class Neighbours final : public Timed {
 public:
  static constexpr size_t max_entries = 1024, max_waiting = 16;
  static constexpr unsigned max_probes = 3;
  static constexpr Time probe_interval = second, reachable_time = 30 * second, delay_time = 5 * second;

  Neighbours(Stack& stack, Interface& interface) : stack_(stack), interface_(interface) {}
  // Sends an IP packet (without link header) to a neighbour; asks for its address first where it must, and keeps the
  // packet meanwhile.
  void send(Address const& to, PacketPtr packet);
  // Somebody said who it is. create: also when nobody has asked. solicited: it is the answer to a question.
  void learn(Address const&, HardwareAddress const&, bool create, bool solicited, bool override_known = true);
  void confirm(Address const&);  // a higher protocol made progress
  std::vector<NeighbourEntry> entries() const;
  void on_timer(Time now) override;

 private:
  struct Entry {
    HardwareAddress hardware{};
    NeighbourState state = NeighbourState::Incomplete;
    Time deadline = never, used = 0;
    unsigned probes = 0;
    PacketList waiting;
  };
  void transmit(PacketPtr, HardwareAddress const&);
  void ask(Address const&, HardwareAddress const* unicast);
  void evict() REQUIRES(mutex_);

  Stack& stack_;
  Interface& interface_;
  mutable Mutex mutex_;
  absl::flat_hash_map<Address, Entry> table_ GUARDED_BY(mutex_);
};

}  // namespace cofferdam::netstack

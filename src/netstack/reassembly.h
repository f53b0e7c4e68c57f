// Putting fragments of IPv4 (RFC 791, RFC 815) and IPv6 (RFC 8200 4.5) together, within bounds.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "base/mutex.h"
#include "netstack/address.h"
#include "netstack/packet.h"
#include "netstack/time.h"
#include "netstack/timer_wheel.h"

namespace cofferdam::netstack {

class Stack;
struct IpInfo;

struct FragmentKey {
  Address source, destination;
  uint32_t id = 0;
  uint8_t protocol = 0;
  friend bool operator==(FragmentKey const&, FragmentKey const&) = default;
  template <class H>
  friend H AbslHashValue(H h, FragmentKey const& k) {
    return H::combine(std::move(h), k.source, k.destination, k.id, k.protocol);
  }
};

class Reassembly final : public Timed {
 public:
  static constexpr size_t max_memory = 4 << 20, max_datagrams = 1024, max_fragments = 64;
  static constexpr size_t charge_of_fragment = 256;  // on top of its bytes
  static constexpr size_t max_size = 65535;

  explicit Reassembly(Stack& stack) : stack_(stack) {}
  ~Reassembly() override;
  // A fragment without its headers. Returns the whole payload when it was the last one missing. A fragment that
  // overlaps another in part, or disagrees about the end, ends its datagram (RFC 5722, and Linux for IPv4).
  PacketPtr add(FragmentKey const&, size_t offset, bool more, IpInfo const&, PacketPtr fragment, Time now);
  size_t memory() const;
  size_t datagrams() const;
  // Who sent the beginning of what is never complete is told of it (RFC 1122 3.3.2, RFC 8200 4.5).
  void on_timer(Time now) override;

 private:
  struct Piece {
    size_t offset, length;
    PacketPtr packet;
  };
  struct Datagram {
    Time until = 0;
    std::vector<Piece> pieces;  // by offset
    size_t end = 0;             // 0: not yet known
    size_t bytes = 0, charge = 0;
    std::shared_ptr<IpInfo const> first;  // of the piece at offset 0
    std::list<FragmentKey>::iterator age;
  };
  using Table = absl::flat_hash_map<FragmentKey, Datagram>;
  struct Expired {
    std::shared_ptr<IpInfo const> info;
    PacketPtr packet;
  };
  void drop(Table::iterator) REQUIRES(mutex_);
  void make_room() REQUIRES(mutex_);
  PacketPtr finish(Table::iterator) REQUIRES(mutex_);

  Stack& stack_;
  mutable Mutex mutex_;
  Table table_ GUARDED_BY(mutex_);
  std::list<FragmentKey> ages_ GUARDED_BY(mutex_);  // oldest first
  size_t memory_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cofferdam::netstack

// Which connection a TCP segment belongs to.
#pragma once

#include <array>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "base/mutex.h"
#include "netstack/address.h"
#include "netstack/headers.h"
#include "netstack/packet.h"
#include "netstack/timer_wheel.h"

namespace cofferdam::netstack {

// A segment as it is handed to a connection.
struct TcpSegment {
  Address source, destination;
  TcpHeader header;
  uint8_t ttl = 0, tos = 0;
  uint32_t interface = 0;
  size_t length = 0;                   // of the payload
  PacketPtr packet;                    // the payload
  std::optional<SeqNum> begin_behind;  // of a connection in TIME-WAIT that made way
  std::vector<std::byte> headers;      // of a SYN that is to be kept, from the IP header on
  SeqNum end() const {
    return header.sequence + length + (header.has(TcpHeader::syn) ? 1 : 0) + (header.has(TcpHeader::fin) ? 1 : 0);
  }
  FourTuple tuple() const { return {{destination, header.destination, 0}, {source, header.source, 0}}; }
};

inline constexpr uint32_t reuse_distance = 65537;  // between the numbers of one connection and the next

// What the table holds: a connection, or what is left of one in TIME-WAIT.
class TcpReceiver : public Timed {
 public:
  // False: it is not for me (any more); look for a listener.
  virtual bool receive(TcpSegment&) = 0;
  virtual bool is_time_wait() const { return false; }
};

class TcpDemux {
 public:
  bool insert(FourTuple const&, Ref<TcpReceiver> const&);  // false: there is one
  // Puts `by` in the place of `old`; false when that is not there.
  bool replace(FourTuple const&, TcpReceiver const& old, Ref<TcpReceiver> by);
  bool remove(FourTuple const&, TcpReceiver const&);
  Ref<TcpReceiver> find(FourTuple const&) const;
  std::vector<Ref<TcpReceiver>> all() const;
  size_t size() const;

 private:
  static constexpr size_t shard_count = 64;
  struct Shard {
    mutable Mutex mutex;
    absl::flat_hash_map<FourTuple, Ref<TcpReceiver>> table GUARDED_BY(mutex);
  };
  Shard& shard_of(FourTuple const& t) { return shards_[absl::HashOf(t) % shard_count]; }
  Shard const& shard_of(FourTuple const& t) const { return shards_[absl::HashOf(t) % shard_count]; }
  std::array<Shard, shard_count> shards_;
};

}  // namespace cofferdam::netstack

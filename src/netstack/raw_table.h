// Which raw sockets hear of an IP protocol.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"

namespace cofferdam::netstack {

class RawEndpoint;

class RawTable {
 public:
  void add(uint8_t protocol, RawEndpoint*);
  void remove(uint8_t protocol, RawEndpoint*);
  bool wants(uint8_t protocol) const { return counts_[protocol].load(std::memory_order_relaxed) != 0; }
  std::vector<Ref<RawEndpoint>> find(uint8_t protocol) const;
  std::vector<Ref<RawEndpoint>> all() const;

 private:
  struct Entry {
    uint8_t protocol;
    RawEndpoint* endpoint;  // not kept alive
  };
  std::array<std::atomic<uint32_t>, 256> counts_{};
  mutable SharedMutex mutex_;
  std::vector<Entry> entries_ GUARDED_BY(mutex_);
};

}  // namespace cofferdam::netstack

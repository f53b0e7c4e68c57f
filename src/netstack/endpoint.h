// What endpoints tell those who use them.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/ref.h"

namespace cofferdam::netstack {

// Ready states, and changes of them.
using Events = uint32_t;
inline constexpr Events event_in = 1, event_out = 2, event_error = 4, event_hang_up = 8, event_read_hang_up = 16,
                        event_urgent = 32;

// Who an endpoint belongs to, for tables of sockets.
struct EndpointOwner {
  std::atomic<uint64_t> inode{0};
  std::atomic<uint32_t> uid{0};
};

// Told of changes, on any thread, without the endpoint's lock. What is true at the call may have changed meanwhile.
class EndpointObserver : public RefCounted {
 public:
  virtual void on_events(Events) = 0;
};

}  // namespace cofferdam::netstack

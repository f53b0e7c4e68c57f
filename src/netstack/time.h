// What the stack is given by whoever embeds it: time, randomness, and somebody who calls it back in time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace cofferdam::netstack {

using Time = int64_t;  // nanoseconds on a monotonic clock
inline constexpr Time microsecond = 1000, millisecond = 1000 * microsecond, second = 1000 * millisecond;
inline constexpr Time never = INT64_MAX;

class Environment {
 public:
  virtual ~Environment() = default;
  virtual Time now() = 0;
  virtual Time wall_clock() { return now(); }  // since 1970, UTC
  virtual void random(std::span<std::byte> to) = 0;
  // Stack::run_timers() is wanted at this time. Called with locks of the stack held: it may not call back.
  virtual void wake_at(Time) = 0;
};

}  // namespace cofferdam::netstack

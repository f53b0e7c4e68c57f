// Clocks as the guest sees them. Times are nanoseconds; a deadline is a point on the host's CLOCK_MONOTONIC.
#pragma once

#include <time.h>

#include <cstdint>
#include <optional>

#include "base/result.h"

namespace cofferdam::kernel {

using Nanoseconds = int64_t;
inline constexpr Nanoseconds ns_per_second = 1'000'000'000;

// A point in time on the host's CLOCK_MONOTONIC, or never.
struct Deadline {
  std::optional<Nanoseconds> at_ns;
  static Deadline never() { return {}; }
  static Deadline at(Nanoseconds t) { return {t}; }
  static Deadline after(Nanoseconds delay);  // saturates
  bool expired() const;
  Nanoseconds remaining_ns() const;  // INT64_MAX for never, 0 when expired
};

Nanoseconds host_now(clockid_t clock);

// EINVAL for tv_nsec outside [0, 1e9) or negative seconds; saturates at INT64_MAX.
Result<Nanoseconds> to_nanoseconds(timespec const&);
timespec to_timespec(Nanoseconds);
timeval to_timeval(Nanoseconds);

}  // namespace cofferdam::kernel

#include "kernel/time/clock.h"

#include <limits>

namespace cofferdam::kernel {

Nanoseconds host_now(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return t.tv_sec * ns_per_second + t.tv_nsec;
}

Deadline Deadline::after(Nanoseconds delay) {
  Nanoseconds sum;
  if (__builtin_add_overflow(host_now(CLOCK_MONOTONIC), delay, &sum)) sum = std::numeric_limits<Nanoseconds>::max();
  return at(sum);
}

bool Deadline::expired() const { return at_ns && host_now(CLOCK_MONOTONIC) >= *at_ns; }

Nanoseconds Deadline::remaining_ns() const {
  if (!at_ns) return std::numeric_limits<Nanoseconds>::max();
  Nanoseconds now = host_now(CLOCK_MONOTONIC);
  return *at_ns > now ? *at_ns - now : 0;
}

Result<Nanoseconds> to_nanoseconds(timespec const& t) {
  if (t.tv_sec < 0 || t.tv_nsec < 0 || t.tv_nsec >= ns_per_second) return fail(Errno::Inval);
  Nanoseconds out;
  if (__builtin_mul_overflow(t.tv_sec, ns_per_second, &out) || __builtin_add_overflow(out, t.tv_nsec, &out))
    return std::numeric_limits<Nanoseconds>::max();
  return out;
}

timespec to_timespec(Nanoseconds t) {
  Nanoseconds s = t / ns_per_second, n = t % ns_per_second;
  if (n < 0) {
    n += ns_per_second;
    --s;
  }
  return {s, n};
}

timeval to_timeval(Nanoseconds t) {
  timespec s = to_timespec(t);
  return {s.tv_sec, s.tv_nsec / 1000};
}

}  // namespace cofferdam::kernel

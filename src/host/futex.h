// The host's futexes, for the sentry's own threads.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>

namespace cofferdam::host {

// Sleeps while the word holds `expected`; may return early.
inline void futex_wait(std::atomic<uint32_t>& word, uint32_t expected) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

// The same until a time of CLOCK_MONOTONIC (null: no limit); false when that has passed.
inline bool futex_wait_until(std::atomic<uint32_t>& word, uint32_t expected, timespec const* until) {
  long r = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, expected, until, nullptr, FUTEX_BITSET_MATCH_ANY);
  return !(r < 0 && errno == ETIMEDOUT);
}

// The time of CLOCK_MONOTONIC that is so far ahead.
inline timespec monotonic_after(std::chrono::nanoseconds ahead) {
  constexpr int64_t second = 1'000'000'000;
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t const ns = now.tv_nsec + ahead.count();
  return {now.tv_sec + ns / second, ns % second};
}

inline void futex_wake(std::atomic<uint32_t>& word, int count = 1) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

}  // namespace cofferdam::host

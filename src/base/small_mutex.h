// A lock of four bytes, for objects of which there are very many. Held for moments, without calls that may wait.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/mutex.h"

namespace cofferdam {

class CAPABILITY("mutex") SmallMutex {
 public:
  void lock() ACQUIRE() {
    uint32_t seen = free;
    if (state_.compare_exchange_strong(seen, held, std::memory_order_acquire)) return;
    while (state_.exchange(contended, std::memory_order_acquire) != free)
      state_.wait(contended, std::memory_order_relaxed);
  }
  void unlock() RELEASE() {
    if (state_.exchange(free, std::memory_order_release) == contended) state_.notify_one();
  }

 private:
  static constexpr uint32_t free = 0, held = 1, contended = 2;
  std::atomic<uint32_t> state_{free};
};

class SCOPED_CAPABILITY SmallLock {
 public:
  explicit SmallLock(SmallMutex& m) ACQUIRE(m) : m_(m) { m_.lock(); }
  ~SmallLock() RELEASE() { m_.unlock(); }
  SmallLock(SmallLock const&) = delete;
  SmallLock& operator=(SmallLock const&) = delete;

 private:
  SmallMutex& m_;
};

}  // namespace cofferdam

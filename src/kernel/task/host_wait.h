// Waiting on a wait queue by a host thread that serves no task, or whose task is past its last interruptible moment.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>

#include "host/futex.h"
#include "kernel/time/clock.h"
#include "kernel/wait_queue.h"

namespace cofferdam::kernel {

class HostWaiter final : public Waiter {
 public:
  void on_event(PollMask) override {
    word_.store(1, std::memory_order_release);
    host::futex_wake(word_);
  }
  void prepare() { word_.store(0); }
  // false: the deadline has passed.
  bool wait(Deadline deadline) {
    timespec const until = deadline.at_ns ? to_timespec(*deadline.at_ns) : timespec{};
    while (word_.load(std::memory_order_acquire) == 0)
      if (!host::futex_wait_until(word_, 0, deadline.at_ns ? &until : nullptr)) return false;
    return true;
  }

 private:
  std::atomic<uint32_t> word_{0};
};

// Waits until ready() or the deadline; whether it became ready.
template <class Ready>
bool wait_on_host_thread(WaitQueue& queue, Ready ready, Deadline deadline = Deadline::never()) {
  HostWaiter waiter;
  queue.add(waiter, EPOLLIN);
  bool done = false;
  for (;;) {
    waiter.prepare();
    done = ready();
    if (done || !waiter.wait(deadline)) break;
  }
  queue.remove(waiter);
  return done;
}

}  // namespace cofferdam::kernel

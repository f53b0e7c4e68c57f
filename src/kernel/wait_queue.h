// Wait queues: what a blocked task, an epoll instance or a notifier waits on.
//
// Event masks are EPOLLIN, EPOLLOUT, … of <sys/epoll.h> in Linux's values.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/mutex.h"

namespace cofferdam::kernel {

using PollMask = uint32_t;

// Something that wants to hear of events. on_event runs with the queue's lock held, on the waker's thread: it may only
// set flags, take leaf locks (lock_order.h) and wake tasks; never block, never call back into the queue.
class Waiter {
 public:
  virtual void on_event(PollMask events) = 0;

 protected:
  ~Waiter() = default;

 private:
  friend class WaitQueue;
  Waiter* next_ = nullptr;
  Waiter* previous_ = nullptr;
  class WaitQueue* queue_ = nullptr;
  PollMask interest_ = 0;
  bool exclusive_ = false;
};

class WaitQueue {
 public:
  WaitQueue() = default;
  WaitQueue(WaitQueue const&) = delete;
  WaitQueue& operator=(WaitQueue const&) = delete;

  // Registers w (which must not be in a queue) for events that intersect `interest`; EPOLLERR|EPOLLHUP always count.
  void add(Waiter& w, PollMask interest, bool exclusive = false);
  // Returns when no on_event of w is running any more.
  void remove(Waiter& w);
  // Tells every non-exclusive waiter and at most max_exclusive exclusive ones. Costs next to nothing when nobody waits.
  // A condition that is set before wake and looked at after add is never missed.
  void wake(PollMask events, size_t max_exclusive = 1);
  bool empty() const { return count_.load(std::memory_order_relaxed) == 0; }

 private:
  mutable Mutex mutex_;
  Waiter* first_ GUARDED_BY(mutex_) = nullptr;
  Waiter* last_ GUARDED_BY(mutex_) = nullptr;
  std::atomic<uint32_t> count_{0};
};

}  // namespace cofferdam::kernel

#include "kernel/wait_queue.h"

#include <sys/epoll.h>

namespace cofferdam::kernel {

void WaitQueue::add(Waiter& w, PollMask interest, bool exclusive) {
  MutexLock lock(mutex_);
  w.queue_ = this;
  w.interest_ = interest | EPOLLERR | EPOLLHUP;
  w.exclusive_ = exclusive;
  // Exclusive waiters stand behind the others, in the order of their coming (add_wait_queue_exclusive of Linux).
  if (exclusive) {
    w.previous_ = last_;
    w.next_ = nullptr;
  } else {
    w.previous_ = nullptr;
    w.next_ = first_;
  }
  (w.previous_ ? w.previous_->next_ : first_) = &w;
  (w.next_ ? w.next_->previous_ : last_) = &w;
  count_.fetch_add(1, std::memory_order_seq_cst);
}

void WaitQueue::remove(Waiter& w) {
  MutexLock lock(mutex_);
  if (w.queue_ != this) return;
  (w.previous_ ? w.previous_->next_ : first_) = w.next_;
  (w.next_ ? w.next_->previous_ : last_) = w.previous_;
  w.queue_ = nullptr;
  count_.fetch_sub(1, std::memory_order_relaxed);
}

void WaitQueue::wake(PollMask events, size_t max_exclusive) {
  // Pairs with the increment in add: the waker has set its condition, and either sees the waiter here or the waiter,
  // which looks at the condition after it was added, sees that.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (count_.load(std::memory_order_relaxed) == 0) return;
  MutexLock lock(mutex_);
  for (Waiter* w = first_; w != nullptr; w = w->next_) {
    if ((w->interest_ & events) == 0) continue;
    if (w->exclusive_) {
      if (max_exclusive == 0) break;
      --max_exclusive;
    }
    w->on_event(events);
  }
}

}  // namespace cofferdam::kernel

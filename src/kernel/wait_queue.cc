#include "kernel/wait_queue.h"

#include <sys/epoll.h>

namespace cofferdam::kernel {

void WaitQueue::add(Waiter& w, PollMask interest, bool exclusive) {
  MutexLock lock(mutex_);
  w.queue_ = this;
  w.interest_ = interest | EPOLLERR | EPOLLHUP;
  w.exclusive_ = exclusive;
  // Exclusive waiters stand behind the others, in the order of their coming (add_wait_queue_exclusive of Linux).
  w.position_ = waiters_.insert(exclusive ? waiters_.end() : waiters_.begin(), &w);
}

void WaitQueue::remove(Waiter& w) {
  MutexLock lock(mutex_);
  if (w.queue_ != this) return;
  waiters_.erase(w.position_);
  w.queue_ = nullptr;
}

void WaitQueue::wake(PollMask events, size_t max_exclusive) {
  MutexLock lock(mutex_);
  for (Waiter* w : waiters_) {
    if ((w->interest_ & events) == 0) continue;
    if (w->exclusive_) {
      if (max_exclusive == 0) break;
      --max_exclusive;
    }
    w->on_event(events);
  }
}

bool WaitQueue::empty() const {
  MutexLock lock(mutex_);
  return waiters_.empty();
}

}  // namespace cofferdam::kernel

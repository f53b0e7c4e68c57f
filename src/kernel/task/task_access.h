// The way to Task's own members for the files of kernel/task that make, run and end tasks.
#pragma once

#include <utility>

#include "kernel/task/task.h"

namespace cofferdam::kernel {

struct TaskAccess {
  static std::atomic<bool>& in_guest(Task& t) { return t.in_guest_; }
  static void set_blocked(Task& t, SignalSet s) { t.blocked_.store(s.bits(), std::memory_order_relaxed); }
  static void set_tid(Task& t, int32_t tid) { t.tid_.store(tid, std::memory_order_relaxed); }
  // What the thread has used on the host, from any thread; zero once it has exited.
  static platform::AddressSpace::Usage usage(Task& t) {
    MutexLock lock(t.context_mutex_);
    return t.context_ ? t.context_->usage() : platform::AddressSpace::Usage{};
  }
  // Puts another context in; the one that was there is given back, to be destroyed by the caller.
  static std::unique_ptr<platform::Context> exchange_context(Task& t, std::unique_ptr<platform::Context> context) {
    MutexLock lock(t.context_mutex_);
    return std::exchange(t.context_, std::move(context));
  }
};

}  // namespace cofferdam::kernel

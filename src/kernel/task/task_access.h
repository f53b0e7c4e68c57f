// The way to Task's own members for the files of kernel/task that make, run and end tasks.
#pragma once

#include <utility>

#include "kernel/task/task.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::kernel {

struct TaskAccess {
  static std::atomic<bool>& in_guest(Task& t) { return t.in_guest_; }
  static void set_blocked(Task& t, SignalSet s) { t.blocked_.store(s.bits(), std::memory_order_relaxed); }
  // The mask as it is now, also while the guest changes it without a stop. From any thread.
  static SignalSet current_mask(Task& t) {
    if (t.in_guest_.load(std::memory_order_seq_cst)) {
      MutexLock lock(t.context_mutex_);
      if (auto state = t.context_ ? t.context_->current_native_state() : std::nullopt)
        return SignalSet(state->blocked_signals).maskable();
    }
    return t.blocked_signals();
  }
  // Without a lock: the task's own thread alone changes which it is.
  static FdTable& own_files(Task& t) NO_THREAD_SAFETY_ANALYSIS { return *t.implementation().files; }
  static void set_pid(Task& t, Ref<Pid> pid) {
    t.tid_.store(pid->number(), std::memory_order_relaxed);
    MutexLock lock(t.implementation_->shared_mutex);
    std::swap(t.implementation_->pid, pid);
  }
  // What the thread has used on the host, from any thread; zero once it has exited.
  static platform::AddressSpace::Usage usage(Task& t) {
    MutexLock lock(t.context_mutex_);
    return t.context_ ? t.context_->usage() : platform::AddressSpace::Usage{};
  }
  // As people see it: a guest thread that sleeps in a futex wait of the host's is asleep. From any thread.
  static TaskState state(Task& t) {
    TaskState state = t.implementation().state.load();
    if (state != TaskState::Running || !t.in_guest_.load(std::memory_order_relaxed)) return state;
    MutexLock lock(t.context_mutex_);
    return t.context_ && t.context_->asleep() ? TaskState::Sleeping : state;
  }
  // Puts another context in; the one that was there is given back, to be destroyed by the caller.
  static std::unique_ptr<platform::Context> exchange_context(Task& t, std::unique_ptr<platform::Context> context) {
    MutexLock lock(t.context_mutex_);
    return std::exchange(t.context_, std::move(context));
  }
};

}  // namespace cofferdam::kernel

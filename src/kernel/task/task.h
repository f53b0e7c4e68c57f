// A task: one guest thread, and the sentry thread that serves it.
//
// Its thread runs a small state machine (task_run.cc): run guest → handle event → deliver signals → stop or exit.
// Members marked [own] are touched by the task's own thread only; [lock] need the process lock; others are safe
// anywhere.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/cred/credentials.h"
#include "kernel/io.h"
#include "kernel/mm/memory_manager.h"
#include "kernel/signal/signal.h"
#include "kernel/task/process_lock.h"
#include "kernel/time/clock.h"
#include "kernel/user_memory.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/vfs.h"
#include "kernel/wait_queue.h"
#include "platform/platform.h"

namespace cofferdam::kernel {

class Kernel;
class Pid;
class PidNamespace;
struct NamespaceSet;
class ThreadGroup;
struct TaskAccess;

class Task : public RefCounted {
 public:
  Kernel& kernel() const { return kernel_; }
  ThreadGroup& thread_group() const { return *thread_group_; }
  int32_t tid() const { return tid_.load(std::memory_order_relaxed); }  // as it sees itself
  int32_t tgid() const;
  Ref<Pid> pid() const;
  PidNamespace& pids() const { return pids_; }  // that it is in

  // Who it is. A snapshot: credentials are immutable objects.
  Ref<Credentials const> credentials() const;
  void set_credentials(Ref<Credentials const>);  // [own]
  bool capable(int capability) const { return credentials()->capable(capability); }
  std::atomic<bool> no_new_privileges{false};

  std::string name() const;  // comm, at most 15 bytes
  void set_name(std::string_view);

  // What it shares or owns. The references change at clone, unshare, execve and exit only, on the task's own thread;
  // other threads take them through these accessors, and get null after exit.
  Ref<FdTable> files() const;
  Result<Ref<File>> file(int fd, bool allow_path = false) const;  // [own] files()->get(), without a lock of the task's
  Ref<FsContext> fs() const;
  Ref<MemoryManager> mm() const;
  Ref<NamespaceSet const> namespaces() const;
  void set_namespaces(Ref<NamespaceSet const>);       // [own]
  void unshare_files();                               // [own] its own copy of the descriptor table, if it shares one
  platform::Context& context() { return *context_; }  // [own]

  // Guest memory of this task. [own]
  template <AbiSafe T>
  Result<T> read(UserPtr<T> from) {
    T value{};
    TRY(context_->copy_in(from.address().value, std::as_writable_bytes(std::span(&value, 1))));
    return value;
  }
  template <AbiSafe T>
  Result<void> write(UserPtr<T> to, T const& value) {
    return context_->copy_out(to.address().value, std::as_bytes(std::span(&value, 1)));
  }
  template <AbiSafe T>
  Result<std::vector<T>> read_array(UserPtr<T> from, size_t count) {  // the caller has bounded count
    std::vector<T> values(count);
    if (count) TRY(context_->copy_in(from.address().value, std::as_writable_bytes(std::span(values))));
    return values;
  }
  template <AbiSafe T>
  Result<void> write_array(UserPtr<T> to, std::span<T const> values) {
    if (values.empty()) return {};
    return context_->copy_out(to.address().value, std::as_bytes(values));
  }
  Result<void> copy_in(UserAddr from, std::span<std::byte> to) { return context_->copy_in(from.value, to); }
  Result<void> copy_out(UserAddr to, std::span<std::byte const> from) { return context_->copy_out(to.value, from); }
  // A path argument: ENAMETOOLONG beyond PATH_MAX, EFAULT; empty strings are given as they are.
  Result<std::string> read_path(UserCString);
  Result<std::string> read_string(UserCString, size_t max);  // ENAMETOOLONG when longer than max bytes with its NUL

  // Blocking. [own] The pattern:
  //   TaskWaiter waiter(task); queue.add(waiter, mask);  loop { task.prepare_to_wait(); if (ready()) break;
  //   TRY(task.wait(deadline)); }  queue.remove(waiter);
  // wait_until does just that. Errors: TimedOut when the deadline passes; RestartSys when a signal (or kill, stop) is
  // to be handled; the caller turns RestartSys into what its man page says (RestartNoHand, RestartRestartBlock, EINTR).
  void prepare_to_wait();
  Result<void> wait(Deadline);
  template <class Ready>
  Result<void> wait_until(WaitQueue& queue, PollMask interest, Deadline deadline, Ready&& ready,
                          bool exclusive = false);
  void wake();  // from any thread
  // As wait, but only the end of the task interrupts it: RestartNoIntr then (vfork, execve waiting for its threads).
  // [own]
  Result<void> wait_killable(Deadline);
  // For restart_syscall(2): how an interrupted call goes on after RestartRestartBlock. [own]
  void set_restart(std::function<Result<uint64_t>(Task&)> f) { restart_ = std::move(f); }
  Result<uint64_t> restart();

  // Signals.
  uint32_t pending_work() const { return work_.load(std::memory_order_acquire); }
  bool signal_pending() const;  // work that ends a blocked call waits: signals, kill, stop
  SignalSet blocked_signals() const { return SignalSet(blocked_.load(std::memory_order_relaxed)); }
  void set_blocked_signals(SignalSet);  // [own] re-evaluates what is pending
  // sigsuspend, ppoll, pselect, epoll_pwait: the mask until the call returns; restored after a handler ran or at once.
  void set_temporary_signal_mask(SignalSet);  // [own]
  // Sends to this very thread (tgkill). EAGAIN: queue full.
  Result<void> send_signal(SignalInfo const&);
  Result<void> send_signal(SignalInfo const&, ProcessLocked const&);
  // A fault of its own: cannot be blocked or ignored (force_sig of Linux). [own]
  void force_signal(SignalInfo const&);

  // There is run-loop work of these kinds (namespace work of task_internal.h): interrupts the guest or the wait. Any
  // thread.
  void notify_work(uint32_t kinds);
  void clear_work(uint32_t kinds) { work_.fetch_and(~kinds, std::memory_order_acq_rel); }

  struct Implementation;  // run loop, exit, ptrace and timers: task_internal.h
  Implementation& implementation() { return *implementation_; }

  Task(Kernel&, Ref<ThreadGroup>, Ref<Pid>, std::unique_ptr<platform::Context>);
  ~Task() override;

 private:
  friend struct Implementation;
  friend struct TaskAccess;  // kernel/task alone
  Kernel& kernel_;
  Ref<ThreadGroup> thread_group_;
  PidNamespace& pids_;        // held by its Pid
  std::atomic<int32_t> tid_;  // changes once: execve of a thread that is not the leader
  std::unique_ptr<platform::Context> context_;
  std::atomic<uint32_t> work_{0};
  std::atomic<uint32_t> wake_word_{0};
  std::atomic<uint64_t> blocked_{0};
  std::atomic<bool> in_guest_{false};
  Mutex context_mutex_;  // over the exchange of context_ against interrupts from other threads
  std::function<Result<uint64_t>(Task&)> restart_;
  std::unique_ptr<Implementation> implementation_;
};

// Wakes a task when its queue is woken.
class TaskWaiter final : public Waiter {
 public:
  explicit TaskWaiter(Task& t) : task_(t) {}
  void on_event(PollMask) override { task_.wake(); }

 private:
  Task& task_;
};

template <class Ready>
Result<void> Task::wait_until(WaitQueue& queue, PollMask interest, Deadline deadline, Ready&& ready, bool exclusive) {
  if (ready()) return {};
  TaskWaiter waiter(*this);
  queue.add(waiter, interest, exclusive);
  Result<void> result;
  for (;;) {
    prepare_to_wait();
    if (ready()) break;
    result = wait(deadline);
    if (!result) {
      if (result.error() == Errno::TimedOut && ready()) result = {};
      break;
    }
  }
  queue.remove(waiter);
  return result;
}

// Guest memory described by iovecs or one buffer, as a sink or source. [own] thread only.
class UserSink final : public IoSink {
 public:
  UserSink(Task&, UserSlice);
  UserSink(Task&, std::vector<UserSlice>);
  size_t remaining() const override;
  void need_exact_counts() override { exact_ = true; }
  Result<size_t> put(std::span<std::byte const>) override;
  Result<size_t> put_zeros(size_t) override;
  Result<size_t> put_from_host(int host_fd, size_t n, int64_t offset) override;
  size_t put_view(std::span<std::byte const>) override;

 private:
  Task& task_;
  std::vector<UserSlice> rest_;  // [index_] is where we are
  size_t index_ = 0;
  UserSlice current_;
  bool exact_ = false;
};

class UserSource final : public IoSource {
 public:
  UserSource(Task&, UserSlice);
  UserSource(Task&, std::vector<UserSlice>);
  size_t remaining() const override;
  Result<size_t> get(std::span<std::byte>) override;
  Result<size_t> get_to_host(int host_fd, size_t n, int64_t offset) override;
  void unget(size_t n) override;

 private:
  Task& task_;
  std::span<UserSlice const> slices() const { return slices_.empty() ? std::span(&only_, 1) : std::span(slices_); }
  UserSlice only_;  // where there is no list: most writes have one buffer
  std::vector<UserSlice> slices_;
  size_t index_ = 0;
  uint64_t offset_ = 0;  // within slices()[index_]
};

}  // namespace cofferdam::kernel

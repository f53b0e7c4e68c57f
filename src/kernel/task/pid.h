// Process ids and the namespaces that give them out (pid_namespaces(7)).
//
// A Pid is what Linux calls struct pid: one number in the namespace it was made in and one in each namespace above. A
// task, its process group and its session may bear the same; the numbers are free again when nobody does.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/namespace/namespace.h"
#include "kernel/task/process_lock.h"
#include "kernel/wait_queue.h"

namespace cofferdam::kernel {

class PidNamespace;
class ProcessGroup;
class Task;
class ThreadGroup;

inline constexpr int max_pid_namespace_level = 32;  // MAX_PID_NS_LEVEL of Linux

class Pid final : public RefCounted {
 public:
  // A free number in the namespace and in all above it. `wanted`: numbers to take, innermost namespace first
  // (clone3(2), set_tid); what it does not name is chosen. EAGAIN: no number is free; ENOMEM: the namespace's init has
  // ended; EEXIST, EINVAL for wanted ones.
  static Result<Ref<Pid>> allocate(PidNamespace&, std::span<int32_t const> wanted = {});
  // One without numbers, for a task that nobody is to find.
  static Ref<Pid> without_number(PidNamespace&);

  // The namespace that it was made in.
  PidNamespace& space() const { return *space_; }
  // There; as its bearer sees itself.
  int32_t number() const { return numbers_.back(); }
  // 0: not to be seen from there.
  int32_t number_in(PidNamespace const&) const;
  // In each namespace from `outer` inward; empty when it is not to be seen from there.
  std::span<int32_t const> numbers_from(PidNamespace const& outer) const;

  Ref<Task> const& task(ProcessLocked const&) const { return task_; }

 private:
  friend class PidNamespace;
  friend class ProcessGroup;
  friend class Session;
  Pid(Ref<PidNamespace> space, std::vector<int32_t> numbers);
  ~Pid() override;
  void add_user() { users_.fetch_add(1, std::memory_order_relaxed); }
  void remove_user();

  Ref<PidNamespace> const space_;
  std::vector<int32_t> const numbers_;  // outermost namespace first
  std::atomic<uint32_t> users_{0};      // the task, the process group, the session
  Ref<Task> task_;                      // [process lock]
  mutable Mutex mutex_;
  ProcessGroup* process_group_ GUARDED_BY(mutex_) = nullptr;
};

class PidNamespace final : public Namespace {
 public:
  // Null: one that no other sees into, of a container.
  static Result<Ref<PidNamespace>> create(Kernel&, Ref<PidNamespace> parent);
  ~PidNamespace() override;
  Kernel& kernel() const { return kernel_; }
  PidNamespace* parent() const { return parent_.get(); }
  int level() const { return level_; }  // 0: the top
  PidNamespace const& top() const { return parent_ ? parent_->top() : *this; }
  // Is it `other`, or below it?
  bool is_within(PidNamespace const& other) const;

  // By the numbers of this namespace. Null: no such.
  Ref<Pid> find(int32_t number) const;
  Ref<Task> task(int32_t tid, ProcessLocked const&) const;
  Ref<ThreadGroup> group(int32_t tgid, ProcessLocked const&) const;
  Ref<ProcessGroup> process_group(int32_t pgid) const;
  // Those that are to be seen from here, ascending by number, zombies included.
  std::vector<Ref<ThreadGroup>> groups(ProcessLocked const&) const;
  // What they are called here; 0: not to be seen from here.
  int32_t number_of(Task const&) const;
  int32_t number_of(ThreadGroup const&) const;

  // A task bears the number from now on; no longer.
  void add(Pid&, Ref<Task>, ProcessLocked const&);
  void remove(Pid&, ProcessLocked const&);
  // For what runs before init: leaves the number 1 to it.
  void keep_init_number();
  // Tasks that are to be seen from here.
  size_t task_count(ProcessLocked const&) const { return task_count_; }
  int32_t last_pid() const;

  // Its init ends: no task can be made in it any more.
  void close() { closed_.store(true, std::memory_order_release); }
  bool closed() const { return closed_.load(std::memory_order_acquire); }
  // Woken whenever a task has gone from here.
  WaitQueue& departures() { return departures_; }

 private:
  friend class Pid;
  PidNamespace(Kernel&, Ref<PidNamespace> parent);
  // `wanted` 0: any.
  Result<int32_t> take(int32_t wanted) EXCLUDES(mutex_);
  void put(int32_t number, Pid* pid) EXCLUDES(mutex_);
  void release(int32_t number) EXCLUDES(mutex_);

  Kernel& kernel_;
  Ref<PidNamespace> const parent_;
  int const level_;
  mutable Mutex mutex_;
  std::map<int32_t, Pid*> numbers_ GUARDED_BY(mutex_);  // null: taken, and its Pid is being made
  int32_t last_ GUARDED_BY(mutex_) = 0;
  size_t task_count_ = 0;  // [process lock]
  std::atomic<bool> closed_{false};
  WaitQueue departures_;
};

}  // namespace cofferdam::kernel

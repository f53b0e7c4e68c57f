// Scheduling: affinity, policies, niceness, I/O priority (sched(7)).
//
// The host schedules guest threads as it does all others: policies and priorities are kept and told, and bind nobody.
// Affinity is real.
#include <sched.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

#include "kernel/kernel.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_internal.h"
#include "syscalls/handlers_system.h"

namespace cofferdam::syscalls {
namespace {

using kernel::ProcessLocked;

constexpr int reset_on_fork = 0x40000000, deadline_policy = 6;

Result<Ref<Task>> find_task(Task& task, int32_t pid, ProcessLocked const& lock) {
  if (pid < 0) return fail(Errno::Inval);
  if (pid == 0) return Ref<Task>(&task);
  auto found = task.pids().task(pid, lock);
  if (!found) return fail(Errno::Srch);
  return found;
}

bool may_schedule(Task& task, Task& other) {
  auto own = task.credentials(), theirs = other.credentials();
  return own->euid == theirs->euid || own->euid == theirs->uid || task.capable(CAP_SYS_NICE);
}

bool is_real_time(int policy) { return policy == SCHED_FIFO || policy == SCHED_RR; }

// May `task` give `other` this niceness (RLIMIT_NICE)?
bool may_set_nice(Task& task, Task& other, int nice) {
  if (nice >= other.implementation().nice || task.capable(CAP_SYS_NICE)) return true;
  return static_cast<uint64_t>(20 - nice) <= other.thread_group().limits.current(RLIMIT_NICE);
}

// __sched_setscheduler of Linux: policy without the flag.
Result<void> set_policy(Task& task, int32_t pid, int policy, int priority, std::optional<int> nice, bool reset) {
  bool known = policy == SCHED_OTHER || is_real_time(policy) || policy == SCHED_BATCH || policy == SCHED_IDLE;
  if (!known) return fail(Errno::Inval);
  if (priority < 0 || priority > 99 || is_real_time(policy) != (priority != 0)) return fail(Errno::Inval);
  ProcessLocked lock(task.kernel());
  Ref<Task> other = TRY(find_task(task, pid, lock));
  auto& o = other->implementation();
  int old_policy = o.scheduling_policy & ~reset_on_fork;
  if (!task.capable(CAP_SYS_NICE)) {
    if (nice && !is_real_time(policy) && !may_set_nice(task, *other, *nice)) return fail(Errno::Perm);
    if (is_real_time(policy)) {
      uint64_t limit = other->thread_group().limits.current(RLIMIT_RTPRIO);
      if (policy != old_policy && limit == 0) return fail(Errno::Perm);
      if (priority > o.scheduling_priority && static_cast<uint64_t>(priority) > limit) return fail(Errno::Perm);
    }
    if (old_policy == SCHED_IDLE && policy != SCHED_IDLE && !may_set_nice(task, *other, o.nice - 1))
      return fail(Errno::Perm);
    if (!may_schedule(task, *other)) return fail(Errno::Perm);
    if ((o.scheduling_policy & reset_on_fork) && !reset) return fail(Errno::Perm);
  }
  o.scheduling_policy = policy | (reset ? reset_on_fork : 0);
  o.scheduling_priority = priority;
  if (nice && !is_real_time(policy)) o.nice = std::clamp(*nice, -20, 19);
  return {};
}

size_t cpu_words(Task& task) { return (static_cast<size_t>(task.kernel().platform().cpu_count()) + 63) / 64; }

std::vector<uint64_t> all_cpus(Task& task) {
  size_t count = static_cast<size_t>(task.kernel().platform().cpu_count());
  std::vector<uint64_t> mask(cpu_words(task));
  for (size_t i = 0; i < count; ++i) mask[i / 64] |= uint64_t{1} << (i % 64);
  return mask;
}

// Calls visit(Task&) for every task that (which, who) of setpriority(2) names. base: PRIO_PROCESS or
// IOPRIO_WHO_PROCESS.
template <class Visit>
Result<void> for_each_named(Task& task, int which, int32_t who, Visit&& visit) {
  ProcessLocked lock(task.kernel());
  auto& pids = task.pids();
  switch (which) {
    case 0: {  // a thread
      Ref<Task> one = who == 0 ? Ref<Task>(&task) : pids.task(who, lock);
      if (one) visit(*one);
      return {};
    }
    case 1: {  // a process group
      auto group = who == 0 ? task.thread_group().process_group(lock) : pids.process_group(who);
      if (!group) return {};
      for (auto& process : group->members(lock))
        for (auto& member : process->tasks(lock)) visit(*member);
      return {};
    }
    case 2: {  // a user
      uid_t uid = who == 0 ? task.credentials()->uid : static_cast<uid_t>(who);
      for (auto& process : pids.groups(lock))
        for (auto& member : process->tasks(lock))
          if (member->credentials()->uid == uid) visit(*member);
      return {};
    }
    default:
      return fail(Errno::Inval);
  }
}

}  // namespace

Result<void> sys_sched_yield(Task&) {
  std::this_thread::yield();
  return {};
}

Result<void> sys_sched_setaffinity(Task& task, int32_t pid, uint32_t length, UserAddr mask) {
  std::vector<uint64_t> wanted(cpu_words(task));
  size_t bytes = std::min<size_t>(length, wanted.size() * sizeof(uint64_t));
  if (bytes != 0) TRY(task.copy_in(mask, std::as_writable_bytes(std::span(wanted)).first(bytes)));
  auto present = all_cpus(task);
  bool any = false;
  for (size_t i = 0; i < wanted.size(); ++i) any |= (wanted[i] &= present[i]) != 0;
  Ref<Task> other;
  {
    ProcessLocked lock(task.kernel());
    auto found = find_task(task, pid < 0 ? INT32_MAX : pid, lock);
    if (!found) return fail(Errno::Srch);
    other = std::move(*found);
    if (!may_schedule(task, *other)) return fail(Errno::Perm);
    if (!any) return fail(Errno::Inval);
    other->implementation().affinity = wanted;
  }
  // Another thread's takes effect natively when it next asks itself: its context is its own.
  if (other == &task) TRY(task.context().set_affinity(wanted));
  return {};
}

Result<uint64_t> sys_sched_getaffinity(Task& task, int32_t pid, uint32_t length, UserAddr mask) {
  size_t words = cpu_words(task);
  if (uint64_t{length} * 8 < static_cast<uint64_t>(task.kernel().platform().cpu_count())) return fail(Errno::Inval);
  if (length % sizeof(uint64_t) != 0) return fail(Errno::Inval);
  std::vector<uint64_t> current;
  {
    ProcessLocked lock(task.kernel());
    auto found = find_task(task, pid < 0 ? INT32_MAX : pid, lock);
    if (!found) return fail(Errno::Srch);
    current = (*found)->implementation().affinity;
  }
  if (current.empty()) current = all_cpus(task);
  size_t bytes = std::min<size_t>(length, words * sizeof(uint64_t));
  TRY(task.copy_out(mask, std::as_bytes(std::span(current)).first(bytes)));
  return bytes;
}

Result<void> sys_sched_setscheduler(Task& task, int32_t pid, int policy, UserPtr<int32_t> priority) {
  if (policy < 0 || !priority || pid < 0) return fail(Errno::Inval);
  int32_t value = TRY(task.read(priority));
  return set_policy(task, pid, policy & ~reset_on_fork, value, std::nullopt, policy & reset_on_fork);
}

Result<int> sys_sched_getscheduler(Task& task, int32_t pid) {
  ProcessLocked lock(task.kernel());
  return TRY(find_task(task, pid, lock))->implementation().scheduling_policy;
}

Result<void> sys_sched_setparam(Task& task, int32_t pid, UserPtr<int32_t> priority) {
  if (!priority || pid < 0) return fail(Errno::Inval);
  int32_t value = TRY(task.read(priority));
  int policy = TRY(sys_sched_getscheduler(task, pid));
  return set_policy(task, pid, policy & ~reset_on_fork, value, std::nullopt, policy & reset_on_fork);
}

Result<void> sys_sched_getparam(Task& task, int32_t pid, UserPtr<int32_t> priority) {
  if (!priority || pid < 0) return fail(Errno::Inval);
  int32_t value;
  {
    ProcessLocked lock(task.kernel());
    value = TRY(find_task(task, pid, lock))->implementation().scheduling_priority;
  }
  return task.write(priority, value);
}

Result<void> sys_sched_setattr(Task& task, int32_t pid, UserAddr attributes, uint32_t flags) {
  constexpr uint32_t first_size = 48, page = 4096;
  constexpr uint64_t reset = 1, keep_policy = 8, keep_parameters = 16, clamp = 32 | 64, known = 0x7f;
  if (!attributes || pid < 0 || flags != 0) return fail(Errno::Inval);
  SchedulingAttributes a{};
  uint32_t size = TRY(task.read(UserPtr<uint32_t>(attributes)));
  if (size == 0) size = first_size;
  if (size < first_size || size > page) {
    (void)task.write(UserPtr<uint32_t>(attributes), uint32_t{sizeof a});
    return fail(Errno::TooBig);
  }
  std::vector<std::byte> bytes(size);
  TRY(task.copy_in(attributes, bytes));
  for (size_t i = sizeof a; i < size; ++i)
    if (bytes[i] != std::byte{0}) return fail(Errno::TooBig);
  std::memcpy(&a, bytes.data(), std::min<size_t>(size, sizeof a));
  if (static_cast<int>(a.policy) < 0 || (a.flags & ~known)) return fail(Errno::Inval);
  if (a.flags & clamp) return fail(Errno::OpNotSupp);  // a kernel without CONFIG_UCLAMP_TASK
  int policy = static_cast<int>(a.policy);
  if (a.flags & keep_policy) policy = TRY(sys_sched_getscheduler(task, pid)) & ~reset_on_fork;
  if (policy == deadline_policy) return fail(Errno::Perm);
  int priority = static_cast<int>(std::min<uint32_t>(a.priority, 1000));
  std::optional<int> nice = a.nice;
  if (a.flags & keep_parameters) {
    ProcessLocked lock(task.kernel());
    priority = TRY(find_task(task, pid, lock))->implementation().scheduling_priority;
    nice = std::nullopt;
  }
  return set_policy(task, pid, policy, priority, nice, a.flags & reset);
}

Result<void> sys_sched_getattr(Task& task, int32_t pid, UserAddr attributes, uint32_t size, uint32_t flags) {
  constexpr uint32_t first_size = 48, page = 4096;
  if (!attributes || pid < 0 || size > page || size < first_size || flags != 0) return fail(Errno::Inval);
  SchedulingAttributes a{};
  {
    ProcessLocked lock(task.kernel());
    auto& o = TRY(find_task(task, pid, lock))->implementation();
    a.policy = static_cast<uint32_t>(o.scheduling_policy & ~reset_on_fork);
    a.flags = o.scheduling_policy & reset_on_fork ? 1 : 0;
    a.priority = static_cast<uint32_t>(o.scheduling_priority);
    if (!is_real_time(static_cast<int>(a.policy))) a.nice = o.nice;
  }
  a.size = std::min<uint32_t>(size, sizeof a);
  return task.copy_out(attributes, std::as_bytes(std::span(&a, 1)).first(a.size));
}

Result<int> sys_sched_get_priority_max(Task&, int policy) {
  if (is_real_time(policy)) return 99;
  if (policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE || policy == deadline_policy) return 0;
  return fail(Errno::Inval);
}

Result<int> sys_sched_get_priority_min(Task&, int policy) {
  if (is_real_time(policy)) return 1;
  if (policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE || policy == deadline_policy) return 0;
  return fail(Errno::Inval);
}

Result<void> sys_sched_rr_get_interval(Task& task, int32_t pid, UserPtr<timespec> interval) {
  int policy = TRY(sys_sched_getscheduler(task, pid)) & ~reset_on_fork;
  constexpr kernel::Nanoseconds round_robin = 100'000'000, fair = 3'000'000;
  return task.write(interval, kernel::to_timespec(policy == SCHED_RR ? round_robin : policy == SCHED_FIFO ? 0 : fair));
}

Result<int> sys_getpriority(Task& task, int which, int32_t who) {
  int best = 0;  // 40 to 1: 20 - nice
  TRY(for_each_named(task, which, who, [&](Task& t) { best = std::max(best, 20 - t.implementation().nice); }));
  if (best == 0) return fail(Errno::Srch);
  return best;
}

Result<void> sys_setpriority(Task& task, int which, int32_t who, int nice) {
  nice = std::clamp(nice, -20, 19);
  Errno outcome = Errno::Srch;
  TRY(for_each_named(task, which, who, [&](Task& t) {
    if (!may_schedule(task, t)) {
      outcome = Errno::Perm;
    } else if (!may_set_nice(task, t, nice)) {
      outcome = Errno::Acces;
    } else {
      if (outcome == Errno::Srch) outcome = Errno::None;
      t.implementation().nice = nice;
    }
  }));
  if (outcome != Errno::None) return fail(outcome);
  return {};
}

namespace {

constexpr int io_class_shift = 13, io_none = 0, io_real_time = 1, io_best_effort = 2, io_idle = 3;

// What a thread that has set nothing has: best effort, by its niceness.
int io_priority_of(Task& t) {
  auto& o = t.implementation();
  if (o.io_priority >> io_class_shift != io_none) return o.io_priority;
  int io_class = o.scheduling_policy == SCHED_IDLE          ? io_idle
                 : is_real_time(o.scheduling_policy & 0xff) ? io_real_time
                                                            : io_best_effort;
  return (io_class << io_class_shift) | ((o.nice + 20) / 5);
}

}  // namespace

Result<int> sys_ioprio_get(Task& task, int which, int32_t who) {
  int best = -1;
  TRY(for_each_named(task, which - 1, who, [&](Task& t) {
    int own = which == 1 ? t.implementation().io_priority : io_priority_of(t);
    best = best < 0 ? own : std::min(best, own);
  }));
  if (best < 0) return fail(Errno::Srch);
  return best;
}

Result<void> sys_ioprio_set(Task& task, int which, int32_t who, int priority) {
  int io_class = priority >> io_class_shift, level = priority & 7;
  switch (io_class) {
    case io_real_time:
      if (!task.capable(CAP_SYS_ADMIN) && !task.capable(CAP_SYS_NICE)) return fail(Errno::Perm);
      break;
    case io_best_effort:
    case io_idle:
      break;
    case io_none:
      if (level != 0) return fail(Errno::Inval);
      break;
    default:
      return fail(Errno::Inval);
  }
  Errno outcome = Errno::Srch;
  TRY(for_each_named(task, which - 1, who, [&](Task& t) {
    auto own = task.credentials(), theirs = t.credentials();
    if (theirs->uid != own->euid && theirs->uid != own->uid && !task.capable(CAP_SYS_NICE)) {
      outcome = Errno::Perm;
      return;
    }
    if (outcome == Errno::Srch) outcome = Errno::None;
    t.implementation().io_priority = priority;
  }));
  if (outcome != Errno::None) return fail(outcome);
  return {};
}

}  // namespace cofferdam::syscalls

// Limits and use of resources.
#include "kernel/kernel.h"
#include "kernel/time/cpu_time.h"
#include "kernel/time/group_timers.h"
#include "syscalls/handlers_identity.h"
#include "syscalls/resource_usage.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

constexpr rlim_t max_descriptors = 1u << 20;  // fs.nr_open

Result<void> check_limit(Task& task, uint32_t resource, rlimit const& old, rlimit const& wanted) {
  if (wanted.rlim_cur > wanted.rlim_max) return fail(Errno::Inval);
  if (resource == RLIMIT_NOFILE && wanted.rlim_max > max_descriptors) return fail(Errno::Perm);
  if (wanted.rlim_max > old.rlim_max && !task.capable(CAP_SYS_RESOURCE)) return fail(Errno::Perm);
  return {};
}

// Whose limits a caller may see and set (prlimit(2)): its own, those of the same ids, all with CAP_SYS_RESOURCE.
Result<Ref<ThreadGroup>> limited_group(Task& task, int32_t pid) {
  if (pid == 0) return Ref<ThreadGroup>(&task.thread_group());
  ProcessLocked lock(task.kernel());
  auto other = task.pids().task(pid, lock);
  if (!other) return fail(Errno::Srch);
  Ref<ThreadGroup> group(&other->thread_group());
  if (group.get() == &task.thread_group()) return group;
  auto mine = task.credentials(), theirs = other->credentials();
  bool same = mine->uid == theirs->euid && mine->uid == theirs->suid && mine->uid == theirs->uid &&
              mine->gid == theirs->egid && mine->gid == theirs->sgid && mine->gid == theirs->gid;
  if (!same && !mine->capable(CAP_SYS_RESOURCE)) return fail(Errno::Perm);
  return group;
}

Result<void> apply_limit(Task& task, ThreadGroup& group, uint32_t resource, rlimit wanted) {
  int r = static_cast<int>(resource);
  TRY(check_limit(task, resource, group.limits.get(r), wanted));
  if (resource == RLIMIT_CPU && wanted.rlim_cur == 0) wanted.rlim_cur = 1;
  group.limits.set(r, wanted);
  if (resource == RLIMIT_CPU) cpu_limit_changed(group);
  return {};
}

}  // namespace

Result<void> sys_prlimit64(Task& task, int32_t pid, uint32_t resource, UserPtr<rlimit> limit, UserPtr<rlimit> old) {
  if (resource >= RLIM_NLIMITS) return fail(Errno::Inval);
  std::optional<rlimit> wanted;
  if (limit) wanted = TRY(task.read(limit));
  auto group = TRY(limited_group(task, pid));
  rlimit before = group->limits.get(static_cast<int>(resource));
  if (wanted) TRY(apply_limit(task, *group, resource, *wanted));
  if (old) TRY(task.write(old, before));
  return {};
}

Result<void> sys_getrlimit(Task& task, uint32_t resource, UserPtr<rlimit> limit) {
  if (resource >= RLIM_NLIMITS) return fail(Errno::Inval);
  return task.write(limit, task.thread_group().limits.get(static_cast<int>(resource)));
}

Result<void> sys_setrlimit(Task& task, uint32_t resource, UserPtr<rlimit> limit) {
  auto wanted = TRY(task.read(limit));
  if (resource >= RLIM_NLIMITS) return fail(Errno::Inval);
  return apply_limit(task, task.thread_group(), resource, wanted);
}

Result<void> sys_getrusage(Task& task, int32_t who, UserPtr<rusage> usage) {
  switch (who) {
    case RUSAGE_SELF:
      return task.write(usage, to_rusage(usage_of(task.thread_group())));
    case RUSAGE_THREAD:
      return task.write(usage, to_rusage(usage_of(task)));
    case RUSAGE_CHILDREN: {
      GroupUsage children;
      {
        ProcessLocked lock(task.kernel());
        auto& group = task.thread_group().implementation();
        group.settle_usage();
        children = group.waited_children;
      }
      return task.write(usage, to_rusage(children));
    }
    default:
      return fail(Errno::Inval);
  }
}

}  // namespace cofferdam::syscalls

#include "fs/proc/process/target.h"

#include <charconv>

#include "kernel/task/process_internal.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

// Stands for the process over all its threads and execves.
Nanoseconds birth_of(ThreadGroup& group) { return group.implementation().start_time_ns; }
Nanoseconds birth_of(Task& task) { return task.implementation().start_time_ns; }

bool is_dumpable(Task& target, ProcessLocked const&) { return target.thread_group().implementation().dumpable; }

}  // namespace

Ref<Task> representative(ThreadGroup const& group, ProcessLocked const& lock) {
  if (Ref<Task> leader = group.leader(lock)) return leader;
  std::vector<Ref<Task>> tasks = group.tasks(lock);
  return tasks.empty() ? Ref<Task>() : tasks.front();
}

Result<Target> Target::of_process(PidNamespace& pids, int32_t tid) {
  ProcessLocked lock(pids.kernel());
  Ref<ThreadGroup> group = pids.group(tid, lock);
  if (!group) {
    Ref<Task> task = pids.task(tid, lock);
    if (!task) return fail(Errno::NoEnt);
    return Target{&pids, tid, true, birth_of(*task)};
  }
  return Target{&pids, tid, false, birth_of(*group)};
}

Result<Target> Target::of_thread(Target const& process, int32_t tid) {
  ProcessLocked lock(process.pids->kernel());
  Ref<Task> task = process.pids->task(tid, lock);
  if (!task || process.pids->number_of(task->thread_group()) != process.tid) return fail(Errno::NoEnt);
  return Target{process.pids, tid, true, birth_of(*task)};
}

Result<Ref<Task>> Target::find() const {
  ProcessLocked lock(pids->kernel());
  if (as_thread) {
    Ref<Task> task = pids->task(tid, lock);
    if (!task || birth_of(*task) != born_ns) return fail(Errno::Srch);
    return task;
  }
  Ref<ThreadGroup> group = pids->group(tid, lock);
  if (!group || birth_of(*group) != born_ns) return fail(Errno::Srch);
  Ref<Task> task = representative(*group, lock);
  if (!task) return fail(Errno::Srch);
  return task;
}

std::optional<int32_t> parse_id(std::string_view name) {
  if (name.empty() || name.size() > 9 || name.front() == '0') return std::nullopt;
  int32_t id = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error != std::errc() || end != name.data() + name.size() || id <= 0) return std::nullopt;
  return id;
}

Result<void> check_may_inspect(Task& reader, Task& target) {
  if (&reader.thread_group() == &target.thread_group()) return {};
  Ref<Credentials const> r = reader.credentials(), t = target.credentials();
  bool const privileged = r->capable(CAP_SYS_PTRACE);
  bool const same_user = r->fsuid == t->uid && r->fsuid == t->euid && r->fsuid == t->suid && r->fsgid == t->gid &&
                         r->fsgid == t->egid && r->fsgid == t->sgid;
  if (!same_user && !privileged) return fail(Errno::Acces);
  if (privileged) return {};
  ProcessLocked lock(reader.kernel());
  if (!is_dumpable(target, lock)) return fail(Errno::Acces);
  if (!t->permitted.subset_of(r->effective)) return fail(Errno::Acces);
  return {};
}

void owner_of(Task& target, uid_t& uid, gid_t& gid) {
  Ref<Credentials const> c = target.credentials();
  ProcessLocked lock(target.kernel());
  if (!c || !is_dumpable(target, lock)) return;
  uid = c->euid;
  gid = c->egid;
}

}  // namespace cofferdam::fs::proc

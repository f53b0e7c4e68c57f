#include "kernel/task/thread_group.h"

#include <sys/wait.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {

ThreadGroup::ThreadGroup(Kernel& kernel, int32_t tgid)
    : kernel_(kernel), tgid_(tgid), implementation_(std::make_unique<Implementation>()) {
  implementation_->start_time_ns = host_now(CLOCK_MONOTONIC);
  implementation_->handlers = make_ref<SignalHandlers>();
}

ThreadGroup::~ThreadGroup() = default;

Session::Session(PidNamespace& pids, int32_t id, ProcessLocked const&) : pids_(pids), id_(id) {
  MutexLock lock(pids_.ids_mutex_);
  pids_.sessions_[id] = this;
}

Session::~Session() {
  MutexLock lock(pids_.ids_mutex_);
  if (auto it = pids_.sessions_.find(id_); it != pids_.sessions_.end() && it->second == this) pids_.sessions_.erase(it);
}

ProcessGroup::ProcessGroup(PidNamespace& pids, int32_t id, Ref<Session> session, ProcessLocked const&)
    : pids_(pids), id_(id), session_(std::move(session)) {
  MutexLock lock(pids_.ids_mutex_);
  pids_.process_groups_[id] = this;
}

ProcessGroup::~ProcessGroup() {
  MutexLock lock(pids_.ids_mutex_);
  if (auto it = pids_.process_groups_.find(id_); it != pids_.process_groups_.end() && it->second == this)
    pids_.process_groups_.erase(it);
}

Ref<Task> ThreadGroup::leader(ProcessLocked const&) const { return implementation_->leader; }

std::vector<Ref<Task>> ThreadGroup::tasks(ProcessLocked const&) const { return implementation_->tasks; }

Ref<ThreadGroup> ThreadGroup::parent(ProcessLocked const&) const { return Ref<ThreadGroup>(implementation_->parent); }

std::vector<Ref<ThreadGroup>> ThreadGroup::children(ProcessLocked const&) const { return implementation_->children; }

Ref<ProcessGroup> ThreadGroup::process_group(ProcessLocked const&) const { return implementation_->process_group; }

int32_t ThreadGroup::parent_tgid() const {
  ProcessLocked lock(kernel_);
  return implementation_->parent ? implementation_->parent->tgid() : 0;
}

bool ThreadGroup::exited(ProcessLocked const&) const { return implementation_->zombie; }

void GroupUsage::add(platform::AddressSpace::Usage const& u) {
  user_ns += u.user.count();
  system_ns += u.system.count();
  minor_faults += u.minor_faults;
  major_faults += u.major_faults;
  voluntary_switches += u.voluntary_switches;
  involuntary_switches += u.involuntary_switches;
  max_resident_bytes = std::max(max_resident_bytes, u.max_resident_bytes);
}

void GroupUsage::add(GroupUsage const& u) {
  user_ns += u.user_ns;
  system_ns += u.system_ns;
  minor_faults += u.minor_faults;
  major_faults += u.major_faults;
  voluntary_switches += u.voluntary_switches;
  involuntary_switches += u.involuntary_switches;
  max_resident_bytes = std::max(max_resident_bytes, u.max_resident_bytes);
}

Ref<Task> PidNamespace::task(int32_t tid, ProcessLocked const&) const {
  auto it = tasks_.find(tid);
  return it == tasks_.end() ? Ref<Task>() : it->second;
}

Ref<ThreadGroup> PidNamespace::group(int32_t tgid, ProcessLocked const&) const {
  auto it = tasks_.find(tgid);
  if (it == tasks_.end() || it->second->tgid() != tgid) return {};
  return Ref<ThreadGroup>(&it->second->thread_group());
}

Ref<ProcessGroup> PidNamespace::process_group(int32_t pgid, ProcessLocked const&) const {
  MutexLock lock(ids_mutex_);
  auto it = process_groups_.find(pgid);
  if (it == process_groups_.end() || !it->second->try_ref()) return {};
  return Ref<ProcessGroup>::adopt(it->second);
}

std::vector<Ref<ThreadGroup>> PidNamespace::groups(ProcessLocked const&) const {
  std::vector<Ref<ThreadGroup>> all;
  for (auto const& [tid, task] : tasks_)
    if (task->tgid() == tid) all.emplace_back(&task->thread_group());
  return all;
}

std::vector<Ref<ThreadGroup>> PidNamespace::groups_of(ProcessGroup const& wanted, ProcessLocked const& lock) const {
  std::vector<Ref<ThreadGroup>> members;
  for (auto& group : groups(lock))
    if (group->process_group(lock).get() == &wanted) members.push_back(std::move(group));
  return members;
}

void ThreadGroup::Implementation::settle_usage() {
  for (auto const& space : left_spaces) own.add(space->usage());
  for (auto const& space : left_spaces_of_children) waited_children.add(space->usage());
  left_spaces.clear();
  left_spaces_of_children.clear();
}

Result<int32_t> PidNamespace::allocate(ProcessLocked const&) {
  constexpr int32_t pid_max = 32768, reserved = 300;  // numbers wrap to 300 as Linux's (RESERVED_PIDS)
  for (int32_t tries = 0; tries < pid_max; ++tries) {
    if (++last_ >= pid_max) last_ = reserved;
    if (tasks_.contains(last_)) continue;
    MutexLock lock(ids_mutex_);
    if (!process_groups_.contains(last_) && !sessions_.contains(last_)) return last_;
  }
  return fail(Errno::Again);
}

void PidNamespace::add(int32_t tid, Ref<Task> task, ProcessLocked const&) { tasks_[tid] = std::move(task); }

void PidNamespace::remove(int32_t tid, ProcessLocked const&) { tasks_.erase(tid); }

size_t PidNamespace::task_count(ProcessLocked const&) const { return tasks_.size(); }

}  // namespace cofferdam::kernel

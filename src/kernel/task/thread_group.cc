#include "kernel/task/thread_group.h"

#include <sys/wait.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {

ThreadGroup::ThreadGroup(Kernel& kernel, Ref<Pid> pid)
    : kernel_(kernel), pid_(std::move(pid)), implementation_(std::make_unique<Implementation>()) {
  implementation_->start_time_ns = host_now(CLOCK_MONOTONIC);
  implementation_->handlers = make_ref<SignalHandlers>();
  implementation_->control_group = Ref<ControlGroup>(&kernel.root_control_group());
}

ThreadGroup::~ThreadGroup() = default;

ControlGroup& ThreadGroup::control_group() const { return *implementation_->control_group; }

Session::Session(Ref<Pid> pid) : pid_(std::move(pid)) { pid_->add_user(); }

Session::~Session() { pid_->remove_user(); }

ProcessGroup::ProcessGroup(Ref<Pid> pid, Ref<Session> session) : pid_(std::move(pid)), session_(std::move(session)) {
  pid_->add_user();
  MutexLock lock(pid_->mutex_);
  pid_->process_group_ = this;
}

ProcessGroup::~ProcessGroup() {
  {
    MutexLock lock(pid_->mutex_);
    if (pid_->process_group_ == this) pid_->process_group_ = nullptr;
  }
  pid_->remove_user();
}

std::vector<Ref<ThreadGroup>> ProcessGroup::members(ProcessLocked const& lock) const {
  std::vector<Ref<ThreadGroup>> found;
  for (auto& group : pid_->space().top().groups(lock))
    if (group->process_group(lock).get() == this) found.push_back(std::move(group));
  return found;
}

Ref<Task> ThreadGroup::leader(ProcessLocked const&) const { return implementation_->leader; }

std::vector<Ref<Task>> ThreadGroup::tasks(ProcessLocked const&) const { return implementation_->tasks; }

Ref<ThreadGroup> ThreadGroup::parent(ProcessLocked const&) const { return Ref<ThreadGroup>(implementation_->parent); }

std::vector<Ref<ThreadGroup>> ThreadGroup::children(ProcessLocked const&) const { return implementation_->children; }

Ref<ProcessGroup> ThreadGroup::process_group(ProcessLocked const&) const { return implementation_->process_group; }

int32_t ThreadGroup::parent_tgid() const {
  ProcessLocked lock(kernel_);
  return implementation_->parent ? pids().number_of(*implementation_->parent) : 0;
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

void ThreadGroup::Implementation::settle_usage() {
  for (auto const& space : left_spaces) own.add(space->usage());
  for (auto const& space : left_spaces_of_children) waited_children.add(space->usage());
  left_spaces.clear();
  left_spaces_of_children.clear();
}

}  // namespace cofferdam::kernel

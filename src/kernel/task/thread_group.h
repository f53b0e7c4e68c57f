// A thread group (what people call a process), process groups and sessions.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/signal/signal.h"
#include "kernel/task/pid.h"
#include "kernel/task/process_lock.h"
#include "kernel/time/clock.h"
#include "kernel/wait_queue.h"

namespace cofferdam::kernel {

class ControlGroup;
class File;
class Kernel;
class Task;
class ThreadGroup;
class Terminal;  // kernel/terminal.h

class Session : public RefCounted {
 public:
  explicit Session(Ref<Pid>);
  ~Session() override;
  Pid& pid() const { return *pid_; }
  int32_t id() const { return pid_->number(); }  // as its leader sees it
  int32_t id_in(PidNamespace const& space) const { return pid_->number_in(space); }
  Ref<RefCounted> controlling_terminal;  // [lock] a Terminal (kernel/terminal.h)
  Ref<Pid> hung_up_foreground;           // [lock] its foreground group when it was hung up; SIGHUP when the leader ends

 private:
  Ref<Pid> pid_;
};

class ProcessGroup : public RefCounted {
 public:
  ProcessGroup(Ref<Pid>, Ref<Session> session);
  ~ProcessGroup() override;
  Pid& pid() const { return *pid_; }
  int32_t id() const { return pid_->number(); }  // as its leader sees it
  int32_t id_in(PidNamespace const& space) const { return pid_->number_in(space); }
  Session& session() const { return *session_; }
  // Zombies included.
  std::vector<Ref<ThreadGroup>> members(ProcessLocked const&) const;

 private:
  Ref<Pid> pid_;
  Ref<Session> session_;
};

// Limits as getrlimit(2); shared by all threads of a group.
class ResourceLimits {
 public:
  ResourceLimits();
  rlimit get(int resource) const;
  void set(int resource, rlimit);
  uint64_t current(int resource) const { return get(resource).rlim_cur; }

 private:
  Guarded<std::array<rlimit, RLIM_NLIMITS>> limits_;
};

class ThreadGroup : public RefCounted {
 public:
  ThreadGroup(Kernel&, Ref<Pid>);
  ~ThreadGroup() override;
  Kernel& kernel() const { return kernel_; }
  Pid& pid() const { return *pid_; }
  int32_t tgid() const { return pid_->number(); }  // as it sees itself
  PidNamespace& pids() const { return pid_->space(); }
  // The first of its pid namespace, which the others end with.
  bool is_init() const { return tgid() == 1; }
  // Does not change once a task of the group runs.
  ControlGroup& control_group() const;

  ResourceLimits limits;

  Ref<Task> leader(ProcessLocked const&) const;
  std::vector<Ref<Task>> tasks(ProcessLocked const&) const;
  Ref<ThreadGroup> parent(ProcessLocked const&) const;  // null for init
  std::vector<Ref<ThreadGroup>> children(ProcessLocked const&) const;
  Ref<ProcessGroup> process_group(ProcessLocked const&) const;
  int32_t parent_tgid() const;              // 0 for init, and where the parent is in a namespace above
  bool exited(ProcessLocked const&) const;  // a zombie

  // To the process: any thread that does not block it takes it. EAGAIN: queue full.
  Result<void> send_signal(SignalInfo const&);
  Result<void> send_signal(SignalInfo const&, ProcessLocked const&);

  // Ready (EPOLLIN) when the group has exited (pidfd); parents wait on their own child_queue.
  WaitQueue exit_queue;
  WaitQueue child_queue;  // something about a child changed: wait4, waitid

  struct Implementation;  // process_internal.h
  Implementation& implementation() { return *implementation_; }
  Implementation const& implementation() const { return *implementation_; }

 private:
  Kernel& kernel_;
  Ref<Pid> const pid_;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace cofferdam::kernel

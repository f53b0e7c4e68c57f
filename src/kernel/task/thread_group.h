// A thread group (what people call a process), process groups, sessions, and the pid namespace that numbers them.
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
#include "kernel/task/process_lock.h"
#include "kernel/time/clock.h"
#include "kernel/wait_queue.h"

namespace cofferdam::kernel {

class File;
class Kernel;
class Task;
class ThreadGroup;
class PidNamespace;
class Terminal;  // kernel/terminal.h

class Session : public RefCounted {
 public:
  Session(PidNamespace&, int32_t id, ProcessLocked const&);
  ~Session() override;
  int32_t id() const { return id_; }
  Ref<RefCounted> controlling_terminal;  // [lock] a Terminal (kernel/terminal.h)
  int32_t hung_up_foreground = 0;        // [lock] its foreground group when it was hung up; SIGHUP when the leader ends

 private:
  PidNamespace& pids_;
  int32_t id_;
};

class ProcessGroup : public RefCounted {
 public:
  ProcessGroup(PidNamespace&, int32_t id, Ref<Session> session, ProcessLocked const&);
  ~ProcessGroup() override;
  int32_t id() const { return id_; }
  Session& session() const { return *session_; }

 private:
  PidNamespace& pids_;
  int32_t id_;
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
  ThreadGroup(Kernel&, int32_t tgid);
  ~ThreadGroup() override;
  Kernel& kernel() const { return kernel_; }
  int32_t tgid() const { return tgid_; }

  ResourceLimits limits;

  Ref<Task> leader(ProcessLocked const&) const;
  std::vector<Ref<Task>> tasks(ProcessLocked const&) const;
  Ref<ThreadGroup> parent(ProcessLocked const&) const;  // null for init
  std::vector<Ref<ThreadGroup>> children(ProcessLocked const&) const;
  Ref<ProcessGroup> process_group(ProcessLocked const&) const;
  int32_t parent_tgid() const;              // 0 for init
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
  int32_t const tgid_;
  std::unique_ptr<Implementation> implementation_;
};

// All tasks by number. One per sandbox for now; nested namespaces hang below it later.
class PidNamespace {
 public:
  Ref<Task> task(int32_t tid, ProcessLocked const&) const;
  Ref<ThreadGroup> group(int32_t tgid, ProcessLocked const&) const;
  Ref<ProcessGroup> process_group(int32_t pgid, ProcessLocked const&) const;
  std::vector<Ref<ThreadGroup>> groups(ProcessLocked const&) const;  // ascending by tgid
  std::vector<Ref<ThreadGroup>> groups_of(ProcessGroup const&, ProcessLocked const&) const;
  // A free number; EAGAIN at the limit. Numbers rise and wrap as Linux's.
  Result<int32_t> allocate(ProcessLocked const&);
  // For what runs before init: leaves the number 1 to it.
  void keep_init_number(ProcessLocked const&) { last_ = std::max(last_, 1); }
  void add(int32_t tid, Ref<Task>, ProcessLocked const&);
  void remove(int32_t tid, ProcessLocked const&);
  size_t task_count(ProcessLocked const&) const;
  int32_t last_pid(ProcessLocked const&) const { return last_; }

 private:
  friend class ProcessGroup;
  friend class Session;
  std::map<int32_t, Ref<Task>> tasks_;
  // Living ones register themselves, and leave in their destructors: on any thread, so under a lock of their own.
  mutable Mutex ids_mutex_;
  std::map<int32_t, ProcessGroup*> process_groups_ GUARDED_BY(ids_mutex_);
  std::map<int32_t, Session*> sessions_ GUARDED_BY(ids_mutex_);
  int32_t last_ = 0;
};

}  // namespace cofferdam::kernel

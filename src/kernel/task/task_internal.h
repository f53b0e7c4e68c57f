// What a task keeps for itself: for kernel/task, kernel/signal, kernel/time and the handlers of their system calls.
#pragma once

#include <optional>

#include "kernel/namespace/namespace_set.h"
#include "kernel/seccomp/seccomp.h"
#include "kernel/task/task.h"
#include "kernel/task/thread_group.h"

namespace cofferdam::kernel {

// Work for the run loop (Task::work_): bits say what may be waiting; the loop looks under the process lock.
namespace work {
inline constexpr uint32_t signals = 1;  // a signal that is not blocked may be pending
inline constexpr uint32_t kill = 2;     // the group is exiting, or this task was told to die (execve of another thread)
inline constexpr uint32_t stop = 4;     // a group stop is in force
inline constexpr uint32_t credentials = 8;  // facts of the platform's trampoline are stale
inline constexpr uint32_t freeze = 16;      // the sandbox is paused, or was
}  // namespace work

// A system call that ended with a restart code, kept until signals have been looked at.
struct InterruptedCall {
  uint64_t number = 0;
  Errno code = Errno::None;
};

inline constexpr int signal_stack_autodisarm = 1 << 31;  // SS_AUTODISARM, which <signal.h> lacks

struct SignalStack {
  uint64_t address = 0, size = 0;
  int flags = SS_DISABLE;
};

enum class TaskState : char { Running = 'R', Sleeping = 'S', Stopped = 'T', Traced = 't', Zombie = 'Z', Dead = 'X' };

// What read(2), write(2) and their kin have moved (/proc/PID/io). Written by the task's own thread.
struct IoCounts {
  std::atomic<uint64_t> read_bytes{0}, written_bytes{0}, reads{0}, writes{0};
  void add_read(size_t bytes) { add(read_bytes, bytes), add(reads, 1); }
  void add_write(size_t bytes) { add(written_bytes, bytes), add(writes, 1); }
  void add(platform::DescriptorServices::Counts const& served) {
    add(read_bytes, served.read_bytes), add(reads, served.reads);
    add(written_bytes, served.written_bytes), add(writes, served.writes);
  }

 private:
  static void add(std::atomic<uint64_t>& count, uint64_t n) {
    count.store(count.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
};

struct Task::Implementation {
  // Shared parts, taken by other threads through Task's accessors.
  mutable Mutex shared_mutex;
  Ref<Credentials const> credentials GUARDED_BY(shared_mutex);
  Ref<FdTable> files GUARDED_BY(shared_mutex);
  Ref<FsContext> fs GUARDED_BY(shared_mutex);
  Ref<MemoryManager> mm GUARDED_BY(shared_mutex);
  std::string name GUARDED_BY(shared_mutex);
  Ref<Pid> pid GUARDED_BY(shared_mutex);
  Ref<NamespaceSet const> namespaces GUARDED_BY(shared_mutex);

  // [lock]
  PendingSignals pending;
  std::atomic<TaskState> state{TaskState::Running};
  int32_t exit_status = 0;    // wait(2) status of this thread
  bool exiting = false;       // past the point of no return in exit
  bool told_to_exit = false;  // another thread's execve or exit_group
  bool leader_zombie = false;

  // [own]
  platform::Fault last_fault{};  // as sigcontext shows the last one (trapno, err, cr2)
  SignalStack signal_stack;
  std::optional<SignalSet> saved_mask;  // to restore when a call with a temporary mask ends
  uint64_t clear_child_tid = 0;         // set_tid_address(2), CLONE_CHILD_CLEARTID
  uint64_t robust_list_head = 0, robust_list_length = 0;
  uint64_t rseq_address = 0;
  uint32_t rseq_length = 0, rseq_signature = 0;
  int parent_death_signal = 0;  // prctl PR_SET_PDEATHSIG [lock]
  uint64_t timer_slack_ns = 50'000;
  std::optional<InterruptedCall> interrupted;
  struct {
    int fd = -1;
    File const* file = nullptr;
  } last_read;                      // whose position the last call, a read, has moved; the pointer is only compared
  bool is_served = false;           // the platform answers calls on its descriptors (descriptor_service.h)
  bool registers_replaced = false;  // by execve or sigreturn: the run loop sets no result for this call
  struct VforkDone : RefCounted {
    std::atomic<bool> done{false};
    WaitQueue queue;
  };
  Ref<VforkDone> vfork_done;       // what a vfork parent waits on; signalled at execve or exit
  std::vector<uint64_t> affinity;  // sched_setaffinity; empty: all
  int nice = 0;
  int scheduling_policy = 0, scheduling_priority = 0;
  int io_priority = 0;       // ioprio_set(2)
  uint32_t personality = 0;  // personality(2)
  // seccomp(2): the run loop of the task reads mode and filter without the lock; another thread may give it a longer
  // chain, of which the old one is a part (SECCOMP_FILTER_FLAG_TSYNC).
  std::atomic<seccomp::Mode> seccomp_mode{seccomp::Mode::Disabled};
  std::atomic<seccomp::Filter const*> seccomp_filter{nullptr};
  Ref<seccomp::Filter> seccomp_chain;  // [lock]
  int memory_policy = 0;               // set_mempolicy(2)
  uint64_t memory_nodes = 0;
  Nanoseconds start_time_ns = 0;  // host CLOCK_MONOTONIC
  IoCounts io;
};

// The task whose run loop this host thread runs.
namespace run_loop {
// Ends the calling task alone, or its whole group; does not unwind: sets work::kill and the loop leaves. status is
// wait(2)'s.
void request_exit(Task&, int32_t status);
void request_group_exit(Task&, int32_t status);
// Starts or ends a group stop (SIGSTOP and kin; SIGCONT).
void request_group_stop(Task&, int signal, ProcessLocked const&);
void continue_group(ThreadGroup&, ProcessLocked const&);
// The whole group exits with this wait(2) status (SIGKILL from anywhere).
void request_group_kill(ThreadGroup&, int32_t status, ProcessLocked const&);
}  // namespace run_loop

}  // namespace cofferdam::kernel

// What a thread group keeps. All members need the process lock unless said otherwise.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "kernel/signal/signal.h"
#include "kernel/task/control_group.h"
#include "kernel/task/task.h"
#include "kernel/task/thread_group.h"
#include "kernel/time/timer_queue.h"

namespace cofferdam::kernel {

struct GroupUsage {  // of threads that have exited, and of waited-for children
  Nanoseconds user_ns = 0, system_ns = 0;
  uint64_t minor_faults = 0, major_faults = 0, voluntary_switches = 0, involuntary_switches = 0, max_resident_bytes = 0;
  void add(platform::AddressSpace::Usage const&);
  void add(GroupUsage const&);
};

// Interval and POSIX timers of a group; defined by kernel/time.
struct GroupTimers;

struct ThreadGroup::Implementation {
  Ref<ControlGroup> control_group;  // does not change once a task of the group runs: needs no lock

  Ref<Task> leader;
  std::vector<Ref<Task>> tasks;  // living ones, leader first while it lives
  ThreadGroup* parent = nullptr;
  std::vector<Ref<ThreadGroup>> children;  // living and zombie
  Ref<ProcessGroup> process_group;
  int exit_signal = SIGCHLD;  // to the parent, 0: none (clone(2))

  PendingSignals pending;
  Ref<SignalHandlers> handlers;
  WaitQueue signal_arrival;  // EPOLLIN whenever a signal comes to the group or a task of it: signalfd, sigtimedwait

  bool init_may_die = false;  // init met a fault that it does not handle; else only what it handles reaches it

  bool group_exiting = false;
  int32_t exit_status = 0;  // wait(2) status once group_exiting
  bool zombie = false;
  bool reaped = false;

  // Group stop.
  bool stopped = false;
  int stop_signal = 0;
  bool stop_reported = false;        // to wait(WUNTRACED)
  bool continue_unreported = false;  // for wait(WCONTINUED)

  bool child_subreaper = false;
  bool dumpable = true;
  bool has_execed = false;  // setpgid of a child after exec is EACCES
  Ref<Task> exec_task;      // the thread that execs and makes the others exit

  // What has been used and is over. The numbers of an address space that was left behind are asked for when somebody
  // wants them, or when too many wait: asking costs host calls, and most exits are never asked about.
  GroupUsage own, waited_children;
  std::vector<Ref<platform::AddressSpace>> left_spaces, left_spaces_of_children;
  void settle_usage();           // brings own and waited_children up to date
  uint64_t io_of_ended[4] = {};  // of threads that have exited: bytes read and written, reads, writes
  Nanoseconds start_time_ns = 0;
  std::shared_ptr<GroupTimers> timers;
  int oom_score_adj = 0;
};

}  // namespace cofferdam::kernel

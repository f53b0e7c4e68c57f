// The end of tasks and groups (exit(2), wait(2)).
#pragma once

#include <optional>

#include "kernel/task/process_internal.h"
#include "kernel/task/task.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::kernel {

// What execve and exit do to the memory that is left behind: robust futexes, CLONE_CHILD_CLEARTID, a waiting vfork
// parent.
void release_mm_of_task(Task&);

// Ends the calling task: releases all it holds, and makes its group a zombie if it was the last.
void exit_task(Task&);

// SIGCHLD with CLD_STOPPED or CLD_CONTINUED to the parent, and wakes its waiters.
void notify_parent_of_stop(ThreadGroup& child, int code, int signal, ProcessLocked const&);

// Whether the orphaned-group rule applies: no member has a parent in another group of the same session (POSIX 3.264).
// `leaving` is not counted.
bool process_group_is_orphaned(ProcessGroup const&, ThreadGroup const* leaving, ProcessLocked const&);

// Which children a wait call asks for.
struct WaitSelector {
  enum class Kind { Any, Pid, Group } kind = Kind::Any;
  int32_t id = 0;
  bool exited = true, stopped = false, continued = false;
  bool no_hang = false, no_reap = false, wants_usage = false;
  bool clone_children = false, all_children = false;  // __WCLONE, __WALL
};
struct WaitedChild {
  int32_t pid = 0;
  uid_t uid = 0;
  int32_t status = 0;  // wait(2) status
  int code = 0;        // CLD_*
  GroupUsage usage;
};
// Blocks until a child matches: nothing with no_hang. ECHILD; RestartSys.
Result<std::optional<WaitedChild>> wait_for_child(Task&, WaitSelector const&);

}  // namespace cofferdam::kernel

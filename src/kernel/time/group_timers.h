// Interval timers (setitimer(2)), POSIX timers (timer_create(2)) and CPU limits of a thread group.
//
// A periodic timer whose signal waits to be taken does not run: it is wound on when the signal is dequeued, and the
// expiries missed are its overrun count. So a guest paces its own timers, however short their interval.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "kernel/signal/signal.h"
#include "kernel/task/task.h"
#include "kernel/task/thread_group.h"
#include "kernel/time/timer_queue.h"

namespace cofferdam::kernel {

// A signal has left the group's or a task's queue: the timer behind it runs on, and its overrun count goes into the
// signal.
void signal_taken(ThreadGroup&, SignalInfo&, ProcessLocked const&);
// RLIMIT_CPU was set or inherited: from now on it is watched. Not with the process lock held.
void cpu_limit_changed(ThreadGroup&);
// execve(2) deletes POSIX timers; interval timers go on.
void delete_timers_for_exec(ThreadGroup&, ProcessLocked const&);
// The group ends: nothing fires any more.
void detach_timers(ThreadGroup&, ProcessLocked const&);

struct IntervalSetting {
  Nanoseconds value = 0, interval = 0;  // value: until the next expiry; 0: not armed
};

// ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF: the former setting is returned.
IntervalSetting interval_timer(ThreadGroup&, int which);
IntervalSetting set_interval_timer(ThreadGroup&, int which, IntervalSetting const&);

struct PosixTimerRequest {
  clockid_t clock = CLOCK_REALTIME;
  int notify = SIGEV_SIGNAL;  // SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD_ID
  int signal = SIGALRM;
  uint64_t value = 0;
  bool value_is_id = false;  // no sigevent was given
  Ref<Task> thread;          // for SIGEV_THREAD_ID
};
Result<int32_t> create_posix_timer(Task& creator, PosixTimerRequest const&);
Result<void> delete_posix_timer(ThreadGroup&, int32_t id);
Result<IntervalSetting> posix_timer(ThreadGroup&, int32_t id);
// `value`: a delay, or a point in the timer's clock when absolute. The former setting is returned.
Result<IntervalSetting> set_posix_timer(ThreadGroup&, int32_t id, IntervalSetting const&, bool absolute);
Result<int32_t> posix_timer_overrun(ThreadGroup&, int32_t id);

}  // namespace cofferdam::kernel

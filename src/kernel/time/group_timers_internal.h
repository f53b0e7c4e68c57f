// What a group's timers are made of: for kernel/time alone. All members are guarded by the process lock.
#pragma once

#include "kernel/task/process_internal.h"
#include "kernel/time/group_timers.h"
#include "kernel/time/guest_clock.h"

namespace cofferdam::kernel {

struct PosixTimer {
  int32_t id = 0;
  PosixTimerRequest request;
  std::optional<CpuClock> cpu;  // else one of the host's clocks
  bool armed = false;
  bool signal_waits = false;    // its signal is in a queue
  Nanoseconds expiry = 0;       // on the host's CLOCK_MONOTONIC, or in CPU time
  Nanoseconds interval = 0;     // 0: once
  Nanoseconds seen = 0;         // the time when it was last found expired
  int64_t missed = 0;           // expiries while its signal waited
  int32_t last_overrun = 0;     // what the signal taken last said
  std::unique_ptr<Timer> host;  // null for CPU time and SIGEV_NONE
};

// An interval timer over CPU time.
struct CpuInterval {
  Nanoseconds expiry = 0;  // in CPU time; 0: not armed
  Nanoseconds interval = 0;
};

struct GroupTimers {
  GroupTimers(Kernel& k, ThreadGroup& g) : kernel(k), group(&g) {}
  Kernel& kernel;
  ThreadGroup* group;  // null once the group has ended
  std::unique_ptr<Timer> real;
  bool real_armed = false;
  Nanoseconds real_expiry = 0, real_interval = 0;
  CpuInterval virtual_time, profile;
  std::unique_ptr<Timer> sampler;  // looks at the CPU time now and then while something depends on it
  bool sampling = false;
  std::map<int32_t, PosixTimer> posix;
  int32_t next_id = 0;
};

// The group's timers, made when first asked for.
GroupTimers& timers_of(ThreadGroup&, ProcessLocked const&);
// A host timer whose callback gets the timers and the lock, unless the group has ended meanwhile.
std::unique_ptr<Timer> make_timer(ThreadGroup&, void (*callback)(GroupTimers&, int32_t id, ProcessLocked const&),
                                  int32_t id);
// Moves `expiry` behind `now` in steps of `interval` (> 0); how many steps beyond the first that were.
int64_t wind_on(Nanoseconds& expiry, Nanoseconds interval, Nanoseconds now);
// Has the CPU time looked at until nothing depends on it any more.
void start_sampling(GroupTimers&, ProcessLocked const&);
// An expiry of a POSIX timer: its signal goes out. `now` in the timer's own time.
void posix_timer_expired(GroupTimers&, PosixTimer&, Nanoseconds now, ProcessLocked const&);
void posix_signal_taken(GroupTimers&, SignalInfo&, ProcessLocked const&);

}  // namespace cofferdam::kernel

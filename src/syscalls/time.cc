// Clocks and sleeping.
#include "kernel/kernel.h"
#include "kernel/time/cpu_time.h"
#include "kernel/time/guest_clock.h"
#include "syscalls/handlers_time.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

constexpr Nanoseconds tick = ns_per_second / 100;         // USER_HZ
constexpr Nanoseconds cpu_time_check_period = 5'000'000;  // how often a sleeper on a CPU clock looks

// Sleeps until the deadline: TimedOut when it has come, RestartSys when interrupted.
Result<void> sleep_until(Task& task, Deadline deadline) {
  for (;;) {
    task.prepare_to_wait();
    TRY(task.wait(deadline));
  }
}

// A relative sleep goes on to the same point in time when no handler ran (restart_syscall(2)).
Result<uint64_t> sleep_relative(Task& task, Deadline deadline, UserPtr<timespec> remaining) {
  auto slept = sleep_until(task, deadline);
  if (slept.error() == Errno::TimedOut) return 0;
  Nanoseconds left = deadline.remaining_ns();
  if (left == 0) return 0;
  if (remaining) TRY(task.write(remaining, to_timespec(left)));
  task.set_restart([=](Task& t) { return sleep_relative(t, deadline, remaining); });
  return fail(Errno::RestartRestartBlock);
}

Result<uint64_t> sleep_absolute(Task& task, clockid_t clock, Nanoseconds at) {
  auto slept = sleep_until(task, Deadline::at(monotonic_of(clock, at)));
  if (slept.error() == Errno::TimedOut) return 0;
  return fail(Errno::RestartNoHand);
}

// A sleep on a process's CPU time: looks at it from time to time.
Result<uint64_t> sleep_cpu(Task& task, CpuClock const& clock, Nanoseconds until, bool absolute,
                           UserPtr<timespec> remaining) {
  for (Nanoseconds now = clock.now(); now < until; now = clock.now()) {
    task.prepare_to_wait();
    auto waited = task.wait(Deadline::after(std::max(cpu_time_check_period, (until - now) / 16)));
    if (waited || waited.error() == Errno::TimedOut) continue;
    if (absolute) return fail(Errno::RestartNoHand);
    if (remaining) TRY(task.write(remaining, to_timespec(std::max<Nanoseconds>(until - clock.now(), 0))));
    task.set_restart([=](Task& t) { return sleep_cpu(t, clock, until, false, remaining); });
    return fail(Errno::RestartRestartBlock);
  }
  return 0;
}

// The clock's number is one that could be set, or fail as Linux does.
Result<void> check_settable(Task& task, clockid_t clock) {
  if (clock == CLOCK_REALTIME) return {};
  if (!is_host_clock(clock)) {
    TRY(cpu_clock(task, clock));
    return fail(Errno::Perm);
  }
  return fail(Errno::Inval);
}

}  // namespace

Result<uint64_t> sys_nanosleep(Task& task, UserPtr<timespec> wanted, UserPtr<timespec> remaining) {
  Nanoseconds delay = TRY(to_nanoseconds(TRY(task.read(wanted))));
  return sleep_relative(task, Deadline::after(delay), remaining);
}

Result<uint64_t> sys_clock_nanosleep(Task& task, int32_t clock, int32_t flags, UserPtr<timespec> wanted,
                                     UserPtr<timespec> remaining) {
  bool absolute = flags & TIMER_ABSTIME;
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI: {
      Nanoseconds time = TRY(to_nanoseconds(TRY(task.read(wanted))));
      if (absolute) return sleep_absolute(task, clock, time);
      return sleep_relative(task, Deadline::after(time), remaining);
    }
    case CLOCK_THREAD_CPUTIME_ID:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
      return fail(Errno::OpNotSupp);
    default: {
      auto cpu = TRY(cpu_clock(task, clock));
      Nanoseconds time = TRY(to_nanoseconds(TRY(task.read(wanted))));
      if (cpu.thread.get() == &task) return fail(Errno::Inval);  // it would sleep for ever
      Nanoseconds until = time;
      if (!absolute && __builtin_add_overflow(cpu.now(), time, &until)) until = INT64_MAX;
      return sleep_cpu(task, cpu, until, absolute, remaining);
    }
  }
}

Result<void> sys_clock_gettime(Task& task, int32_t clock, UserPtr<timespec> time) {
  return task.write(time, to_timespec(TRY(read_clock(task, clock))));
}

Result<void> sys_clock_getres(Task& task, int32_t clock, UserPtr<timespec> resolution) {
  Nanoseconds r = TRY(clock_resolution(task, clock));
  if (resolution) TRY(task.write(resolution, to_timespec(r)));
  return {};
}

// The clocks are the host's: no guest sets them, whatever its capabilities.
Result<void> sys_clock_settime(Task& task, int32_t clock, UserPtr<timespec> time) {
  TRY(check_settable(task, clock));
  TRY(to_nanoseconds(TRY(task.read(time))));
  return fail(Errno::Perm);
}

Result<int> sys_adjtimex(Task& task, UserPtr<timex> parameters) {
  auto t = TRY(task.read(parameters));
  if (t.modes != 0) return fail(Errno::Perm);
  // A clock that this system keeps as it is given: unsynchronised as far as it can tell.
  t = timex{};
  t.status = STA_UNSYNC;
  t.maxerror = t.esterror = 16'000'000;
  t.constant = 2;
  t.precision = 1;
  t.tolerance = 32'768'000;
  t.tick = 10'000;
  t.time = to_timeval(host_now(CLOCK_REALTIME));
  TRY(task.write(parameters, t));
  return TIME_ERROR;
}

Result<int> sys_clock_adjtime(Task& task, int32_t clock, UserPtr<timex> parameters) {
  if (clock == CLOCK_REALTIME) return sys_adjtimex(task, parameters);
  if (!is_host_clock(clock)) TRY(cpu_clock(task, clock));
  return fail(Errno::OpNotSupp);
}

Result<void> sys_gettimeofday(Task& task, UserPtr<timeval> time, UserPtr<struct timezone> zone) {
  if (time) TRY(task.write(time, to_timeval(host_now(CLOCK_REALTIME))));
  if (zone) TRY(task.write(zone, (struct timezone){0, 0}));
  return {};
}

Result<void> sys_settimeofday(Task& task, UserPtr<timeval> time, UserPtr<struct timezone> zone) {
  if (time) {
    auto t = TRY(task.read(time));
    if (t.tv_usec < 0 || t.tv_usec > 1'000'000) return fail(Errno::Inval);
  }
  if (zone) TRY(task.read(zone));
  return fail(Errno::Perm);
}

Result<int64_t> sys_time(Task& task, UserPtr<int64_t> time) {
  int64_t now = host_now(CLOCK_REALTIME) / ns_per_second;
  if (time) TRY(task.write(time, now));
  return now;
}

Result<int64_t> sys_times(Task& task, UserPtr<tms> times) {
  if (times) {
    GroupUsage own = usage_of(task.thread_group()), children;
    {
      ProcessLocked lock(task.kernel());
      auto& group = task.thread_group().implementation();
      group.settle_usage();
      children = group.waited_children;
    }
    TRY(task.write(times,
                   tms{own.user_ns / tick, own.system_ns / tick, children.user_ns / tick, children.system_ns / tick}));
  }
  return host_now(CLOCK_MONOTONIC) / tick;
}

}  // namespace cofferdam::syscalls

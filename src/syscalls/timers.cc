// Interval timers and POSIX timers.
#include "kernel/kernel.h"
#include "kernel/time/group_timers.h"
#include "syscalls/handlers_time.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

Result<Nanoseconds> from_timeval(timeval const& t) {
  if (t.tv_sec < 0 || t.tv_usec < 0 || t.tv_usec >= 1'000'000) return fail(Errno::Inval);
  return to_nanoseconds({t.tv_sec, t.tv_usec * 1000});
}

// Rounded up: what is armed never reads as zero.
timeval to_timeval_up(Nanoseconds t) { return to_timeval(t > INT64_MAX - 999 ? t : t + 999); }

itimerval to_itimerval(IntervalSetting const& s) { return {to_timeval(s.interval), to_timeval_up(s.value)}; }

itimerspec to_itimerspec(IntervalSetting const& s) { return {to_timespec(s.interval), to_timespec(s.value)}; }

Result<void> check_which(int32_t which) {
  if (which < ITIMER_REAL || which > ITIMER_PROF) return fail(Errno::Inval);
  return {};
}

// Whether timers can be had on the clock: the coarse and raw ones have none, and alarms need a clock that wakes the
// machine.
Result<void> check_timer_clock(clockid_t clock) {
  switch (clock) {
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
      return fail(Errno::OpNotSupp);
    default:
      return {};
  }
}

// good_sigevent of Linux.
Result<PosixTimerRequest> request_of(Task& task, clockid_t clock, SignalEvent const& event) {
  PosixTimerRequest request{.clock = clock, .notify = event.notify, .signal = event.signal, .value = event.value};
  switch (event.notify) {
    case SIGEV_THREAD_ID: {
      ProcessLocked lock(task.kernel());
      request.thread = task.pids().task(event.thread, lock);
      if (!request.thread || &request.thread->thread_group() != &task.thread_group()) return fail(Errno::Inval);
      break;
    }
    case SIGEV_THREAD:  // the C library's business: it is sent as a signal
    case SIGEV_SIGNAL:
      request.notify = SIGEV_SIGNAL;
      break;
    case SIGEV_NONE:
      return request;
    default:
      return fail(Errno::Inval);
  }
  if (event.signal < 1 || event.signal > signal_count) return fail(Errno::Inval);
  return request;
}

}  // namespace

Result<uint64_t> sys_alarm(Task& task, uint32_t seconds) {
  auto old = set_interval_timer(task.thread_group(), ITIMER_REAL, {Nanoseconds{seconds} * ns_per_second, 0});
  if (old.value == 0) return 0;
  // To the nearest second, but at least one while it is armed.
  return std::max<Nanoseconds>((old.value + ns_per_second / 2) / ns_per_second, 1);
}

Result<void> sys_getitimer(Task& task, int32_t which, UserPtr<itimerval> value) {
  TRY(check_which(which));
  return task.write(value, to_itimerval(interval_timer(task.thread_group(), which)));
}

Result<void> sys_setitimer(Task& task, int32_t which, UserPtr<itimerval> value, UserPtr<itimerval> old) {
  itimerval wanted{};
  if (value) wanted = TRY(task.read(value));  // none is a zero one, against POSIX, as on Linux
  IntervalSetting setting{TRY(from_timeval(wanted.it_value)), TRY(from_timeval(wanted.it_interval))};
  TRY(check_which(which));
  auto before = set_interval_timer(task.thread_group(), which, setting);
  if (old) TRY(task.write(old, to_itimerval(before)));
  return {};
}

Result<void> sys_timer_create(Task& task, int32_t clock, UserPtr<SignalEvent> event, UserPtr<int32_t> id) {
  PosixTimerRequest request{.clock = clock, .value_is_id = true};
  if (event) request = TRY(request_of(task, clock, TRY(task.read(event))));
  TRY(check_timer_clock(clock));
  int32_t made = TRY(create_posix_timer(task, request));
  auto written = task.write(id, made);
  if (written) written = task.context().flush();
  if (!written) (void)delete_posix_timer(task.thread_group(), made);
  return written;
}

Result<void> sys_timer_settime(Task& task, int32_t id, int32_t flags, UserPtr<itimerspec> value,
                               UserPtr<itimerspec> old) {
  if (!value) return fail(Errno::Inval);
  auto wanted = TRY(task.read(value));
  IntervalSetting setting{TRY(to_nanoseconds(wanted.it_value)), TRY(to_nanoseconds(wanted.it_interval))};
  auto before = TRY(set_posix_timer(task.thread_group(), id, setting, flags & TIMER_ABSTIME));
  if (old) TRY(task.write(old, to_itimerspec(before)));
  return {};
}

Result<void> sys_timer_gettime(Task& task, int32_t id, UserPtr<itimerspec> value) {
  return task.write(value, to_itimerspec(TRY(posix_timer(task.thread_group(), id))));
}

Result<int> sys_timer_getoverrun(Task& task, int32_t id) { return posix_timer_overrun(task.thread_group(), id); }

Result<void> sys_timer_delete(Task& task, int32_t id) { return delete_posix_timer(task.thread_group(), id); }

}  // namespace cofferdam::syscalls

// POSIX timers: timer_create(2) and its kin.
#include <algorithm>
#include <limits>

#include "kernel/kernel.h"
#include "kernel/signal/delivery.h"
#include "kernel/task/task_internal.h"
#include "kernel/time/group_timers_internal.h"

namespace cofferdam::kernel {
namespace {

// How soon a periodic timer whose signal is ignored is looked at again (a tick, as in Linux).
constexpr Nanoseconds ignored_pause = 4'000'000;

int32_t clamp_overrun(int64_t n) {
  return static_cast<int32_t>(std::min<int64_t>(n, std::numeric_limits<int32_t>::max()));
}

SignalInfo expiry_signal(PosixTimer const& timer) {
  SignalInfo info;
  info.raw.si_signo = timer.request.signal;
  info.raw.si_code = SI_TIMER;
  info.raw.si_timerid = timer.id;
  uint64_t value = timer.request.value_is_id ? static_cast<uint64_t>(timer.id) : timer.request.value;
  std::memcpy(&info.raw.si_value, &value, sizeof value);
  return info;
}

void host_timer_fired(GroupTimers& timers, int32_t id, ProcessLocked const& lock) {
  auto it = timers.posix.find(id);
  if (it == timers.posix.end()) return;
  Nanoseconds now = host_now(CLOCK_MONOTONIC);
  if (it->second.armed && it->second.expiry <= now) posix_timer_expired(timers, it->second, now, lock);
}

// The setting as timer_gettime shows it: armed timers never show zero, but for those that nobody is told of.
IntervalSetting setting_of(PosixTimer const& timer, Nanoseconds now) {
  if (!timer.armed) return {0, timer.interval};
  bool silent = timer.request.notify == SIGEV_NONE;
  Nanoseconds expiry = timer.expiry;
  if (timer.interval && (silent || timer.signal_waits)) wind_on(expiry, timer.interval, now);
  if (expiry <= now) return {silent ? 0 : 1, timer.interval};
  return {expiry - now, timer.interval};
}

Result<PosixTimer*> find(ThreadGroup& group, int32_t id) {
  auto const& timers = group.implementation().timers;
  if (!timers) return fail(Errno::Inval);
  auto it = timers->posix.find(id);
  if (it == timers->posix.end()) return fail(Errno::Inval);
  return &it->second;
}

// CPU clocks take the process lock to be read, so they are read before it is taken.
Result<Nanoseconds> time_of_timer(ThreadGroup& group, int32_t id) {
  std::optional<CpuClock> cpu;
  {
    ProcessLocked lock(group.kernel());
    cpu = TRY(find(group, id))->cpu;
  }
  return cpu ? cpu->now() : host_now(CLOCK_MONOTONIC);
}

void arm(GroupTimers& timers, PosixTimer& timer, ProcessLocked const& lock) {
  if (timer.cpu) return start_sampling(timers, lock);
  if (timer.request.notify == SIGEV_NONE) return;
  if (!timer.host) timer.host = make_timer(*timers.group, host_timer_fired, timer.id);
  timer.host->arm(timer.expiry);
}

}  // namespace

void posix_timer_expired(GroupTimers& timers, PosixTimer& timer, Nanoseconds now, ProcessLocked const& lock) {
  if (timer.request.notify == SIGEV_NONE) return;
  timer.seen = now;
  if (timer.interval == 0) timer.armed = false;
  if (timer.signal_waits) {  // the former signal still waits; a timer that was set anew tells its expiry by the count
    ++timer.missed;
    return;
  }
  Task* to = timer.request.notify == SIGEV_THREAD_ID ? timer.request.thread.get() : nullptr;
  timer.signal_waits = send_timer_signal(*timers.group, to, expiry_signal(timer), lock);
  if (timer.signal_waits || timer.interval == 0) return;
  // Ignored: nobody will take it, so the timer runs on by itself.
  timer.missed += wind_on(timer.expiry, timer.interval, now) + 1;
  if (timer.host) timer.host->arm(std::max(timer.expiry, now + ignored_pause));
}

void posix_signal_taken(GroupTimers& timers, SignalInfo& info, ProcessLocked const& lock) {
  auto it = timers.posix.find(info.raw.si_timerid);
  if (it == timers.posix.end() || !it->second.signal_waits) return;
  PosixTimer& timer = it->second;
  timer.signal_waits = false;
  // CPU time cannot be read here, under the lock: the next sample sees what has passed since the last.
  Nanoseconds now = timer.cpu ? timer.seen : host_now(CLOCK_MONOTONIC);
  if (timer.armed && timer.interval) timer.missed += wind_on(timer.expiry, timer.interval, now);
  timer.last_overrun = clamp_overrun(timer.missed);
  timer.missed = 0;
  info.raw.si_overrun = timer.last_overrun;
  if (timer.armed && timer.interval) arm(timers, timer, lock);
}

Result<int32_t> create_posix_timer(Task& creator, PosixTimerRequest const& request) {
  ThreadGroup& group = creator.thread_group();
  std::optional<CpuClock> cpu;
  if (!is_host_clock(request.clock)) cpu = TRY(cpu_clock(creator, request.clock));
  ProcessLocked lock(group.kernel());
  auto& timers = timers_of(group, lock);
  if (timers.posix.size() >= group.limits.current(RLIMIT_SIGPENDING)) return fail(Errno::Again);
  while (timers.posix.contains(timers.next_id))
    timers.next_id = (timers.next_id + 1) & std::numeric_limits<int32_t>::max();
  int32_t id = timers.next_id;
  timers.next_id = (timers.next_id + 1) & std::numeric_limits<int32_t>::max();
  PosixTimer& timer = timers.posix[id];
  timer.id = id;
  timer.request = request;
  timer.cpu = std::move(cpu);
  return id;
}

Result<void> delete_posix_timer(ThreadGroup& group, int32_t id) {
  PosixTimer gone;  // destroyed without the lock: it may hold the last reference to a task
  ProcessLocked lock(group.kernel());
  auto& g = group.implementation();
  gone = std::move(*TRY(find(group, id)));
  g.timers->posix.erase(id);
  g.pending.discard_timer(id);
  for (auto const& t : g.tasks) t->implementation().pending.discard_timer(id);
  return {};
}

Result<IntervalSetting> posix_timer(ThreadGroup& group, int32_t id) {
  Nanoseconds now = TRY(time_of_timer(group, id));
  ProcessLocked lock(group.kernel());
  return setting_of(*TRY(find(group, id)), now);
}

Result<IntervalSetting> set_posix_timer(ThreadGroup& group, int32_t id, IntervalSetting const& setting, bool absolute) {
  Nanoseconds now = TRY(time_of_timer(group, id));
  ProcessLocked lock(group.kernel());
  PosixTimer& timer = *TRY(find(group, id));
  auto old = setting_of(timer, now);
  if (timer.host) timer.host->cancel();
  timer.missed = 0;
  timer.last_overrun = 0;
  timer.interval = setting.value ? setting.interval : 0;
  timer.armed = setting.value != 0;
  if (!timer.armed) return old;
  if (absolute)
    timer.expiry = timer.cpu ? setting.value : monotonic_of(timer.request.clock, setting.value);
  else if (__builtin_add_overflow(now, setting.value, &timer.expiry))
    timer.expiry = std::numeric_limits<Nanoseconds>::max();
  arm(*group.implementation().timers, timer, lock);
  return old;
}

Result<int32_t> posix_timer_overrun(ThreadGroup& group, int32_t id) {
  ProcessLocked lock(group.kernel());
  return TRY(find(group, id))->last_overrun;
}

}  // namespace cofferdam::kernel

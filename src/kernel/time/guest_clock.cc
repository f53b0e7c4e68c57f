#include "kernel/time/guest_clock.h"

#include <limits>

#include "kernel/kernel.h"
#include "kernel/time/cpu_time.h"

namespace cofferdam::kernel {
namespace {

// Clocks without alarms of their own are read as the ones that they follow.
clockid_t without_alarm(clockid_t clock) {
  if (clock == CLOCK_REALTIME_ALARM) return CLOCK_REALTIME;
  if (clock == CLOCK_BOOTTIME_ALARM) return CLOCK_BOOTTIME;
  return clock;
}

}  // namespace

bool is_host_clock(clockid_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
    case CLOCK_TAI:
      return true;
    default:
      return false;
  }
}

Nanoseconds CpuClock::now() const {
  GroupUsage usage = thread ? usage_of(*thread) : usage_of(*group);
  return kind == Kind::User ? usage.user_ns : cpu_time(usage);
}

Result<CpuClock> cpu_clock(Task& task, clockid_t clock) {
  CpuClock out;
  if (clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID) {
    out.group = Ref<ThreadGroup>(&task.thread_group());
    if (clock == CLOCK_THREAD_CPUTIME_ID) out.thread = Ref<Task>(&task);
    return out;
  }
  // ~id << 3, then bit 2: of one thread, and two bits of kind (3 would be a clock behind a descriptor).
  if (clock >= 0 || (clock & 3) == 3) return fail(Errno::Inval);
  out.kind = static_cast<CpuClock::Kind>(clock & 3);
  bool of_thread = clock & 4;
  int32_t id = ~(clock >> 3);
  if (id < 0) return fail(Errno::Inval);
  ProcessLocked lock(task.kernel());
  auto target = id == 0 ? Ref<Task>(&task) : task.pids().task(id, lock);
  if (!target) return fail(Errno::Inval);
  out.group = Ref<ThreadGroup>(&target->thread_group());
  bool is_own = &task.thread_group() == out.group.get();
  if (of_thread ? !is_own : (target->tid() != target->tgid() && !is_own)) return fail(Errno::Inval);
  if (of_thread) out.thread = target;
  return out;
}

Result<Nanoseconds> read_clock(Task& task, clockid_t clock) {
  if (is_host_clock(clock)) return host_now(without_alarm(clock));
  return TRY(cpu_clock(task, clock)).now();
}

Result<Nanoseconds> clock_resolution(Task& task, clockid_t clock) {
  if (!is_host_clock(clock)) {
    TRY(cpu_clock(task, clock));
    return 1;
  }
  timespec resolution{};
  clock_getres(without_alarm(clock), &resolution);
  return resolution.tv_sec * ns_per_second + resolution.tv_nsec;
}

Nanoseconds monotonic_of(clockid_t clock, Nanoseconds at) {
  clock = without_alarm(clock);
  if (clock == CLOCK_MONOTONIC) return at;
  Nanoseconds out;
  if (__builtin_add_overflow(at - host_now(clock), host_now(CLOCK_MONOTONIC), &out))
    return std::numeric_limits<Nanoseconds>::max();
  return out;
}

}  // namespace cofferdam::kernel

// Handlers of this family; each is documented by its man page.
#pragma once

#include <signal.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <time.h>

#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

struct SignalEvent {  // struct sigevent
  uint64_t value = 0;
  int32_t signal = 0, notify = 0, thread = 0;
  int32_t padding[11] = {};
};
static_assert(sizeof(SignalEvent) == 64);

Result<uint64_t> sys_nanosleep(Task&, UserPtr<timespec> wanted, UserPtr<timespec> remaining);
Result<uint64_t> sys_clock_nanosleep(Task&, int32_t clock, int32_t flags, UserPtr<timespec> wanted,
                                     UserPtr<timespec> remaining);
Result<void> sys_clock_gettime(Task&, int32_t clock, UserPtr<timespec> time);
Result<void> sys_clock_getres(Task&, int32_t clock, UserPtr<timespec> resolution);
Result<void> sys_clock_settime(Task&, int32_t clock, UserPtr<timespec> time);
Result<int> sys_clock_adjtime(Task&, int32_t clock, UserPtr<timex> parameters);
Result<int> sys_adjtimex(Task&, UserPtr<timex> parameters);
Result<void> sys_gettimeofday(Task&, UserPtr<timeval> time, UserPtr<struct timezone> zone);
Result<void> sys_settimeofday(Task&, UserPtr<timeval> time, UserPtr<struct timezone> zone);
Result<int64_t> sys_time(Task&, UserPtr<int64_t> time);
Result<int64_t> sys_times(Task&, UserPtr<tms> times);

Result<uint64_t> sys_alarm(Task&, uint32_t seconds);
Result<void> sys_getitimer(Task&, int32_t which, UserPtr<itimerval> value);
Result<void> sys_setitimer(Task&, int32_t which, UserPtr<itimerval> value, UserPtr<itimerval> old);
Result<void> sys_timer_create(Task&, int32_t clock, UserPtr<SignalEvent> event, UserPtr<int32_t> id);
Result<void> sys_timer_settime(Task&, int32_t id, int32_t flags, UserPtr<itimerspec> value, UserPtr<itimerspec> old);
Result<void> sys_timer_gettime(Task&, int32_t id, UserPtr<itimerspec> value);
Result<int> sys_timer_getoverrun(Task&, int32_t id);
Result<void> sys_timer_delete(Task&, int32_t id);

}  // namespace cofferdam::syscalls

template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<timex> = true;

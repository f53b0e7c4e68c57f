// Clocks by the ids that guests name them with (clock_gettime(2)), those of CPU time included.
#pragma once

#include <optional>

#include "kernel/task/task.h"
#include "kernel/task/thread_group.h"
#include "kernel/time/clock.h"

namespace cofferdam::kernel {

// Clocks that the host keeps: REALTIME, MONOTONIC, their COARSE and RAW kin, BOOTTIME, TAI and the ALARM ones.
bool is_host_clock(clockid_t);

// A CPU-time clock: of a thread or a whole group.
struct CpuClock {
  enum class Kind { All, User, Scheduled };  // CPUCLOCK_PROF, CPUCLOCK_VIRT, CPUCLOCK_SCHED
  Kind kind = Kind::Scheduled;
  Ref<ThreadGroup> group;
  Ref<Task> thread;  // null: the whole group
  Nanoseconds now() const;
};
// CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID and the encoded ids of clock_getcpuclockid(3). EINVAL.
Result<CpuClock> cpu_clock(Task&, clockid_t);

Result<Nanoseconds> read_clock(Task&, clockid_t);
Result<Nanoseconds> clock_resolution(Task&, clockid_t);

// The point on the host's CLOCK_MONOTONIC that is `at` on another of the host's clocks, as the clocks stand now;
// saturates.
Nanoseconds monotonic_of(clockid_t, Nanoseconds at);

}  // namespace cofferdam::kernel

// struct rusage from what the kernel counts (getrusage(2)).
#pragma once

#include <sys/resource.h>

#include "kernel/task/process_internal.h"

template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<rusage> = true;

namespace cofferdam::syscalls {

inline rusage to_rusage(kernel::GroupUsage const& u) {
  rusage out{};
  out.ru_utime = kernel::to_timeval(u.user_ns);
  out.ru_stime = kernel::to_timeval(u.system_ns);
  out.ru_maxrss = static_cast<long>(u.max_resident_bytes >> 10);
  out.ru_minflt = static_cast<long>(u.minor_faults);
  out.ru_majflt = static_cast<long>(u.major_faults);
  out.ru_nvcsw = static_cast<long>(u.voluntary_switches);
  out.ru_nivcsw = static_cast<long>(u.involuntary_switches);
  return out;
}

}  // namespace cofferdam::syscalls

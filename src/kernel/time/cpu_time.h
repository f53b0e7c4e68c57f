// CPU time and other use of resources by tasks and groups (getrusage(2), CPU-time clocks).
#pragma once

#include "kernel/task/process_internal.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {

// All threads of the group, those that have exited included. Takes the process lock. Any thread.
GroupUsage usage_of(ThreadGroup&);
// One thread. Any thread.
GroupUsage usage_of(Task&);

inline Nanoseconds cpu_time(GroupUsage const& u) { return u.user_ns + u.system_ns; }

}  // namespace cofferdam::kernel

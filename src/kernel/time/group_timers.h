// Interval timers (setitimer(2)), POSIX timers (timer_create(2)) and CPU limits of a thread group.
#pragma once

#include <memory>

#include "kernel/signal/signal.h"
#include "kernel/task/thread_group.h"
#include "kernel/time/timer_queue.h"

namespace cofferdam::kernel {

// A signal has left the group's or a task's queue: a periodic timer behind it runs on, and its overrun count goes into
// the signal. (Timers wait for their signal to be taken, so that the guest paces them.)
void signal_taken(ThreadGroup&, SignalInfo&, ProcessLocked const&);

}  // namespace cofferdam::kernel

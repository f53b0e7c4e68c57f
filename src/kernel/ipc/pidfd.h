// Process descriptors (pidfd_open(2)).
#pragma once

#include "base/ref.h"
#include "base/result.h"
#include "kernel/task/thread_group.h"
#include "kernel/vfs/file.h"

namespace cofferdam::kernel {

// A descriptor for a process. flags: O_NONBLOCK (PIDFD_NONBLOCK). Readable once the process has exited.
Ref<File> make_pidfd(Ref<ThreadGroup>, int flags = 0);
// Null when the file is no pidfd.
Ref<ThreadGroup> group_of(File&);
// The same, and that of an open directory /proc/PID: for pidfd_send_signal(2).
Ref<ThreadGroup> group_to_signal(File&);

}  // namespace cofferdam::kernel

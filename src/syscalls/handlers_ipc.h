// Handlers of this family; each is documented by its man page.
#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "kernel/user_memory.h"
#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

struct PipeDescriptors {
  int32_t read_end, write_end;
};
using PipeFlags = Flags<struct PipeFlagsTag, O_CLOEXEC | O_NONBLOCK | O_DIRECT>;
Result<void> sys_pipe(Task&, UserPtr<PipeDescriptors> fds);
Result<void> sys_pipe2(Task&, UserPtr<PipeDescriptors> fds, PipeFlags);

// System V IPC: ipc_sysv.cc.
Result<int> sys_shmget(Task&, int key, uint64_t size, int flags);
Result<uint64_t> sys_shmat(Task&, int id, uint64_t address, int flags);
Result<void> sys_shmdt(Task&, uint64_t address);
Result<int> sys_shmctl(Task&, int id, int command, UserAddr buffer);
Result<int> sys_semget(Task&, int key, int count, int flags);
Result<void> sys_semop(Task&, int id, UserAddr operations, uint64_t count);
Result<void> sys_semtimedop(Task&, int id, UserAddr operations, uint64_t count, UserPtr<timespec> timeout);
Result<int> sys_semctl(Task&, int id, int number, int command, uint64_t argument);
Result<int> sys_msgget(Task&, int key, int flags);
Result<void> sys_msgsnd(Task&, int id, UserAddr message, uint64_t size, int flags);
Result<uint64_t> sys_msgrcv(Task&, int id, UserAddr message, uint64_t size, int64_t type, int flags);
Result<int> sys_msgctl(Task&, int id, int command, UserAddr buffer);

using EventFlags = Flags<struct EventFlagsTag, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE>;
Result<int> sys_eventfd(Task&, uint32_t initial);
Result<int> sys_eventfd2(Task&, uint32_t initial, EventFlags);

using SignalFileFlags = Flags<struct SignalFileFlagsTag, SFD_CLOEXEC | SFD_NONBLOCK>;
Result<int> sys_signalfd(Task&, Fd fd, UserPtr<uint64_t> mask, uint64_t size);
Result<int> sys_signalfd4(Task&, Fd fd, UserPtr<uint64_t> mask, uint64_t size, SignalFileFlags);

using TimerCreateFlags = Flags<struct TimerCreateFlagsTag, TFD_CLOEXEC | TFD_NONBLOCK>;
using TimerSetFlags = Flags<struct TimerSetFlagsTag, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET>;
Result<int> sys_timerfd_create(Task&, int32_t clock, TimerCreateFlags);
Result<void> sys_timerfd_settime(Task&, Fd fd, TimerSetFlags, UserPtr<itimerspec> new_value,
                                 UserPtr<itimerspec> old_value);
Result<void> sys_timerfd_gettime(Task&, Fd fd, UserPtr<itimerspec> value);

using PidFileFlags = Flags<struct PidFileFlagsTag, O_NONBLOCK>;  // PIDFD_NONBLOCK
Result<int> sys_pidfd_open(Task&, int32_t pid, PidFileFlags);
Result<int> sys_pidfd_getfd(Task&, Fd pidfd, Fd target_fd, Flags<struct PidGetFlags, 0>);

}  // namespace cofferdam::syscalls

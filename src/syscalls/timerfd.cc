// timerfd_create(2), timerfd_settime(2), timerfd_gettime(2).
#include "kernel/ipc/timerfd.h"

#include "kernel/kernel.h"
#include "kernel/task/thread_group.h"
#include "syscalls/handlers_ipc.h"

namespace cofferdam::syscalls {
namespace {

using kernel::TimerFile;

struct OpenTimer {
  Ref<kernel::File> file;
  TimerFile* timer;
};

Result<OpenTimer> timer_at(Task& task, Fd fd) {
  auto file = TRY(task.file(fd.value));
  auto* timer = dynamic_cast<TimerFile*>(file.get());
  if (!timer) return fail(Errno::Inval);
  return OpenTimer{std::move(file), timer};
}

itimerspec as_itimerspec(TimerFile::Setting const& s) {
  return {kernel::to_timespec(s.interval), kernel::to_timespec(s.value)};
}

}  // namespace

Result<int> sys_timerfd_create(Task& task, int32_t clock, TimerCreateFlags flags) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
      break;
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
      if (!task.capable(CAP_WAKE_ALARM)) return fail(Errno::Perm);
      break;
    default:
      return fail(Errno::Inval);
  }
  auto file = make_ref<TimerFile>(task.kernel().timers(), clock, static_cast<int>(flags.bits));
  return task.files()->install(std::move(file), flags.has(TFD_CLOEXEC),
                               task.thread_group().limits.current(RLIMIT_NOFILE));
}

Result<void> sys_timerfd_settime(Task& task, Fd fd, TimerSetFlags flags, UserPtr<itimerspec> new_value,
                                 UserPtr<itimerspec> old_value) {
  auto wanted = TRY(task.read(new_value));
  TimerFile::Setting setting{TRY(kernel::to_nanoseconds(wanted.it_value)),
                             TRY(kernel::to_nanoseconds(wanted.it_interval))};
  auto open = TRY(timer_at(task, fd));
  auto before = open.timer->set(setting, static_cast<int>(flags.bits));
  if (old_value) TRY(task.write(old_value, as_itimerspec(before)));
  return {};
}

Result<void> sys_timerfd_gettime(Task& task, Fd fd, UserPtr<itimerspec> value) {
  auto open = TRY(timer_at(task, fd));
  return task.write(value, as_itimerspec(open.timer->get()));
}

}  // namespace cofferdam::syscalls

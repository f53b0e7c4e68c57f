#include "syscalls/wait_arguments.h"

namespace cofferdam::syscalls {

using kernel::Deadline;
using kernel::SignalSet;
using kernel::Task;
using kernel::UserPtr;

Result<Deadline> read_relative_timeout(Task& task, UserPtr<timespec> timeout) {
  if (!timeout) return Deadline::never();
  return Deadline::after(TRY(kernel::to_nanoseconds(TRY(task.read(timeout)))));
}

Deadline deadline_from_milliseconds(int64_t timeout_ms) {
  if (timeout_ms < 0) return Deadline::never();
  return Deadline::after(timeout_ms * 1'000'000);
}

Result<void> set_temporary_mask(Task& task, UserPtr<uint64_t> mask, size_t size) {
  if (!mask) return {};
  if (size != sizeof(uint64_t)) return fail(Errno::Inval);
  task.set_temporary_signal_mask(SignalSet(TRY(task.read(mask))).maskable());
  return {};
}

}  // namespace cofferdam::syscalls

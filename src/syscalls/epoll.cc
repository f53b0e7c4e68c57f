// epoll_create(2), epoll_ctl(2), epoll_wait(2).
#include <limits>

#include "kernel/kernel.h"
#include "kernel/task/thread_group.h"
#include "syscalls/handlers_poll.h"
#include "syscalls/wait_arguments.h"

namespace cofferdam::syscalls {
namespace {

using kernel::Deadline;
using kernel::EpollEvent;
using kernel::EpollFile;
using kernel::File;

constexpr int32_t max_events = std::numeric_limits<int32_t>::max() / static_cast<int32_t>(sizeof(EpollEvent));

Result<int> create(Task& task, bool close_on_exec) {
  return task.files()->install(make_ref<EpollFile>(task.kernel()), close_on_exec,
                               task.thread_group().limits.current(RLIMIT_NOFILE));
}

Result<int64_t> wait(Task& task, Fd fd, UserPtr<EpollEvent> events, int32_t max, Deadline deadline) {
  if (max <= 0 || max > max_events) return fail(Errno::Inval);
  auto file = TRY(task.file(fd.value));
  auto* epoll = dynamic_cast<EpollFile*>(file.get());
  if (!epoll) return fail(Errno::Inval);
  return static_cast<int64_t>(TRY(epoll->wait(task, events, static_cast<size_t>(max), deadline)));
}

}  // namespace

Result<int> sys_epoll_create(Task& task, int32_t size) {
  if (size <= 0) return fail(Errno::Inval);
  return create(task, false);
}

Result<int> sys_epoll_create1(Task& task, Flags<struct EpollCreateFlags, EPOLL_CLOEXEC> flags) {
  return create(task, flags.has(EPOLL_CLOEXEC));
}

Result<void> sys_epoll_ctl(Task& task, Fd epoll_fd, int32_t operation, Fd target_fd, UserPtr<EpollEvent> address) {
  EpollEvent event{};
  if (operation != EPOLL_CTL_DEL) event = TRY(task.read(address));
  auto file = TRY(task.file(epoll_fd.value));
  auto target = TRY(task.file(target_fd.value));
  if (!target->pollable()) return fail(Errno::Perm);
  auto* epoll = dynamic_cast<EpollFile*>(file.get());
  if (!epoll || file == target) return fail(Errno::Inval);
  switch (operation) {
    case EPOLL_CTL_ADD:
      return epoll->epoll().add(task, *target, target_fd.value, event);
    case EPOLL_CTL_MOD:
      return epoll->epoll().modify(task, *target, target_fd.value, event);
    case EPOLL_CTL_DEL:
      return epoll->epoll().remove(*target, target_fd.value);
    default:
      return fail(Errno::Inval);
  }
}

Result<int64_t> sys_epoll_wait(Task& task, Fd epoll, UserPtr<EpollEvent> events, int32_t max, int32_t timeout_ms) {
  return wait(task, epoll, events, max, deadline_from_milliseconds(timeout_ms));
}

Result<int64_t> sys_epoll_pwait(Task& task, Fd epoll, UserPtr<EpollEvent> events, int32_t max, int32_t timeout_ms,
                                UserPtr<uint64_t> mask, uint64_t mask_size) {
  TRY(set_temporary_mask(task, mask, mask_size));
  return wait(task, epoll, events, max, deadline_from_milliseconds(timeout_ms));
}

Result<int64_t> sys_epoll_pwait2(Task& task, Fd epoll, UserPtr<EpollEvent> events, int32_t max,
                                 UserPtr<timespec> timeout, UserPtr<uint64_t> mask, uint64_t mask_size) {
  Deadline deadline = TRY(read_relative_timeout(task, timeout));
  TRY(set_temporary_mask(task, mask, mask_size));
  return wait(task, epoll, events, max, deadline);
}

}  // namespace cofferdam::syscalls

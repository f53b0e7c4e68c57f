// poll(2), ppoll(2).
#include <vector>

#include "kernel/task/thread_group.h"
#include "syscalls/handlers_poll.h"
#include "syscalls/poll_set.h"
#include "syscalls/wait_arguments.h"

namespace cofferdam::syscalls {
namespace {

using kernel::Deadline;
using kernel::to_timespec;

constexpr size_t not_waited_for = SIZE_MAX;

int16_t as_revents(kernel::PollMask ready) { return static_cast<int16_t>(ready); }

// What comes back in one entry: nothing for a negative descriptor, POLLNVAL for one that is not open.
Result<int64_t> poll_until(Task& task, UserPtr<pollfd> address, uint32_t count, Deadline deadline) {
  if (count > task.thread_group().limits.current(RLIMIT_NOFILE)) return fail(Errno::Inval);
  auto fds = TRY(task.read_array(address, count));
  auto files = task.files();
  PollSet set(task);
  std::vector<size_t> index(count, not_waited_for);
  int64_t answered = 0;
  for (size_t i = 0; i < count; ++i) {
    fds[i].revents = 0;
    if (fds[i].fd < 0) continue;
    auto file = files->get(fds[i].fd);
    if (file) {
      index[i] = set.add(std::move(*file), static_cast<uint16_t>(fds[i].events) | EPOLLERR | EPOLLHUP);
    } else {
      fds[i].revents = POLLNVAL;
      ++answered;
    }
  }
  size_t ready = TRY(set.wait(answered != 0 ? Deadline::at(0) : deadline));
  if (ready != 0) {
    for (size_t i = 0; i < count; ++i)
      if (index[i] != not_waited_for) fds[i].revents = as_revents(set.ready(index[i]));
  }
  TRY(task.write_array(address, std::span<pollfd const>(fds)));
  return answered + static_cast<int64_t>(ready);
}

}  // namespace

Result<int64_t> sys_poll(Task& task, UserPtr<pollfd> fds, uint32_t count, int32_t timeout_ms) {
  Deadline deadline = deadline_from_milliseconds(timeout_ms);
  auto result = poll_until(task, fds, count, deadline);
  if (result || result.error() != Errno::RestartSys) return result;
  task.set_restart([=](Task& again) -> Result<uint64_t> {
    auto r = poll_until(again, fds, count, deadline);
    if (!r && r.error() == Errno::RestartSys) return fail(Errno::RestartRestartBlock);
    if (!r) return std::unexpected(r.error());
    return static_cast<uint64_t>(*r);
  });
  return fail(Errno::RestartRestartBlock);
}

Result<int64_t> sys_ppoll(Task& task, UserPtr<pollfd> fds, uint32_t count, UserPtr<timespec> timeout,
                          UserPtr<uint64_t> mask, uint64_t mask_size) {
  Deadline deadline = TRY(read_relative_timeout(task, timeout));
  TRY(set_temporary_mask(task, mask, mask_size));
  auto result = poll_until(task, fds, count, deadline);
  bool restarts = !result && result.error() == Errno::RestartSys;
  if (timeout && (result || restarts)) {
    auto written = task.write(timeout, to_timespec(deadline.remaining_ns()));
    if (!written && restarts) return fail(Errno::Intr);  // a restart would begin with the whole time-out again
  }
  if (restarts) return fail(Errno::RestartNoHand);
  return result;
}

}  // namespace cofferdam::syscalls

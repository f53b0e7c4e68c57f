// select(2), pselect6(2).
#include <array>
#include <bit>
#include <vector>

#include "syscalls/handlers_poll.h"
#include "syscalls/poll_set.h"
#include "syscalls/wait_arguments.h"

namespace cofferdam::syscalls {
namespace {

using kernel::Deadline;
using kernel::PollMask;

constexpr size_t word_bits = 64;

// What of a file's state counts in each set: POLLIN_SET, POLLOUT_SET, POLLEX_SET of Linux's select.c.
constexpr std::array<PollMask, 3> kinds{EPOLLIN | EPOLLRDNORM | EPOLLRDBAND | EPOLLHUP | EPOLLERR,
                                        EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND | EPOLLERR, EPOLLPRI};

using Words = std::vector<uint64_t>;

struct Sets {
  std::array<UserPtr<uint64_t>, 3> addresses;
  std::array<Words, 3> words;  // empty: the set is not given
};

bool has(Words const& words, size_t bit) {
  return !words.empty() && ((words[bit / word_bits] >> (bit % word_bits)) & 1);
}

Result<Sets> read_sets(Task& task, size_t count, std::array<UserPtr<uint64_t>, 3> addresses) {
  Sets sets{addresses, {}};
  for (size_t k = 0; k < kinds.size(); ++k)
    if (addresses[k]) sets.words[k] = TRY(task.read_array(addresses[k], (count + word_bits - 1) / word_bits));
  return sets;
}

struct Watched {
  size_t fd, index;
};

// EBADF for a descriptor that is not open.
Result<std::vector<Watched>> add_all(Task& task, PollSet& poll, Sets const& sets, size_t count) {
  auto files = task.files();
  std::vector<Watched> watched;
  for (size_t fd = 0; fd < count; ++fd) {
    PollMask wanted = 0;
    for (size_t k = 0; k < kinds.size(); ++k)
      if (has(sets.words[k], fd)) wanted |= kinds[k];
    if (wanted == 0) continue;
    watched.push_back({fd, poll.add(TRY(files->get(static_cast<int>(fd))), wanted)});
  }
  return watched;
}

Result<int64_t> select_until(Task& task, int32_t count, std::array<UserPtr<uint64_t>, 3> addresses, Deadline deadline) {
  if (count < 0) return fail(Errno::Inval);
  size_t n = std::min(static_cast<size_t>(count), task.files()->capacity());
  Sets sets = TRY(read_sets(task, n, addresses));
  PollSet poll(task);
  auto watched = TRY(add_all(task, poll, sets, n));
  int64_t total = 0;
  TRY(poll.wait(deadline));
  std::array<Words, 3> answer;
  for (size_t k = 0; k < kinds.size(); ++k) answer[k].assign(sets.words[k].size(), 0);
  for (auto [fd, index] : watched) {
    for (size_t k = 0; k < kinds.size(); ++k) {
      if (!has(sets.words[k], fd) || (poll.ready(index) & kinds[k]) == 0) continue;
      answer[k][fd / word_bits] |= uint64_t{1} << (fd % word_bits);
      ++total;
    }
  }
  for (size_t k = 0; k < kinds.size(); ++k)
    if (sets.addresses[k]) TRY(task.write_array(sets.addresses[k], std::span<uint64_t const>(answer[k])));
  return total;
}

// Writes the time that is left; a call that restarts needs it, else it would wait the whole time again.
template <class Time>
Result<int64_t> finish(Task& task, Result<int64_t> result, UserPtr<Time> timeout, Time left) {
  bool restarts = !result && result.error() == Errno::RestartSys;
  if (timeout && (result || restarts)) {
    auto written = task.write(timeout, left);
    if (!written && restarts) return fail(Errno::Intr);
  }
  if (restarts) return fail(Errno::RestartNoHand);
  return result;
}

Result<Deadline> deadline_of(timeval const& t) {
  if (t.tv_sec < 0 || t.tv_usec < 0) return fail(Errno::Inval);
  // select(2) takes microseconds of more than a second too.
  int64_t ns;
  if (__builtin_mul_overflow(t.tv_sec, kernel::ns_per_second, &ns)) ns = INT64_MAX;
  int64_t us_ns;
  if (__builtin_mul_overflow(t.tv_usec, int64_t{1000}, &us_ns)) us_ns = INT64_MAX;
  if (__builtin_add_overflow(ns, us_ns, &ns)) ns = INT64_MAX;
  return Deadline::after(ns);
}

}  // namespace

Result<int64_t> sys_select(Task& task, int32_t count, UserPtr<uint64_t> in, UserPtr<uint64_t> out,
                           UserPtr<uint64_t> except, UserPtr<timeval> timeout) {
  Deadline deadline = timeout ? TRY(deadline_of(TRY(task.read(timeout)))) : Deadline::never();
  auto result = select_until(task, count, {in, out, except}, deadline);
  return finish(task, result, timeout, kernel::to_timeval(deadline.remaining_ns()));
}

Result<int64_t> sys_pselect6(Task& task, int32_t count, UserPtr<uint64_t> in, UserPtr<uint64_t> out,
                             UserPtr<uint64_t> except, UserPtr<timespec> timeout, UserPtr<MaskArgument> mask) {
  MaskArgument argument = mask ? TRY(task.read(mask)) : MaskArgument{};
  Deadline deadline = TRY(read_relative_timeout(task, timeout));
  TRY(set_temporary_mask(task, UserPtr<uint64_t>(argument.mask), argument.size));
  auto result = select_until(task, count, {in, out, except}, deadline);
  return finish(task, result, timeout, kernel::to_timespec(deadline.remaining_ns()));
}

}  // namespace cofferdam::syscalls

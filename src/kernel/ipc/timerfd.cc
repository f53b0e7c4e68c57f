#include "kernel/ipc/timerfd.h"

#include <sys/ioctl.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

constexpr uint32_t tfd_ioc_set_ticks = 0x40085400;  // TFD_IOC_SET_TICKS

// Alarm clocks wake a suspended machine; a sandbox is never suspended.
clockid_t base_clock(clockid_t clock) {
  if (clock == CLOCK_REALTIME_ALARM) return CLOCK_REALTIME;
  if (clock == CLOCK_BOOTTIME_ALARM) return CLOCK_BOOTTIME;
  return clock;
}

}  // namespace

TimerFile::TimerFile(TimerQueue& timers, clockid_t clock, int flags)
    : AnonymousFile("timerfd", O_RDWR | (flags & O_NONBLOCK)), clock_(clock), timer_(timers, [this] { fire(); }) {}

void TimerFile::arm() {
  if (next_ != 0)
    timer_.arm(next_);
  else
    timer_.cancel();
}

void TimerFile::advance(Nanoseconds now) {
  if (next_ == 0 || now < next_) return;
  if (interval_ == 0) {
    ++expirations_;
    next_ = 0;
    return;
  }
  Nanoseconds periods = (now - next_) / interval_ + 1;
  expirations_ += static_cast<uint64_t>(periods);
  if (__builtin_mul_overflow(periods, interval_, &periods) || __builtin_add_overflow(next_, periods, &next_))
    next_ = INT64_MAX;
}

void TimerFile::fire() {
  {
    MutexLock lock(mutex_);
    advance(host_now(CLOCK_MONOTONIC));
    // The next expiration of a periodic timer is armed when this one has been read: an unread timer costs nothing.
    if (expirations_ == 0) {
      arm();
      return;
    }
  }
  queue_.wake(EPOLLIN | EPOLLRDNORM);
}

TimerFile::Setting TimerFile::remaining() {
  Nanoseconds now = host_now(CLOCK_MONOTONIC);
  advance(now);
  return {next_ == 0 ? 0 : std::max<Nanoseconds>(next_ - now, 1), interval_};
}

TimerFile::Setting TimerFile::set(Setting const& wanted, int flags) {
  MutexLock lock(mutex_);
  Setting before = remaining();
  expirations_ = 0;
  interval_ = wanted.interval;
  settime_flags_ = flags;
  next_ = 0;
  if (wanted.value != 0) {
    Nanoseconds delay = wanted.value;
    if (flags & TFD_TIMER_ABSTIME) delay = wanted.value - host_now(base_clock(clock_));
    if (__builtin_add_overflow(host_now(CLOCK_MONOTONIC), delay, &next_)) next_ = INT64_MAX;
    next_ = std::max<Nanoseconds>(next_, 1);
  }
  arm();
  return before;
}

TimerFile::Setting TimerFile::get() {
  MutexLock lock(mutex_);
  return remaining();
}

Result<uint64_t> TimerFile::take_expirations() {
  MutexLock lock(mutex_);
  advance(host_now(CLOCK_MONOTONIC));
  if (expirations_ == 0) return fail(Errno::Again);
  if (next_ != 0) timer_.arm(next_);
  return std::exchange(expirations_, 0);
}

Result<size_t> TimerFile::read(Task& task, IoSink& to, uint64_t, IoOptions options) {
  if (to.remaining() < sizeof(uint64_t)) return fail(Errno::Inval);
  for (;;) {
    auto count = take_expirations();
    if (count) {
      TRY(to.put(std::as_bytes(std::span(&*count, 1))));
      return sizeof(uint64_t);
    }
    if (options.nowait || nonblocking()) return std::unexpected(count.error());
    TRY(task.wait_until(queue_, EPOLLIN, Deadline::never(), [&] { return poll() != 0; }));
  }
}

Result<uint64_t> TimerFile::ioctl(Task& task, uint32_t request, uint64_t argument) {
  if (request != tfd_ioc_set_ticks) return fail(Errno::NoTty);
  uint64_t ticks = TRY(task.read(UserPtr<uint64_t>(argument)));
  if (ticks == 0) return fail(Errno::Inval);
  {
    MutexLock lock(mutex_);
    expirations_ = ticks;
  }
  queue_.wake(EPOLLIN | EPOLLRDNORM);
  return 0;
}

PollMask TimerFile::poll() {
  MutexLock lock(mutex_);
  return expirations_ != 0 ? EPOLLIN | EPOLLRDNORM : 0;
}

std::string TimerFile::fdinfo() {
  MutexLock lock(mutex_);
  Setting left = remaining();
  return fmt::format("clockid: {}\nticks: {}\nsettime flags: 0{:o}\nit_value: ({}, {})\nit_interval: ({}, {})\n",
                     clock_, expirations_, settime_flags_, left.value / ns_per_second, left.value % ns_per_second,
                     left.interval / ns_per_second, left.interval % ns_per_second);
}

}  // namespace cofferdam::kernel

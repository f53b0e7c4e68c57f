#include "kernel/ipc/eventfd.h"

#include <limits>

#include <fmt/core.h>

#include "kernel/task/task.h"

namespace cofferdam::kernel {

EventFile::EventFile(uint64_t initial, Mode mode, int flags)
    : AnonymousFile("eventfd", O_RDWR | (flags & O_NONBLOCK)), mode_(mode), count_(initial) {}

Result<uint64_t> EventFile::take() {
  uint64_t value;
  {
    MutexLock lock(mutex_);
    if (count_ == 0) return fail(Errno::Again);
    value = mode_ == Mode::Semaphore ? 1 : count_;
    count_ -= value;
  }
  queue_.wake(EPOLLOUT | EPOLLWRNORM, std::numeric_limits<size_t>::max());
  return value;
}

Result<void> EventFile::add(uint64_t n) {
  {
    MutexLock lock(mutex_);
    if (n > max_count - count_) return fail(Errno::Again);
    count_ += n;
  }
  queue_.wake(EPOLLIN | EPOLLRDNORM);
  return {};
}

Result<size_t> EventFile::read(Task& task, IoSink& to, uint64_t, IoOptions options) {
  if (to.remaining() < sizeof(uint64_t)) return fail(Errno::Inval);
  for (;;) {
    auto value = take();
    if (value) {
      TRY(to.put(std::as_bytes(std::span(&*value, 1))));
      return sizeof(uint64_t);
    }
    if (options.nowait || nonblocking()) return std::unexpected(value.error());
    TRY(task.wait_until(queue_, EPOLLIN, Deadline::never(), [&] { return (poll() & EPOLLIN) != 0; }));
  }
}

Result<size_t> EventFile::write(Task& task, IoSource& from, uint64_t, IoOptions options) {
  if (from.remaining() < sizeof(uint64_t)) return fail(Errno::Inval);
  uint64_t value = 0;
  if (TRY(from.get(std::as_writable_bytes(std::span(&value, 1)))) != sizeof value) return fail(Errno::Fault);
  if (value == UINT64_MAX) return fail(Errno::Inval);
  for (;;) {
    auto added = add(value);
    if (added) return sizeof value;
    if (options.nowait || nonblocking()) return std::unexpected(added.error());
    TRY(task.wait_until(queue_, EPOLLOUT, Deadline::never(), [&] {
      MutexLock lock(mutex_);
      return value <= max_count - count_;
    }));
  }
}

PollMask EventFile::poll() {
  MutexLock lock(mutex_);
  PollMask ready = 0;
  if (count_ > 0) ready |= EPOLLIN | EPOLLRDNORM;
  if (count_ < max_count) ready |= EPOLLOUT | EPOLLWRNORM;
  return ready;
}

std::string EventFile::fdinfo() {
  MutexLock lock(mutex_);
  return fmt::format("eventfd-count: {:16x}\neventfd-semaphore: {}\n", count_, mode_ == Mode::Semaphore ? 1 : 0);
}

}  // namespace cofferdam::kernel

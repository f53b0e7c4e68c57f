#include "kernel/ipc/signalfd.h"

#include <sys/signalfd.h>

#include <fmt/core.h>

#include "kernel/signal/delivery.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

static_assert(sizeof(signalfd_siginfo) == 128);

signalfd_siginfo record_of(SignalInfo const& info) {
  siginfo_t const& raw = info.raw;
  signalfd_siginfo r{};
  r.ssi_signo = static_cast<uint32_t>(raw.si_signo);
  r.ssi_errno = raw.si_errno;
  r.ssi_code = raw.si_code;
  if (raw.si_code == SI_TIMER) {
    r.ssi_tid = static_cast<uint32_t>(raw.si_timerid);
    r.ssi_overrun = static_cast<uint32_t>(raw.si_overrun);
    r.ssi_int = raw.si_value.sival_int;
    std::memcpy(&r.ssi_ptr, &raw.si_value, sizeof r.ssi_ptr);
    return r;
  }
  if (raw.si_code == SI_KERNEL) return r;
  if (raw.si_code > 0 && (raw.si_signo == SIGSEGV || raw.si_signo == SIGBUS || raw.si_signo == SIGILL ||
                          raw.si_signo == SIGFPE || raw.si_signo == SIGTRAP)) {
    std::memcpy(&r.ssi_addr, &raw.si_addr, sizeof r.ssi_addr);
    return r;
  }
  if (raw.si_signo == SIGPOLL && raw.si_code > 0) {
    r.ssi_band = static_cast<uint32_t>(raw.si_band);
    r.ssi_fd = raw.si_fd;
    return r;
  }
  r.ssi_pid = static_cast<uint32_t>(raw.si_pid);
  r.ssi_uid = raw.si_uid;
  if (raw.si_signo == SIGCHLD && raw.si_code > 0) {
    r.ssi_status = raw.si_status;
    r.ssi_utime = static_cast<uint64_t>(raw.si_utime);
    r.ssi_stime = static_cast<uint64_t>(raw.si_stime);
  } else {
    r.ssi_int = raw.si_value.sival_int;
    std::memcpy(&r.ssi_ptr, &raw.si_value, sizeof r.ssi_ptr);
  }
  return r;
}

}  // namespace

SignalFile::SignalFile(SignalSet wanted, int flags)
    : AnonymousFile("signalfd", O_RDWR | (flags & O_NONBLOCK)), wanted_(wanted.maskable().bits()) {}

void SignalFile::set_wanted(SignalSet wanted) { wanted_.store(wanted.maskable().bits(), std::memory_order_relaxed); }

Result<size_t> SignalFile::read(Task& task, IoSink& to, uint64_t, IoOptions options) {
  if (to.remaining() < sizeof(signalfd_siginfo)) return fail(Errno::Inval);
  size_t total = 0;
  while (to.remaining() >= sizeof(signalfd_siginfo)) {
    auto info = take_signal(task, wanted());
    if (info) {
      auto record = record_of(*info);
      auto put = to.put(std::as_bytes(std::span(&record, 1)));
      if (!put && total == 0) return put;
      if (!put) break;
      total += sizeof record;
      continue;
    }
    if (total != 0) break;
    if (options.nowait || nonblocking()) return fail(Errno::Again);
    TRY(task.wait_until(signal_arrival(task), EPOLLIN, Deadline::never(), [&] { return poll_as(task) != 0; }));
  }
  return total;
}

PollMask SignalFile::poll_as(Task& task) {
  return (pending_signals(task) & wanted()).empty() ? 0 : EPOLLIN | EPOLLRDNORM;
}

WaitQueue* SignalFile::wait_queue_as(Task& task) { return &signal_arrival(task); }

std::string SignalFile::fdinfo() { return fmt::format("sigmask:\t{:016x}\n", wanted_.load(std::memory_order_relaxed)); }

}  // namespace cofferdam::kernel

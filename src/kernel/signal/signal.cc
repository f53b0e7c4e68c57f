#include "kernel/signal/signal.h"

namespace cofferdam::kernel {
namespace {

constexpr SignalSet synchronous = SignalSet::of_all(SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS);
constexpr int first_real_time = 32;  // __SIGRTMIN of the kernel

}  // namespace

SignalInfo SignalInfo::from_user(int signal, int code, int32_t sender_pid, uid_t sender_uid) {
  SignalInfo info;
  info.raw.si_signo = signal;
  info.raw.si_code = code;
  info.raw.si_pid = sender_pid;
  info.raw.si_uid = sender_uid;
  return info;
}

SignalInfo SignalInfo::from_kernel(int signal) {
  SignalInfo info;
  info.raw.si_signo = signal;
  info.raw.si_code = SI_KERNEL;
  return info;
}

SignalInfo SignalInfo::fault(int signal, int code, uint64_t address) {
  SignalInfo info;
  info.raw.si_signo = signal;
  info.raw.si_code = code;
  std::memcpy(&info.raw.si_addr, &address, sizeof address);
  return info;
}

PendingSignals::Outcome PendingSignals::enqueue(SignalInfo const& info, uint64_t limit) {
  int signal = info.signal();
  bool standard = signal < first_real_time;
  if (standard && set().has(signal)) return Outcome::Merged;
  // What the kernel itself or kill(2) sends as a standard signal is never refused (legacy_queue, override_rlimit of
  // Linux).
  bool unlimited = standard && info.code() >= 0;
  if (!unlimited && queue_.size() >= limit) {
    if (!standard && info.code() != SI_USER) return Outcome::Full;
  } else {
    queue_.push_back(info);
  }
  set_.fetch_or(SignalSet::of(signal).bits(), std::memory_order_seq_cst);
  return Outcome::Queued;
}

void PendingSignals::enqueue_timer(SignalInfo const& info) {
  queue_.push_back(info);
  set_.fetch_or(SignalSet::of(info.signal()).bits(), std::memory_order_seq_cst);
}

std::optional<SignalInfo> PendingSignals::dequeue(SignalSet blocked) {
  SignalSet ready = set() & ~blocked;
  if (ready.empty()) return std::nullopt;
  if (SignalSet faults = ready & synchronous; !faults.empty()) ready = faults;
  int signal = __builtin_ctzll(ready.bits()) + 1;

  std::optional<SignalInfo> found;
  bool more = false;
  for (auto it = queue_.begin(); it != queue_.end();) {
    if (it->signal() != signal) {
      ++it;
    } else if (found) {
      more = true;
      break;
    } else {
      found = *it;
      it = queue_.erase(it);
    }
  }
  if (!more) set_.fetch_and(~SignalSet::of(signal).bits(), std::memory_order_seq_cst);
  if (!found) found = SignalInfo::from_user(signal, SI_USER, 0, 0);  // its entry did not fit the queue
  return found;
}

void PendingSignals::discard(SignalSet gone) {
  if ((set() & gone).empty()) return;
  std::erase_if(queue_, [gone](SignalInfo const& i) { return gone.has(i.signal()); });
  set_.fetch_and(~gone.bits(), std::memory_order_seq_cst);
}

void PendingSignals::discard_timer(int timer_id) {
  int signal = 0;
  std::erase_if(queue_, [&](SignalInfo const& i) {
    if (i.code() != SI_TIMER || i.raw.si_timerid != timer_id) return false;
    signal = i.signal();
    return true;
  });
  if (signal == 0) return;
  for (auto const& i : queue_)
    if (i.signal() == signal) return;
  set_.fetch_and(~SignalSet::of(signal).bits(), std::memory_order_seq_cst);
}

bool default_is_ignore(int signal) { return SignalSet::of_all(SIGCHLD, SIGCONT, SIGURG, SIGWINCH).has(signal); }

bool default_is_stop(int signal) { return SignalSet::of_all(SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU).has(signal); }

bool default_dumps_core(int signal) {
  return SignalSet::of_all(SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGSEGV, SIGBUS, SIGSYS, SIGXCPU, SIGXFSZ)
      .has(signal);
}

}  // namespace cofferdam::kernel

// Signals: sets, dispositions, queued instances (signal(7)).
#pragma once

#include <signal.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <list>
#include <optional>

#include "base/ref.h"
#include "kernel/user_memory.h"

namespace cofferdam::kernel {

inline constexpr int signal_count = 64;

class SignalSet {
 public:
  constexpr SignalSet() = default;
  constexpr explicit SignalSet(uint64_t bits) : bits_(bits) {}
  static constexpr SignalSet of(int signal) { return SignalSet(uint64_t{1} << (signal - 1)); }
  template <class... S>
  static constexpr SignalSet of_all(S... signals) {
    return SignalSet((of(signals).bits_ | ...));
  }
  constexpr bool has(int signal) const { return (bits_ >> (signal - 1)) & 1; }
  constexpr void add(int signal) { bits_ |= uint64_t{1} << (signal - 1); }
  constexpr void remove(int signal) { bits_ &= ~(uint64_t{1} << (signal - 1)); }
  constexpr uint64_t bits() const { return bits_; }
  constexpr bool empty() const { return bits_ == 0; }
  friend constexpr SignalSet operator|(SignalSet a, SignalSet b) { return SignalSet(a.bits_ | b.bits_); }
  friend constexpr SignalSet operator&(SignalSet a, SignalSet b) { return SignalSet(a.bits_ & b.bits_); }
  friend constexpr SignalSet operator~(SignalSet a) { return SignalSet(~a.bits_); }
  friend constexpr bool operator==(SignalSet, SignalSet) = default;
  // A guest's mask: SIGKILL and SIGSTOP can never be blocked.
  constexpr SignalSet maskable() const { return SignalSet(bits_ & ~(of(SIGKILL).bits_ | of(SIGSTOP).bits_)); }

 private:
  uint64_t bits_ = 0;
};

// struct sigaction as rt_sigaction(2) passes it.
struct SignalAction {
  uint64_t handler = 0;  // SIG_DFL 0, SIG_IGN 1
  uint64_t flags = 0;
  uint64_t restorer = 0;
  SignalSet mask;
};
static_assert(sizeof(SignalAction) == 32);

// siginfo_t in the guest's layout, 128 bytes, all of them defined.
struct SignalInfo {
  siginfo_t raw;
  SignalInfo() { std::memset(&raw, 0, sizeof raw); }
  int signal() const { return raw.si_signo; }
  int code() const { return raw.si_code; }
  static SignalInfo from_user(int signal, int code, int32_t sender_pid, uid_t sender_uid);
  static SignalInfo from_kernel(int signal);  // SI_KERNEL
  static SignalInfo fault(int signal, int code, uint64_t address);
};

// Signals waiting for a task or a thread group: standard ones at most once, real-time ones queued (RLIMIT_SIGPENDING).
// Changed under the process lock; set() may be read without it.
class PendingSignals {
 public:
  enum class Outcome { Queued, Merged, Full };  // Merged: a standard signal that was pending already
  SignalSet set() const { return SignalSet(set_.load(std::memory_order_seq_cst)); }
  // `limit`: how many entries the queue may hold. A full queue refuses real-time signals that carry data; other signals
  // become pending without their data, as on Linux.
  Outcome enqueue(SignalInfo const&, uint64_t limit);
  // A timer's expiry: takes no room of the limit and is not merged; its timer keeps it to one at a time.
  void enqueue_timer(SignalInfo const&);
  // The next by Linux's order among those not in `blocked`: synchronous faults first, then lowest number.
  std::optional<SignalInfo> dequeue(SignalSet blocked);
  void discard(SignalSet);
  // Drops one timer's expiry (timer_delete); si_timerid in the kernel's numbering.
  void discard_timer(int timer_id);
  bool empty() const { return set().empty(); }
  size_t queued() const { return queue_.size(); }

 private:
  std::atomic<uint64_t> set_{0};
  std::list<SignalInfo> queue_;
};

// Dispositions; shared by CLONE_SIGHAND. Guarded by the process lock.
struct SignalHandlers : RefCounted {
  std::array<SignalAction, signal_count> actions{};
  SignalAction& operator[](int signal) { return actions[static_cast<size_t>(signal - 1)]; }
};

inline constexpr uint64_t signal_default = 0, signal_ignore = 1;  // SIG_DFL and SIG_IGN as handler

bool default_is_ignore(int signal);  // SIGCHLD, SIGCONT, SIGURG, SIGWINCH
bool default_is_stop(int signal);    // SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU
bool default_dumps_core(int signal);

}  // namespace cofferdam::kernel

template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<cofferdam::kernel::SignalInfo> = true;

// How a sentry thread and its guest thread wait for each other: asleep on one CPU, or spinning on two.
//
// A wake-up across CPUs costs tens of microseconds where CPUs halt, a switch on one CPU five, a spin on two 0.1. So
// both threads of a pair are *bound* to one CPU while they hand over. A guest that runs on for a while without a call
// is let loose by the platform's PlacementWatch, so that the host can balance it; its next call binds the pair again.
// The watch also moves a bound pair away where several fill one CPU and another is idle.
//
// A pair that hands over very often becomes hot: it gets one of a few slots (a hot pair fills two CPUs), its sentry
// thread moves to another CPU, and both spin for a bounded time. Spins that fail cost it the slot, and a slot whose
// pair is idle goes to the next that wants it. A guest that computes or blocks makes nobody spin for long.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace cofferdam::platform::trap {

class Pace;

// Of the whole platform.
struct PaceShared {
  cpu_set_t allowed;  // CPUs that the sentry may use
  int cpus = 1;
  bool may_spin = true;
  uint64_t cycles_per_us = 2000;
  uint32_t pauses_per_spin = 1000;

  struct alignas(64) Slot {
    std::atomic<Pace*> owner{nullptr};
    std::atomic<uint64_t> active_at{0};
  };
  static constexpr size_t max_slots = 32;
  std::array<Slot, max_slots> slots;
  // Measures the clock and the pause instruction.
  void calibrate();

  // Pairs that have ever been bound; what the watch looks at. The word is 1 while it looks, 0 while it sleeps.
  Mutex bound_mutex;
  std::vector<Pace*> bound_pairs GUARDED_BY(bound_mutex);
  std::atomic<uint32_t> watching{1};
  void wake_watch();
};

class Pace {
 public:
  // `peer`: the stub's thread.
  Pace(PaceShared& shared, pid_t peer);
  ~Pace();

  bool hot() const { return slot_ != nullptr; }
  uint32_t spin_count() const { return hot() ? shared_.pauses_per_spin : 0; }

  // The stub's thread was made by one whose pair is `maker`, and so it has that one's affinity. It shall stay there, or
  // be free where both are to run side by side.
  void made_by(Pace& maker, bool side_by_side);
  // Brings the stub's thread, which sleeps, to the caller's CPU.
  void summon();
  // The thread that calls is from now on the sentry's thread of this pair.
  void adopt();
  // The guest was resumed; `peer_slept`: it did not spin long enough for the sentry.
  void resumed(bool peer_slept);
  // The sentry's thread is about to sleep: whoever wants the slot may have it.
  void sleeps();
  // The guest has stopped on that CPU; `slept`: the sentry's thread did not spin long enough for it.
  void stopped(uint32_t peer_cpu, bool slept);
  // Which CPUs the guest itself asked for.
  void set_guest_mask(cpu_set_t const& mask);

 private:
  friend class PlacementWatch;
  static constexpr uint64_t quick_us = 30;   // a round that could have been a spin
  static constexpr uint64_t idle_us = 200;   // a slot not used for so long is free
  static constexpr int streak_to_heat = 32;  // quick rounds in a row that earn a slot
  static constexpr int full_credit = 64, failure_cost = 16;
  static constexpr int most_unclocked = 4;  // hot stops without a look at the clock
  static constexpr int nowhere = -1, elsewhere = -2;

  void try_to_heat(uint32_t peer_cpu, uint64_t now);
  bool take_slot(uint64_t now);
  void cool(uint32_t peer_cpu, uint64_t now);
  void leave();
  void settle(uint32_t peer_cpu, uint64_t now);
  void bind(int cpu);
  void move_self(int cpu);
  void let_loose(uint64_t resumed_at);

  PaceShared& shared_;
  pid_t const peer_;
  PaceShared::Slot* slot_ = nullptr;
  int streak_ = 0, credit_ = 0, unclocked_ = 0;
  uint64_t stopped_at_ = 0, not_before_ = 0, heated_at_ = 0;
  uint64_t backoff_us_ = 1000;
  uint64_t loose_since_ = 0;  // when the guest was resumed last
  int own_cpu_ = nowhere;     // where the sentry's thread is bound; elsewhere: to any CPU but the guest's

  // Between the owner and the watch.
  Mutex placing_;
  cpu_set_t guest_mask_ GUARDED_BY(placing_);
  bool listed_ = false;
  std::atomic<int> bound_{nowhere};        // the CPU that the stub's thread is bound to
  std::atomic<int> wanted_{nowhere};       // where the watch wants the pair
  std::atomic<uint64_t> resumed_at_{0};    // 0: the guest is stopped
  std::atomic<uint64_t> guest_cycles_{0};  // that the guest was running or wanted to, so far
  uint64_t seen_cycles_ = 0;               // the watch's own
};

// A thread that looks every few milliseconds at the bound pairs, and sleeps while no guest runs in one.
class PlacementWatch {
 public:
  explicit PlacementWatch(PaceShared& shared);
  ~PlacementWatch();

 private:
  void run();
  bool look(uint64_t now);
  PaceShared& shared_;
  std::array<uint64_t, CPU_SETSIZE> load_{};
  uint64_t looked_at_ = 0;
  int crowded_ = 0;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace cofferdam::platform::trap

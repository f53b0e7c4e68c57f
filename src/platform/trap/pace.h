// How a sentry thread and its guest thread wait for each other: asleep on one CPU, or spinning on two.
//
// A wake-up across CPUs costs tens of microseconds where CPUs halt, a switch on one CPU five, a spin on two 0.1. So a
// pair starts on one CPU and sleeps. A pair that hands over often becomes hot: it gets one of a few slots (a hot pair
// fills two CPUs), its sentry thread moves to another CPU, and both spin for a bounded time. Spins that fail cost it
// the slot, and a slot whose pair is idle goes to the next that wants it. A guest that computes or blocks makes nobody
// spin for long.
#pragma once

#include <sched.h>

#include <array>
#include <atomic>
#include <cstdint>

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
};

class Pace {
 public:
  explicit Pace(PaceShared& shared) : shared_(shared) {}
  ~Pace() { leave(); }

  bool hot() const { return slot_ != nullptr; }
  uint32_t spin_count() const { return hot() ? shared_.pauses_per_spin : 0; }
  // The guest was resumed; `peer_slept`: it did not spin long enough for the sentry.
  void resumed(bool peer_slept) {
    if (peer_slept) credit_ -= failure_cost;
  }
  // The sentry's thread is about to sleep: whoever wants the slot may have it.
  void sleeps() {
    if (slot_ != nullptr) slot_->active_at.store(0, std::memory_order_relaxed);
  }
  // The guest has stopped on that CPU; `slept`: the sentry's thread did not spin long enough for it.
  void stopped(uint32_t peer_cpu, bool slept);

 private:
  static constexpr uint64_t quick_us = 30;  // a round that could have been a spin
  static constexpr uint64_t quick_apart_us = 300;
  static constexpr int apart_limit = 4, free_placements = 3;
  static constexpr uint64_t idle_us = 200;   // a slot not used for so long is free
  static constexpr int streak_to_heat = 32;  // quick rounds in a row that earn a slot
  static constexpr int full_credit = 64, failure_cost = 16;

  void try_to_heat(uint32_t peer_cpu, uint64_t now);
  bool take_slot(uint64_t now);
  void cool(uint32_t peer_cpu, uint64_t now);
  void leave();
  void place_beside(uint32_t peer_cpu);

  PaceShared& shared_;
  PaceShared::Slot* slot_ = nullptr;
  int streak_ = 0, credit_ = 0;
  uint64_t stopped_at_ = 0, not_before_ = 0, heated_at_ = 0;
  uint64_t backoff_us_ = 1000;
  int apart_ = 0, placements_ = 0;
};

}  // namespace cofferdam::platform::trap

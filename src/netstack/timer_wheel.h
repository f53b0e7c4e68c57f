// Timers on a hierarchical wheel: arming, moving and cancelling cost the same however many there are.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "netstack/time.h"

namespace cofferdam::netstack {

class TimerWheel;

// Something with one timer. The wheel holds a reference while it is armed.
class Timed : public RefCounted {
 public:
  // On the thread that runs the wheel, without its lock. May come earlier than asked for.
  virtual void on_timer(Time now) = 0;

 private:
  friend class TimerWheel;
  Timed* next_timer_ = nullptr;
  Timed** link_ = nullptr;  // null: not armed
  uint64_t tick_ = 0;
  uint16_t slot_ = 0;
};

class TimerWheel {
 public:
  static constexpr Time tick = millisecond;
  explicit TimerWheel(Environment& environment);
  ~TimerWheel();
  // At `when` or up to a tick later. An earlier time that it is armed for stays: on_timer looks for itself.
  void arm(Timed&, Time when);
  void cancel(Timed&);
  // Runs what is due; returns when it wants to be run again at the latest (never: not until something is armed).
  Time run(Time now);
  size_t armed() const;

 private:
  static constexpr unsigned levels = 4, slots = 64, bits = 6;
  void link(Timed&, uint64_t at) REQUIRES(mutex_);
  void unlink(Timed&) REQUIRES(mutex_);
  void cascade(unsigned level) REQUIRES(mutex_);
  void collect(uint64_t target, std::vector<Timed*>& due) REQUIRES(mutex_);
  uint64_t next_tick() const REQUIRES(mutex_);  // UINT64_MAX: none

  Environment& environment_;
  mutable Mutex mutex_;
  std::array<std::array<Timed*, slots>, levels> wheel_ GUARDED_BY(mutex_){};
  std::array<uint64_t, levels> occupied_ GUARDED_BY(mutex_){};
  uint64_t now_ GUARDED_BY(mutex_);  // ticks up to this one have run
  uint64_t promised_ GUARDED_BY(mutex_) = UINT64_MAX;
  size_t armed_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cofferdam::netstack

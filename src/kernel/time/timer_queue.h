// One-shot timers of the kernel: interval timers, POSIX timers, timerfd, alarm. One host thread, started with the
// first.
#pragma once

#include <functional>
#include <memory>

#include "kernel/time/clock.h"

namespace cofferdam::kernel {

class TimerQueue;

// Fires its callback on the timer thread at its time. The callback may arm it again; it may take the process lock.
class Timer {
 public:
  // What the destructor, which cancels, does about a callback that runs: Wait for it (unless called from it), or
  // Abandon it. With Abandon the callback must hold all that it needs; the timer may then be destroyed under locks that
  // the callback takes.
  enum class End { Wait, Abandon };
  Timer(TimerQueue&, std::function<void()> callback, End end = End::Wait);
  ~Timer();
  Timer(Timer const&) = delete;
  Timer& operator=(Timer const&) = delete;
  void arm(Nanoseconds host_monotonic_ns);
  void cancel();

 private:
  friend class TimerQueue;
  TimerQueue& queue_;
  End const end_;
  struct Node;
  std::shared_ptr<Node> node_;
};

class TimerQueue {
 public:
  TimerQueue();
  ~TimerQueue();

 private:
  friend class Timer;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cofferdam::kernel

// One-shot timers of the kernel: interval timers, POSIX timers, timerfd, alarm. One host thread, started with the first.
#pragma once

#include <functional>
#include <memory>

#include "kernel/time/clock.h"

namespace cofferdam::kernel {

class TimerQueue;

// Fires its callback on the timer thread at its time. The callback may arm it again; it may take the process lock.
class Timer {
 public:
  Timer(TimerQueue&, std::function<void()> callback);
  ~Timer();  // cancels, and waits for a running callback (unless called from it)
  Timer(Timer const&) = delete;
  Timer& operator=(Timer const&) = delete;
  void arm(Nanoseconds host_monotonic_ns);
  void cancel();

 private:
  friend class TimerQueue;
  TimerQueue& queue_;
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

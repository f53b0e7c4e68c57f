// timerfd_create(2).
#pragma once

#include <time.h>

#include "base/mutex.h"
#include "kernel/ipc/anonymous_file.h"
#include "kernel/time/timer_queue.h"

namespace cofferdam::kernel {

class TimerFile final : public AnonymousFile {
 public:
  TimerFile(TimerQueue&, clockid_t, int flags);

  struct Setting {
    Nanoseconds value = 0, interval = 0;  // value 0: disarmed; as gettime: what is left
  };
  // Gives the setting before it. flags: TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET.
  Setting set(Setting const&, int flags);
  Setting get();

  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override;
  Result<uint64_t> ioctl(Task&, uint32_t request, uint64_t argument) override;
  PollMask poll() override;
  WaitQueue* wait_queue() override { return &queue_; }
  std::string fdinfo() override;

  Result<uint64_t> take_expirations();  // EAGAIN when there is none

 private:
  void fire();
  Setting remaining() REQUIRES(mutex_);
  // Counts what has run out until `now`, and moves the next expiration on.
  void advance(Nanoseconds now) REQUIRES(mutex_);
  void arm() REQUIRES(mutex_);

  clockid_t const clock_;
  mutable Mutex mutex_;
  Nanoseconds next_ GUARDED_BY(mutex_) = 0;  // host CLOCK_MONOTONIC; 0: disarmed, or one-shot and over
  Nanoseconds interval_ GUARDED_BY(mutex_) = 0;
  uint64_t expirations_ GUARDED_BY(mutex_) = 0;
  int settime_flags_ GUARDED_BY(mutex_) = 0;
  WaitQueue queue_;
  Timer timer_;  // last: its destructor waits for fire()
};

}  // namespace cofferdam::kernel

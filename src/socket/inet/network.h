// The TCP/IP stack of a sandbox: the time, the randomness and the timer that src/netstack asks for.
#pragma once

#include <memory>

#include "base/mutex.h"
#include "kernel/time/timer_queue.h"
#include "kernel/wait_queue.h"
#include "netstack/endpoint.h"
#include "netstack/stack.h"

namespace cofferdam::inet {

class Network final : private netstack::Environment {
 public:
  explicit Network(kernel::TimerQueue&);
  ~Network() override;
  netstack::Stack& stack() { return *stack_; }
  void stop();  // no timer runs after it

 private:
  netstack::Time now() override;
  netstack::Time wall_clock() override;
  void random(std::span<std::byte> to) override;
  void wake_at(netstack::Time) override;
  void run();

  Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  netstack::Time armed_for_ GUARDED_BY(mutex_) = netstack::never;
  std::unique_ptr<kernel::Timer> timer_;
  std::unique_ptr<netstack::Stack> stack_;
};

// Wakes those who wait for an endpoint.
class Notifier final : public netstack::EndpointObserver {
 public:
  void on_events(netstack::Events) override;
  kernel::WaitQueue queue;
};

kernel::PollMask poll_mask(netstack::Events);

}  // namespace cofferdam::inet

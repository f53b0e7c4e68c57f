#include "socket/inet/network.h"

#include <sys/epoll.h>

#include <limits>

#include "host/random.h"
#include "kernel/time/clock.h"

namespace cofferdam::inet {

Network::Network(kernel::TimerQueue& timers) : timer_(std::make_unique<kernel::Timer>(timers, [this] { run(); })) {
  netstack::Environment& environment = *this;
  stack_ = std::make_unique<netstack::Stack>(environment);
}

Network::~Network() {
  stop();
  stack_.reset();
}

void Network::stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  timer_.reset();
}

netstack::Time Network::now() { return kernel::host_now(CLOCK_MONOTONIC); }

netstack::Time Network::wall_clock() { return kernel::host_now(CLOCK_REALTIME); }

void Network::random(std::span<std::byte> to) { host::fill_random(to); }

void Network::wake_at(netstack::Time t) {
  MutexLock lock(mutex_);
  if (stopped_ || t >= armed_for_) return;
  armed_for_ = t;
  timer_->arm(t);
}

void Network::run() {
  {
    MutexLock lock(mutex_);
    armed_for_ = netstack::never;
  }
  netstack::Time next = stack_->run_timers();
  if (next != netstack::never) wake_at(next);
}

kernel::PollMask poll_mask(netstack::Events e) {
  kernel::PollMask m = 0;
  if (e & netstack::event_in) m |= EPOLLIN | EPOLLRDNORM;
  if (e & netstack::event_out) m |= EPOLLOUT | EPOLLWRNORM;
  if (e & netstack::event_error) m |= EPOLLERR;
  if (e & netstack::event_hang_up) m |= EPOLLHUP;
  if (e & netstack::event_read_hang_up) m |= EPOLLRDHUP;
  if (e & netstack::event_urgent) m |= EPOLLPRI;
  return m;
}

void Notifier::on_events(netstack::Events e) {
  bool everybody =
      e & (netstack::event_error | netstack::event_hang_up | netstack::event_read_hang_up | netstack::event_urgent);
  queue.wake(poll_mask(e), everybody ? std::numeric_limits<size_t>::max() : 1);
}

}  // namespace cofferdam::inet

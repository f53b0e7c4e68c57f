// Readiness of host descriptors: poll(2) of one now, and edge-triggered epoll(7) of many.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::host {

// What is ready now of `events` (POLLIN, POLLOUT, …; POLLERR and POLLHUP always).
uint32_t ready_now(int fd, uint32_t events);

// An epoll instance that can be interrupted from another thread.
class ReadinessPoller {
 public:
  struct Event {
    uint32_t events;
    uint64_t token;
  };
  static constexpr uint64_t interrupt_token = ~uint64_t{0};  // reserved

  static Result<ReadinessPoller> create();
  // Edge-triggered, for everything. EPERM for descriptors that are always ready (regular files).
  Result<void> add(int fd, uint64_t token);
  void remove(int fd);
  // Waits for events without limit; gives those that came. After interrupt() the list may be empty.
  std::span<Event const> wait();
  void interrupt();

 private:
  ReadinessPoller(OwnedFd epoll, OwnedFd event) : epoll_(std::move(epoll)), event_(std::move(event)) {}
  OwnedFd epoll_, event_;
  std::array<Event, 64> ready_{};
};

}  // namespace cofferdam::host

// Turns the readiness of host descriptors (the container's stdio, sockets of the host bypass) into wait-queue events.
// One host thread with one epoll instance, started with the first descriptor.
#pragma once

#include <memory>

#include "base/result.h"
#include "kernel/wait_queue.h"

namespace cofferdam::kernel {

class HostNotifier {
 public:
  HostNotifier();
  ~HostNotifier();
  // Wakes `queue` on every change of host_fd's readiness (edge-triggered). EPERM for descriptors that epoll does not
  // take (regular files: always ready).
  Result<void> add(int host_fd, WaitQueue& queue);
  void remove(int host_fd);  // returns when no wake for it is running any more

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cofferdam::kernel

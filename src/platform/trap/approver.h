// Approve and run: the sentry tells a stub thread which host call to make, the filter sends that call here
// (SECCOMP_RET_USER_NOTIF), and only a call that equals a pending request in number and all six arguments goes on.
// A call that nobody asked for is refused and its process ends.
//
// One listener serves all stubs. Whoever waits for an approval polls it while nobody else does, and serves the
// others' requests too; they sleep until theirs is approved, or until one of them has to look in its place.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <functional>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::platform::trap {

class Approver {
 public:
  struct Request {
    Request() = default;
    Request(pid_t t, long n, std::array<uint64_t, 6> const& a) : thread(t), number(n), arguments(a) {}
    pid_t thread = 0;  // 0: a new process that `accept_new` knows to be the expected one
    long number = 0;
    std::array<uint64_t, 6> arguments{};
    // For thread == 0: called with the unknown thread's id before it goes on, the pending lock held.
    std::function<bool(pid_t)> accept_new;
    bool approved = false;
    bool waiting = false;            // for somebody else to serve it
    std::atomic<uint32_t> nudge{0};  // 1: approved, or it is this one's turn to look
  };

  explicit Approver(host::OwnedFd listener) : listener_(std::move(listener)) {}

  // Announces a request; it must be announced before the stub can make the call, and withdrawn before it dies.
  void announce(Request& request);
  void withdraw(Request& request);
  // Waits until the request is approved, or until `gone` says that it never will be. Returns whether it was.
  bool await(Request& request, std::function<bool()> const& gone);
  // Refuses calls that nobody asked for, if any wait and nobody else is looking: they end their processes.
  void look();

 private:
  void serve_one() REQUIRES(listening_);
  Request* find(pid_t thread, long number, uint64_t const* arguments) REQUIRES(pending_mutex_);
  bool is_approved(Request& request);
  void nudge_one();

  host::OwnedFd listener_;
  Mutex listening_;
  Mutex pending_mutex_;
  std::vector<Request*> pending_ GUARDED_BY(pending_mutex_);
};

}  // namespace cofferdam::platform::trap

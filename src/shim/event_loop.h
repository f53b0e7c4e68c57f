// The shim's one thread waits here: for descriptors, for times, and for the ends of its children.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/outcome.h"
#include "host/fd.h"

namespace cofferdam::shim {

using std::chrono::milliseconds;

class EventLoop {
 public:
  using OnReady = std::function<void(uint32_t events)>;
  using OnExit = std::function<void(int wait_status)>;
  using Task = std::function<void()>;

  // From here on SIGCHLD comes through the loop, SIGPIPE not at all.
  static Outcome<std::unique_ptr<EventLoop>> create();

  // Calls `ready` while any of `events` (epoll(7), level-triggered; EPOLLHUP and EPOLLERR always) is so.
  void watch(int fd, uint32_t events, OnReady ready);
  void change(int fd, uint32_t events);
  bool watching(int fd) const { return watches_.contains(fd); }
  // Before the descriptor is closed. A callback may forget itself or another.
  void forget(int fd);

  using TimerId = uint64_t;
  TimerId after(milliseconds, Task);
  void cancel(TimerId);

  // Calls `exit` once when the child has ended; it may have ended already, if expect_children() was true then.
  void on_exit(pid_t child, OnExit exit);
  // While a command runs, its grandchildren may become our children and end before anybody knows of them: their
  // statuses are kept until no command is left.
  void command_begins() { ++commands_; }
  void command_ends();

  void run();  // until stop()
  void stop() { stopped_ = true; }

 private:
  struct Watch {
    uint32_t generation;
    OnReady ready;
  };
  EventLoop() = default;
  void reap();
  void run_timers();
  int wait_milliseconds() const;

  host::OwnedFd epoll_, signals_;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::multimap<int64_t, std::pair<TimerId, Task>> timers_;  // by monotonic milliseconds
  std::unordered_map<pid_t, OnExit> children_;
  std::unordered_map<pid_t, int> unclaimed_;
  uint32_t generation_ = 0;
  TimerId last_timer_ = 0;
  unsigned commands_ = 0;
  bool stopped_ = false;
};

}  // namespace cofferdam::shim

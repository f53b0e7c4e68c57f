#include "shim/event_loop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <algorithm>

#include <fmt/format.h>

namespace cofferdam::shim {

namespace {

int64_t now_milliseconds() {
  auto const now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<milliseconds>(now).count();
}

// A descriptor's number is soon used again: what the kernel reports of an old one is told apart.
uint64_t ticket(int fd, uint32_t generation) { return uint64_t{generation} << 32 | static_cast<uint32_t>(fd); }

}  // namespace

Outcome<std::unique_ptr<EventLoop>> EventLoop::create() {
  std::unique_ptr<EventLoop> self(new EventLoop);
  self->epoll_ = host::OwnedFd(::epoll_create1(EPOLL_CLOEXEC));
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  ::signal(SIGPIPE, SIG_IGN);
  ::sigprocmask(SIG_BLOCK, &mask, nullptr);
  self->signals_ = host::OwnedFd(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!self->epoll_ || !self->signals_) return refuse(fmt::format("cannot make an event loop: {}", strerror(errno)));
  auto* loop = self.get();
  self->watch(self->signals_.get(), EPOLLIN, [loop](uint32_t) {
    signalfd_siginfo info{};
    while (::read(loop->signals_.get(), &info, sizeof info) == sizeof info) {
    }
    loop->reap();
  });
  return self;
}

void EventLoop::watch(int fd, uint32_t events, OnReady ready) {
  bool const known = watches_.contains(fd);
  auto entry = std::make_shared<Watch>(++generation_, std::move(ready));
  epoll_event event{.events = events, .data = {.u64 = ticket(fd, entry->generation)}};
  watches_[fd] = std::move(entry);
  ::epoll_ctl(epoll_.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
}

void EventLoop::change(int fd, uint32_t events) {
  auto const found = watches_.find(fd);
  if (found == watches_.end()) return;
  epoll_event event{.events = events, .data = {.u64 = ticket(fd, found->second->generation)}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::forget(int fd) {
  if (watches_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::after(milliseconds delay, Task task) {
  timers_.emplace(now_milliseconds() + delay.count(), std::pair(++last_timer_, std::move(task)));
  return last_timer_;
}

void EventLoop::cancel(TimerId id) {
  std::erase_if(timers_, [id](auto const& entry) { return entry.second.first == id; });
}

void EventLoop::on_exit(pid_t child, OnExit exit) {
  auto const found = unclaimed_.find(child);
  if (found == unclaimed_.end()) {
    children_[child] = std::move(exit);
    return;
  }
  int const status = found->second;
  unclaimed_.erase(found);
  after(milliseconds(0), [exit = std::move(exit), status] { exit(status); });
}

void EventLoop::command_ends() {
  if (--commands_ == 0) unclaimed_.clear();
}

void EventLoop::reap() {
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    auto const found = children_.find(pid);
    if (found == children_.end()) {
      if (commands_ > 0) unclaimed_[pid] = status;
      continue;
    }
    OnExit const exit = std::move(found->second);
    children_.erase(found);
    exit(status);
  }
}

void EventLoop::run_timers() {
  int64_t const now = now_milliseconds();
  while (!timers_.empty() && timers_.begin()->first <= now && !stopped_) {
    Task const task = std::move(timers_.begin()->second.second);
    timers_.erase(timers_.begin());
    task();
  }
}

int EventLoop::wait_milliseconds() const {
  if (timers_.empty()) return -1;
  return static_cast<int>(std::clamp<int64_t>(timers_.begin()->first - now_milliseconds(), 0, 3'600'000));
}

void EventLoop::run() {
  stopped_ = false;
  while (!stopped_) {
    epoll_event events[32];
    int const n = ::epoll_wait(epoll_.get(), events, std::size(events), wait_milliseconds());
    if (n < 0 && errno != EINTR) return;
    for (int i = 0; i < n && !stopped_; ++i) {
      int const fd = static_cast<int>(events[i].data.u64 & UINT32_MAX);
      auto const found = watches_.find(fd);
      if (found == watches_.end() || found->second->generation != events[i].data.u64 >> 32) continue;
      auto const entry = found->second;  // it may forget itself while it runs
      entry->ready(events[i].events);
    }
    run_timers();
  }
}

}  // namespace cofferdam::shim

#include "host/readiness.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace cofferdam::host {

uint32_t ready_now(int fd, uint32_t events) {
  pollfd p{fd, static_cast<short>(events), 0};
  if (::poll(&p, 1, 0) <= 0) return 0;
  return static_cast<uint16_t>(p.revents);
}

Result<ReadinessPoller> ReadinessPoller::create() {
  OwnedFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_host(errno);
  OwnedFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return fail_host(errno);
  ReadinessPoller poller(std::move(epoll), std::move(event));
  TRY(poller.add(poller.event_.get(), interrupt_token));
  return poller;
}

Result<void> ReadinessPoller::add(int fd, uint64_t token) {
  epoll_event e{};
  e.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;
  e.data.u64 = token;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &e) != 0) return fail_host(errno);
  return {};
}

void ReadinessPoller::remove(int fd) { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

std::span<ReadinessPoller::Event const> ReadinessPoller::wait() {
  std::array<epoll_event, 64> events;
  int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
  size_t count = 0;
  for (int i = 0; i < n; ++i) {
    auto const& e = events[static_cast<size_t>(i)];
    if (e.data.u64 != interrupt_token) ready_[count++] = {e.events, e.data.u64};
  }
  return std::span(ready_).first(count);
}

void ReadinessPoller::interrupt() { ::eventfd_write(event_.get(), 1); }

}  // namespace cofferdam::host

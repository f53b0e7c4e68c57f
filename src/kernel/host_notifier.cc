#include "kernel/host_notifier.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

#include <map>
#include <optional>
#include <thread>

#include "base/mutex.h"
#include "host/readiness.h"

namespace cofferdam::kernel {

struct HostNotifier::State {
  struct Watched {
    WaitQueue* queue;
    uint32_t generation;
  };
  Mutex mutex;
  std::map<int, Watched> watched GUARDED_BY(mutex);
  uint32_t next_generation GUARDED_BY(mutex) = 0;
  bool ending GUARDED_BY(mutex) = false;
  std::optional<host::ReadinessPoller> poller;  // set once, before the thread starts
  std::thread thread;

  Result<void> start() REQUIRES(mutex);
  void serve();
  void deliver(host::ReadinessPoller::Event const&);
};

namespace {
// The generation tells an event of a descriptor that was removed from one of its successor with the same number.
uint64_t token_of(int fd, uint32_t generation) { return uint64_t{generation} << 32 | static_cast<uint32_t>(fd); }
}  // namespace

Result<void> HostNotifier::State::start() {
  if (poller) return {};
  poller.emplace(TRY(host::ReadinessPoller::create()));
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for other threads
  thread = std::thread([this] { serve(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

void HostNotifier::State::serve() {
  pthread_setname_np(pthread_self(), "host-events");
  for (;;) {
    auto events = poller->wait();
    for (auto const& e : events) deliver(e);
    MutexLock lock(mutex);
    if (ending) return;
  }
}

void HostNotifier::State::deliver(host::ReadinessPoller::Event const& e) {
  // The lock is held over the wake: remove() returns only when none is running.
  MutexLock lock(mutex);
  auto it = watched.find(static_cast<int>(e.token & 0xffff'ffff));
  if (it == watched.end() || it->second.generation != e.token >> 32) return;
  PollMask events = e.events;
  if (events & EPOLLIN) events |= EPOLLRDNORM;
  if (events & EPOLLOUT) events |= EPOLLWRNORM;
  it->second.queue->wake(events, SIZE_MAX);
}

HostNotifier::HostNotifier() : state_(std::make_unique<State>()) {}

HostNotifier::~HostNotifier() {
  {
    MutexLock lock(state_->mutex);
    state_->ending = true;
    if (state_->poller) state_->poller->interrupt();
  }
  if (state_->thread.joinable()) state_->thread.join();
}

Result<void> HostNotifier::add(int host_fd, WaitQueue& queue) {
  MutexLock lock(state_->mutex);
  TRY(state_->start());
  // The top generation is not used: its token could be the poller's own.
  uint32_t generation = state_->next_generation++ % UINT32_MAX;
  state_->watched[host_fd] = {&queue, generation};
  auto added = state_->poller->add(host_fd, token_of(host_fd, generation));
  if (!added) state_->watched.erase(host_fd);
  return added;
}

void HostNotifier::remove(int host_fd) {
  MutexLock lock(state_->mutex);
  if (state_->watched.erase(host_fd) != 0) state_->poller->remove(host_fd);
}

}  // namespace cofferdam::kernel

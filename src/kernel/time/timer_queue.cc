#include "kernel/time/timer_queue.h"

#include <pthread.h>
#include <sys/prctl.h>

#include <chrono>
#include <condition_variable>
#include <set>
#include <thread>

#include "base/mutex.h"

namespace cofferdam::kernel {

// All members are guarded by the queue's mutex, but the callback, which never changes.
struct Timer::Node {
  std::function<void()> const callback;
  Nanoseconds at_ns = 0;
  bool armed = false;
  bool running = false;
};

struct TimerQueue::State {
  using Entry = std::pair<Nanoseconds, std::shared_ptr<Timer::Node>>;

  Mutex mutex;
  std::condition_variable_any changed;   // the earliest deadline moved forward, or the end has come
  std::condition_variable_any finished;  // a callback has returned
  std::set<Entry> waiting GUARDED_BY(mutex);
  bool ending GUARDED_BY(mutex) = false;
  std::thread thread GUARDED_BY(mutex);

  void arm(std::shared_ptr<Timer::Node> const& node, Nanoseconds at_ns) EXCLUDES(mutex);
  void disarm(std::shared_ptr<Timer::Node> const& node) REQUIRES(mutex);
  // condition_variable_any unlocks and locks again behind the analysis' back.
  void serve() NO_THREAD_SAFETY_ANALYSIS;
  void wait_until_finished(Timer::Node const&) NO_THREAD_SAFETY_ANALYSIS;
};

void TimerQueue::State::disarm(std::shared_ptr<Timer::Node> const& node) {
  if (!node->armed) return;
  waiting.erase({node->at_ns, node});
  node->armed = false;
}

void TimerQueue::State::arm(std::shared_ptr<Timer::Node> const& node, Nanoseconds at_ns) {
  MutexLock lock(mutex);
  if (ending) return;
  disarm(node);
  node->at_ns = at_ns;
  node->armed = true;
  waiting.emplace(at_ns, node);
  if (!thread.joinable())
    thread = std::thread([this] { serve(); });
  else if (waiting.begin()->second == node)
    changed.notify_one();
}

void TimerQueue::State::serve() {
  pthread_setname_np(pthread_self(), "timers");
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  MutexLock lock(mutex);
  while (!ending) {
    if (waiting.empty()) {
      changed.wait(lock);
      continue;
    }
    auto first = waiting.begin();
    if (first->first > host_now(CLOCK_MONOTONIC)) {
      changed.wait_until(lock, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(first->first)));
      continue;
    }
    auto node = first->second;
    disarm(node);
    node->running = true;
    lock.unlock();
    node->callback();
    lock.lock();
    node->running = false;
    finished.notify_all();
    lock.unlock();
    node.reset();  // may be the last reference: what the callback holds dies without the lock
    lock.lock();
  }
}

void TimerQueue::State::wait_until_finished(Timer::Node const& node) {
  MutexLock lock(mutex);
  if (thread.get_id() == std::this_thread::get_id()) return;
  while (node.running) finished.wait(lock);
}

Timer::Timer(TimerQueue& queue, std::function<void()> callback, End end)
    : queue_(queue), end_(end), node_(std::make_shared<Node>(std::move(callback))) {}

Timer::~Timer() {
  cancel();
  if (end_ == End::Wait) queue_.state_->wait_until_finished(*node_);
}

void Timer::arm(Nanoseconds host_monotonic_ns) { queue_.state_->arm(node_, host_monotonic_ns); }

void Timer::cancel() {
  MutexLock lock(queue_.state_->mutex);
  queue_.state_->disarm(node_);
}

TimerQueue::TimerQueue() : state_(std::make_unique<State>()) {}

TimerQueue::~TimerQueue() {
  std::thread thread;
  {
    MutexLock lock(state_->mutex);
    state_->ending = true;
    state_->changed.notify_all();
    thread = std::move(state_->thread);
  }
  if (thread.joinable()) thread.join();
}

}  // namespace cofferdam::kernel

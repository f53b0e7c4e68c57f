// epoll(7). An instance keeps the files that it watches and a list of those that may be ready; waiting looks at the
// second only.
//
// Lock order: epoll_nesting of IpcState, mutex_ of an instance (outer instances before those nested in them), what a
// file's poll() takes, the queue of a file, ready_mutex_ and the queues of the instance.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>

#include "base/mutex.h"
#include "kernel/ipc/anonymous_file.h"
#include "kernel/ipc/ipc_state.h"
#include "kernel/time/clock.h"

namespace cofferdam::kernel {

// struct epoll_event in the guest's layout: 12 bytes on x86-64.
struct [[gnu::packed]] EpollEvent {
  uint32_t events;
  uint64_t data;
};
static_assert(sizeof(EpollEvent) == 12);

class Epoll;
class EpollFile;
class Kernel;

// One watched (file, descriptor number). Holds no reference to the file, which tells it before it goes.
class EpollItem final : public FileObserver, public Waiter {
 public:
  EpollItem(Ref<Epoll> epoll, File& file, int fd, EpollEvent event);
  void on_event(PollMask) override;
  void on_last_reference() override;

 private:
  friend class Epoll;
  Ref<Epoll> const epoll_;
  File& file_;
  int const fd_;
  std::atomic<uint32_t> events_;  // changed under the instance's mutex_
  uint64_t data_;                 // the instance's mutex_
  WaitQueue* queue_ = nullptr;
  Ref<RefCounted> queue_keeper_;  // where the queue is not the file's own
  // The ready list: the instance's ready_mutex_.
  EpollItem* ready_next_ = nullptr;
  EpollItem* ready_previous_ = nullptr;
  bool ready_ = false;
};

// The instance. It is not the open file itself: items refer to it, and may outlive the file for a moment.
class Epoll final : public RefCounted {
 public:
  explicit Epoll(IpcState& ipc) : ipc_(ipc) {}

  // epoll_ctl(2): EEXIST, ENOENT, EINVAL, ELOOP, ENOSPC, EPERM.
  Result<void> add(Task&, File& file, int fd, EpollEvent);
  Result<void> modify(Task&, File& file, int fd, EpollEvent);
  Result<void> remove(File& file, int fd);
  // Appends at most `max` ready events, and of whom they are. Does not wait.
  struct Taken {
    File* file;
    int fd;
    uint32_t wanted;  // before EPOLLONESHOT disarmed it
  };
  using TakenList = absl::InlinedVector<Taken, 16>;
  void collect(Task&, size_t max, std::vector<EpollEvent>& out, TakenList& of);
  // These could not be told: they are ready again.
  void give_back(std::span<Taken const>);
  // Is anything ready? For polling an instance.
  bool any_ready();
  bool maybe_ready() const { return ready_count_.load(std::memory_order_acquire) != 0; }
  void close();  // the file has gone
  std::string describe();

  WaitQueue waiters;  // tasks in epoll_wait
  WaitQueue pollers;  // what polls the instance itself

 private:
  friend class EpollItem;
  using Key = std::pair<File*, int>;
  static constexpr uint64_t max_watches = 1 << 20;

  void note_ready(EpollItem&, PollMask);
  void drop(EpollItem&);
  Result<void> insert(Task&, File&, int fd, EpollEvent);
  void detach(EpollItem&) REQUIRES(mutex_);
  void link_ready(EpollItem&) REQUIRES(ready_mutex_);
  void unlink_ready(EpollItem&) REQUIRES(ready_mutex_);
  EpollItem* pop_ready();
  bool relink(EpollItem&);  // false: it was on the list already
  void tell();

  // Nesting: both under IpcState::epoll_nesting.
  Result<void> check_nesting(Epoll& inner);
  void forget_nesting(File&);
  int depth(std::vector<Epoll*> Epoll::* edges, absl::flat_hash_map<Epoll*, int>& known, int budget);
  bool reaches(Epoll& target, absl::flat_hash_map<Epoll*, int>& seen);
  std::vector<Epoll*> inner_, outer_;

  IpcState& ipc_;
  Mutex mutex_;
  absl::flat_hash_map<Key, Ref<EpollItem>> items_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
  Mutex ready_mutex_;
  EpollItem* ready_first_ GUARDED_BY(ready_mutex_) = nullptr;
  EpollItem* ready_last_ GUARDED_BY(ready_mutex_) = nullptr;
  std::atomic<size_t> ready_count_{0};
};

class EpollFile final : public AnonymousFile {
 public:
  explicit EpollFile(Kernel&);
  ~EpollFile() override;
  Epoll& epoll() { return *epoll_; }
  PollMask poll() override { return epoll_->any_ready() ? EPOLLIN | EPOLLRDNORM : 0; }
  WaitQueue* wait_queue() override { return &epoll_->pollers; }
  std::string fdinfo() override { return epoll_->describe(); }

  // epoll_wait(2): waits until there is an event or the deadline passes, and gives how many it told. EINTR, EFAULT.
  Result<size_t> wait(Task&, UserPtr<EpollEvent> to, size_t max, Deadline);

 private:
  Ref<Epoll> const epoll_;
};

}  // namespace cofferdam::kernel

template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<cofferdam::kernel::EpollEvent> = true;

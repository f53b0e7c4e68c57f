#include "kernel/ipc/async_signal.h"

#include <fcntl.h>
#include <signal.h>

#include <utility>

#include "kernel/ipc/ipc_state.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/task/thread_group.h"
#include "kernel/time/timer_queue.h"
#include "kernel/vfs/file.h"

namespace cofferdam::kernel {
namespace {

// May the owner that was set be signalled to this task (sigio_perm of Linux)?
bool may_receive(File::Owner const& owner, Task const& task) {
  auto who = task.credentials();
  return owner.euid == 0 || owner.euid == who->suid || owner.euid == who->uid || owner.uid == who->suid ||
         owner.uid == who->uid;
}

void send_to(ThreadGroup& group, File::Owner const& owner, SignalInfo const& info, ProcessLocked const& lock) {
  Ref<Task> leader = group.leader(lock);
  if (leader && may_receive(owner, *leader)) (void)group.send_signal(info, lock);
}

void send(Kernel& kernel, File::Owner const& owner, SignalInfo const& info) {
  if (!owner.pid) return;
  ProcessLocked lock(kernel);
  Ref<Task> const& task = owner.pid->task(lock);
  switch (owner.type) {
    case F_OWNER_TID:
      if (task && may_receive(owner, *task)) (void)task->send_signal(info, lock);
      break;
    case F_OWNER_PID:
      if (task) send_to(task->thread_group(), owner, info, lock);
      break;
    default:
      if (auto target = owner.pid->space().process_group(owner.pid->number()))
        for (auto const& group : target->members(lock)) send_to(*group, owner, info, lock);
  }
}

// si_code and si_band of the signal (sigaction(2), "SIGIO/SIGPOLL").
struct Band {
  int code;
  long events;
};
Band band_of(PollMask events) {
  if (events & (EPOLLIN | EPOLLRDNORM)) return {POLL_IN, EPOLLIN | EPOLLRDNORM};
  if (events & EPOLLHUP) return {POLL_HUP, EPOLLHUP | EPOLLERR};
  if (events & EPOLLERR) return {POLL_ERR, EPOLLERR};
  if (events & EPOLLPRI) return {POLL_PRI, EPOLLPRI | EPOLLRDBAND};
  return {POLL_OUT, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND};
}

SignalInfo info_of(File::Owner const& owner, int fd, Band band) {
  if (owner.signal == 0) return SignalInfo::from_kernel(SIGIO);
  SignalInfo info;
  info.raw.si_signo = owner.signal;
  info.raw.si_code = band.code;
  info.raw.si_band = band.events;
  info.raw.si_fd = fd;
  return info;
}

// SIGIO for what F_SETFL with O_ASYNC asks for, SIGURG for urgent data of a socket that has an owner.
enum class Kind : uint8_t { Io, Urgent };

// What a signal needs to be sent, on a thread that holds no locks: events come under those of their queues.
class Sender : public std::enable_shared_from_this<Sender> {
 public:
  Sender(Kernel& kernel, File& file, int fd, Kind kind) : kernel_(kernel), fd_(fd), kind_(kind) {
    file_.with([&](File*& f) { f = &file; });
  }
  void stop() {
    file_.with([](File*& f) { f = nullptr; });
  }
  void note(PollMask events) { seen_.fetch_or(events, std::memory_order_relaxed); }
  void fire() {
    PollMask const seen = seen_.exchange(0, std::memory_order_relaxed);
    auto owner = file_.with(
        [](File*& f) { return f == nullptr ? File::Owner{} : f->owner.with([](File::Owner& o) { return o; }); });
    if (seen == 0) return;
    send(kernel_, owner, kind_ == Kind::Urgent ? SignalInfo::from_kernel(SIGURG) : info_of(owner, fd_, band_of(seen)));
  }

 private:
  Kernel& kernel_;
  int const fd_;
  Kind const kind_;
  Guarded<File*> file_;  // null: the file is going
  std::atomic<PollMask> seen_{0};
};

auto& signals_of(Kernel& kernel, Kind kind) {
  return kind == Kind::Io ? kernel.ipc().async_files : kernel.ipc().urgent_files;
}

class AsyncSignal final : public FileObserver, public Waiter {
 public:
  AsyncSignal(Kernel& kernel, File& file, int fd, Kind kind)
      : kernel_(kernel),
        file_(file),
        kind_(kind),
        sender_(std::make_shared<Sender>(kernel, file, fd, kind)),
        timer_(kernel.timers(), [sender = sender_] { sender->fire(); }, Timer::End::Abandon) {}

  bool start() {
    queue_ = file_.wait_queue();
    if (queue_ == nullptr) return false;
    PollMask wanted = EPOLLPRI;
    if (kind_ == Kind::Urgent) {
      queue_->add(*this, wanted);
      return true;
    }
    if (file_.readable()) wanted |= EPOLLIN | EPOLLRDNORM;
    if (file_.writable()) wanted |= EPOLLOUT | EPOLLWRNORM;
    queue_->add(*this, wanted);
    (void)file_.poll();  // a pipe tells of every write once somebody has polled it
    return true;
  }
  void stop() {
    if (queue_ != nullptr) queue_->remove(*this);
    timer_.cancel();
    sender_->stop();
  }
  void on_event(PollMask events) override {
    if (kind_ == Kind::Urgent && !(events & EPOLLPRI)) return;  // errors wake everybody
    sender_->note(events);
    timer_.arm(host_now(CLOCK_MONOTONIC));
  }
  void on_last_reference() override {
    stop();
    Ref<RefCounted> dropped;
    signals_of(kernel_, kind_).with([&](auto& all) {
      auto it = all.find(&file_);
      if (it == all.end() || it->second.get() != static_cast<RefCounted*>(this)) return;
      dropped = std::move(it->second);
      all.erase(it);
    });
  }

 private:
  Kernel& kernel_;
  File& file_;
  Kind const kind_;
  std::shared_ptr<Sender> const sender_;
  Timer timer_;
  WaitQueue* queue_ = nullptr;
};

}  // namespace

void signal_owner(Kernel& kernel, File::Owner const& owner, int fd) {
  constexpr long message_band = EPOLLMSG | EPOLLIN | EPOLLRDNORM;
  send(kernel, owner, info_of(owner, fd, {POLL_MSG, message_band}));
}

void set_default_owner(Task& task, File& file) {
  auto who = task.credentials();
  Ref<Pid> own(&task.thread_group().pid());
  file.owner.with([&](File::Owner& o) {
    if (!o.pid)
      o = {.type = F_OWNER_PID, .pid = std::move(own), .signal = o.signal, .uid = who->uid, .euid = who->euid};
  });
}

namespace {

void set_signal(Kernel& kernel, File& file, int fd, Kind kind, bool on) {
  Ref<RefCounted> old;
  signals_of(kernel, kind).with([&](auto& all) {
    auto it = all.find(&file);
    if (it == all.end()) return;
    old = std::move(it->second);
    all.erase(it);
  });
  if (auto signal = ref_cast<AsyncSignal>(old)) {
    signal->stop();
    file.remove_observer(*signal);
  }
  if (!on) return;
  auto fresh = make_ref<AsyncSignal>(kernel, file, fd, kind);
  if (!fresh->start()) return;
  file.add_observer(fresh);
  signals_of(kernel, kind).with([&](auto& all) { all[&file] = fresh; });
}

}  // namespace

void set_async(Kernel& kernel, File& file, int fd, bool on) { set_signal(kernel, file, fd, Kind::Io, on); }

void tell_of_urgent_data(Kernel& kernel, File& socket, bool on) { set_signal(kernel, socket, -1, Kind::Urgent, on); }

}  // namespace cofferdam::kernel

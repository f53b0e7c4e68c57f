#include "kernel/ipc/inotify.h"

#include <sys/ioctl.h>

#include <fmt/core.h>

#include "kernel/ipc/ipc_state.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

constexpr uint64_t max_queued_bytes = 64 << 20;  // in all queues of the sandbox together
constexpr uint32_t kept_flags = IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT;
constexpr uint32_t reported = IN_ALL_EVENTS | IN_ISDIR | IN_UNMOUNT | IN_IGNORED | IN_Q_OVERFLOW;

}  // namespace

// One watch descriptor.
class InotifyInstance::InotifyWatch final : public Watch {
 public:
  InotifyWatch(Ref<InotifyInstance> instance, Ref<Inode> inode, int wd, uint32_t mask)
      : instance_(std::move(instance)), inode_(std::move(inode)), wd_(wd), mask_(mask) {}

  void on_event(FileEvent const& e) override {
    uint32_t const mask = mask_.load(std::memory_order_relaxed);
    if (!(e.mask & ((mask & IN_ALL_EVENTS) | IN_UNMOUNT))) return;
    if (e.name_is_gone && (mask & IN_EXCL_UNLINK)) return;
    if (ended_.load(std::memory_order_relaxed)) return;
    uint32_t told = e.mask & reported;
    if (told & (IN_DELETE_SELF | IN_MOVE_SELF)) told &= ~uint32_t{IN_ISDIR};
    instance_->put({.wd = wd_, .mask = told, .cookie = e.cookie, .name = std::string(e.name)});
    if (mask & IN_ONESHOT) end(true);
  }
  void on_end() override { end(false); }
  uint32_t events() const override { return mask() & IN_ALL_EVENTS; }

  // Once: out of the instance's table, IN_IGNORED told; and out of the inode's list if it stands there.
  bool end(bool listed) {
    if (ended_.exchange(true)) return false;
    Ref<InotifyWatch> keep(this);
    instance_->forget(*this);
    instance_->put({.wd = wd_, .mask = IN_IGNORED, .cookie = 0, .name = {}});
    if (listed) instance_->notifications_.remove(*inode_, *this);
    return true;
  }
  void silence() { ended_ = true; }
  bool update(uint32_t mask) {
    uint32_t const fresh = mask & IN_MASK_ADD ? mask_.load() | (mask & kept_flags) : mask & kept_flags;
    mask_.store(fresh, std::memory_order_relaxed);
    return !ended_.load();
  }

  Inode& inode() const { return *inode_; }
  int wd() const { return wd_; }
  uint32_t mask() const { return mask_.load(std::memory_order_relaxed); }

 private:
  Ref<InotifyInstance> const instance_;
  Ref<Inode> const inode_;
  int const wd_;
  std::atomic<uint32_t> mask_;
  std::atomic<bool> ended_{false};
};

size_t InotifyInstance::Event::size() const {
  constexpr size_t header = sizeof(inotify_event);
  return name.empty() ? header : header + (name.size() + 1 + header - 1) / header * header;
}

InotifyInstance::InotifyInstance(Kernel& kernel, uid_t owner)
    : notifications_(kernel.vfs().notifications()), limits_(kernel.ipc().inotify), owner_(owner) {}

InotifyInstance::~InotifyInstance() {
  limits_.queued_bytes.fetch_sub(bytes_, std::memory_order_relaxed);
  limits_.used.with([&](auto& used) {
    auto it = used.find(owner_);
    if (--it->second.instances == 0 && it->second.watches == 0) used.erase(it);
  });
}

void InotifyInstance::put(Event event) {
  {
    MutexLock lock(mutex_);
    if (!events_.empty()) {  // the same again says nothing new
      Event const& last = events_.back();
      if (last.mask == event.mask && last.wd == event.wd && last.name == event.name && event.mask != IN_IGNORED) return;
    }
    bool const full = events_.size() >= limits_.max_queued_events.load(std::memory_order_relaxed) ||
                      limits_.queued_bytes.load(std::memory_order_relaxed) >= max_queued_bytes;
    if (full) {
      if (!events_.empty() && events_.back().mask == IN_Q_OVERFLOW) return;
      event = {.wd = -1, .mask = IN_Q_OVERFLOW, .cookie = 0, .name = {}};
    }
    bytes_ += event.size();
    limits_.queued_bytes.fetch_add(event.size(), std::memory_order_relaxed);
    events_.push_back(std::move(event));
  }
  queue_.wake(EPOLLIN | EPOLLRDNORM);
}

Result<std::string> InotifyInstance::take(size_t room) {
  MutexLock lock(mutex_);
  if (events_.empty()) return fail(Errno::Again);
  Event const& e = events_.front();
  size_t const size = e.size();
  if (size > room) return fail(Errno::Inval);
  std::string bytes(size, '\0');
  inotify_event header{
      .wd = e.wd, .mask = e.mask, .cookie = e.cookie, .len = static_cast<uint32_t>(size - sizeof(inotify_event))};
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, e.name.data(), e.name.size());
  bytes_ -= size;
  limits_.queued_bytes.fetch_sub(size, std::memory_order_relaxed);
  events_.pop_front();
  return bytes;
}

size_t InotifyInstance::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

bool InotifyInstance::empty() const {
  MutexLock lock(mutex_);
  return events_.empty();
}

Ref<InotifyInstance::InotifyWatch> InotifyInstance::watch_of(Inode const& inode) const {
  MutexLock lock(mutex_);
  auto it = by_inode_.find(&inode);
  return it == by_inode_.end() ? Ref<InotifyWatch>() : Ref<InotifyWatch>(it->second);
}

Result<int> InotifyInstance::add(Ref<Dentry> const& place, uint32_t mask) {
  Ref<Inode> const& inode = place->inode_ref();
  MutexLock changing(change_lock_);
  if (auto there = watch_of(*inode)) {
    if (mask & IN_MASK_CREATE) return fail(Errno::Exist);
    if (there->update(mask)) {
      notifications_.widen(*inode, there->mask());
      return there->wd();
    }
  }
  bool const allowed = limits_.used.with([&](auto& used) {
    auto& mine = used[owner_];
    if (mine.watches >= limits_.max_user_watches.load(std::memory_order_relaxed)) return false;
    ++mine.watches;
    return true;
  });
  if (!allowed) return fail(Errno::NoSpc);
  Ref<InotifyWatch> watch;
  {
    MutexLock lock(mutex_);
    do last_wd_ = last_wd_ == INT32_MAX ? 1 : last_wd_ + 1;
    while (watches_.contains(last_wd_));
    watch = make_ref<InotifyWatch>(Ref<InotifyInstance>(this), inode, last_wd_, mask & kept_flags);
    watches_[last_wd_] = watch;
    by_inode_[inode.get()] = watch.get();
  }
  notifications_.add(place, watch);
  return watch->wd();
}

bool InotifyInstance::forget(InotifyWatch& watch) {
  Ref<InotifyWatch> dropped;
  {
    MutexLock lock(mutex_);
    auto it = watches_.find(watch.wd());
    if (it == watches_.end() || it->second.get() != &watch) return false;
    dropped = std::move(it->second);
    watches_.erase(it);
    auto known = by_inode_.find(&watch.inode());
    if (known != by_inode_.end() && known->second == &watch) by_inode_.erase(known);
  }
  limits_.used.with([&](auto& used) { --used[owner_].watches; });
  return true;
}

Result<void> InotifyInstance::remove(int wd) {
  Ref<InotifyWatch> watch;
  {
    MutexLock lock(mutex_);
    auto it = watches_.find(wd);
    if (it == watches_.end()) return fail(Errno::Inval);
    watch = it->second;
  }
  return watch->end(true) ? Result<void>() : fail(Errno::Inval);
}

void InotifyInstance::close() {
  for (;;) {
    Ref<InotifyWatch> watch;
    {
      MutexLock lock(mutex_);
      if (watches_.empty()) return;
      watch = watches_.begin()->second;
    }
    watch->silence();
    forget(*watch);
    notifications_.remove(watch->inode(), *watch);
  }
}

std::string InotifyInstance::fdinfo() const {
  std::vector<Ref<InotifyWatch>> all;
  {
    MutexLock lock(mutex_);
    for (auto const& [wd, watch] : watches_) all.push_back(watch);
  }
  std::string text;
  for (auto const& watch : all) {
    auto a = watch->inode().attributes();
    if (!a) continue;
    text += fmt::format("inotify wd:{:x} ino:{:x} sdev:{:x} mask:{:x} ignored_mask:0 \n", watch->wd(), a->inode,
                        a->device, watch->mask());
  }
  return text;
}

Result<Ref<File>> InotifyFile::create(Kernel& kernel, uid_t owner, int flags) {
  InotifyLimits& limits = kernel.ipc().inotify;
  bool const allowed = limits.used.with([&](auto& used) {
    auto& mine = used[owner];
    if (mine.instances >= limits.max_user_instances.load(std::memory_order_relaxed)) return false;
    ++mine.instances;
    return true;
  });
  if (!allowed) return fail(Errno::MFile);
  return Ref<File>(make_ref<InotifyFile>(make_ref<InotifyInstance>(kernel, owner), flags));
}

InotifyFile::InotifyFile(Ref<InotifyInstance> instance, int flags)
    : AnonymousFile("inotify", O_RDONLY | (flags & O_NONBLOCK)), instance_(std::move(instance)) {}

Result<size_t> InotifyFile::read(Task& task, IoSink& to, uint64_t, IoOptions options) {
  size_t done = 0;
  for (;;) {
    auto event = instance_->take(to.remaining());
    if (event) {
      if (TRY(to.put(as_bytes(*event))) != event->size()) return fail(Errno::Fault);
      done += event->size();
      continue;
    }
    if (done != 0) return done;
    if (event.error() != Errno::Again || options.nowait || nonblocking()) return std::unexpected(event.error());
    TRY(task.wait_until(instance_->queue(), EPOLLIN, Deadline::never(), [&] { return !instance_->empty(); }));
  }
}

Result<uint64_t> InotifyFile::ioctl(Task& task, uint32_t request, uint64_t argument) {
  if (request != FIONREAD) return fail(Errno::NoTty);
  TRY(task.write(UserPtr<int32_t>(argument), static_cast<int32_t>(instance_->bytes())));
  return 0;
}

}  // namespace cofferdam::kernel

#include "fs/host/host_changes.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/log.h"
#include "fs/host/host_inode.h"
#include "host/changes.h"
#include "kernel/host_notifier.h"
#include "kernel/kernel.h"
#include "kernel/time/timer_queue.h"

namespace cofferdam::fs::host {
namespace {

using cofferdam::host::ChangeWatcher;

// One fanotify group for all. The host says which events this process made itself: the VFS has told of those already.
class HostChanges final : public kernel::OutsideChanges, public kernel::Waiter {
 public:
  explicit HostChanges(kernel::Kernel& kernel)
      : kernel_(kernel), notifications_(kernel.vfs().notifications()), timer_(kernel.timers(), [this] { collect(); }) {}
  ~HostChanges() override {
    if (!watcher_) return;
    kernel_.host_notifier().remove(watcher_->fd());
    queue_.remove(*this);
  }

  void watch(Inode& inode, uint32_t mask) override {
    auto* host = dynamic_cast<HostInode*>(&inode);
    if (host == nullptr || host->host_fs().exclusive()) return;
    auto watched = try_watch(*host, mask);
    if (!watched)
      log::warning("changes that the host makes to a watched file are not told: {}", errno_text(watched.error().code));
  }

  void unwatch(Inode& inode) override {
    MutexLock lock(mutex_);
    if (!watcher_) return;
    for (auto it = watched_.begin(); it != watched_.end();) {
      std::erase(it->second, &inode);
      it = it->second.empty() ? watched_.erase(it) : std::next(it);
    }
    if (watched_.empty()) watcher_->unwatch_all();
  }

  // The notifier's thread holds the queue's lock: the work is for another.
  void on_event(kernel::PollMask) override { timer_.arm(kernel::host_now(CLOCK_MONOTONIC)); }

 private:
  using Found = std::vector<Ref<HostInode>>;

  Result<void> try_watch(HostInode& inode, uint32_t mask) {
    bool const directory = inode.type() == S_IFDIR;
    if (!directory && inode.type() != S_IFREG) return {};
    MutexLock lock(mutex_);
    TRY(start());
    auto fd = TRY(inode.watchable_fd());
    std::string identity = TRY(watcher_->watch(fd->get(), mask | IN_ATTRIB | IN_DELETE_SELF, directory));
    auto& there = watched_[identity];
    if (std::ranges::find(there, &inode) == there.end()) there.push_back(&inode);
    // A directory that is removed while a descriptor of it is kept says nothing itself; its parent does.
    if (auto parent = inode.parent(); directory && parent) {
      auto above = TRY(parent->watchable_fd());
      TRY(watcher_->watch(above->get(), IN_DELETE, true));
    }
    return {};
  }

  Result<void> start() REQUIRES(mutex_) {
    if (watcher_) return {};
    watcher_.emplace(TRY(ChangeWatcher::create()));
    queue_.add(*this, EPOLLIN);
    auto added = kernel_.host_notifier().add(watcher_->fd(), queue_);
    if (!added) {
      queue_.remove(*this);
      watcher_.reset();
    }
    return added;
  }

  void collect() {
    for (;;) {
      auto changes = watcher_->take();
      if (changes.empty()) return;
      for (auto const& change : changes) tell(change);
    }
  }

  Found find(std::string const& identity) {
    Found found;
    MutexLock lock(mutex_);
    if (auto it = watched_.find(identity); it != watched_.end())
      for (HostInode* inode : it->second) found.emplace_back(inode);
    return found;
  }

  void tell(ChangeWatcher::Change const& c) {
    if (c.overflow) log::warning("the host dropped events of watched files");
    if (c.mask & IN_DELETE_SELF)
      for (auto& inode : find(c.object)) notifications_.deleted_outside(*inode);
    if (c.own) return;
    // In the order in which they come about, where the host has joined several.
    for (uint32_t event : {IN_CREATE, IN_OPEN, IN_ACCESS, IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE, IN_CLOSE_NOWRITE,
                           IN_MOVED_FROM, IN_MOVED_TO, IN_DELETE, IN_MOVE_SELF})
      if (c.mask & event) tell_one(c, event);
    if (c.mask & IN_ATTRIB)
      for (auto& inode : find(c.object)) let_go_of_removed(*inode);
    if ((c.mask & IN_DELETE) && c.is_directory) look_for_removed(c.name);
  }

  void tell_one(ChangeWatcher::Change const& c, uint32_t event) {
    uint32_t const mask = event | (c.is_directory ? IN_ISDIR : 0);
    if (event & IN_MOVE) {
      if (event == IN_MOVED_FROM) cookie_ = notifications_.next_cookie();
      bool const to = event == IN_MOVED_TO && !c.to_name.empty();
      // Without the old place's record an old host gives the new one in its stead.
      tell_name(to ? c.to_directory : c.directory, to ? c.to_name : c.name, mask, cookie_);
      return;
    }
    if (event != IN_MOVE_SELF && c.name != ".") tell_name(c.directory, c.name, mask, 0);
    if (event & (IN_CREATE | IN_DELETE)) return;
    for (auto& inode : find(c.name == "." ? c.directory : c.object)) notifications_.on(*inode, {.mask = mask});
  }

  void tell_name(std::string const& directory, std::string const& name, uint32_t mask, uint32_t cookie) {
    if (name.empty()) return;
    for (auto& inode : find(directory)) notifications_.on(*inode, {.mask = mask, .cookie = cookie, .name = name});
  }

  // A file without a name on the host any more: what we keep of it is let go, so that its end can be told.
  void let_go_of_removed(HostInode& inode) {
    if (inode.revalidate()) return;
    if (inode.type() == S_IFDIR && inode.removed_on_host())
      notifications_.deleted_outside(inode);
    else
      inode.host_fs().drop_fd(inode);
  }

  void look_for_removed(std::string const& name) {
    Found directories;
    {
      MutexLock lock(mutex_);
      for (auto const& [identity, inodes] : watched_)
        for (HostInode* inode : inodes)
          if (inode->type() == S_IFDIR && inode->name() == name) directories.emplace_back(inode);
    }
    for (auto& inode : directories) let_go_of_removed(*inode);
  }

  kernel::Kernel& kernel_;
  kernel::Notifications& notifications_;
  kernel::WaitQueue queue_;
  Mutex mutex_;
  std::optional<ChangeWatcher> watcher_;  // set once, before events come
  std::map<std::string, std::vector<HostInode*>, std::less<>> watched_ GUARDED_BY(mutex_);
  uint32_t cookie_ = 0;  // the timer's thread only
  kernel::Timer timer_;
};

}  // namespace

std::unique_ptr<kernel::OutsideChanges> watch_outside_changes(kernel::Kernel& kernel) {
  return std::make_unique<HostChanges>(kernel);
}

// A description of its own, open for reading: of a file that may be read at least.
Result<Ref<SharedFd>> HostInode::watchable_fd() {
  if (type() == S_IFREG) return data_fd(false);
  return open_directory();
}

Ref<HostInode> HostInode::parent() const {
  auto where = place();
  return where ? where->parent : Ref<HostInode>();
}

std::string HostInode::name() const {
  auto where = place();
  return where ? where->name : std::string();
}

bool HostInode::removed_on_host() {
  auto kept = host_fs().kept_fd(*this, false);
  if (!kept) return false;
  auto s = cofferdam::host::stat_at(kept->get(), "");
  return s && s->stx_nlink == 0;
}

}  // namespace cofferdam::fs::host

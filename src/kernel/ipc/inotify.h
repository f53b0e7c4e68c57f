// inotify(7).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "base/mutex.h"
#include "kernel/ipc/anonymous_file.h"
#include "kernel/vfs/notify.h"

namespace cofferdam::kernel {

struct InotifyLimits;
class Kernel;

// The queue and the watch descriptors of one instance: outlived by no watch of it that can still tell something.
class InotifyInstance final : public RefCounted {
 public:
  InotifyInstance(Kernel&, uid_t owner);
  ~InotifyInstance() override;

  // inotify_add_watch(2) at a place that was looked up. EEXIST (IN_MASK_CREATE), ENOSPC.
  Result<int> add(Ref<Dentry> const&, uint32_t mask);
  Result<void> remove(int wd);  // EINVAL
  // The end of the file: no watch is left.
  void close();

  // The next event if it fits into `room`: EAGAIN when there is none, EINVAL when it does not fit.
  Result<std::string> take(size_t room);
  size_t bytes() const;  // FIONREAD
  bool empty() const;
  WaitQueue& queue() { return queue_; }
  std::string fdinfo() const;

 private:
  struct Event {
    int wd;
    uint32_t mask, cookie;
    std::string name;
    size_t size() const;
  };
  class InotifyWatch;
  void put(Event);
  // Takes the watch out of the table; false when somebody else did.
  bool forget(InotifyWatch&);
  Ref<InotifyWatch> watch_of(Inode const&) const;

  Notifications& notifications_;
  InotifyLimits& limits_;
  uid_t const owner_;
  Mutex change_lock_;  // over a whole add
  mutable Mutex mutex_;
  std::deque<Event> events_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;
  std::map<int, Ref<InotifyWatch>> watches_ GUARDED_BY(mutex_);
  std::map<Inode const*, InotifyWatch*> by_inode_ GUARDED_BY(mutex_);
  int last_wd_ GUARDED_BY(mutex_) = 0;
  WaitQueue queue_;
};

class InotifyFile final : public AnonymousFile {
 public:
  // EMFILE: the user has max_user_instances already.
  static Result<Ref<File>> create(Kernel&, uid_t owner, int flags);
  InotifyFile(Ref<InotifyInstance>, int flags);
  ~InotifyFile() override { instance_->close(); }

  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override;
  Result<uint64_t> ioctl(Task&, uint32_t request, uint64_t argument) override;
  PollMask poll() override { return instance_->empty() ? 0 : EPOLLIN | EPOLLRDNORM; }
  WaitQueue* wait_queue() override { return &instance_->queue(); }
  std::string fdinfo() override { return instance_->fdinfo(); }
  std::string anonymous_name() const override { return "anon_inode:inotify"; }  // Linux writes it without brackets
  InotifyInstance& instance() { return *instance_; }

 private:
  Ref<InotifyInstance> const instance_;
};

}  // namespace cofferdam::kernel

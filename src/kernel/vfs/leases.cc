#include "kernel/vfs/leases.h"

#include <linux/capability.h>
#include <sys/epoll.h>

#include <algorithm>
#include <optional>

#include "kernel/ipc/async_signal.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/task/thread_group.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/locks.h"

namespace cofferdam::kernel {
namespace {

// How else the file's inode is open, by a look at every process (O_PATH does not count). What is on its way between
// processes, or mapped without a descriptor, is not seen.
struct OtherOpens {
  bool any = false, writing = false;
};

OtherOpens other_opens(Kernel& kernel, File const& file) {
  std::vector<Ref<FdTable>> tables;
  {
    std::vector<Ref<Task>> tasks;
    ProcessLocked lock(kernel);
    for (auto const& group : kernel.all_groups(lock))
      for (auto& task : group->tasks(lock)) tasks.push_back(std::move(task));
    for (auto const& task : tasks)
      if (auto table = task->files(); table && (tables.empty() || tables.back() != table))
        tables.push_back(std::move(table));
  }
  OtherOpens found;
  for (auto const& table : tables)
    for (int fd : table->descriptors()) {
      auto other = table->get(fd);
      if (!other || other->get() == &file || (*other)->inode() != file.inode()) continue;
      found.any = true;
      found.writing |= (*other)->writable();
    }
  return found;
}

Result<void> check_opens(Kernel& kernel, File const& file, LockType type) {
  if (type == LockType::Shared && file.writable()) return fail(Errno::Again);
  OtherOpens const others = other_opens(kernel, file);
  if (type == LockType::Shared ? others.writing : others.any) return fail(Errno::Again);
  return {};
}

}  // namespace

void Leases::expire() {
  bool changed = false;
  for (Lease& l : leases_) {
    if (!l.downgrades || !l.downgrade_at.expired()) continue;
    l.type = LockType::Shared;
    l.downgrades = false;
    changed = true;
  }
  changed |= std::erase_if(leases_, [](Lease const& l) { return l.ends && l.end_at.expired(); }) != 0;
  count_.store(static_cast<uint32_t>(leases_.size()), std::memory_order_release);
  if (changed) queue_.wake(EPOLLIN, SIZE_MAX);
}

LockType Leases::held_by(File const& file) {
  MutexLock lock(mutex_);
  expire();
  auto const l = std::ranges::find(leases_, &file, &Lease::file);
  if (l == leases_.end() || l->ends) return LockType::Unlock;
  return l->downgrades ? LockType::Shared : l->type;
}

Result<bool> Leases::set(File& file, int fd, LockType type) {
  MutexLock lock(mutex_);
  expire();
  for (Lease const& l : leases_)
    if (l.file != &file && (type == LockType::Exclusive || l.type == LockType::Exclusive || l.ends))
      return fail(Errno::Again);
  auto const mine = std::ranges::find(leases_, &file, &Lease::file);
  if (mine == leases_.end()) {
    leases_.push_back({.file = &file, .fd = fd, .type = type});
    count_.store(static_cast<uint32_t>(leases_.size()), std::memory_order_release);
    return true;
  }
  mine->type = type;
  if (type == LockType::Shared) mine->downgrades = false;
  queue_.wake(EPOLLIN, SIZE_MAX);
  return false;
}

bool Leases::release(File const& file) {
  MutexLock lock(mutex_);
  if (std::erase_if(leases_, [&](Lease const& l) { return l.file == &file; }) == 0) return false;
  count_.store(static_cast<uint32_t>(leases_.size()), std::memory_order_release);
  queue_.wake(EPOLLIN, SIZE_MAX);
  return true;
}

bool Leases::begin_breaks(LockWaits& settings, bool writing, std::vector<Told>& told, Deadline& first) {
  uint32_t const seconds = settings.lease_break_seconds.load(std::memory_order_relaxed);
  Deadline const over = seconds == 0 ? Deadline::never() : Deadline::after(seconds * ns_per_second);
  bool conflict = false;
  for (Lease& l : leases_) {
    if (!writing && l.type != LockType::Exclusive) continue;
    conflict = true;
    bool const asked = writing ? l.ends : l.ends || l.downgrades;
    if (!asked) {
      (writing ? l.ends : l.downgrades) = true;
      (writing ? l.end_at : l.downgrade_at) = over;
      told.push_back({l.file->owner.with([](File::Owner& o) { return o; }), l.fd});
    }
    Deadline const& end = l.ends ? l.end_at : l.downgrade_at;
    if (end.at_ns && (!first.at_ns || *end.at_ns < *first.at_ns)) first = end;
  }
  return conflict;
}

Result<void> Leases::give_way(Task& task, LockWaits& settings, bool writing, bool nonblocking) {
  for (;;) {
    std::vector<Told> told;
    Deadline first = Deadline::never();
    {
      MutexLock lock(mutex_);
      expire();
      if (!begin_breaks(settings, writing, told, first)) return {};
    }
    for (Told const& t : told) signal_owner(task.kernel(), t.owner, t.fd);
    if (nonblocking) return fail(Errno::Again);
    auto const out_of_the_way = [&] {
      MutexLock lock(mutex_);
      return std::ranges::none_of(leases_, [&](Lease const& l) { return writing || l.type == LockType::Exclusive; });
    };
    auto waited = task.wait_until(queue_, EPOLLIN, first, out_of_the_way);
    if (!waited && waited.error() != Errno::TimedOut) return waited;
  }
}

Result<void> set_lease(Task& task, File& file, int fd, LockType type) {
  Inode* inode = file.inode();
  if (inode == nullptr) return fail(Errno::Inval);
  auto who = task.credentials();
  if (TRY(inode->attributes()).uid != who->fsuid && !who->capable(CAP_LEASE)) return fail(Errno::Acces);
  if (!S_ISREG(inode->type())) return fail(Errno::Inval);
  if (type == LockType::Unlock) {
    auto locks = FileLocks::find(*inode);
    return locks && locks->leases.release(file) ? Result<void>() : fail(Errno::Again);
  }
  if (!task.kernel().vfs().lock_waits().leases_enabled.load(std::memory_order_relaxed)) return fail(Errno::Inval);
  TRY(check_opens(task.kernel(), file, type));
  auto locks = FileLocks::of(*inode);
  bool const fresh = TRY(locks->leases.set(file, fd, type));
  if (!fresh) return {};
  set_default_owner(task, file);
  // Who opened the file before the lease stood there has not seen it.
  auto checked = check_opens(task.kernel(), file, type);
  if (!checked) (void)locks->leases.release(file);
  return checked;
}

LockType lease_of(File& file) {
  if (file.inode() == nullptr) return LockType::Unlock;
  auto locks = FileLocks::find(*file.inode());
  return locks ? locks->leases.held_by(file) : LockType::Unlock;
}

Result<void> break_leases(Task& task, Inode& inode, bool writing, bool nonblocking) {
  if (!inode.has_attachment(Attachment::Locks)) return {};
  auto locks = FileLocks::find(inode);
  if (!locks || locks->leases.empty()) return {};
  return locks->leases.give_way(task, task.kernel().vfs().lock_waits(), writing, nonblocking);
}

}  // namespace cofferdam::kernel

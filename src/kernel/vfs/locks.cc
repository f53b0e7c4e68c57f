#include "kernel/vfs/locks.h"

#include <sys/epoll.h>

#include <algorithm>

#include "kernel/task/task.h"
#include "kernel/vfs/inode.h"

namespace cofferdam::kernel {
namespace {

constexpr size_t max_locks_per_file = 1 << 20;
constexpr int max_chain = 1000;

}  // namespace

bool LockWaits::begin(void const* owner, void const* holder) {
  MutexLock lock(mutex_);
  void const* at = holder;
  for (int i = 0; i < max_chain; ++i) {
    if (at == owner) return false;
    auto next = waits_.find(at);
    if (next == waits_.end()) break;
    at = next->second;
  }
  waits_[owner] = holder;
  return true;
}

void LockWaits::end(void const* owner) {
  MutexLock lock(mutex_);
  waits_.erase(owner);
}

Ref<FileLocks> FileLocks::of(Inode& inode) {
  return inode.locks.with([](Ref<RefCounted>& slot) {
    if (!slot) slot = make_ref<FileLocks>();
    return ref_cast<FileLocks>(slot);
  });
}

Ref<FileLocks> FileLocks::find(Inode& inode) {
  if (!inode.locks.touched()) return {};
  return inode.locks.with([](Ref<RefCounted>& slot) { return ref_cast<FileLocks>(slot); });
}

bool FileLocks::try_flock(void const* file, LockType type) {
  MutexLock lock(mutex_);
  if (type == LockType::Unlock) {
    whole_.erase(file);
    return true;
  }
  for (auto& [holder, held] : whole_)
    if (holder != file && (held == LockType::Exclusive || type == LockType::Exclusive)) return false;
  whole_[file] = type;
  return true;
}

Result<void> FileLocks::flock(Task& task, void const* file, LockType type, bool wait) {
  bool had = false;
  {
    MutexLock lock(mutex_);
    auto old = whole_.find(file);
    if (old != whole_.end() && old->second == type) return {};
    had = old != whole_.end();
    if (had) whole_.erase(old);  // a conversion is not atomic (flock(2))
  }
  if (had) queue_.wake(EPOLLIN, SIZE_MAX);
  if (try_flock(file, type)) return {};
  if (!wait) return fail(Errno::Again);
  return task.wait_until(queue_, EPOLLIN, Deadline::never(), [&] { return try_flock(file, type); });
}

FileLocks::RangeLock const* FileLocks::conflict(LockOwner const& owner, LockType type, LockRange range) const {
  for (RangeLock const& l : ranges_) {
    if (l.range.first > range.last) break;
    if (l.owner.key == owner.key || !l.range.overlaps(range)) continue;
    if (l.type == LockType::Exclusive || type == LockType::Exclusive) return &l;
  }
  return nullptr;
}

// Cuts the owner's locks out of the range, puts the new one there, and joins neighbours of one kind.
Result<void> FileLocks::apply(LockOwner const& owner, LockType type, LockRange range) {
  if (ranges_.size() >= max_locks_per_file && type != LockType::Unlock) return fail(Errno::NoLck);
  std::vector<RangeLock> next;
  next.reserve(ranges_.size() + 2);
  RangeLock fresh{range, type, owner};
  for (RangeLock const& l : ranges_) {
    if (l.owner.key != owner.key) {
      next.push_back(l);
      continue;
    }
    bool touches = (fresh.range.first == 0 || l.range.last >= fresh.range.first - 1) &&
                   (fresh.range.last == UINT64_MAX || l.range.first <= fresh.range.last + 1);
    if (type != LockType::Unlock && l.type == type && touches) {
      fresh.range = {std::min(fresh.range.first, l.range.first), std::max(fresh.range.last, l.range.last)};
      continue;
    }
    if (!l.range.overlaps(range)) {
      next.push_back(l);
      continue;
    }
    if (l.range.first < range.first) next.push_back({{l.range.first, range.first - 1}, l.type, l.owner});
    if (l.range.last > range.last) next.push_back({{range.last + 1, l.range.last}, l.type, l.owner});
  }
  if (type != LockType::Unlock) next.push_back(fresh);
  std::sort(next.begin(), next.end(), [](RangeLock const& a, RangeLock const& b) {
    return std::pair(a.range.first, a.owner.key) < std::pair(b.range.first, b.owner.key);
  });
  ranges_ = std::move(next);
  return {};
}

Result<void> FileLocks::set(Task& task, LockWaits& waits, LockOwner const& owner, LockType type, LockRange range,
                            bool wait) {
  Result<void> outcome;
  bool deadlock = false;
  auto attempt = [&]() -> bool {
    {
      MutexLock lock(mutex_);
      if (type != LockType::Unlock) {
        if (RangeLock const* other = conflict(owner, type, range)) {
          if (wait && owner.detect_deadlock && other->owner.detect_deadlock &&
              !waits.begin(owner.key, other->owner.key))
            deadlock = true;
          return deadlock;
        }
      }
      outcome = apply(owner, type, range);
    }
    queue_.wake(EPOLLIN, SIZE_MAX);  // a lock may have become weaker
    return true;
  };
  if (!wait) return attempt() ? outcome : Result<void>(fail(Errno::Again));
  Result<void> waited;
  if (!attempt()) {
    // The wakes of an attempt made while this task stands in the queue are harmless: it looks once more.
    TaskWaiter waiter(task);
    queue_.add(waiter, EPOLLIN);
    for (;;) {
      task.prepare_to_wait();
      if (attempt()) break;
      waited = task.wait(Deadline::never());
      if (!waited) break;
    }
    queue_.remove(waiter);
  }
  if (owner.detect_deadlock) waits.end(owner.key);
  if (deadlock) return fail(Errno::DeadLk);
  return waited ? outcome : waited;
}

std::optional<FileLocks::Conflict> FileLocks::test(LockOwner const& owner, LockType type, LockRange range) const {
  MutexLock lock(mutex_);
  RangeLock const* other = conflict(owner, type, range);
  if (other == nullptr) return std::nullopt;
  return Conflict{other->type, other->range, other->owner.pid};
}

void FileLocks::release(void const* key) {
  bool changed = false;
  {
    MutexLock lock(mutex_);
    changed = whole_.erase(key) != 0;
    changed |= std::erase_if(ranges_, [&](RangeLock const& l) { return l.owner.key == key; }) != 0;
  }
  if (changed) queue_.wake(EPOLLIN, SIZE_MAX);
}

}  // namespace cofferdam::kernel

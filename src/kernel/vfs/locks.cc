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
  return inode.with_attachment(Attachment::Locks, [&](Ref<RefCounted>& slot) {
    if (!slot) slot = make_ref<FileLocks>(inode.outside_locks());
    return ref_cast<FileLocks>(slot);
  });
}

Ref<FileLocks> FileLocks::find(Inode& inode) {
  if (!inode.has_attachment(Attachment::Locks)) return {};
  return inode.with_attachment(Attachment::Locks, [](Ref<RefCounted>& slot) { return ref_cast<FileLocks>(slot); });
}

bool FileLocks::try_flock(void const* file, LockType type) {
  MutexLock lock(mutex_);
  if (type == LockType::Unlock) {
    if (whole_.erase(file) != 0) settle_outside();
    return true;
  }
  for (auto& [holder, held] : whole_)
    if (holder != file && (held == LockType::Exclusive || type == LockType::Exclusive)) return false;
  if (outside_ && !outside_->set_whole(type)) return false;
  whole_[file] = type;
  return true;
}

// After a flock has gone: those that are left are shared.
void FileLocks::settle_outside() {
  if (!outside_) return;
  (void)outside_->set_whole(whole_.empty() ? LockType::Unlock : LockType::Shared);
  if (whole_.empty() && ranges_.empty()) outside_->idle();
}

// The owner gives a range up: outside it is given up where nobody else in here holds it (shared, then).
void FileLocks::unlock_outside(void const* key, LockRange range) {
  if (!outside_) return;
  uint64_t at = range.first;
  for (RangeLock const& l : ranges_) {  // ascending
    if (l.owner.key == key || !l.range.overlaps(range) || l.range.last < at) continue;
    if (l.range.first > at) (void)outside_->set(LockType::Unlock, {at, l.range.first - 1});
    if (l.range.last >= range.last) return;
    at = l.range.last + 1;
  }
  (void)outside_->set(LockType::Unlock, {at, range.last});
}

Deadline FileLocks::next_look() const {
  constexpr Nanoseconds pause = 10 * 1'000'000;
  return outside_ ? Deadline::after(pause) : Deadline::never();
}

Result<void> FileLocks::flock(Task& task, void const* file, LockType type, bool wait) {
  bool had = false;
  {
    MutexLock lock(mutex_);
    auto old = whole_.find(file);
    if (old != whole_.end() && old->second == type) return {};
    had = old != whole_.end();
    if (had) whole_.erase(old);  // a conversion is not atomic (flock(2))
    if (had) settle_outside();
  }
  if (had) queue_.wake(EPOLLIN, SIZE_MAX);
  if (try_flock(file, type)) return {};
  if (!wait) return fail(Errno::Again);
  for (;;) {
    auto waited = task.wait_until(queue_, EPOLLIN, next_look(), [&] { return try_flock(file, type); });
    if (waited || waited.error() != Errno::TimedOut) return waited;
  }
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
        if (outside_) {
          auto taken = outside_->set(type, range);
          if (!taken && taken.error() == Errno::Again) return false;
          if (!taken) {
            outcome = taken;
            return true;
          }
        }
      }
      outcome = apply(owner, type, range);
      if (type == LockType::Unlock) unlock_outside(owner.key, range);
      if (outside_ && ranges_.empty() && whole_.empty()) outside_->idle();
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
      waited = task.wait(next_look());
      if (!waited && waited.error() == Errno::TimedOut) waited = {};
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
  if (other == nullptr && outside_)
    if (auto held = outside_->test(type, range)) return Conflict{held->type, held->range, {}, false};
  if (other == nullptr) return std::nullopt;
  return Conflict{other->type, other->range, other->owner.pid, !other->owner.pid};
}

void FileLocks::release(void const* key) {
  bool changed = false;
  {
    MutexLock lock(mutex_);
    changed = whole_.erase(key) != 0;
    if (changed) settle_outside();
    std::vector<LockRange> given_up;
    for (RangeLock const& l : ranges_)
      if (l.owner.key == key) given_up.push_back(l.range);
    changed |= std::erase_if(ranges_, [&](RangeLock const& l) { return l.owner.key == key; }) != 0;
    for (LockRange const& range : given_up) unlock_outside(key, range);
    if (changed && outside_ && ranges_.empty() && whole_.empty()) outside_->idle();
  }
  if (changed) queue_.wake(EPOLLIN, SIZE_MAX);
}

}  // namespace cofferdam::kernel

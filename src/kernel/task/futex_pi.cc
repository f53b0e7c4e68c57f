#include "kernel/task/futex_pi.h"

#include <linux/futex.h>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::kernel {
namespace {

// How often a word that others change all the time is tried; then the call is made again from the start.
constexpr int max_tries = 64;
constexpr Nanoseconds dying_owner_pause = 1'000'000;

uint32_t owner_of(uint32_t word) { return word & FUTEX_TID_MASK; }

Result<FutexKey> key_of(Task& task, uint64_t address) {
  if (address % 4 != 0) return fail(Errno::Inval);
  auto mm = task.mm();
  if (!mm) return fail(Errno::Fault);
  auto vma = mm->find(address);
  if (!vma) return fail(Errno::Fault);
  if ((vma->flags & MAP_SHARED) && vma->memory)
    return FutexKey{std::hash<void const*>{}(vma->memory.get()), vma->memory_offset + (address - vma->start)};
  return FutexKey{std::hash<void const*>{}(mm.get()), address};
}

// Replaces `word` by `with`: false when it has changed (word is what it is now).
Result<bool> replace(Task& task, uint64_t address, uint32_t& word, uint32_t with) {
  uint32_t found = TRY(task.context().compare_exchange32(address, word, with));
  bool done = found == word;
  word = found;
  return done;
}

// ESRCH: no such thread; EAGAIN: it is about to exit and will give the lock up.
Result<void> check_owner(Task& task, uint32_t tid) {
  ProcessLocked lock(task.kernel());
  auto owner = task.pids().task(static_cast<int32_t>(tid), lock);
  if (!owner) return fail(Errno::Srch);
  if (owner->pending_work() & work::kill) return fail(Errno::Again);
  return {};
}

}  // namespace

// Takes the free lock for a thread, or marks a taken one as waited for. EDEADLK: it has the lock already.
Result<PiFutexes::Taken> PiFutexes::take_or_mark(Task& task, uint64_t address, int32_t for_tid, bool others_wait) {
  auto tid = static_cast<uint32_t>(for_tid);
  uint32_t word = TRY(task.context().load32(address));
  for (int n = 0; n < max_tries; ++n) {
    if (owner_of(word) == tid) return fail(Errno::DeadLk);
    if (owner_of(word) == 0) {
      uint32_t mine = tid | (word & FUTEX_OWNER_DIED) | (others_wait ? FUTEX_WAITERS : 0);
      if (TRY(replace(task, address, word, mine))) return Taken::Yes;
    } else if ((word & FUTEX_WAITERS) || TRY(replace(task, address, word, word | FUTEX_WAITERS))) {
      TRY(check_owner(task, owner_of(word)));
      return Taken::No;
    }
  }
  return fail(Errno::Again);
}

// The caller gives its lock to the first in the queue.
Result<void> PiFutexes::pass_on(Task& task, Queue& queue, uint64_t address) {
  Waiter* heir = queue.waiters.front();
  uint32_t mine = static_cast<uint32_t>(heir->task.tid()) | (queue.waiters.size() > 1 ? FUTEX_WAITERS : 0);
  uint32_t word = TRY(task.context().load32(address));
  for (int n = 0; n < max_tries; ++n) {
    if (owner_of(word) != static_cast<uint32_t>(task.tid())) return fail(Errno::Perm);
    if (!TRY(replace(task, address, word, mine))) continue;
    queue.owner = heir->task.tid();
    heir->granted = true;
    leave(*heir);
    heir->task.wake();
    return {};
  }
  return fail(Errno::Again);
}

Result<void> PiFutexes::inherit(Waiter& w) {
  bool others_wait = queues_[w.key].waiters.size() > 1;
  uint32_t mine = static_cast<uint32_t>(w.task.tid()) | FUTEX_OWNER_DIED | (others_wait ? FUTEX_WAITERS : 0);
  queues_[w.key].owner = w.task.tid();
  leave(w);
  uint32_t word = TRY(w.task.context().load32(w.address));
  for (int n = 0; n < max_tries; ++n)
    if (TRY(replace(w.task, w.address, word, mine))) {
      w.granted = true;
      return {};
    }
  return fail(Errno::Again);
}

void PiFutexes::enqueue(Waiter& w, int32_t owner) {
  Queue& queue = queues_[w.key];
  queue.waiters.push_back(&w);
  if (owner) queue.owner = owner;
}

void PiFutexes::leave(Waiter& w) {
  auto it = queues_.find(w.key);
  if (it == queues_.end()) return;
  it->second.waiters.remove(&w);
  if (it->second.waiters.empty()) queues_.erase(it);
}

// Sleeps until the lock is granted, the deadline passes or a signal comes.
Result<void> PiFutexes::sleep(Waiter& w, Deadline deadline) {
  for (;;) {
    w.task.prepare_to_wait();
    {
      MutexLock lock(mutex_);
      if (w.granted) return {};
      if (w.inherits) return inherit(w);
    }
    auto waited = w.task.wait(deadline);
    if (waited) continue;
    MutexLock lock(mutex_);
    if (w.granted) return {};
    if (w.inherits) return inherit(w);
    leave(w);
    return std::unexpected(waited.error());
  }
}

// Takes the lock or joins its queue; granted says which.
Result<void> PiFutexes::queue_up(Task& task, Waiter& w) {
  for (;;) {
    {
      MutexLock lock(mutex_);
      auto it = queues_.find(w.key);
      auto taken = take_or_mark(task, w.address, task.tid(), it != queues_.end());
      if (taken && *taken == Taken::Yes) {
        w.granted = true;
        if (it != queues_.end()) it->second.owner = task.tid();
        return {};
      }
      if (taken) {
        enqueue(w, static_cast<int32_t>(owner_of(TRY(task.context().load32(w.address)))));
        return {};
      }
      if (taken.error() != Errno::Again) return std::unexpected(taken.error());
    }
    // The owner is on its way out, or the word is fought over.
    task.prepare_to_wait();
    auto paused = task.wait(Deadline::after(dying_owner_pause));
    if (!paused && paused.error() != Errno::TimedOut) return fail(Errno::RestartNoIntr);
  }
}

Result<void> PiFutexes::lock(Task& task, uint64_t address, Deadline deadline) {
  FutexKey key = TRY(key_of(task, address));
  Waiter w{.task = task, .key = key, .address = address, .target = {}};
  TRY(queue_up(task, w));
  if (w.granted) return {};
  auto slept = sleep(w, deadline);
  if (!slept && slept.error() == Errno::RestartSys) return fail(Errno::RestartNoIntr);
  return slept;
}

Result<void> PiFutexes::try_lock(Task& task, uint64_t address) {
  TRY(key_of(task, address));
  MutexLock lock(mutex_);
  auto& context = task.context();
  auto tid = static_cast<uint32_t>(task.tid());
  uint32_t word = TRY(context.load32(address));
  for (int n = 0; n < max_tries; ++n) {
    if (owner_of(word) == tid) return fail(Errno::DeadLk);
    if (owner_of(word) != 0) {
      TRY(check_owner(task, owner_of(word)));
      return fail(Errno::Again);
    }
    if (TRY(replace(task, address, word, tid | (word & (FUTEX_OWNER_DIED | FUTEX_WAITERS))))) return {};
  }
  return fail(Errno::Again);
}

Result<void> PiFutexes::unlock(Task& task, uint64_t address) {
  FutexKey key = TRY(key_of(task, address));
  MutexLock lock(mutex_);
  uint32_t word = TRY(task.context().load32(address));
  if (owner_of(word) != static_cast<uint32_t>(task.tid())) return fail(Errno::Perm);
  auto it = queues_.find(key);
  if (it != queues_.end() && !it->second.waiters.front()->waits_for_requeue) return pass_on(task, it->second, address);
  for (int n = 0; n < max_tries; ++n) {
    if (TRY(replace(task, address, word, 0))) return {};
    if (owner_of(word) != static_cast<uint32_t>(task.tid())) return fail(Errno::Perm);
  }
  return fail(Errno::Again);
}

Result<void> PiFutexes::wait_requeue(Task& task, uint64_t address, uint32_t expected, Deadline deadline,
                                     uint64_t lock_address) {
  if (address == lock_address) return fail(Errno::Inval);
  FutexKey key = TRY(key_of(task, address)), target = TRY(key_of(task, lock_address));
  if (key == target) return fail(Errno::Inval);
  Waiter w{.task = task, .key = key, .address = lock_address, .target = target, .waits_for_requeue = true};
  {
    MutexLock lock(mutex_);
    if (TRY(task.context().load32(address)) != expected) return fail(Errno::Again);
    enqueue(w, 0);
  }
  auto slept = sleep(w, deadline);
  if (slept || slept.error() != Errno::RestartSys) return slept;
  // Moved to the lock's queue already, the call cannot be made again as it was.
  return fail(w.waits_for_requeue ? Errno::RestartNoIntr : Errno::Again);
}

Result<uint64_t> PiFutexes::requeue(Task& task, uint64_t address, uint32_t expected, uint64_t lock_address,
                                    uint32_t max_moved) {
  FutexKey key = TRY(key_of(task, address)), target = TRY(key_of(task, lock_address));
  if (key == target) return fail(Errno::Inval);
  MutexLock lock(mutex_);
  if (TRY(task.context().load32(address)) != expected) return fail(Errno::Again);
  uint64_t done = 0;
  for (bool lock_is_taken = false; done <= max_moved; ++done) {
    auto it = queues_.find(key);
    if (it == queues_.end()) break;
    Waiter* w = it->second.waiters.front();
    if (!w->waits_for_requeue || w->target != target) return fail(Errno::Inval);
    bool others_wait = it->second.waiters.size() > 1;
    if (!lock_is_taken) {
      auto taken = TRY(take_or_mark(task, lock_address, w->task.tid(), others_wait || queues_.contains(target)));
      lock_is_taken = true;
      if (taken == Taken::Yes) {
        leave(*w);
        w->granted = true;
        w->task.wake();
        continue;
      }
    }
    leave(*w);
    w->waits_for_requeue = false;
    w->key = target;
    enqueue(*w, static_cast<int32_t>(owner_of(TRY(task.context().load32(lock_address)))));
  }
  return done;
}

void PiFutexes::owner_exits(Task& task) {
  MutexLock lock(mutex_);
  for (auto& [key, queue] : queues_) {
    if (queue.owner != task.tid() || queue.waiters.empty()) continue;
    queue.waiters.front()->inherits = true;
    queue.waiters.front()->task.wake();
  }
}

}  // namespace cofferdam::kernel

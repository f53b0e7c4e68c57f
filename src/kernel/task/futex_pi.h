// Priority-inheritance futexes (futex(2)): lock words whose waiters queue in the sentry. All other futexes are the
// host's.
//
// Nobody's priority is raised: guest threads are scheduled by the host with equal rights. What is kept is the protocol:
// the word holds the owner's thread id, a waiter is given the lock by whoever gives it up, and a dead owner's lock
// passes on.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <utility>

#include "base/mutex.h"
#include "base/result.h"
#include "kernel/time/clock.h"

namespace cofferdam::kernel {

class Task;

// Where a futex is: private memory by address space and address, shared memory by file and offset.
struct FutexKey {
  uint64_t object = 0, offset = 0;
  friend auto operator<=>(FutexKey const&, FutexKey const&) = default;
};

// One per Kernel.
class PiFutexes {
 public:
  // EDEADLK, ESRCH, EFAULT, ETIMEDOUT; RestartNoIntr.
  Result<void> lock(Task&, uint64_t address, Deadline);
  Result<void> try_lock(Task&, uint64_t address);  // EAGAIN when somebody has it
  Result<void> unlock(Task&, uint64_t address);    // EPERM when the caller has not
  // FUTEX_WAIT_REQUEUE_PI: waits at `address` until it owns the lock at `lock_address`. EAGAIN when the word is not
  // `expected`.
  Result<void> wait_requeue(Task&, uint64_t address, uint32_t expected, Deadline, uint64_t lock_address);
  // FUTEX_CMP_REQUEUE_PI: how many were given the lock or moved to wait for it.
  Result<uint64_t> requeue(Task&, uint64_t address, uint32_t expected, uint64_t lock_address, uint32_t max_moved);
  // The calling task exits: the locks of it that others wait for pass to them.
  void owner_exits(Task&);

 private:
  struct Waiter {
    Task& task;
    FutexKey key;      // whose queue it is in
    uint64_t address;  // of the lock, in the waiter's memory
    FutexKey target;   // of wait_requeue: the lock's
    bool waits_for_requeue = false;
    bool granted = false;
    bool inherits = false;  // from a dead owner: it takes the lock itself, by its own mapping of it
  };
  struct Queue {
    std::list<Waiter*> waiters;  // first come, first served
    int32_t owner = 0;
  };
  enum class Taken { Yes, No };
  Result<Taken> take_or_mark(Task&, uint64_t address, int32_t for_tid, bool others_wait) REQUIRES(mutex_);
  Result<void> pass_on(Task&, Queue&, uint64_t address) REQUIRES(mutex_);
  Result<void> inherit(Waiter&) REQUIRES(mutex_);
  Result<void> queue_up(Task&, Waiter&) EXCLUDES(mutex_);
  Result<void> sleep(Waiter&, Deadline) EXCLUDES(mutex_);
  void enqueue(Waiter&, int32_t owner) REQUIRES(mutex_);
  void leave(Waiter&) REQUIRES(mutex_);

  Mutex mutex_;
  std::map<FutexKey, Queue> queues_ GUARDED_BY(mutex_);
};

}  // namespace cofferdam::kernel

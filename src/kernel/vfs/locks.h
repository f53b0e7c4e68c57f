// File locks: flock(2), POSIX record locks and open-file-description locks (fcntl(2), fcntl_locking).
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/task/pid.h"
#include "kernel/time/clock.h"
#include "kernel/vfs/leases.h"
#include "kernel/wait_queue.h"

namespace cofferdam::kernel {

class Inode;
class Task;

enum class LockType : uint8_t { Shared, Exclusive, Unlock };

struct LockRange {
  uint64_t first = 0, last = UINT64_MAX;  // both inclusive
  bool overlaps(LockRange const& o) const { return first <= o.last && o.first <= last; }
};

// Who holds a lock: a descriptor table (POSIX locks) or an open file (flock, OFD). Only compared, never followed.
struct LockOwner {
  void const* key = nullptr;
  Ref<Pid> pid;                  // what F_GETLK tells; null for open files
  bool detect_deadlock = false;  // POSIX locks only
};

// What the locks of a Vfs share: which owner waits for which (EDEADLK of F_SETLKW), and settings of /proc/sys/fs.
class LockWaits {
 public:
  std::atomic<uint32_t> lease_break_seconds{45}, leases_enabled{1}, directory_notify_enabled{1};

  // false: `owner` waiting for `holder` would close a circle. Else it is noted.
  bool begin(void const* owner, void const* holder);
  void end(void const* owner);

 private:
  Mutex mutex_;
  std::map<void const*, void const*> waits_ GUARDED_BY(mutex_);
};

// What others outside the sandbox lock too: a file of a shared mount. It is told what all owners in here hold together.
class OutsideLocks : public RefCounted {
 public:
  // Record locks: EAGAIN when somebody outside holds what is in the way. Unlock does not fail.
  virtual Result<void> set(LockType, LockRange) = 0;
  virtual Result<void> set_whole(LockType) = 0;  // flock(2)
  struct Held {
    LockType type;
    LockRange range;
  };
  virtual std::optional<Held> test(LockType, LockRange) = 0;
  virtual void idle() = 0;  // nobody in here holds anything
};

// All locks of one inode; hangs in Inode::locks.
class FileLocks final : public RefCounted {
 public:
  explicit FileLocks(Ref<OutsideLocks> outside) : outside_(std::move(outside)) {}
  static Ref<FileLocks> of(Inode&);    // makes it
  static Ref<FileLocks> find(Inode&);  // null when the inode never had a lock

  // EAGAIN when not `wait`; RestartSys when interrupted.
  Result<void> flock(Task&, void const* file, LockType, bool wait);
  // F_SETLK, F_SETLKW: EAGAIN, EDEADLK, ENOLCK, RestartSys.
  Result<void> set(Task&, LockWaits&, LockOwner const&, LockType, LockRange, bool wait);
  struct Conflict {
    LockType type;
    LockRange range;
    Ref<Pid> pid;  // null: an open file's, or of somebody outside
    bool of_open_file;
  };
  std::optional<Conflict> test(LockOwner const&, LockType, LockRange) const;
  // Everything of an owner: close(2) of a descriptor, or the end of an open file.
  void release(void const* key);

  Leases leases;

 private:
  struct RangeLock {
    LockRange range;
    LockType type;
    LockOwner owner;
  };
  RangeLock const* conflict(LockOwner const&, LockType, LockRange) const REQUIRES(mutex_);
  Result<void> apply(LockOwner const&, LockType, LockRange) REQUIRES(mutex_);
  bool try_flock(void const* file, LockType);
  // What is in the way outside lets nobody know when it goes: waits of this file look again.
  Deadline next_look() const;
  void unlock_outside(void const* key, LockRange) REQUIRES(mutex_);
  void settle_outside() REQUIRES(mutex_);

  Ref<OutsideLocks> const outside_;
  mutable Mutex mutex_;
  std::vector<RangeLock> ranges_ GUARDED_BY(mutex_);  // ascending by first
  std::map<void const*, LockType> whole_ GUARDED_BY(mutex_);
  WaitQueue queue_;
};

}  // namespace cofferdam::kernel

// File leases (fcntl(2), "Leases"): a holder hears of it before somebody else opens or truncates its file.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "kernel/time/clock.h"
#include "kernel/vfs/file.h"
#include "kernel/wait_queue.h"

namespace cofferdam::kernel {

class LockWaits;
enum class LockType : uint8_t;

// The leases of one inode; part of its FileLocks.
class Leases {
 public:
  bool empty() const { return count_.load(std::memory_order_acquire) == 0; }

  // What F_GETLEASE tells: what it will be after the break that is under way, if any.
  LockType held_by(File const&);
  // A new lease, or another type of the one that the file has. EAGAIN: others have leases that exclude it. True when
  // it is new.
  Result<bool> set(File&, int fd, LockType);
  // false: there is none of this file. Also the end of the file.
  bool release(File const&);
  // Before an open or a truncation: tells the holders of leases that are in the way, and waits until they have given
  // way or fs.lease-break-time is over. EAGAIN instead of waiting (the break goes on); RestartSys.
  Result<void> give_way(Task&, LockWaits& settings, bool writing, bool nonblocking);

 private:
  struct Lease {
    File* file;  // its destructor calls release
    int fd;      // by which the lease was taken; told with the signal
    LockType type;
    bool downgrades = false, ends = false;  // asked to, and not yet done
    Deadline downgrade_at = {}, end_at = {};
  };
  struct Told {
    File::Owner owner;
    int fd;
  };
  void expire() REQUIRES(mutex_);
  // What is in the way; breaks are begun. `first`: when the first of them is over.
  bool begin_breaks(LockWaits& settings, bool writing, std::vector<Told>&, Deadline& first) REQUIRES(mutex_);

  std::atomic<uint32_t> count_{0};
  Mutex mutex_;
  std::vector<Lease> leases_ GUARDED_BY(mutex_);
  WaitQueue queue_;
};

// F_SETLEASE. EACCES: neither owner of the file nor CAP_LEASE; EINVAL: no regular file; EAGAIN: open in a way that the
// lease excludes, or (F_UNLCK) no lease there.
Result<void> set_lease(Task&, File&, int fd, LockType);
LockType lease_of(File&);  // F_GETLEASE

// For open(2), execve(2) and truncate(2).
Result<void> break_leases(Task&, Inode&, bool writing, bool nonblocking);

}  // namespace cofferdam::kernel

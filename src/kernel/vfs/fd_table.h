// A file descriptor table; shared by CLONE_FILES.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/vfs/file.h"

namespace cofferdam::kernel {

class FdTable : public RefCounted {
 public:
  // The descriptor's file: EBADF if it is not open, or is O_PATH and `allow_path` is false.
  Result<Ref<File>> get(int fd, bool allow_path = false) const;
  // Lowest free number >= minimum: EMFILE at `limit` (RLIMIT_NOFILE).
  Result<int> install(Ref<File>, bool close_on_exec, uint64_t limit, int minimum = 0);
  // dup2/dup3: at that very number; gives what was there (to be closed by the caller: close_replaced). EBADF at limit.
  Result<Ref<File>> install_at(int fd, Ref<File>, bool close_on_exec, uint64_t limit);
  // Takes it out: EBADF.
  Result<Ref<File>> remove(int fd);
  Result<bool> close_on_exec(int fd) const;
  Result<void> set_close_on_exec(int fd, bool);
  Ref<FdTable> clone() const;                                          // fork, unshare: a copy
  std::vector<Ref<File>> remove_range(unsigned first, unsigned last);  // close_range(2)
  void set_close_on_exec_range(unsigned first, unsigned last);
  std::vector<Ref<File>> take_close_on_exec();  // execve(2)
  std::vector<Ref<File>> take_all();            // exit
  std::vector<int> descriptors() const;         // open numbers, ascending
  size_t capacity() const;                      // FDSize of /proc/PID/status

 private:
  struct Slot {
    Ref<File> file;
    bool close_on_exec = false;
  };
  mutable SharedMutex mutex_;
  std::vector<Slot> slots_ GUARDED_BY(mutex_);
  int lowest_free_ GUARDED_BY(mutex_) = 0;  // no free number is below it
};

}  // namespace cofferdam::kernel

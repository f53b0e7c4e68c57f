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
#include "platform/platform.h"

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

  // Descriptors that the platform answers calls on by itself, in one address space (kernel/task/descriptor_service.h).
  // False: the number is not that file's any more, or another address space is served.
  bool start_serving(int fd, File const&, Ref<platform::DescriptorServices> const&, platform::PreparedService const&);
  void stop_serving();
  void stop_serving(int fd);
  void stop_serving_positions();  // but go on with the rest
  // By the only thread that uses the table: what the platform has read and where it stands, and where it shall stand.
  void take_served();
  void give_positions();

 private:
  struct Slot {
    Slot() = default;
    Slot(Ref<File> f, bool c) : file(std::move(f)), close_on_exec(c) {}
    Ref<File> file;
    bool close_on_exec = false;
    bool served = false, positioned = false;
    uint64_t known_position = 0;
  };
  Ref<File> replace(size_t at, Slot with) REQUIRES(mutex_);
  void stop_slot(size_t at) REQUIRES(mutex_);
  mutable SharedMutex mutex_;
  std::vector<Slot> slots_ GUARDED_BY(mutex_);
  int lowest_free_ GUARDED_BY(mutex_) = 0;  // no free number is below it
  Ref<platform::DescriptorServices> services_ GUARDED_BY(mutex_);
  std::vector<int> positioned_ GUARDED_BY(mutex_);
};

}  // namespace cofferdam::kernel

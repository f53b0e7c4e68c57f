// What others on the host do to files: fanotify(7) as a process without privileges may use it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::host {

// Masks are the bits that fanotify and inotify share (IN_ACCESS … IN_MOVE_SELF). An identity is opaque: of two
// descriptors it is equal when they are of one inode.
class ChangeWatcher {
 public:
  struct Change {
    uint32_t mask = 0;  // several events may have become one
    bool own = false;   // this process did it
    bool is_directory = false, overflow = false;
    std::string directory, name;        // what it happened to, in which directory; of a move the old place
    std::string to_directory, to_name;  // of a move
    std::string object;                 // the inode itself, where it is told
  };

  static Result<ChangeWatcher> create();
  // fd: open for reading, not O_PATH. What happens to it, and of a directory to what is in it, is told from now on.
  // ENOSPC: the host's limit of marks. EOPNOTSUPP, ENODEV, EXDEV: not on this file system.
  Result<std::string> watch(int fd, uint32_t mask, bool directory);
  void unwatch_all();
  // Those that have come; empty when there are none.
  std::vector<Change> take();
  int fd() const { return fd_.get(); }

 private:
  explicit ChangeWatcher(OwnedFd fd) : fd_(std::move(fd)) {}
  OwnedFd fd_;
};

}  // namespace cofferdam::host

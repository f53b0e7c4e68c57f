#include "container/standard.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

namespace cofferdam::container {

namespace {

host::OwnedFd reopen(int fd, int flags) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return host::OwnedFd(::open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

}  // namespace

host::OwnedFd terminal_copy(int fd) { return reopen(fd, O_RDWR); }

host::OwnedFd sandbox_copy(int fd) {
  struct stat st{};
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fstat(fd, &st) != 0) return host::OwnedFd(-1);
  if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
    if (host::OwnedFd own = reopen(fd, flags & (O_ACCMODE | O_APPEND))) return own;
  }
  return host::OwnedFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

}  // namespace cofferdam::container

#include "container/standard.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

namespace cofferdam::container {

host::OwnedFd sandbox_copy(int fd) {
  struct stat st{};
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fstat(fd, &st) != 0) return host::OwnedFd(-1);
  if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    host::OwnedFd own(::open(path, (flags & (O_ACCMODE | O_APPEND)) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (own) return own;
  }
  return host::OwnedFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

}  // namespace cofferdam::container

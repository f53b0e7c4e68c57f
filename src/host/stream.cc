#include "host/stream.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cofferdam::host {

Result<StreamKind> stream_kind(int fd) {
  struct stat s{};
  if (::fstat(fd, &s) != 0) return fail_host(errno);
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return fail_host(errno);
  StreamKind kind;
  kind.mode = s.st_mode;
  kind.special_device = s.st_rdev;
  kind.size = static_cast<uint64_t>(s.st_size);
  kind.access = flags & O_ACCMODE;
  kind.nonblocking = (flags & O_NONBLOCK) != 0;
  if (S_ISCHR(s.st_mode)) {
    std::array<std::byte, terminal_argument_max> scratch{};
    kind.terminal = terminal_get(fd, TerminalGet::Attributes, scratch).has_value();
  }
  return kind;
}

Result<OwnedFd> reopen_nonblocking(int fd) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return fail_host(errno);
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int own = ::open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (own < 0) return fail_host(errno);
  return OwnedFd(own);
}

Result<uint64_t> seek_stream(int fd, int64_t offset, int whence) {
  off_t at = ::lseek(fd, offset, whence);
  if (at < 0) return fail_host(errno);
  return static_cast<uint64_t>(at);
}

size_t terminal_argument_size(TerminalGet which) {
  switch (which) {
    case TerminalGet::Attributes:
      return 36;  // the kernel's struct termios
    case TerminalGet::WindowSize:
      return sizeof(winsize);
    case TerminalGet::InputQueue:
      return sizeof(int);
  }
  return 0;
}

size_t terminal_argument_size(TerminalSet) { return 36; }

Result<void> terminal_get(int fd, TerminalGet which, std::array<std::byte, terminal_argument_max>& value) {
  if (::ioctl(fd, static_cast<unsigned long>(which), value.data()) != 0) return fail_host(errno);
  return {};
}

Result<void> terminal_set(int fd, TerminalSet which, std::array<std::byte, terminal_argument_max> const& value) {
  if (::ioctl(fd, static_cast<unsigned long>(which), value.data()) != 0) return fail_host(errno);
  return {};
}

Result<void> terminal_act(int fd, TerminalAct which, int argument) {
  if (::ioctl(fd, static_cast<unsigned long>(which), static_cast<long>(argument)) != 0) return fail_host(errno);
  return {};
}

}  // namespace cofferdam::host

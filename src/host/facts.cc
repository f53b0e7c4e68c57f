#include "host/facts.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace cofferdam::host {

Result<OwnedFd> open_fact(char const* path) {
  int const fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_host(errno);
  return OwnedFd(fd);
}

std::string read_fact(int fd) {
  constexpr size_t limit = 4 << 20, step = 16 << 10;
  std::string text;
  while (text.size() < limit) {
    size_t const at = text.size();
    text.resize(at + step);
    ssize_t const n = ::pread(fd, text.data() + at, step, static_cast<off_t>(at));
    text.resize(at + static_cast<size_t>(n > 0 ? n : 0));
    if (n <= 0) break;
  }
  return text;
}

}  // namespace cofferdam::host

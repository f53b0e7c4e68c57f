#include "host/random.h"

#include <sys/random.h>
#include <cerrno>
#include <cstdlib>

namespace cofferdam::host {

void fill_random(std::span<std::byte> to) {
  while (!to.empty()) {
    ssize_t n = ::getrandom(to.data(), to.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) std::abort();  // predictable "random" bytes would be worse
    to = to.subspan(static_cast<size_t>(n));
  }
}

uint64_t random64() {
  uint64_t value = 0;
  fill_random(std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

}  // namespace cofferdam::host

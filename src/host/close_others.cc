#include "host/close_others.h"

#include <unistd.h>

#include <algorithm>

namespace cofferdam::host {

void close_others(std::vector<int> keep) {
  std::erase(keep, -1);
  std::ranges::sort(keep);
  if (keep.front() > 0) ::close_range(0, static_cast<unsigned>(keep.front() - 1), 0);
  for (size_t n = 0; n + 1 < keep.size(); ++n)
    if (keep[n + 1] > keep[n] + 1)
      ::close_range(static_cast<unsigned>(keep[n] + 1), static_cast<unsigned>(keep[n + 1] - 1), 0);
  ::close_range(static_cast<unsigned>(keep.back() + 1), ~0u, 0);
}

}  // namespace cofferdam::host

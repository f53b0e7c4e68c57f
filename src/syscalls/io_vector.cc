#include "syscalls/io_vector.h"

#include <limits.h>

#include <algorithm>

namespace cofferdam::syscalls {

Result<std::vector<UserSlice>> read_io_vector(Task& task, UserAddr vector, uint64_t count, uint64_t limit,
                                              Errno too_many) {
  constexpr uint64_t max_entries = 1024;  // UIO_MAXIOV
  struct Entry {
    uint64_t address, length;
  };
  if (count > max_entries) return fail(too_many);
  auto entries = TRY(task.read_array(UserPtr<Entry>(vector), count));
  std::vector<UserSlice> out;
  out.reserve(entries.size());
  uint64_t total = 0;
  for (auto const& e : entries) {
    if (e.length > SSIZE_MAX) return fail(Errno::Inval);
    if (!kernel::is_user_range(UserAddr{e.address}, e.length)) return fail(Errno::Fault);
    uint64_t n = std::min(e.length, limit - total);
    total += n;
    out.push_back({UserAddr{e.address}, n});
  }
  return out;
}

}  // namespace cofferdam::syscalls

#include "host/file_view.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <utility>

namespace cofferdam::host {

void FileView::unmap() {
  if (base_ != nullptr) ::munmap(std::exchange(base_, nullptr), window_size);
}

Result<std::span<std::byte const>> FileView::at(int fd, uint64_t offset, size_t most) {
  if (offset > INT64_MAX - 2 * window_size) return fail(Errno::Overflow);
  if (base_ == nullptr || offset < begin_ || offset - begin_ >= window_size) {
    unmap();
    begin_ = offset / window_size * window_size;
    void* p = ::mmap(nullptr, window_size, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(begin_));
    if (p == MAP_FAILED) return fail_host(errno);
    base_ = static_cast<std::byte*>(p);
  }
  size_t const inside = offset - begin_;
  return std::span<std::byte const>(base_ + inside, std::min(most, window_size - inside));
}

}  // namespace cofferdam::host

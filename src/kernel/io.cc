#include "kernel/io.h"

#include <algorithm>

#include "host/files.h"

namespace cofferdam::kernel {

Result<size_t> KernelSink::put(std::span<std::byte const> from) {
  size_t n = std::min(from.size(), to_.size());
  if (n != 0) std::memcpy(to_.data(), from.data(), n);
  to_ = to_.subspan(n);
  return n;
}

Result<size_t> KernelSink::put_zeros(size_t n) {
  n = std::min(n, to_.size());
  if (n != 0) std::memset(to_.data(), 0, n);
  to_ = to_.subspan(n);
  return n;
}

Result<size_t> KernelSink::put_from_host(int host_fd, size_t n, int64_t offset) {
  n = std::min(n, to_.size());
  size_t got = TRY(host::read_host(host_fd, to_.first(n), offset));
  to_ = to_.subspan(got);
  return got;
}

Result<size_t> KernelSource::get(std::span<std::byte> to) {
  size_t n = std::min(to.size(), remaining());
  if (n != 0) std::memcpy(to.data(), from_.data() + taken_, n);
  taken_ += n;
  return n;
}

Result<size_t> KernelSource::get_to_host(int host_fd, size_t n, int64_t offset) {
  n = std::min(n, remaining());
  size_t put = TRY(host::write_host(host_fd, from_.subspan(taken_, n), offset));
  taken_ += put;
  return put;
}

}  // namespace cofferdam::kernel

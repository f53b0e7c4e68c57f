#include "kernel/io.h"

#include <unistd.h>

#include <algorithm>

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
  ssize_t got = offset < 0 ? ::read(host_fd, to_.data(), n) : ::pread(host_fd, to_.data(), n, offset);
  if (got < 0) return fail_host(errno);
  to_ = to_.subspan(static_cast<size_t>(got));
  return static_cast<size_t>(got);
}

Result<size_t> KernelSource::get(std::span<std::byte> to) {
  size_t n = std::min(to.size(), remaining());
  if (n != 0) std::memcpy(to.data(), from_.data() + taken_, n);
  taken_ += n;
  return n;
}

Result<size_t> KernelSource::get_to_host(int host_fd, size_t n, int64_t offset) {
  n = std::min(n, remaining());
  std::byte const* p = from_.data() + taken_;
  ssize_t put = offset < 0 ? ::write(host_fd, p, n) : ::pwrite(host_fd, p, n, offset);
  if (put < 0) return fail_host(errno);
  taken_ += static_cast<size_t>(put);
  return static_cast<size_t>(put);
}

}  // namespace cofferdam::kernel

// Where the bytes of a read go and those of a write come from: guest memory, kernel memory, or a list of both.
//
// Staged spans may be guest-writable memory: copy out of them once, never parse in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "base/result.h"

namespace cofferdam::kernel {

// The destination of a read.
class IoSink {
 public:
  virtual ~IoSink() = default;
  virtual size_t remaining() const = 0;
  // Appends bytes; returns how many fit and could be stored: fewer than given at the end of the buffer or
  // at an unmapped page. EFAULT when not one could be stored (and from was not empty).
  virtual Result<size_t> put(std::span<std::byte const> from) = 0;
  // For sources that would lose the bytes: put then tells at once of memory that is not there, not when the call ends.
  virtual void need_exact_counts() {}
  // Appends n zero bytes, with put's rules.
  virtual Result<size_t> put_zeros(size_t n) = 0;
  // Appends up to n bytes read from a host file at `offset` (-1: at its own position), with as few copies as may be.
  // May read less than n; 0 at end of file. Host errnos pass through.
  virtual Result<size_t> put_from_host(int host_fd, size_t n, int64_t offset) = 0;
  // Appends bytes of a mapped host file, which may end before the mapping does: only the host's kernel touches them.
  // As put, but 0 where this sink has no such way, or could store nothing.
  virtual size_t put_view(std::span<std::byte const>) { return 0; }
};

// The source of a write.
class IoSource {
 public:
  virtual ~IoSource() = default;
  virtual size_t remaining() const = 0;
  // Takes up to to.size() bytes; fewer at the end or before an unmapped page; EFAULT when not one could be taken.
  virtual Result<size_t> get(std::span<std::byte> to) = 0;
  virtual Result<size_t> get_to_host(int host_fd, size_t n, int64_t offset) = 0;
  // Takes back the last n bytes got, so that they count as not consumed.
  virtual void unget(size_t n) = 0;
};

class KernelSink final : public IoSink {
 public:
  explicit KernelSink(std::span<std::byte> to) : to_(to) {}
  size_t remaining() const override { return to_.size(); }
  Result<size_t> put(std::span<std::byte const> from) override;
  Result<size_t> put_zeros(size_t n) override;
  Result<size_t> put_from_host(int host_fd, size_t n, int64_t offset) override;

 private:
  std::span<std::byte> to_;
};

class KernelSource final : public IoSource {
 public:
  explicit KernelSource(std::span<std::byte const> from) : from_(from) {}
  size_t remaining() const override { return from_.size() - taken_; }
  Result<size_t> get(std::span<std::byte> to) override;
  Result<size_t> get_to_host(int host_fd, size_t n, int64_t offset) override;
  void unget(size_t n) override { taken_ -= n; }

 private:
  std::span<std::byte const> from_;
  size_t taken_ = 0;
};

inline std::span<std::byte const> as_bytes(std::string_view s) { return std::as_bytes(std::span(s.data(), s.size())); }

}  // namespace cofferdam::kernel

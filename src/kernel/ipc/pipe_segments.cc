#include <algorithm>

#include "kernel/ipc/pipe_buffer.h"

namespace cofferdam::kernel {

std::span<std::byte> PipeSegmentSink::tail() {
  if (segments_.empty() || segments_.back().length == pipe_page_size)
    segments_.push_back({std::make_unique_for_overwrite<PipePage>(), 0, 0, false});
  auto& last = segments_.back();
  auto free = std::span(*last.page).subspan(last.length);
  return free.first(std::min(free.size(), room_));
}

void PipeSegmentSink::advance(size_t n) {
  segments_.back().length += static_cast<uint32_t>(n);
  room_ -= n;
  if (segments_.back().length == 0) segments_.pop_back();
}

Result<size_t> PipeSegmentSink::put(std::span<std::byte const> from) {
  size_t total = 0;
  while (!from.empty() && room_ != 0) {
    auto to = tail();
    size_t n = std::min(to.size(), from.size());
    std::memcpy(to.data(), from.data(), n);
    advance(n);
    from = from.subspan(n);
    total += n;
  }
  return total;
}

Result<size_t> PipeSegmentSink::put_zeros(size_t n) {
  size_t total = 0;
  while (total < n && room_ != 0) {
    auto to = tail();
    size_t part = std::min(to.size(), n - total);
    std::memset(to.data(), 0, part);
    advance(part);
    total += part;
  }
  return total;
}

Result<size_t> PipeSegmentSink::put_from_host(int host_fd, size_t n, int64_t offset) {
  size_t total = 0;
  while (total < n && room_ != 0) {
    auto to = tail();
    size_t part = std::min(to.size(), n - total);
    KernelSink page(to.first(part));
    auto got = page.put_from_host(host_fd, part, offset < 0 ? -1 : offset + static_cast<int64_t>(total));
    advance(got ? *got : 0);
    if (!got && total == 0) return got;
    if (!got || *got == 0) break;
    total += *got;
    if (*got < part) break;
  }
  return total;
}

void PipeSegmentSource::consume(size_t n) {
  left_ -= n;
  while (n != 0) {
    size_t part = std::min<size_t>(n, segments_[index_].length - used_);
    used_ += static_cast<uint32_t>(part);
    n -= part;
    if (used_ == segments_[index_].length && index_ + 1 < segments_.size()) {
      ++index_;
      used_ = 0;
    }
  }
}

Result<size_t> PipeSegmentSource::get(std::span<std::byte> to) {
  size_t total = 0;
  while (!to.empty() && left_ != 0) {
    auto bytes = segments_[index_].bytes().subspan(used_);
    size_t n = std::min(bytes.size(), to.size());
    std::memcpy(to.data(), bytes.data(), n);
    to = to.subspan(n);
    total += n;
    consume(n);
  }
  return total;
}

Result<size_t> PipeSegmentSource::get_to_host(int host_fd, size_t n, int64_t offset) {
  size_t total = 0;
  while (total < n && left_ != 0) {
    auto bytes = segments_[index_].bytes().subspan(used_);
    size_t part = std::min(bytes.size(), n - total);
    KernelSource page(bytes.first(part));
    auto put = page.get_to_host(host_fd, part, offset < 0 ? -1 : offset + static_cast<int64_t>(total));
    if (!put && total == 0) return put;
    if (!put || *put == 0) break;
    consume(*put);
    total += *put;
    if (*put < part) break;
  }
  return total;
}

void PipeSegmentSource::unget(size_t n) {
  left_ += n;
  while (n > used_) {
    n -= used_;
    --index_;
    used_ = segments_[index_].length;
  }
  used_ -= static_cast<uint32_t>(n);
}

PipeSegments PipeSegmentSource::take_rest() {
  PipeSegments rest;
  for (size_t i = index_; i < segments_.size(); ++i) {
    auto& s = segments_[i];
    uint32_t used = i == index_ ? used_ : 0;
    if (used == s.length) continue;
    rest.push_back({std::move(s.page), s.offset + used, s.length - used, s.packet});
  }
  segments_.clear();
  left_ = 0;
  return rest;
}

}  // namespace cofferdam::kernel

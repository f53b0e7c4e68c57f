// UserSink and UserSource: guest buffers as the two ends of file I/O.
#include <algorithm>

#include "kernel/mm/memory_manager.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {

UserSink::UserSink(Task& task, UserSlice slice) : task_(task), current_(slice) {}

UserSink::UserSink(Task& task, std::vector<UserSlice> slices) : task_(task), rest_(std::move(slices)) {
  if (!rest_.empty()) current_ = rest_[0];
}

size_t UserSink::remaining() const {
  size_t n = current_.length;
  for (size_t i = index_ + 1; i < rest_.size(); ++i) n += rest_[i].length;
  return n;
}

// Moves on by n bytes of the current slice, and past exhausted slices.
static void advance(UserSlice& current, std::vector<UserSlice> const& slices, size_t& index, size_t n) {
  current.address.value += n;
  current.length -= n;
  while (current.length == 0 && index + 1 < slices.size()) current = slices[++index];
}

Result<size_t> UserSink::put(std::span<std::byte const> from) {
  size_t done = 0;
  while (done < from.size()) {
    advance(current_, rest_, index_, 0);
    size_t n = std::min<uint64_t>(current_.length, from.size() - done);
    if (n == 0) break;
    bool const there = !exact_ || task_.mm()->may_write(current_.address.value, n);
    auto r = there ? task_.context().copy_out_data(current_.address.value, from.subspan(done, n))
                   : Result<void>(fail(Errno::Fault));
    if (!r) {
      size_t part = task_.context().copy_out_partial(current_.address.value, from.subspan(done, n));
      advance(current_, rest_, index_, part);
      done += part;
      if (done == 0) return std::unexpected(r.error());
      break;
    }
    advance(current_, rest_, index_, n);
    done += n;
  }
  return done;
}

Result<size_t> UserSink::put_zeros(size_t n) {
  size_t done = 0;
  while (done < n) {
    advance(current_, rest_, index_, 0);
    size_t part = std::min<uint64_t>(current_.length, n - done);
    if (part == 0) break;
    auto r = task_.context().zero_out(current_.address.value, part);
    if (!r) {
      if (done == 0) return std::unexpected(r.error());
      break;
    }
    advance(current_, rest_, index_, part);
    done += part;
  }
  return done;
}

Result<size_t> UserSink::put_from_host(int host_fd, size_t n, int64_t offset) {
  size_t done = 0;
  while (done < n) {
    advance(current_, rest_, index_, 0);
    size_t part = std::min<uint64_t>(current_.length, n - done);
    if (part == 0) break;
    auto r = task_.context().host_read(host_fd, current_.address.value, part,
                                       offset < 0 ? -1 : offset + static_cast<int64_t>(done));
    if (!r) {
      if (done == 0) return r;
      break;
    }
    advance(current_, rest_, index_, *r);
    done += *r;
    if (*r < part) break;
  }
  return done;
}

size_t UserSink::put_view(std::span<std::byte const> from) {
  size_t done = 0;
  while (done < from.size()) {
    advance(current_, rest_, index_, 0);
    size_t const n = std::min<uint64_t>(current_.length, from.size() - done);
    if (n == 0) break;
    size_t const part = task_.mm()->address_space().write(current_.address.value, from.subspan(done, n)).value_or(0);
    advance(current_, rest_, index_, part);
    done += part;
    if (part < n) break;
  }
  return done;
}

UserSource::UserSource(Task& task, UserSlice slice) : task_(task), only_(slice) {}

UserSource::UserSource(Task& task, std::vector<UserSlice> slices) : task_(task), slices_(std::move(slices)) {}

size_t UserSource::remaining() const {
  auto const all = slices();
  if (index_ >= all.size()) return 0;
  size_t n = all[index_].length - offset_;
  for (size_t i = index_ + 1; i < all.size(); ++i) n += all[i].length;
  return n;
}

Result<size_t> UserSource::get(std::span<std::byte> to) {
  auto const all = slices();
  size_t done = 0;
  while (done < to.size() && index_ < all.size()) {
    UserSlice const& slice = all[index_];
    size_t n = std::min<uint64_t>(slice.length - offset_, to.size() - done);
    if (n == 0) {
      ++index_;
      offset_ = 0;
      continue;
    }
    uint64_t address = slice.address.value + offset_;
    auto r = task_.context().copy_in(address, to.subspan(done, n));
    if (!r) {
      size_t part = task_.context().copy_in_partial(address, to.subspan(done, n));
      offset_ += part;
      done += part;
      if (done == 0) return std::unexpected(r.error());
      break;
    }
    offset_ += n;
    done += n;
  }
  return done;
}

Result<size_t> UserSource::get_to_host(int host_fd, size_t n, int64_t offset) {
  auto const all = slices();
  size_t done = 0;
  while (done < n && index_ < all.size()) {
    UserSlice const& slice = all[index_];
    size_t part = std::min<uint64_t>(slice.length - offset_, n - done);
    if (part == 0) {
      ++index_;
      offset_ = 0;
      continue;
    }
    auto r = task_.context().host_write(host_fd, slice.address.value + offset_, part,
                                        offset < 0 ? -1 : offset + static_cast<int64_t>(done));
    if (!r) {
      if (done == 0) return r;
      break;
    }
    offset_ += *r;
    done += *r;
    if (*r < part) break;
  }
  return done;
}

void UserSource::unget(size_t n) {
  while (n > 0) {
    if (offset_ == 0) {
      if (index_ == 0) return;
      --index_;
      offset_ = slices()[index_].length;
      continue;
    }
    size_t back = std::min<uint64_t>(n, offset_);
    offset_ -= back;
    n -= back;
  }
}

}  // namespace cofferdam::kernel

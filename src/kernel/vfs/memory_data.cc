#include "kernel/vfs/memory_data.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "host/files.h"
#include "host/memfd.h"
#include "kernel/vfs/inode.h"

namespace cofferdam::kernel {
namespace {

constexpr uint64_t page = 4096;
constexpr uint64_t small_window = 1 << 20;
constexpr uint64_t mapped_window = uint64_t{64} << 30;

constexpr uint64_t page_of(uint64_t byte) { return byte / page; }
constexpr uint64_t page_behind(uint64_t byte) { return (byte + page - 1) / page; }

// Each move copies, so few moves: 1 MiB, 64 GiB, all.
uint64_t window_for(uint64_t size) {
  if (size <= small_window) return small_window;
  return size <= mapped_window ? mapped_window : MemoryData::max_size;
}

}  // namespace

bool PageBudget::charge(uint64_t pages) {
  uint64_t used = used_.load(std::memory_order_relaxed);
  do {
    if (uint64_t const most = limit(); pages > most - std::min(used, most)) return false;
  } while (!used_.compare_exchange_weak(used, used + pages, std::memory_order_relaxed));
  return true;
}

MemoryData::MemoryData(MemoryFile& memory, Ref<PageBudget> budget, uint32_t seals)
    : memory_(memory), budget_(std::move(budget)), seals_(seals) {}

MemoryData::~MemoryData() {
  WriteLock lock(lock_);
  if (budget_) budget_->release(page_count_);
}

uint64_t MemoryData::allocated_pages() const {
  ReadLock lock(lock_);
  return page_count_;
}

bool MemoryData::is_mapped() const {
  return (mapped_ && mapped_->ref_count() > 1) || (mapped_writable_ && mapped_writable_->ref_count() > 1);
}

// ---- pages

uint64_t MemoryData::charge(uint64_t begin, uint64_t end) {
  uint64_t at = page_of(begin), behind = page_behind(end);
  auto base = pages_.upper_bound(at);
  if (base != pages_.begin() && std::prev(base)->second >= at)
    --base;  // ends in the range or touches it
  else
    base = pages_.emplace_hint(base, at, at);
  at = std::max(at, base->second);
  // `base` grows over each gap, which is charged, and swallows each range that it meets.
  for (auto next = std::next(base); at < behind || (next != pages_.end() && next->first == at);) {
    uint64_t gap = (next == pages_.end() ? behind : std::min(next->first, behind)) - at;
    uint64_t n = gap;
    if (budget_ && !budget_->charge(gap))
      for (n = 0; n < gap && budget_->charge(1);) ++n;
    page_count_ += n;
    at += n;
    if (n < gap) break;
    if (next == pages_.end() || next->first != at) break;
    at = next->second;
    next = pages_.erase(next);
  }
  base->second = at;
  if (base->first == at) pages_.erase(base);
  return std::min(end, at * page);
}

uint64_t MemoryData::missing_pages(uint64_t begin, uint64_t end) const {
  uint64_t at = page_of(begin), missing = 0;
  uint64_t const behind = page_behind(end);
  auto it = pages_.upper_bound(at);
  if (it != pages_.begin()) at = std::max(at, std::prev(it)->second);
  for (; at < behind; ++it) {
    uint64_t const next = it == pages_.end() ? behind : std::min(it->first, behind);
    if (next > at) missing += next - at;
    if (it == pages_.end()) break;
    at = std::max(at, it->second);
  }
  return missing;
}

void MemoryData::discharge(uint64_t begin_page, uint64_t end_page) {
  if (begin_page >= end_page) return;
  auto it = pages_.upper_bound(begin_page);
  if (it != pages_.begin()) --it;
  uint64_t freed = 0;
  while (it != pages_.end() && it->first < end_page) {
    auto [from, to] = *it;
    if (to <= begin_page) {
      ++it;
      continue;
    }
    it = pages_.erase(it);
    if (from < begin_page) pages_[from] = begin_page;
    if (to > end_page) pages_[end_page] = to;
    freed += std::min(to, end_page) - std::max(from, begin_page);
  }
  page_count_ -= freed;
  if (budget_) budget_->release(freed);
}

void MemoryData::zero(uint64_t begin, uint64_t end) {
  static constexpr std::array<std::byte, page> zeros{};
  end = std::min(end, own_ ? size_.load(std::memory_order_relaxed) : room());  // a file of its own must not grow
  while (begin < end) {
    size_t n = std::min(end - begin, page);
    auto done = host::write_at(host_fd(), std::span(zeros).first(n), base() + begin);
    if (!done || *done == 0) return;
    begin += *done;
  }
}

// Gives back whole pages of the byte range and zeroes the rest of it.
void MemoryData::punch(uint64_t begin, uint64_t end) {
  end = std::min(end, room());
  if (begin >= end || pages_.empty()) return;
  uint64_t first = page_behind(begin), last = page_of(end);
  if (first >= last) {
    zero(begin, std::min(end, page_behind(begin) * page));
    zero(std::max(begin, page_of(end) * page), end);
    return;
  }
  zero(begin, first * page);
  zero(last * page, end);
  if (own_)
    (void)host::punch_hole(own_->get(), first * page, (last - first) * page);  // fails only for wrong arguments
  else
    memory_.punch(base() + first * page, (last - first) * page);
  discharge(first, last);
}

// ---- where the bytes are

Result<void> MemoryData::copy_to(int fd, uint64_t target) {
  if (pages_.empty() || room() == 0) return {};
  constexpr size_t chunk = 256 << 10;
  auto buffer = std::make_unique<std::byte[]>(chunk);
  for (auto const& [first, behind] : pages_) {
    for (uint64_t at = first * page, end = std::min(behind * page, room()); at < end;) {
      size_t n = std::min<uint64_t>(chunk, end - at);
      n = TRY(host::read_at(host_fd(), std::span(buffer.get(), n), base() + at));
      if (n == 0) break;
      TRY(host::write_at(fd, std::span(buffer.get(), n), target + at));
      at += n;
    }
  }
  return {};
}

void MemoryData::drop_storage() {
  if (owner_ != nullptr) owner_->stop_serving();
  window_ = nullptr;
  own_ = nullptr;
  mapped_ = nullptr;
  mapped_writable_ = nullptr;
}

Result<void> MemoryData::move_window(uint64_t length) {
  auto target = TRY(memory_.allocate(length));
  TRY(copy_to(memory_.fd()->get(), target->offset()));
  drop_storage();
  window_ = std::move(target);
  return {};
}

// EMFILE when descriptors are scarce: numbers are given lowest first, so a high one says that many are open.
Result<void> MemoryData::move_to_own_file() {
  constexpr int scarce = 8192;
  auto fd = TRY(host::create_memfd("cofferdam-file"));
  if (fd.get() >= scarce) return fail(Errno::MFile);
  TRY(copy_to(fd.get(), 0));
  TRY(host::set_file_size(fd.get(), size()));
  drop_storage();
  own_ = make_ref<host::SharedFd>(std::move(fd));
  return {};
}

Result<void> MemoryData::grow_window(uint64_t to) {
  if (room() >= to) return {};
  if (is_mapped()) return fail(Errno::NoSpc);  // a file of 64 GiB and more, mapped while it grows
  return move_window(window_for(to));
}

// ---- reading and writing

Result<size_t> MemoryData::read(IoSink& sink, uint64_t offset) {
  ReadLock lock(lock_);
  uint64_t size = size_.load(std::memory_order_relaxed);
  if (offset >= size) return 0;
  size_t n = std::min<uint64_t>(sink.remaining(), size - offset);
  if (offset >= room()) return sink.put_zeros(n);
  n = std::min<uint64_t>(n, room() - offset);
  return sink.put_from_host(host_fd(), n, static_cast<int64_t>(base() + offset));
}

Result<size_t> MemoryData::write(IoSource& source, uint64_t offset, bool append, uint64_t* written_at) {
  WriteLock lock(lock_);
  uint64_t size = size_.load(std::memory_order_relaxed);
  if (append) offset = size;
  if (written_at) *written_at = offset;
  size_t n = source.remaining();
  if (n == 0) return 0;
  uint32_t sealed = seals();
  if (sealed & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) return fail(Errno::Perm);
  if (offset >= max_size) return fail(Errno::FBig);
  n = std::min<uint64_t>(n, max_size - offset);
  if ((sealed & F_SEAL_GROW) && offset + n > size) {
    if (offset >= size) return fail(Errno::Perm);
    n = size - offset;
  }
  TRY(grow_window(offset + n));
  uint64_t room = charge(offset, offset + n);
  if (room <= offset) return fail(Errno::NoSpc);
  n = room - offset;
  size_t done = TRY(source.get_to_host(host_fd(), n, static_cast<int64_t>(base() + offset)));
  if (offset + done > size) size_.store(offset + done, std::memory_order_release);
  return done;
}

Result<void> MemoryData::truncate(uint64_t to) {
  WriteLock lock(lock_);
  uint64_t size = size_.load(std::memory_order_relaxed);
  uint32_t sealed = seals();
  if (to > max_size) return fail(Errno::FBig);
  if (to < size && (sealed & F_SEAL_SHRINK)) return fail(Errno::Perm);
  if (to > size && (sealed & F_SEAL_GROW)) return fail(Errno::Perm);
  if (to == 0 && !is_mapped()) {
    discharge(0, page_of(max_size) + 1);
    drop_storage();
  } else if (own_) {
    TRY(host::set_file_size(own_->get(), to));
    discharge(page_behind(to), page_of(max_size) + 1);
  } else if (to < size) {
    punch(to, page_behind(size) * page);
    discharge(page_behind(to), page_of(max_size) + 1);
  }
  size_.store(to, std::memory_order_release);
  return {};
}

Result<void> MemoryData::allocate(int mode, uint64_t offset, uint64_t length) {
  if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) return fail(Errno::OpNotSupp);
  WriteLock lock(lock_);
  uint64_t size = size_.load(std::memory_order_relaxed), end = offset + length;
  uint32_t sealed = seals();
  if (mode & FALLOC_FL_PUNCH_HOLE) {
    if (sealed & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) return fail(Errno::Perm);
    punch(offset, end);
    return {};
  }
  if (end > max_size) return fail(Errno::FBig);
  if ((sealed & F_SEAL_GROW) && end > size) return fail(Errno::Perm);
  // All or nothing.
  if (budget_ && budget_->used() + missing_pages(offset, end) > budget_->limit()) return fail(Errno::NoSpc);
  TRY(grow_window(end));
  if (charge(offset, end) < end) return fail(Errno::NoSpc);
  if (!(mode & FALLOC_FL_KEEP_SIZE) && end > size) {
    if (own_) TRY(host::set_file_size(own_->get(), end));
    size_.store(end, std::memory_order_release);
  }
  return {};
}

Result<uint64_t> MemoryData::seek(uint64_t offset, bool data) {
  ReadLock lock(lock_);
  uint64_t size = size_.load(std::memory_order_relaxed);
  if (offset >= size) return fail(Errno::NxIo);
  if (offset >= room()) return data ? fail(Errno::NxIo) : Result<uint64_t>(offset);
  uint64_t limit = std::min(size, room());
  auto found = host::seek_file(host_fd(), static_cast<int64_t>(base() + offset), data ? SEEK_DATA : SEEK_HOLE);
  if (!found || *found >= base() + limit) return data ? fail(Errno::NxIo) : Result<uint64_t>(limit);
  return std::max(*found - base(), offset);
}

// Where the bytes stand now: the owner hears when they move.
Result<MapTarget> MemoryData::map_for_reading(uint64_t begin, uint64_t end) {
  if (room() < end) return fail(Errno::NoMem);
  MapTarget target;
  target.fd = host_file();
  target.offset = base() + begin;
  target.backing = make_ref<Hold>(window_, own_);
  target.may_write = false;
  return target;
}

Result<MapTarget> MemoryData::map(MapRequest const& request, bool file_writable) {
  WriteLock lock(lock_);
  uint64_t end;
  if (__builtin_add_overflow(request.offset, request.length, &end) || end > max_size) return fail(Errno::Overflow);
  uint32_t sealed = seals();
  bool no_writes = (sealed & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0;
  if (request.shared && (request.protection & 2) && no_writes) return fail(Errno::Perm);
  if (request.never_written) return map_for_reading(request.offset, end);
  if (!own_ && !is_mapped() && !move_to_own_file()) {
    uint64_t wanted = std::max({mapped_window, window_for(end), window_for(size())});
    if (room() < wanted) TRY(move_window(wanted));
  }
  if (room() < end) return fail(Errno::NoMem);
  bool writes = request.shared && file_writable && !no_writes && !request.never_written;
  Ref<Hold>& hold = writes ? mapped_writable_ : mapped_;
  if (!hold) hold = make_ref<Hold>(window_, own_);
  // Pages that a mapping may touch are charged when it is made: its faults do not come here.
  if (writes && charge(request.offset, std::min(end, size())) < std::min(end, size())) return fail(Errno::NoSpc);
  MapTarget target;
  target.fd = host_file();
  target.offset = base() + request.offset;
  target.backing = hold;
  target.may_write = !no_writes;
  return target;
}

Result<void> MemoryData::add_seals(uint32_t more) {
  constexpr uint32_t known = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | 0x20;
  if (more & ~known) return fail(Errno::Inval);
  WriteLock lock(lock_);
  if (seals() & F_SEAL_SEAL) return fail(Errno::Perm);
  if ((more & F_SEAL_WRITE) && !(seals() & F_SEAL_WRITE) && mapped_writable_ && mapped_writable_->ref_count() > 1)
    return fail(Errno::Busy);
  seals_.fetch_or(more, std::memory_order_acq_rel);
  return {};
}

}  // namespace cofferdam::kernel

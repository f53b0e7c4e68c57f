#include "kernel/ipc/pipe_buffer.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace cofferdam::kernel {

namespace {
constexpr size_t everybody = std::numeric_limits<size_t>::max();
}

size_t total_length(PipeSegments const& segments) {
  size_t n = 0;
  for (auto const& s : segments) n += s.length;
  return n;
}

Pipe::Pipe(std::atomic<uint64_t>& pages, size_t slots) : pages_(pages), max_slots_(slots) {
  pages_.fetch_add(slots, std::memory_order_relaxed);
}

Pipe::~Pipe() {
  MutexLock lock(mutex_);
  pages_.fetch_sub(max_slots_, std::memory_order_relaxed);
}

// --- the ring ---

void Pipe::grow() {
  std::vector<PipeSegment> bigger(std::max(slots_.size() * 2, pipe_default_slots));
  for (size_t i = 0; i < count_; ++i) bigger[i] = std::move(at(i));
  slots_ = std::move(bigger);
  head_ = 0;
}

void Pipe::push_back(PipeSegment s) {
  if (count_ == slots_.size()) grow();
  ++count_;
  back() = std::move(s);
}

void Pipe::push_front(PipeSegment s) {
  if (count_ == slots_.size()) grow();
  head_ = (head_ + slots_.size() - 1) & (slots_.size() - 1);
  ++count_;
  front() = std::move(s);
}

void Pipe::pop_front() {
  free_page(std::move(front().page));
  head_ = (head_ + 1) & (slots_.size() - 1);
  --count_;
}

std::unique_ptr<PipePage> Pipe::new_page() {
  for (auto& spare : spare_)
    if (spare) return std::move(spare);
  return std::make_unique_for_overwrite<PipePage>();
}

void Pipe::free_page(std::unique_ptr<PipePage> page) {
  for (auto& spare : spare_) {
    if (spare) continue;
    spare = std::move(page);
    return;
  }
}

// --- reading and writing ---

Result<size_t> Pipe::read_locked(IoSink& to) {
  size_t total = 0;
  to.need_exact_counts();
  while (to.remaining() != 0 && !empty()) {
    PipeSegment& segment = front();
    size_t const wanted = std::min<size_t>(segment.length, to.remaining());
    auto const put = to.put(segment.bytes().first(wanted));
    if (!put || *put < wanted) {  // a segment that does not arrive whole stays
      if (total == 0) return put ? fail(Errno::Fault) : put;
      break;
    }
    total += wanted;
    bool packet = segment.packet;
    segment.offset += static_cast<uint32_t>(wanted);
    segment.length -= static_cast<uint32_t>(wanted);
    if (packet) segment.length = 0;  // the rest of a packet is lost (pipe2(2))
    if (segment.length == 0) pop_front();
    if (packet) break;
  }
  return total;
}

Result<size_t> Pipe::read(IoSink& to) {
  if (to.remaining() == 0) return 0;
  bool was_full, more;
  size_t total;
  {
    MutexLock lock(mutex_);
    if (empty()) {
      if (writers_ != 0) return fail(Errno::Again);
      return 0;
    }
    was_full = full();
    total = TRY(read_locked(to));
    more = full();
  }
  if (was_full && !more) queue.wake(EPOLLOUT | EPOLLWRNORM);
  return total;
}

Result<size_t> Pipe::merge_into_last(IoSource& from, size_t n) {
  if (n == 0 || empty()) return 0;
  PipeSegment& last = back();
  size_t end = last.offset + last.length;
  if (last.packet || end + n > pipe_page_size) return 0;
  size_t got = TRY(from.get(std::span(*last.page).subspan(end, n)));
  last.length += static_cast<uint32_t>(got);
  return got;
}

Result<size_t> Pipe::write_locked(IoSource& from, bool packets) {
  size_t total = 0;
  if (!packets) total = TRY(merge_into_last(from, from.remaining() % pipe_page_size));
  while (from.remaining() != 0 && !full()) {
    size_t wanted = std::min(from.remaining(), pipe_page_size);
    auto page = new_page();
    auto got = from.get(std::span(*page).first(wanted));
    if (!got || *got == 0) {
      free_page(std::move(page));
      if (total != 0) break;
      if (!got) return got;
      return fail(Errno::Fault);
    }
    push_back({std::move(page), 0, static_cast<uint32_t>(*got), packets});
    total += *got;
    if (*got < wanted) break;
  }
  if (total == 0) return fail(Errno::Again);
  return total;
}

Result<size_t> Pipe::write(IoSource& from, bool packets) {
  if (from.remaining() == 0) return 0;
  bool tell;
  size_t total;
  {
    MutexLock lock(mutex_);
    if (readers_ == 0) return fail(Errno::Pipe);
    tell = empty() || polled_;
    total = TRY(write_locked(from, packets));
  }
  if (tell) queue.wake(EPOLLIN | EPOLLRDNORM);
  return total;
}

// --- splice ---

Result<PipeSegments> Pipe::take(size_t n) {
  PipeSegments taken;
  bool was_full, still_full;
  {
    MutexLock lock(mutex_);
    if (empty() && writers_ != 0) return fail(Errno::Again);
    was_full = full();
    while (n != 0 && !empty()) {
      PipeSegment& segment = front();
      if (segment.length <= n || segment.packet) {
        n -= std::min<size_t>(n, segment.length);
        taken.push_back(std::move(segment));
        head_ = (head_ + 1) & (slots_.size() - 1);
        --count_;
        continue;
      }
      PipeSegment part{new_page(), 0, static_cast<uint32_t>(n), false};
      std::memcpy(part.page->data(), segment.bytes().data(), n);
      segment.offset += static_cast<uint32_t>(n);
      segment.length -= static_cast<uint32_t>(n);
      taken.push_back(std::move(part));
      n = 0;
    }
    still_full = full();
  }
  if (was_full && !still_full) queue.wake(EPOLLOUT | EPOLLWRNORM);
  return taken;
}

void Pipe::put_back(PipeSegments segments) {
  if (segments.empty()) return;
  {
    MutexLock lock(mutex_);
    while (!segments.empty()) {
      if (segments.back().length != 0) push_front(std::move(segments.back()));
      segments.pop_back();
    }
  }
  queue.wake(EPOLLIN | EPOLLRDNORM);
}

Result<PipeSegments> Pipe::copy_front(size_t n) {
  PipeSegments copies;
  MutexLock lock(mutex_);
  if (empty() && writers_ != 0) return fail(Errno::Again);
  for (size_t i = 0; i < count_ && n != 0; ++i) {
    PipeSegment& segment = at(i);
    auto length = static_cast<uint32_t>(std::min<size_t>(n, segment.length));
    PipeSegment copy{std::make_unique_for_overwrite<PipePage>(), 0, length, segment.packet};
    std::memcpy(copy.page->data(), segment.bytes().data(), length);
    copies.push_back(std::move(copy));
    n -= length;
  }
  return copies;
}

Result<size_t> Pipe::room() {
  MutexLock lock(mutex_);
  if (readers_ == 0) return fail(Errno::Pipe);
  if (full()) return fail(Errno::Again);
  return (max_slots_ - count_) * pipe_page_size;
}

Result<void> Pipe::append(PipeSegments segments) {
  if (segments.empty()) return {};
  {
    MutexLock lock(mutex_);
    if (readers_ == 0) return fail(Errno::Pipe);
    for (auto& s : segments) push_back(std::move(s));
  }
  queue.wake(EPOLLIN | EPOLLRDNORM);
  return {};
}

// --- ends ---

void Pipe::open_end(End end) {
  {
    MutexLock lock(mutex_);
    if (end != End::Write) {
      ++readers_;
      ++reader_generation_;
    }
    if (end != End::Read) {
      ++writers_;
      ++writer_generation_;
    }
  }
  queue.wake(partner_event);
}

bool Pipe::close_end(End end) {
  bool last;
  {
    MutexLock lock(mutex_);
    if (end != End::Write) --readers_;
    if (end != End::Read) --writers_;
    last = readers_ == 0 && writers_ == 0;
    if (last) {
      slots_ = std::vector<PipeSegment>();
      head_ = count_ = 0;
      spare_ = {};
    }
  }
  queue.wake(EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM | EPOLLERR | EPOLLHUP, everybody);
  return last;
}

bool Pipe::readable() const {
  MutexLock lock(mutex_);
  return !empty() || writers_ == 0;
}

bool Pipe::writable() const {
  MutexLock lock(mutex_);
  return !full() || readers_ == 0;
}

uint32_t Pipe::readers() const {
  MutexLock lock(mutex_);
  return readers_;
}

uint32_t Pipe::writers() const {
  MutexLock lock(mutex_);
  return writers_;
}

uint64_t Pipe::reader_generation() const {
  MutexLock lock(mutex_);
  return reader_generation_;
}

uint64_t Pipe::writer_generation() const {
  MutexLock lock(mutex_);
  return writer_generation_;
}

PollMask Pipe::poll(End end, uint64_t seen_writer_generation) {
  MutexLock lock(mutex_);
  polled_ = true;
  PollMask ready = 0;
  if (end != End::Write) {
    if (!empty()) ready |= EPOLLIN | EPOLLRDNORM;
    if (writers_ == 0 && writer_generation_ != seen_writer_generation) ready |= EPOLLHUP;
  }
  if (end != End::Read) {
    if (!full()) ready |= EPOLLOUT | EPOLLWRNORM;
    if (readers_ == 0) ready |= EPOLLERR;
  }
  return ready;
}

size_t Pipe::bytes() const {
  MutexLock lock(mutex_);
  size_t n = 0;
  for (size_t i = 0; i < count_; ++i) n += slots_[(head_ + i) & (slots_.size() - 1)].length;
  return n;
}

size_t Pipe::capacity() const {
  MutexLock lock(mutex_);
  return max_slots_ * pipe_page_size;
}

Result<void> Pipe::set_slots(size_t slots) {
  {
    MutexLock lock(mutex_);
    if (count_ > slots) return fail(Errno::Busy);
    pages_.fetch_add(slots - max_slots_, std::memory_order_relaxed);
    max_slots_ = slots;
  }
  queue.wake(EPOLLOUT | EPOLLWRNORM, everybody);
  return {};
}

}  // namespace cofferdam::kernel

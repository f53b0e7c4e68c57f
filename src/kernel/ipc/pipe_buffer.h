// The buffer of a pipe, without tasks: a ring of pages that are allocated as they fill. Nothing here blocks.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/io.h"
#include "kernel/wait_queue.h"

namespace cofferdam::kernel {

inline constexpr size_t pipe_page_size = 4096;
inline constexpr size_t pipe_default_slots = 16;
using PipePage = std::array<std::byte, pipe_page_size>;

// Some bytes of a pipe: a part of a page. A packet (O_DIRECT) is read as a whole.
struct PipeSegment {
  std::unique_ptr<PipePage> page;
  uint32_t offset = 0, length = 0;
  bool packet = false;
  std::span<std::byte const> bytes() const { return std::span(*page).subspan(offset, length); }
};

// Bytes on their way between a pipe and something else (splice).
using PipeSegments = std::vector<PipeSegment>;
size_t total_length(PipeSegments const&);

class Pipe : public RefCounted {
 public:
  // `pages`: where the pages of all pipes are counted.
  Pipe(std::atomic<uint64_t>& pages, size_t slots);
  ~Pipe() override;

  // EAGAIN when it is empty and has writers; 0 at end of file.
  Result<size_t> read(IoSink&);
  // As much as there is room for; at most PIPE_BUF bytes all or none. EAGAIN without room, EPIPE without readers.
  Result<size_t> write(IoSource&, bool packets);

  // For splice: takes segments of at most n bytes out of the front, and puts back what could not be used.
  Result<PipeSegments> take(size_t n);  // EAGAIN; empty at end of file
  void put_back(PipeSegments);
  Result<PipeSegments> copy_front(size_t n);  // tee
  Result<size_t> room();                      // bytes that fit now: EAGAIN, EPIPE
  Result<void> append(PipeSegments);          // beyond the capacity if need be: EPIPE

  enum class End { Read, Write, Both };
  void open_end(End);
  // True when it was the last end: the bytes are gone then.
  bool close_end(End);
  bool readable() const;  // a read would not block
  bool writable() const;
  uint32_t readers() const;
  uint32_t writers() const;
  uint64_t reader_generation() const;  // how many read ends were ever opened
  uint64_t writer_generation() const;

  // `seen_writer_generation`: that of the moment when the read end was opened while nobody wrote; HUP only after it.
  PollMask poll(End, uint64_t seen_writer_generation);
  size_t bytes() const;  // FIONREAD
  size_t capacity() const;
  // EBUSY when more is in use. slots is a power of two.
  Result<void> set_slots(size_t slots);

  // EPOLLIN: bytes came; EPOLLOUT: room came; partner_event: an end was opened.
  static constexpr PollMask partner_event = EPOLLMSG;
  WaitQueue queue;

 private:
  bool empty() const REQUIRES(mutex_) { return count_ == 0; }
  bool full() const REQUIRES(mutex_) { return count_ >= max_slots_; }
  PipeSegment& front() REQUIRES(mutex_) { return slots_[head_]; }
  PipeSegment& back() REQUIRES(mutex_) { return slots_[(head_ + count_ - 1) & (slots_.size() - 1)]; }
  PipeSegment& at(size_t i) REQUIRES(mutex_) { return slots_[(head_ + i) & (slots_.size() - 1)]; }
  void grow() REQUIRES(mutex_);
  void push_back(PipeSegment) REQUIRES(mutex_);
  void push_front(PipeSegment) REQUIRES(mutex_);
  void pop_front() REQUIRES(mutex_);
  std::unique_ptr<PipePage> new_page() REQUIRES(mutex_);
  void free_page(std::unique_ptr<PipePage>) REQUIRES(mutex_);
  Result<size_t> merge_into_last(IoSource&, size_t n) REQUIRES(mutex_);
  Result<size_t> write_locked(IoSource&, bool packets) REQUIRES(mutex_);
  Result<size_t> read_locked(IoSink&) REQUIRES(mutex_);

  std::atomic<uint64_t>& pages_;
  mutable Mutex mutex_;
  std::vector<PipeSegment> slots_ GUARDED_BY(mutex_);  // a ring; its size is a power of two, 0 until first used
  size_t head_ GUARDED_BY(mutex_) = 0, count_ GUARDED_BY(mutex_) = 0;
  size_t max_slots_ GUARDED_BY(mutex_);
  std::array<std::unique_ptr<PipePage>, 2> spare_ GUARDED_BY(mutex_);
  uint32_t readers_ GUARDED_BY(mutex_) = 0, writers_ GUARDED_BY(mutex_) = 0;
  uint64_t reader_generation_ GUARDED_BY(mutex_) = 0, writer_generation_ GUARDED_BY(mutex_) = 0;
  bool polled_ GUARDED_BY(mutex_) = false;  // edge-triggered pollers want to hear of every write
};

// Collects what a file's read gives, in pages of their own.
class PipeSegmentSink final : public IoSink {
 public:
  explicit PipeSegmentSink(size_t room) : room_(room) {}
  size_t remaining() const override { return room_; }
  Result<size_t> put(std::span<std::byte const> from) override;
  Result<size_t> put_zeros(size_t n) override;
  Result<size_t> put_from_host(int host_fd, size_t n, int64_t offset) override;
  PipeSegments take() { return std::move(segments_); }

 private:
  std::span<std::byte> tail();  // free bytes of the last page, a new one if it is full
  void advance(size_t n);
  size_t room_;
  PipeSegments segments_;
};

// Gives the bytes of segments to a file's write; what is left can be put back.
class PipeSegmentSource final : public IoSource {
 public:
  explicit PipeSegmentSource(PipeSegments segments) : segments_(std::move(segments)), left_(total_length(segments_)) {}
  size_t remaining() const override { return left_; }
  Result<size_t> get(std::span<std::byte> to) override;
  Result<size_t> get_to_host(int host_fd, size_t n, int64_t offset) override;
  void unget(size_t n) override;
  PipeSegments take_rest();

 private:
  void consume(size_t n);
  PipeSegments segments_;
  size_t index_ = 0;   // segments before it are used up; their offset and length still say what they held
  uint32_t used_ = 0;  // of segments_[index_]
  size_t left_;
};

}  // namespace cofferdam::kernel

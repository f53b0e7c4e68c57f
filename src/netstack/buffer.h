// Bytes that packets and queues share by reference: chunks, views of them, chains of views.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/mutex.h"
#include "netstack/bytes.h"
#include "netstack/ring.h"

namespace cofferdam::netstack {

class BufferPool;

// A block of memory with a reference count. Bytes below used() are never written again: views may point at them.
class Chunk {
 public:
  // Of at least `capacity` bytes; from the pool, when there is one and the size is what it keeps.
  static Chunk* create(uint32_t capacity, BufferPool* pool = nullptr);
  void ref() { references_.fetch_add(1, std::memory_order_relaxed); }
  void unref() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }
  std::byte* data() { return reinterpret_cast<std::byte*>(this + 1); }
  uint32_t capacity() const { return capacity_; }
  // How far it is filled. Only the owner of the chain that it is the last chunk of appends.
  uint32_t used() const { return used_; }
  void set_used(uint32_t n) { used_ = n; }

 private:
  friend class BufferPool;
  Chunk(uint32_t capacity, BufferPool* pool) : capacity_(capacity), pool_(pool) {}
  void destroy();
  std::atomic<uint32_t> references_{1};
  uint32_t capacity_, used_ = 0;
  BufferPool* pool_;
  Chunk* next_ = nullptr;  // in the pool's list
};

// Keeps some large chunks, so that a stream does not ask the allocator for each segment. Outlives its chunks.
class BufferPool {
 public:
  static constexpr uint32_t chunk_capacity = 65536 + 256;  // the largest packet, with a link's headers
  static constexpr size_t max_kept = 64;
  BufferPool() = default;
  BufferPool(BufferPool const&) = delete;
  BufferPool& operator=(BufferPool const&) = delete;
  ~BufferPool();

 private:
  friend class Chunk;
  Chunk* take();
  bool keep(Chunk*);
  Mutex mutex_;
  Chunk* first_ GUARDED_BY(mutex_) = nullptr;
  size_t count_ GUARDED_BY(mutex_) = 0;
};

// Some bytes of a chunk, which lives as long as they are looked at.
class View {
 public:
  View() = default;
  // Takes over the caller's reference.
  static View adopt(Chunk* chunk, uint32_t offset, uint32_t length) {
    View v;
    v.chunk_ = chunk;
    v.offset_ = offset;
    v.length_ = length;
    return v;
  }
  static View copy_of(Bytes);
  View(View const& o) : chunk_(o.chunk_), offset_(o.offset_), length_(o.length_) {
    if (chunk_) chunk_->ref();
  }
  View(View&& o) noexcept : chunk_(std::exchange(o.chunk_, nullptr)), offset_(o.offset_), length_(o.length_) {
    o.length_ = 0;
  }
  View& operator=(View o) noexcept {
    std::swap(chunk_, o.chunk_);
    std::swap(offset_, o.offset_);
    std::swap(length_, o.length_);
    return *this;
  }
  ~View() {
    if (chunk_) chunk_->unref();
  }
  uint32_t size() const { return length_; }
  Bytes bytes() const { return chunk_ ? Bytes(chunk_->data() + offset_, length_) : Bytes(); }
  View part(uint32_t from, uint32_t length) const {
    View v(*this);
    v.offset_ += from;
    v.length_ = length;
    return v;
  }
  void trim_front(uint32_t n) {
    offset_ += n;
    length_ -= n;
  }
  void trim_back(uint32_t n) { length_ -= n; }
  Chunk* chunk() const { return chunk_; }
  // Bytes behind the view that nobody has written yet. Only for the one who appends to this chunk.
  uint32_t tail_room() const {
    return chunk_ && offset_ + length_ == chunk_->used() ? chunk_->capacity() - chunk_->used() : 0;
  }
  void append(Bytes);  // at most tail_room()

 private:
  Chunk* chunk_ = nullptr;
  uint32_t offset_ = 0, length_ = 0;
};

// A queue of bytes.
class Chain {
 public:
  Chain() = default;
  Chain(Chain&& o) noexcept : views_(std::move(o.views_)), size_(std::exchange(o.size_, 0)) {}
  Chain& operator=(Chain&& o) noexcept {
    views_ = std::move(o.views_);
    size_ = std::exchange(o.size_, 0);
    return *this;
  }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t view_count() const { return views_.size(); }
  View const& view(size_t i) const { return views_[i]; }

  void append(View);
  // By copy into the last chunk's room or a new one: what is small costs no chunk of its own. The chain's last chunk
  // must not be appended to by anybody else.
  void append_copy(Bytes);
  // By reference, unless the view is small.
  void append_or_copy(View const&);
  void append(Chain&&);
  void trim_front(size_t n);
  void trim_back(size_t n);
  void clear() {
    views_.clear();
    size_ = 0;
  }
  // Calls f(View) for the views of [from, from + length).
  template <class F>
  void for_range(size_t from, size_t length, F&& f) const;
  // Copies out; returns how many bytes there were.
  size_t copy_to(MutableBytes to, size_t from = 0) const;

 private:
  Ring<View> views_;
  size_t size_ = 0;
  bool own_tail_ = false;  // the last view was made by append_copy
};

template <class F>
void Chain::for_range(size_t from, size_t length, F&& f) const {
  for (size_t i = 0; i < views_.size() && length != 0; ++i) {
    View const& v = views_[i];
    if (from >= v.size()) {
      from -= v.size();
      continue;
    }
    auto n = static_cast<uint32_t>(std::min<size_t>(length, v.size() - from));
    f(v.part(static_cast<uint32_t>(from), n));
    from = 0;
    length -= n;
  }
}

}  // namespace cofferdam::netstack

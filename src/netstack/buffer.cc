#include "netstack/buffer.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace cofferdam::netstack {
namespace {
constexpr uint32_t small_view = 1024;       // smaller ones are copied rather than referred to
constexpr uint32_t gathering_chunk = 4096;  // what append_copy begins with
}  // namespace

Chunk* Chunk::create(uint32_t capacity, BufferPool* pool) {
  if (pool && capacity > BufferPool::chunk_capacity / 2 && capacity <= BufferPool::chunk_capacity) {
    if (Chunk* kept = pool->take()) return kept;
    capacity = BufferPool::chunk_capacity;
  } else {
    pool = nullptr;
  }
  return new (::operator new(sizeof(Chunk) + capacity)) Chunk(capacity, pool);
}

void Chunk::destroy() {
  if (pool_ && pool_->keep(this)) return;
  this->~Chunk();
  ::operator delete(this);
}

BufferPool::~BufferPool() {
  MutexLock lock(mutex_);
  while (Chunk* chunk = first_) {
    first_ = chunk->next_;
    chunk->~Chunk();
    ::operator delete(chunk);
  }
}

Chunk* BufferPool::take() {
  MutexLock lock(mutex_);
  Chunk* chunk = first_;
  if (!chunk) return nullptr;
  first_ = chunk->next_;
  --count_;
  chunk->references_.store(1, std::memory_order_relaxed);
  chunk->used_ = 0;
  return chunk;
}

bool BufferPool::keep(Chunk* chunk) {
  MutexLock lock(mutex_);
  if (count_ == max_kept) return false;
  chunk->next_ = first_;
  first_ = chunk;
  ++count_;
  return true;
}

View View::copy_of(Bytes bytes) {
  auto n = static_cast<uint32_t>(bytes.size());
  Chunk* chunk = Chunk::create(n);
  if (n != 0) std::memcpy(chunk->data(), bytes.data(), n);
  chunk->set_used(n);
  return adopt(chunk, 0, n);
}

void View::append(Bytes bytes) {
  auto n = static_cast<uint32_t>(bytes.size());
  std::memcpy(chunk_->data() + offset_ + length_, bytes.data(), n);
  length_ += n;
  chunk_->set_used(offset_ + length_);
}

void Chain::append(View v) {
  if (v.size() == 0) return;
  size_ += v.size();
  own_tail_ = false;
  views_.push_back(std::move(v));
}

void Chain::append_copy(Bytes bytes) {
  while (!bytes.empty()) {
    if (!own_tail_ || views_.empty() || views_.back().tail_room() == 0) {
      auto capacity = static_cast<uint32_t>(std::clamp<size_t>(bytes.size(), 512, BufferPool::chunk_capacity));
      // A chain that already holds something is likely to get more.
      if (!views_.empty()) capacity = std::max(capacity, gathering_chunk);
      views_.push_back(View::adopt(Chunk::create(capacity), 0, 0));
      own_tail_ = true;
    }
    View& tail = views_.back();
    size_t n = std::min<size_t>(bytes.size(), tail.tail_room());
    tail.append(bytes.first(n));
    bytes = bytes.subspan(n);
    size_ += n;
  }
}

void Chain::append_or_copy(View const& v) {
  if (v.size() < small_view)
    append_copy(v.bytes());
  else
    append(v);
}

void Chain::append(Chain&& o) {
  for (size_t i = 0; i < o.views_.size(); ++i) append(std::move(o.views_[i]));
  o.clear();
}

void Chain::trim_front(size_t n) {
  n = std::min(n, size_);
  size_ -= n;
  while (n != 0) {
    View& v = views_.front();
    if (v.size() > n) {
      v.trim_front(static_cast<uint32_t>(n));
      return;
    }
    n -= v.size();
    views_.pop_front();
  }
}

void Chain::trim_back(size_t n) {
  n = std::min(n, size_);
  size_ -= n;
  own_tail_ = false;
  while (n != 0) {
    View& v = views_.back();
    if (v.size() > n) {
      v.trim_back(static_cast<uint32_t>(n));
      return;
    }
    n -= v.size();
    views_.pop_back();
  }
}

size_t Chain::copy_to(MutableBytes to, size_t from) const {
  size_t done = 0;
  for_range(from, to.size(), [&](View const& v) {
    std::memcpy(to.data() + done, v.bytes().data(), v.size());
    done += v.size();
  });
  return done;
}

}  // namespace cofferdam::netstack

// A double-ended queue that costs nothing while it is empty and never gives memory back before it is empty again.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace cofferdam::netstack {

template <class T>
class Ring {
 public:
  Ring() = default;
  Ring(Ring&& o) noexcept { swap(o); }
  Ring& operator=(Ring&& o) noexcept {
    Ring taken(std::move(o));
    swap(taken);
    return *this;
  }
  bool empty() const { return count_ == 0; }
  size_t size() const { return count_; }
  T& operator[](size_t i) { return slots_[(first_ + i) & (capacity_ - 1)]; }
  T const& operator[](size_t i) const { return slots_[(first_ + i) & (capacity_ - 1)]; }
  T& front() { return (*this)[0]; }
  T const& front() const { return (*this)[0]; }
  T& back() { return (*this)[count_ - 1]; }
  T const& back() const { return (*this)[count_ - 1]; }

  void push_back(T value) {
    reserve_one();
    ++count_;
    back() = std::move(value);
  }
  void push_front(T value) {
    reserve_one();
    first_ = (first_ + capacity_ - 1) & (capacity_ - 1);
    ++count_;
    front() = std::move(value);
  }
  void pop_front() {
    front() = T();
    first_ = (first_ + 1) & (capacity_ - 1);
    if (--count_ == 0) release();
  }
  void pop_back() {
    back() = T();
    if (--count_ == 0) release();
  }
  // Puts value before element i.
  void insert(size_t i, T value) {
    push_back(std::move(value));
    for (size_t at = count_ - 1; at > i; --at) std::swap((*this)[at], (*this)[at - 1]);
  }
  void erase(size_t i) {
    for (size_t at = i; at + 1 < count_; ++at) std::swap((*this)[at], (*this)[at + 1]);
    pop_back();
  }
  void clear() {
    count_ = first_ = capacity_ = 0;
    slots_.reset();
  }
  void swap(Ring& o) noexcept {
    std::swap(slots_, o.slots_);
    std::swap(capacity_, o.capacity_);
    std::swap(first_, o.first_);
    std::swap(count_, o.count_);
  }

 private:
  static constexpr size_t kept = 16;  // slots that an empty queue may keep
  void release() {
    first_ = 0;
    if (capacity_ > kept) clear();
  }
  void reserve_one() {
    if (count_ < capacity_) return;
    size_t wider = capacity_ == 0 ? 4 : capacity_ * 2;
    auto slots = std::make_unique<T[]>(wider);
    for (size_t i = 0; i < count_; ++i) slots[i] = std::move((*this)[i]);
    slots_ = std::move(slots);
    capacity_ = wider;
    first_ = 0;
  }
  std::unique_ptr<T[]> slots_;
  size_t capacity_ = 0, first_ = 0, count_ = 0;
};

}  // namespace cofferdam::netstack

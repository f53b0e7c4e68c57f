// Intrusive reference counting. A RefCounted object is made by make_ref and dies with its last Ref.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace cofferdam {

class RefCounted {
 public:
  RefCounted() = default;
  RefCounted(RefCounted const&) = delete;
  RefCounted& operator=(RefCounted const&) = delete;

  void ref() const { count_.fetch_add(1, std::memory_order_relaxed); }
  void unref() const {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) const_cast<RefCounted*>(this)->last_ref_dropped();
  }
  // False when the count has already reached zero: for caches that hold raw pointers under their own lock.
  bool try_ref() const {
    auto n = count_.load(std::memory_order_relaxed);
    while (n != 0)
      if (count_.compare_exchange_weak(n, n + 1, std::memory_order_acq_rel)) return true;
    return false;
  }
  uint32_t ref_count() const { return count_.load(std::memory_order_relaxed); }

 protected:
  virtual ~RefCounted() = default;
  // Called once, when the count has reached zero. Caches override it; the override must end in `delete this`.
  virtual void last_ref_dropped() { delete this; }

 private:
  mutable std::atomic<uint32_t> count_{1};
};

template <class T>
class Ref {
 public:
  constexpr Ref() = default;
  constexpr Ref(std::nullptr_t) {}
  // Takes a new reference to p (which may be null).
  explicit Ref(T* p) : p_(p) {
    if (p_) p_->ref();
  }
  Ref(Ref const& o) : Ref(o.p_) {}
  Ref(Ref&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Ref(Ref<U> const& o) : Ref(static_cast<T*>(o.get())) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Ref(Ref<U>&& o) noexcept : p_(o.release()) {}
  ~Ref() {
    if (p_) p_->unref();
  }
  Ref& operator=(Ref o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  // Takes over the reference that the caller owns.
  static Ref adopt(T* p) {
    Ref r;
    r.p_ = p;
    return r;
  }
  [[nodiscard]] T* release() { return std::exchange(p_, nullptr); }
  T* get() const { return p_; }
  T* operator->() const { return p_; }
  T& operator*() const { return *p_; }
  explicit operator bool() const { return p_ != nullptr; }
  friend bool operator==(Ref const& a, Ref const& b) { return a.p_ == b.p_; }
  friend bool operator==(Ref const& a, T const* b) { return a.p_ == b; }
  template <class H>
  friend H AbslHashValue(H h, Ref const& r) {
    return H::combine(std::move(h), r.p_);
  }

 private:
  T* p_ = nullptr;
};

template <class T, class... A>
Ref<T> make_ref(A&&... args) {
  return Ref<T>::adopt(new T(std::forward<A>(args)...));
}

// Null when the object is not a T.
template <class T, class U>
Ref<T> ref_cast(Ref<U> const& r) {
  return Ref<T>(dynamic_cast<T*>(r.get()));
}

}  // namespace cofferdam

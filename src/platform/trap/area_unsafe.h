// Thread areas as the sentry maps them, and the file they lie in.
//
// The area file is one sparse memfd, cut into windows of one per stub process; a stub maps its window, the sentry maps
// the areas it uses one by one. Everything in an area can change at any time: read each word once, bound it, and keep
// the truth elsewhere.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "host/fd.h"
#include "stub/layout.h"

namespace cofferdam::platform::trap {

class AreaFile;

// The sentry's mapping of one area.
class Area {
 public:
  static Result<Area> map(AreaFile const& file, uint32_t window, uint32_t slot);
  Area() = default;
  Area(Area&& o) noexcept : base_(std::exchange(o.base_, nullptr)), slot_(o.slot_) {}
  Area& operator=(Area&& o) noexcept {
    std::swap(base_, o.base_);
    std::swap(slot_, o.slot_);
    return *this;
  }
  ~Area();

  explicit operator bool() const { return base_ != nullptr; }
  uint32_t slot() const { return slot_; }
  // Where the stub sees it.
  uint64_t stub_address() const { return stub::areas_address + uint64_t{slot_} * stub::area_size; }
  // Volatile: the compiler must not read a word twice that the code reads once.
  stub::Control volatile& control() const { return *reinterpret_cast<stub::Control volatile*>(base_); }
  std::atomic_ref<uint32_t> turn() const {
    return std::atomic_ref<uint32_t>(reinterpret_cast<stub::Control*>(base_)->turn);
  }
  // A word that other sentry threads look at while this one or the guest changes it.
  std::atomic_ref<uint64_t> shared_word(uint64_t stub::Control::* word) const {
    return std::atomic_ref<uint64_t>(reinterpret_cast<stub::Control*>(base_)->*word);
  }
  uint32_t* turn_word() const { return &reinterpret_cast<stub::Control*>(base_)->turn; }
  stub::Hint volatile& hint() const { return *reinterpret_cast<stub::Hint volatile*>(base_ + stub::hint); }
  // Asks for the cache lines of a hint together, before they are wanted one after the other.
  void expect_hint() const {
    __builtin_prefetch(base_ + stub::hint);
    __builtin_prefetch(base_ + stub::hint + 64);
  }
  std::byte* at(uint64_t offset) const { return base_ + offset; }
  std::span<std::byte> bounce() const { return {base_ + stub::bounce, stub::bounce_size}; }
  stub::SignalContext volatile& context(uint32_t offset) const {
    return *reinterpret_cast<stub::SignalContext volatile*>(base_ + offset);
  }
  // Fills in the fixed words of the control block.
  void initialize() const;

 private:
  std::byte* base_ = nullptr;
  uint32_t slot_ = 0;
};

class AreaFile {
 public:
  static Result<host::OwnedFd> create_memfd();
  explicit AreaFile(host::OwnedFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  // A window that no live process has mapped, with what the sentry still has mapped of it. Its memory reads as zeros.
  struct Window {
    uint32_t index;
    Area area;  // perhaps none
  };
  Result<Window> allocate_window();
  void release_window(Window window);
  static uint64_t window_offset(uint32_t window) { return uint64_t{window} * stub::window_size; }

 private:
  host::OwnedFd fd_;
  Mutex mutex_;
  std::vector<Window> free_ GUARDED_BY(mutex_);
  uint32_t next_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cofferdam::platform::trap

// The bytes of a file that lives in the sentry's memory file: tmpfs, memfd_create(2).
//
// A file's bytes stand in one window of the memory file. Windows are sparse and cost nothing but what is written; a
// file that outgrows its window moves to a larger one. When it is first mapped it moves to a memfd of its own, so that
// the mapping ends (SIGBUS) where the file does. Where descriptors are scarce it stays in a window, of at least 64 GiB
// then, since a window cannot move while it is mapped.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/io.h"
#include "kernel/mm/memory_file.h"
#include "kernel/vfs/file.h"

namespace cofferdam::kernel {

// What a file system may hold in pages.
class PageBudget final : public RefCounted {
 public:
  explicit PageBudget(uint64_t limit) : limit_(limit) {}
  bool charge(uint64_t pages);
  void release(uint64_t pages) { used_.fetch_sub(pages, std::memory_order_relaxed); }
  uint64_t limit() const { return limit_.load(std::memory_order_relaxed); }
  void set_limit(uint64_t pages) { limit_.store(pages, std::memory_order_relaxed); }
  uint64_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> limit_;
  std::atomic<uint64_t> used_{0};
};

class MemoryData {
 public:
  static constexpr uint64_t max_size = uint64_t{1} << 44;

  // seals: F_SEAL_*; F_SEAL_SEAL when there can be no more. budget may be null.
  MemoryData(MemoryFile&, Ref<PageBudget> budget, uint32_t seals);
  ~MemoryData();

  // The inode whose data it is: to be told when reads by a mapping that is never written would be wrong.
  void set_owner(Inode& owner) { owner_ = &owner; }

  uint64_t size() const { return size_.load(std::memory_order_acquire); }
  uint64_t allocated_pages() const;
  Result<size_t> read(IoSink&, uint64_t offset);
  // append: at the end, wherever that is then; *written_at tells where the bytes went. EFBIG, ENOSPC, EPERM (seals).
  Result<size_t> write(IoSource&, uint64_t offset, bool append, uint64_t* written_at = nullptr);
  Result<void> truncate(uint64_t size);
  Result<void> allocate(int mode, uint64_t offset, uint64_t length);  // fallocate(2)
  Result<uint64_t> seek(uint64_t offset, bool data);                  // SEEK_DATA, SEEK_HOLE: ENXIO
  Result<MapTarget> map(MapRequest const&, bool file_writable);

  uint32_t seals() const { return seals_.load(std::memory_order_acquire); }
  Result<void> add_seals(uint32_t);  // EPERM, EBUSY

 private:
  // What mappings hold: while there are any, the window stays.
  struct Hold : RefCounted {
    Hold(Ref<MemoryExtent> w, Ref<host::SharedFd> f) : window(std::move(w)), own(std::move(f)) {}
    Ref<MemoryExtent> window;
    Ref<host::SharedFd> own;
  };
  Result<MapTarget> map_for_reading(uint64_t begin, uint64_t end) REQUIRES(lock_);
  Result<void> grow_window(uint64_t to) REQUIRES(lock_);
  Result<void> move_window(uint64_t length) REQUIRES(lock_);
  Result<void> move_to_own_file() REQUIRES(lock_);
  Result<void> copy_to(int fd, uint64_t base) REQUIRES(lock_);
  void drop_storage() REQUIRES(lock_);
  // Where the bytes are: the host file, where in it the first one is, and how many there is room for.
  Ref<host::SharedFd> host_file() const REQUIRES_SHARED(lock_) { return own_ ? own_ : memory_.fd(); }
  int host_fd() const REQUIRES_SHARED(lock_) { return own_ ? own_->get() : memory_.fd()->get(); }
  uint64_t base() const REQUIRES_SHARED(lock_) { return own_ || !window_ ? 0 : window_->offset(); }
  uint64_t room() const REQUIRES_SHARED(lock_) { return own_ ? max_size : window_ ? window_->length() : 0; }
  bool is_mapped() const REQUIRES(lock_);
  // Charges pages of the byte range; gives up to which byte there is room.
  uint64_t charge(uint64_t begin, uint64_t end) REQUIRES(lock_);
  uint64_t missing_pages(uint64_t begin, uint64_t end) const REQUIRES(lock_);
  void discharge(uint64_t begin_page, uint64_t end_page) REQUIRES(lock_);
  void zero(uint64_t begin, uint64_t end) REQUIRES(lock_);
  void punch(uint64_t begin, uint64_t end) REQUIRES(lock_);

  MemoryFile& memory_;
  Inode* owner_ = nullptr;
  Ref<PageBudget> budget_;
  mutable SharedMutex lock_;
  std::atomic<uint64_t> size_{0};
  std::atomic<uint32_t> seals_;
  Ref<MemoryExtent> window_ GUARDED_BY(lock_);
  Ref<host::SharedFd> own_ GUARDED_BY(lock_);  // then there is no window
  Ref<Hold> mapped_ GUARDED_BY(lock_), mapped_writable_ GUARDED_BY(lock_);
  std::map<uint64_t, uint64_t> pages_ GUARDED_BY(lock_);  // charged: first page -> page behind
  uint64_t page_count_ GUARDED_BY(lock_) = 0;
};

}  // namespace cofferdam::kernel

// The policy of an address space: Linux's rules for mmap(2) and its kin over a VmaTree, each change made on the host in
// the same breath. One lock is held across the change of the tree and that of the host, so that threads which map at
// the same time cannot disagree; when the host refuses, the tree stays as it was.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "kernel/mm/memory_file.h"
#include "kernel/mm/vma_tree.h"
#include "platform/platform.h"

namespace cofferdam::kernel {

// On whose behalf: the thread that makes the host calls, and the limits that bind it.
struct MapCaller {
  platform::Context& context;
  uint64_t address_space_limit = UINT64_MAX;  // RLIMIT_AS
  uint64_t data_limit = UINT64_MAX;           // RLIMIT_DATA
  uint64_t stack_limit = UINT64_MAX;          // RLIMIT_STACK
  uint64_t lock_limit = UINT64_MAX;           // RLIMIT_MEMLOCK
  bool may_lock = false;                      // CAP_IPC_LOCK
  // Up to where in the memory file a mapping of `growing` may be extended: its file system has agreed.
  File const* growing = nullptr;
  uint64_t grow_limit = 0;
};

// The guest's part of the address space.
struct AddressRange {
  uint64_t low = 0, high = 0;  // mmap_min_addr and TASK_SIZE
  uint64_t mmap_base = 0;      // automatic placement goes downwards from here
};

// A mapping to be made; what it is stands in `vma`, whose start and end are filled in.
struct MapPlan {
  uint64_t address = 0, length = 0;
  bool fixed = false, no_replace = false, low_2g = false;
  bool lock_requested = false;    // MAP_LOCKED
  bool shared_anonymous = false;  // memory-file extent to be made
  Vma vma;
};

class AddressMap {
 public:
  AddressMap(AddressRange range, MemoryFile* memory_file, platform::AddressSpace* space)
      : range_(range), memory_file_(memory_file), space_(space) {}

  // Errors: ENOMEM, EINVAL, EEXIST (no_replace), EPERM (below low, sealed), EAGAIN (locked memory).
  Result<uint64_t> map(MapCaller const&, MapPlan&&);
  Result<void> unmap(MapCaller const&, uint64_t address, uint64_t length);
  // Takes the range out of the tree without a word to the host.
  void forget(uint64_t address, uint64_t length);
  Result<void> protect(MapCaller const&, uint64_t address, uint64_t length, int protection);
  Result<uint64_t> remap(MapCaller const&, uint64_t old_address, uint64_t old_length, uint64_t new_length, int flags,
                         uint64_t new_address);
  uint64_t set_break(MapCaller const&, uint64_t new_break, uint64_t data_bytes);
  void set_break_range(uint64_t start, uint64_t end);
  std::pair<uint64_t, uint64_t> break_range() const;

  // File work that madvise(MADV_REMOVE) and msync leave to be done without the lock.
  struct FileRange {
    Ref<File> file;
    Ref<RefCounted> backing;
    uint64_t offset, length;  // in the file
    uint64_t memory_offset;   // in the memory file, for mappings without a file
  };
  Result<void> advise(MapCaller const&, uint64_t address, uint64_t length, int advice,
                      std::vector<FileRange>& to_remove);
  Result<void> collect_sync(uint64_t address, uint64_t length, int flags, std::vector<FileRange>& to_sync) const;

  Result<void> lock(MapCaller const&, uint64_t address, uint64_t length, bool on_fault);
  Result<void> unlock(uint64_t address, uint64_t length);
  Result<void> lock_all(MapCaller const&, int flags);
  void unlock_all();
  Result<void> seal(uint64_t address, uint64_t length);
  Result<void> set_name(uint64_t address, uint64_t length, std::string const& name);

  Result<bool> grow_stack(MapCaller const&, uint64_t address);
  Result<void> map_stack(MapCaller const&, uint64_t top, uint64_t size, uint64_t visible_start, int protection);
  // A range that the platform has mapped itself (the vDSO).
  void add_existing(Vma&&);

  std::unique_ptr<AddressMap> fork(platform::AddressSpace*) const;
  Result<uint64_t> find_room(uint64_t length, uint64_t alignment);
  std::vector<Vma> snapshot() const;
  std::optional<Vma> find(uint64_t address) const;
  MemoryUsage usage() const;
  bool covers(uint64_t address, uint64_t length) const;
  // Is all of it writable memory, as far as is known? True while somebody else changes the map.
  bool may_write(uint64_t address, uint64_t length) const;
  AddressRange range() const;
  void set_mmap_base(uint64_t);

 private:
  using Removed = VmaTree::Removed;
  bool in_range(uint64_t address, uint64_t length) const {
    return length <= range_.high && address <= range_.high - length;
  }
  Result<uint64_t> place(MapPlan const&) REQUIRES(mutex_);
  Result<void> may_expand(MapCaller const&, uint64_t bytes, uint64_t replaced, int protection, int flags) const
      REQUIRES(mutex_);
  Result<void> may_lock(MapCaller const&, uint64_t bytes) const REQUIRES(mutex_);
  Result<void> check_seals(uint64_t start, uint64_t end) const REQUIRES(mutex_);
  Result<void> unmap_locked(MapCaller const&, uint64_t start, uint64_t end, Removed&) REQUIRES(mutex_);
  static Result<void> map_on_host(platform::Context&, Vma const&);

  Result<uint64_t> remap_to(MapCaller const&, uint64_t old_address, uint64_t old_length, uint64_t new_length, int flags,
                            uint64_t new_address, Removed&) REQUIRES(mutex_);
  Result<void> check_resize(MapCaller const&, VmaTree::Map::iterator, uint64_t address, uint64_t old_length,
                            uint64_t new_length) const REQUIRES(mutex_);
  Result<uint64_t> move(MapCaller const&, uint64_t address, uint64_t old_length, uint64_t new_address,
                        uint64_t new_length, bool keep_old, Removed&) REQUIRES(mutex_);
  // Brings the main stack's mapping up to what the guest has touched of its reserve.
  void refresh_stack() const REQUIRES(mutex_);
  void refresh_stack_if_touched(uint64_t start, uint64_t end) const REQUIRES(mutex_);
  void cut_stack_reserve(platform::Context&, uint64_t start, uint64_t end) REQUIRES(mutex_);
  // Tells the platform that locked or sealed memory is about, where MADV_DONTNEED has rules of its own.
  void restrict_discarding() REQUIRES(mutex_);
  Result<void> advise_one(Vma const&, int advice) const;
  static void set_advice(Vma&, int advice);

  AddressRange range_;
  MemoryFile* memory_file_;
  platform::AddressSpace* space_;
  mutable Mutex mutex_;
  mutable VmaTree tree_ GUARDED_BY(mutex_);
  uint64_t break_start_ GUARDED_BY(mutex_) = 0, break_ GUARDED_BY(mutex_) = 0;
  bool lock_future_ GUARDED_BY(mutex_) = false, lock_future_on_fault_ GUARDED_BY(mutex_) = false;
  bool discarding_is_restricted_ GUARDED_BY(mutex_) = false;
};

}  // namespace cofferdam::kernel

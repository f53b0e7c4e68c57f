// A guest address space as policy: the VMA tree, limits, brk, and what /proc/PID/maps tells.
//
// The pages themselves are the host's (architecture 4.1). The tree is a claim about a hostile peer: nothing of the
// sentry's safety rests on it. Changes run on the calling task's own platform::Context.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/vfs/file.h"
#include "platform/platform.h"

namespace cofferdam::kernel {

class AddressMap;
class MemoryExtent;
class Kernel;
class Task;

// A mapped range. Private anonymous when `file` and `memory` are null.
struct Vma {
  uint64_t start = 0, end = 0;
  int protection = 0;
  int flags = 0;               // MAP_SHARED or MAP_PRIVATE, MAP_GROWSDOWN, MAP_LOCKED, MAP_NORESERVE, MAP_STACK
  Ref<File> file;              // as shown in maps; null for anonymous memory
  Ref<host::SharedFd> memory;  // the host descriptor that is mapped
  Ref<RefCounted>
      backing;  // kept alive while it is mapped: a memory-file extent, a file system's own account of mappings
  uint64_t file_offset = 0;  // of `start` in `file`; of private anonymous memory the address where it was first mapped
  uint64_t memory_offset = 0;  // of `start` in `memory`
  enum class Kind : uint8_t { Normal, Heap, Stack, Vdso, Vvar, SharedAnonymous } kind = Kind::Normal;
  bool may_write = true;  // mprotect may add PROT_WRITE (a shared mapping of a read-only file may not)
  bool may_read = true, may_exec = true;
  bool dont_fork = false, wipe_on_fork = false, dont_dump = false, locked = false;
  bool lock_on_fault = false, sealed = false, random_access = false, sequential_access = false;
  enum class HugePages : uint8_t { Default, Wanted, Unwanted } huge_pages = HugePages::Default;
  std::string name;  // PR_SET_VMA_ANON_NAME, "[anon:…]"
};

struct MmapRequest {
  uint64_t address = 0, length = 0;
  int protection = 0, flags = 0;
  Ref<File> file;  // null for MAP_ANONYMOUS
  uint64_t offset = 0;
};

// Sums for /proc/PID/{statm,status}; bytes.
struct MemoryUsage {
  uint64_t total = 0, data = 0, stack = 0, text = 0, library = 0, locked = 0, shared = 0, peak_total = 0;
};

class MemoryManager : public RefCounted {
 public:
  MemoryManager(Kernel&, Ref<platform::AddressSpace>);
  ~MemoryManager() override;

  platform::AddressSpace& address_space() const { return *address_space_; }
  Ref<platform::AddressSpace> address_space_ref() const { return address_space_; }

  Result<uint64_t> mmap(Task&, MmapRequest const&);
  Result<void> munmap(Task&, uint64_t address, uint64_t length);
  // A mapping that had been made turns out not to be there (platform::MemoryCallFailed).
  void forget_mapping(uint64_t address, uint64_t length);
  Result<void> mprotect(Task&, uint64_t address, uint64_t length, int protection);
  Result<uint64_t> mremap(Task&, uint64_t old_address, uint64_t old_length, uint64_t new_length, int flags,
                          uint64_t new_address);
  Result<uint64_t> brk(Task&, uint64_t new_break);
  Result<void> madvise(Task&, uint64_t address, uint64_t length, int advice);
  Result<void> mlock(Task&, uint64_t address, uint64_t length, int flags);
  Result<void> munlock(Task&, uint64_t address, uint64_t length);
  Result<void> mlockall(Task&, int flags);
  Result<void> munlockall(Task&);
  Result<void> mincore(Task&, uint64_t address, uint64_t length, UserAddr vector);
  Result<void> msync(Task&, uint64_t address, uint64_t length, int flags);
  bool may_write(uint64_t address, uint64_t length) const;  // as AddressMap says
  // A fault at `address` below a MAP_GROWSDOWN mapping: grows it (RLIMIT_STACK). false: not a stack, deliver SIGSEGV.
  Result<bool> grow_stack(Task&, uint64_t address, uint64_t stack_pointer);

  // The policy of a child made by Context::fork(): a copy of the tree without MADV_DONTFORK ranges.
  Ref<MemoryManager> fork(Ref<platform::AddressSpace>) const;

  // For the program loader: maps with the loader's own context before the task runs in it. Limits are the opener's.
  Result<uint64_t> map_for_loader(platform::Context&, Task& opener, MmapRequest const&, Vma::Kind kind);
  // The main stack, [top - size, top): natively mapped as far as it may grow, shown from `visible_start` on.
  Result<void> map_stack_for_loader(platform::Context&, uint64_t top, uint64_t size, uint64_t visible_start,
                                    int protection);
  // Where a mapping that nobody placed would go (the loader's choice of a base); ENOMEM.
  Result<uint64_t> find_room(uint64_t length, uint64_t alignment) const;

  // shmat(2): a shared mapping of a memory-file extent, which `backing` keeps alive. flags of mmap(2).
  Result<uint64_t> map_extent(Task&, MmapRequest const&, Ref<RefCounted> backing, MemoryExtent const&, bool may_write,
                              std::string name);
  Result<void> seal(Task&, uint64_t address, uint64_t length);  // mseal(2)
  // prctl PR_SET_VMA_ANON_NAME; an empty name removes it. EBADF for file mappings, ENOMEM for holes.
  Result<void> set_anonymous_name(Task&, uint64_t address, uint64_t length, std::string const& name);

  struct Layout {  // PR_SET_MM, /proc/PID/stat
    uint64_t code_start = 0, code_end = 0, data_start = 0, data_end = 0, break_start = 0, break_end = 0,
             stack_start = 0;
    uint64_t arguments_start = 0, arguments_end = 0, environment_start = 0, environment_end = 0, mmap_base = 0,
             entry = 0;
  };
  Layout layout() const;
  void set_layout(Layout const&);
  void set_executable(Ref<File>);
  Ref<File> executable() const;
  std::vector<std::byte> auxv() const;
  void set_auxv(std::vector<std::byte>);

  std::vector<Vma> vmas() const;                    // a snapshot, ascending
  std::optional<Vma> find(uint64_t address) const;  // the mapping that holds the address
  MemoryUsage usage() const;
  bool range_is_mapped(uint64_t address, uint64_t length) const;

 private:
  MemoryManager(Kernel&, Ref<platform::AddressSpace>, std::unique_ptr<AddressMap>);
  Result<uint64_t> map(Task&, platform::Context&, MmapRequest const&, Vma::Kind);
  Kernel& kernel_;
  Ref<platform::AddressSpace> address_space_;
  std::unique_ptr<AddressMap> map_;
  struct Facts;  // layout, executable, auxiliary vector
  std::unique_ptr<Guarded<Facts>> facts_;
};

}  // namespace cofferdam::kernel

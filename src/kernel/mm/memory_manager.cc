#include "kernel/mm/memory_manager.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/mm/address_map.h"
#include "kernel/task/task.h"
#include "kernel/task/task_internal.h"
#include "kernel/task/thread_group.h"
#include "stub/layout.h"

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

namespace cofferdam::kernel {
namespace {

constexpr int map_type_mask = 0x0f, map_huge_shift = 26, map_huge_mask = 0x3f;
// What MAP_SHARED_VALIDATE lets through (LEGACY_MAP_MASK of Linux).
constexpr int legacy_map_flags = MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE |
                                 MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK |
                                 MAP_HUGETLB | MAP_32BIT | (map_huge_mask << map_huge_shift) | 0x4000000;

MapCaller caller_of(Task& task, platform::Context& context) {
  ResourceLimits const& limits = task.thread_group().limits;
  return {
      .context = context, .address_space_limit = limits.current(RLIMIT_AS), .data_limit = limits.current(RLIMIT_DATA)};
}
MapCaller caller_of(Task& task) { return caller_of(task, task.context()); }

void add_lock_limits(MapCaller& caller, Task& task) {
  caller.lock_limit = task.thread_group().limits.current(RLIMIT_MEMLOCK);
  caller.may_lock = task.capable(CAP_IPC_LOCK);
}

AddressRange range_of(platform::Platform& platform) {
  // Until the loader has drawn one: below the room that the largest randomised stack may need.
  constexpr uint64_t stack_room = uint64_t{1} << 35;
  return {platform.min_address(), platform.user_limit(), page_down(platform.user_limit() - stack_room)};
}

// There are no huge pages to reserve here, as on a host whose pool is empty.
Result<void> refuse_huge_pages(int flags) {
  int log2 = (flags >> map_huge_shift) & map_huge_mask;
  return fail(log2 == 0 || log2 == 21 || log2 == 30 ? Errno::NoMem : Errno::Inval);
}

}  // namespace

struct MemoryManager::Facts {
  Layout layout;
  Ref<File> executable;
  std::vector<std::byte> auxv;
};

MemoryManager::MemoryManager(Kernel& kernel, Ref<platform::AddressSpace> space)
    : kernel_(kernel),
      address_space_(std::move(space)),
      map_(std::make_unique<AddressMap>(range_of(kernel.platform()), &kernel.memory_file(), address_space_.get())),
      facts_(std::make_unique<Guarded<Facts>>()) {
  if (uint64_t at = kernel.platform().vdso_address(); at != 0) {
    // The stub keeps the pages of the vDSO's variables right below it.
    if (at > stub::vdso_address) {
      Vma vvar{.start = stub::vdso_address, .end = at, .protection = PROT_READ};
      vvar.flags = MAP_PRIVATE;
      vvar.kind = Vma::Kind::Vvar;
      map_->add_existing(std::move(vvar));
    }
    Vma vdso{.start = at, .end = at + page_up(kernel.platform().vdso_length()), .protection = PROT_READ | PROT_EXEC};
    vdso.flags = MAP_PRIVATE;
    vdso.kind = Vma::Kind::Vdso;
    map_->add_existing(std::move(vdso));
  }
}

MemoryManager::MemoryManager(Kernel& kernel, Ref<platform::AddressSpace> space, std::unique_ptr<AddressMap> map)
    : kernel_(kernel),
      address_space_(std::move(space)),
      map_(std::move(map)),
      facts_(std::make_unique<Guarded<Facts>>()) {}

MemoryManager::~MemoryManager() = default;

Result<uint64_t> MemoryManager::mmap(Task& task, MmapRequest const& request) {
  return map(task, task.context(), request, Vma::Kind::Normal);
}

Result<uint64_t> MemoryManager::map_for_loader(platform::Context& context, Task& opener, MmapRequest const& request,
                                               Vma::Kind kind) {
  return map(opener, context, request, kind);
}

// do_mmap of Linux.
Result<uint64_t> MemoryManager::map(Task& task, platform::Context& context, MmapRequest const& request,
                                    Vma::Kind kind) {
  if (request.length == 0) return fail(Errno::Inval);
  int flags = request.flags, type = flags & map_type_mask;
  File* file = request.file.get();
  if (flags & MAP_HUGETLB) {
    if (file) return fail(Errno::Inval);
    TRY(refuse_huge_pages(flags));
  }
  uint64_t length = page_up(request.length), ignored;
  if (length == 0) return fail(Errno::NoMem);
  if (file && __builtin_add_overflow(request.offset, length, &ignored)) return fail(Errno::Overflow);

  MapPlan plan{.address = request.address, .length = length};
  Vma& v = plan.vma;
  v.protection = request.protection & (PROT_READ | PROT_WRITE | PROT_EXEC);
  v.kind = kind;
  bool shared = type == MAP_SHARED || (type == MAP_SHARED_VALIDATE && file);
  if (!shared && type != MAP_PRIVATE) return fail(Errno::Inval);
  if (type == MAP_SHARED_VALIDATE && (flags & ~legacy_map_flags & ~0)) return fail(Errno::OpNotSupp);
  if ((flags & MAP_GROWSDOWN) && (shared || file)) return fail(Errno::Inval);
  v.flags = (shared ? MAP_SHARED : MAP_PRIVATE) | (flags & (MAP_GROWSDOWN | MAP_NORESERVE));
  if (flags & MAP_STACK) v.huge_pages = Vma::HugePages::Unwanted;
  plan.no_replace = flags & MAP_FIXED_NOREPLACE;
  plan.fixed = (flags & MAP_FIXED) || plan.no_replace;
  plan.low_2g = flags & MAP_32BIT;
  plan.lock_requested = flags & MAP_LOCKED;

  if (file) {
    if (shared && (v.protection & PROT_WRITE) && !file->writable()) return fail(Errno::Acces);
    if (!file->readable()) return fail(Errno::Acces);
    auto target = TRY(file->map(task, {request.offset, length, v.protection, shared}));
    if ((v.protection & PROT_EXEC) && !target.may_exec) return fail(Errno::Perm);
    if (shared && (v.protection & PROT_WRITE) && !target.may_write) return fail(Errno::Perm);
    v.may_write = !shared || (file->writable() && target.may_write);
    v.may_exec = target.may_exec;
    v.file = request.file;
    if (target.keep_file) v.file = std::move(target.keep_file);
    v.memory = std::move(target.fd);
    v.backing = std::move(target.backing);
    v.file_offset = request.offset;
    v.memory_offset = target.offset;
    if (!v.memory && !shared) v.file = {};  // /dev/zero: plain anonymous memory
  }
  plan.shared_anonymous = shared && !v.memory;
  if (plan.shared_anonymous && kind == Vma::Kind::Normal) v.kind = Vma::Kind::SharedAnonymous;

  MapCaller caller = caller_of(task, context);
  add_lock_limits(caller, task);
  bool locked = plan.lock_requested;
  int protection = v.protection;
  uint64_t address = TRY(map_->map(caller, std::move(plan)));
  if (protection != PROT_NONE && (locked || (flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE)) {
    bool write = (protection & PROT_WRITE) && !shared;
    (void)context.advise(address, length, write ? 23 : 22);  // MADV_POPULATE_WRITE, MADV_POPULATE_READ: best effort
  }
  return address;
}

Result<uint64_t> MemoryManager::map_extent(Task& task, MmapRequest const& request, Ref<RefCounted> backing,
                                           MemoryExtent const& extent, bool may_write, std::string name) {
  MapPlan plan{.address = request.address, .length = page_up(request.length)};
  if (plan.length == 0 || plan.length > extent.length()) return fail(Errno::Inval);
  plan.no_replace = request.flags & MAP_FIXED_NOREPLACE;
  plan.fixed = (request.flags & MAP_FIXED) || plan.no_replace;
  Vma& v = plan.vma;
  v.protection = request.protection & (PROT_READ | PROT_WRITE | PROT_EXEC);
  v.flags = MAP_SHARED;
  v.kind = Vma::Kind::SharedAnonymous;
  v.memory = kernel_.memory_file().fd();
  v.memory_offset = extent.offset();
  v.backing = std::move(backing);
  v.may_write = may_write;
  v.name = std::move(name);
  MapCaller caller = caller_of(task);
  add_lock_limits(caller, task);
  return map_->map(caller, std::move(plan));
}

Result<void> MemoryManager::munmap(Task& task, uint64_t address, uint64_t length) {
  return map_->unmap({.context = task.context()}, address, length);
}

Result<void> MemoryManager::mprotect(Task& task, uint64_t address, uint64_t length, int protection) {
  return map_->protect(caller_of(task), address, length, protection);
}

Result<uint64_t> MemoryManager::mremap(Task& task, uint64_t old_address, uint64_t old_length, uint64_t new_length,
                                       int flags, uint64_t new_address) {
  MapCaller caller = caller_of(task);
  add_lock_limits(caller, task);
  // A file whose bytes stand in the memory file: ask it where the bytes behind the mapping are.
  Ref<File> growing;
  if (page_up(new_length) > page_up(old_length)) {
    auto vma = map_->find(old_address);
    if (vma && vma->file && vma->memory == kernel_.memory_file().fd()) {
      uint64_t by = old_address - vma->start, length = page_up(new_length);
      auto target =
          vma->file->map(task, {vma->file_offset + by, length, vma->protection, (vma->flags & MAP_SHARED) != 0});
      if (target && target->fd == vma->memory && target->offset == vma->memory_offset + by) {
        growing = vma->file;
        caller.growing = growing.get();
        caller.grow_limit = target->offset + length;
      }
    }
  }
  return map_->remap(caller, old_address, old_length, new_length, flags, new_address);
}

void MemoryManager::forget_mapping(uint64_t address, uint64_t length) { map_->forget(address, length); }

Result<uint64_t> MemoryManager::brk(Task& task, uint64_t new_break) {
  if (new_break == 0) return map_->break_range().second;
  MapCaller caller = caller_of(task);
  add_lock_limits(caller, task);
  uint64_t data = facts_->with([](Facts& f) { return f.layout.data_end - f.layout.data_start; });
  return map_->set_break(caller, new_break, data);
}

Result<void> MemoryManager::madvise(Task& task, uint64_t address, uint64_t length, int advice) {
  std::vector<AddressMap::FileRange> to_remove;
  auto outcome = map_->advise({.context = task.context()}, address, length, advice, to_remove);
  for (auto const& r : to_remove) {
    if (!r.file) {
      kernel_.memory_file().punch(r.memory_offset, r.length);
      continue;
    }
    TRY(r.file->allocate(task, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, r.offset, r.length));
  }
  return outcome;
}

Result<void> MemoryManager::mlock(Task& task, uint64_t address, uint64_t length, int flags) {
  constexpr int on_fault = 1;  // MLOCK_ONFAULT
  if (flags & ~on_fault) return fail(Errno::Inval);
  MapCaller caller{.context = task.context()};
  add_lock_limits(caller, task);
  return map_->lock(caller, address, length, flags & on_fault);
}

Result<void> MemoryManager::munlock(Task&, uint64_t address, uint64_t length) { return map_->unlock(address, length); }

Result<void> MemoryManager::mlockall(Task& task, int flags) {
  MapCaller caller{.context = task.context()};
  add_lock_limits(caller, task);
  return map_->lock_all(caller, flags);
}

Result<void> MemoryManager::munlockall(Task&) {
  map_->unlock_all();
  return {};
}

Result<void> MemoryManager::mincore(Task& task, uint64_t address, uint64_t length, UserAddr vector) {
  if (!page_aligned(address)) return fail(Errno::Inval);
  uint64_t limit = kernel_.platform().user_limit();
  if (address > limit || length > limit - address) return fail(Errno::NoMem);
  uint64_t pages = page_up(length) / page_size;
  std::vector<unsigned char> chunk(std::min<uint64_t>(pages, page_size));
  for (uint64_t done = 0; done < pages;) {
    if (task.pending_work() & work::kill) return fail(Errno::RestartNoIntr);
    uint64_t n = std::min<uint64_t>(pages - done, page_size);
    uint64_t at = address + done * page_size;
    if (!map_->covers(at, n * page_size)) return fail(Errno::NoMem);
    auto part = std::span(chunk).first(n);
    TRY(address_space_->mincore(at, n * page_size, part));
    for (auto& byte : part) byte &= 1;
    TRY(task.copy_out(UserAddr{vector.value + done}, std::as_bytes(part)));
    done += n;
  }
  return {};
}

Result<void> MemoryManager::msync(Task& task, uint64_t address, uint64_t length, int flags) {
  std::vector<AddressMap::FileRange> to_sync;
  auto outcome = map_->collect_sync(address, length, flags, to_sync);
  for (auto const& r : to_sync) {
    // Files that cannot be synchronised (devices) have nothing to write back.
    if (auto done = r.file->sync(task, true); !done && done.error() != Errno::Inval) return done;
  }
  return outcome;
}

Result<bool> MemoryManager::grow_stack(Task& task, uint64_t address, uint64_t /*stack_pointer*/) {
  MapCaller caller = caller_of(task);
  add_lock_limits(caller, task);
  caller.stack_limit = task.thread_group().limits.current(RLIMIT_STACK);
  return map_->grow_stack(caller, address);
}

Ref<MemoryManager> MemoryManager::fork(Ref<platform::AddressSpace> space) const {
  auto* raw = space.get();
  auto copy = Ref<MemoryManager>::adopt(new MemoryManager(kernel_, std::move(space), map_->fork(raw)));
  Facts facts = facts_->with([](Facts const& f) { return f; });
  copy->facts_->with([&](Facts& f) { f = std::move(facts); });
  return copy;
}

Result<void> MemoryManager::map_stack_for_loader(platform::Context& context, uint64_t top, uint64_t size,
                                                 uint64_t visible_start, int protection) {
  return map_->map_stack({.context = context}, top, size, visible_start, protection);
}

bool MemoryManager::may_write(uint64_t address, uint64_t length) const { return map_->may_write(address, length); }

Result<uint64_t> MemoryManager::find_room(uint64_t length, uint64_t alignment) const {
  return map_->find_room(length, alignment);
}

Result<void> MemoryManager::seal(Task&, uint64_t address, uint64_t length) { return map_->seal(address, length); }

Result<void> MemoryManager::set_anonymous_name(Task&, uint64_t address, uint64_t length, std::string const& name) {
  return map_->set_name(address, length, name);
}

MemoryManager::Layout MemoryManager::layout() const {
  Layout layout = facts_->with([](Facts const& f) { return f.layout; });
  std::tie(layout.break_start, layout.break_end) = map_->break_range();
  return layout;
}

void MemoryManager::set_layout(Layout const& layout) {
  facts_->with([&](Facts& f) { f.layout = layout; });
  map_->set_break_range(layout.break_start, layout.break_end);
  if (layout.mmap_base != 0) map_->set_mmap_base(layout.mmap_base);
}

void MemoryManager::set_executable(Ref<File> file) {
  facts_->with([&](Facts& f) { std::swap(f.executable, file); });
}
Ref<File> MemoryManager::executable() const {
  return facts_->with([](Facts const& f) { return f.executable; });
}
std::vector<std::byte> MemoryManager::auxv() const {
  return facts_->with([](Facts const& f) { return f.auxv; });
}
void MemoryManager::set_auxv(std::vector<std::byte> bytes) {
  facts_->with([&](Facts& f) { f.auxv = std::move(bytes); });
}

std::vector<Vma> MemoryManager::vmas() const { return map_->snapshot(); }
std::optional<Vma> MemoryManager::find(uint64_t address) const { return map_->find(address); }
MemoryUsage MemoryManager::usage() const {
  MemoryUsage use = map_->usage();
  Layout layout = this->layout();
  use.text = page_up(layout.code_end) - page_down(layout.code_start);
  use.library = use.library > use.text ? use.library - use.text : 0;
  return use;
}
bool MemoryManager::range_is_mapped(uint64_t address, uint64_t length) const { return map_->covers(address, length); }

}  // namespace cofferdam::kernel

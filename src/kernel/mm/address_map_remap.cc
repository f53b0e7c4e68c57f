// mremap(2).
#include <sys/mman.h>

#include <algorithm>

#include "kernel/mm/address_map.h"

namespace cofferdam::kernel {
namespace {

// The part of a mapping that starts at `address`, placed at [start, end).
Vma moved_part(Vma const& v, uint64_t address, uint64_t start, uint64_t end) {
  Vma part = v;
  uint64_t by = address - v.start;
  part.start = start;
  part.end = end;
  part.file_offset += by;
  part.memory_offset += by;
  return part;
}

}  // namespace

// vma_to_resize of Linux.
Result<void> AddressMap::check_resize(MapCaller const& caller, VmaTree::Map::iterator it, uint64_t address,
                                      uint64_t old_length, uint64_t new_length) const {
  Vma const& v = it->second;
  if (old_length == 0 && !(v.flags & MAP_SHARED)) return fail(Errno::Inval);
  if (old_length > v.end - address) return fail(Errno::Fault);
  if (new_length == old_length) return {};
  if (v.kind == Vma::Kind::Vdso || v.kind == Vma::Kind::Vvar) return fail(Errno::Fault);
  uint64_t offset;
  if (__builtin_add_overflow(v.file_offset + (address - v.start), new_length, &offset)) return fail(Errno::Inval);
  // Bytes of the memory file behind this mapping's own are somebody else's. (Linux would extend the mapping and give
  // SIGBUS there: of no use to anybody.)
  if (memory_file_ != nullptr && v.memory == memory_file_->fd() && new_length > v.end - address) {
    uint64_t end = v.memory_offset + (address - v.start) + new_length;
    if (!v.file || v.file.get() != caller.growing || end > caller.grow_limit) return fail(Errno::NoMem);
  }
  uint64_t more = new_length - old_length;
  if (v.locked) TRY(may_lock(caller, more));
  return may_expand(caller, more, 0, v.protection, v.flags);
}

Result<uint64_t> AddressMap::remap(MapCaller const& caller, uint64_t old_address, uint64_t old_length,
                                   uint64_t new_length, int flags, uint64_t new_address) {
  if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) return fail(Errno::Inval);
  bool may_move = flags & MREMAP_MAYMOVE, keep_old = flags & MREMAP_DONTUNMAP;
  if ((flags & MREMAP_FIXED) && !may_move) return fail(Errno::Inval);
  if (keep_old && (!may_move || old_length != new_length)) return fail(Errno::Inval);
  if (!page_aligned(old_address)) return fail(Errno::Inval);
  old_length = page_up(old_length);
  new_length = page_up(new_length);
  if (new_length == 0) return fail(Errno::Inval);

  Removed removed;
  MutexLock lock(mutex_);
  refresh_stack_if_touched(old_address, old_address + page_size);
  auto it = tree_.find(old_address);
  if (it == tree_.end() || it->second.start > old_address) return fail(Errno::Fault);
  if (it->second.sealed) return fail(Errno::Perm);
  if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
    return remap_to(caller, old_address, old_length, new_length, flags, new_address, removed);

  if (old_length >= new_length) {
    if (old_length > new_length) {
      if (!in_range(old_address, old_length)) return fail(Errno::Inval);
      TRY(unmap_locked(caller, old_address + new_length, old_address + old_length, removed));
    }
    return old_address;
  }
  TRY(check_resize(caller, it, old_address, old_length, new_length));
  Vma& v = it->second;
  uint64_t new_end = old_address + new_length;
  if (old_length == v.end - old_address && in_range(old_address, new_length) && !tree_.overlaps(v.end, new_end)) {
    Vma grown = moved_part(v, v.end, v.end, new_end);
    // The range as the guest gave it: the host may hold as several mappings what the tree shows as one.
    TRY(caller.context.remap(old_address, old_length, old_address, new_length));
    tree_.insert(std::move(grown));
    return old_address;
  }
  if (!may_move) return fail(Errno::NoMem);
  MapPlan plan{.address = 0, .length = new_length};
  plan.vma.memory = v.memory;
  uint64_t place_at = TRY(place(plan));
  return move(caller, old_address, old_length, place_at, new_length, false, removed);
}

// mremap_to of Linux: MREMAP_FIXED, MREMAP_DONTUNMAP.
Result<uint64_t> AddressMap::remap_to(MapCaller const& caller, uint64_t old_address, uint64_t old_length,
                                      uint64_t new_length, int flags, uint64_t new_address, Removed& removed) {
  if (!page_aligned(new_address)) return fail(Errno::Inval);
  if (!in_range(new_address, new_length)) return fail(Errno::Inval);
  if (old_address + old_length > new_address && new_address + new_length > old_address) return fail(Errno::Inval);
  if (tree_.size() + 2 >= max_map_count - 3) return fail(Errno::NoMem);
  bool fixed = flags & MREMAP_FIXED, keep_old = flags & MREMAP_DONTUNMAP;
  if (fixed) {
    if (new_address < range_.low) return fail(Errno::Perm);
    TRY(unmap_locked(caller, new_address, new_address + new_length, removed));
  }
  if (old_length > new_length) {
    if (!in_range(old_address, old_length)) return fail(Errno::Inval);
    TRY(unmap_locked(caller, old_address + new_length, old_address + old_length, removed));
    old_length = new_length;
  }
  auto it = tree_.find(old_address);
  if (it == tree_.end() || it->second.start > old_address) return fail(Errno::Fault);
  TRY(check_resize(caller, it, old_address, old_length, new_length));
  Vma const& v = it->second;
  if (keep_old) TRY(may_expand(caller, old_length, 0, v.protection, v.flags));
  if (!fixed) {
    MapPlan plan{.address = new_address, .length = new_length};
    plan.vma.memory = v.memory;
    new_address = TRY(place(plan));
  }
  uint64_t at = TRY(move(caller, old_address, old_length, new_address, new_length, keep_old, removed));
  if (fixed) cut_stack_reserve(caller.context, at, at + new_length);
  return at;
}

Result<uint64_t> AddressMap::move(MapCaller const& caller, uint64_t address, uint64_t old_length, uint64_t new_address,
                                  uint64_t new_length, bool keep_old, Removed& removed) {
  if (tree_.size() + 3 > max_map_count) return fail(Errno::NoMem);
  Vma const old = tree_.find(address)->second;
  Vma moved = moved_part(old, address, new_address, new_address + new_length);
  if (moved.kind == Vma::Kind::Stack || moved.kind == Vma::Kind::Heap) moved.kind = Vma::Kind::Normal;
  if (old_length == 0) {  // a second view of shared memory
    TRY(map_on_host(caller.context, moved));
    tree_.insert(std::move(moved));
    return new_address;
  }
  TRY(caller.context.remap(address, old_length, new_address, new_length));
  Vma left = moved_part(old, address, address, address + old_length);
  tree_.remove(address, address + old_length, removed);
  tree_.insert(std::move(moved));
  if (keep_old) {
    left.locked = left.lock_on_fault = false;
    if (!left.memory) left.file_offset = address;
    TRY(map_on_host(caller.context, left));
    tree_.insert(std::move(left));
  }
  return new_address;
}

}  // namespace cofferdam::kernel

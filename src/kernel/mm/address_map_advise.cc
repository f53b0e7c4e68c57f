// madvise(2), the mlock(2) family, and what msync(2) has to write.
#include <sys/mman.h>

#include <algorithm>

#include "kernel/mm/address_map.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

namespace cofferdam::kernel {
namespace {

// Without MADV_MERGEABLE and kin: the kernel we are is built without CONFIG_KSM (pages merged across sandboxes leak).
bool advice_is_known(int advice) {
  switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_FREE:
    case MADV_REMOVE:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
    case MADV_DONTNEED_LOCKED:
    case MADV_COLLAPSE:
      return true;
    default:
      return false;
  }
}

// Has the host something to do, beyond what the tree remembers?
bool concerns_host(int advice) {
  switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_REMOVE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_COLD:  // hints about reclaim, which could tell one sandbox of another's memory
    case MADV_PAGEOUT:
      return false;
    default:
      return true;
  }
}

bool changes_tree(int advice) {
  switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
      return true;
    default:
      return false;
  }
}

}  // namespace

void AddressMap::set_advice(Vma& v, int advice) {
  switch (advice) {
    case MADV_NORMAL:
      v.random_access = v.sequential_access = false;
      break;
    case MADV_RANDOM:
      v.random_access = true;
      v.sequential_access = false;
      break;
    case MADV_SEQUENTIAL:
      v.sequential_access = true;
      v.random_access = false;
      break;
    case MADV_DONTFORK:
    case MADV_DOFORK:
      v.dont_fork = advice == MADV_DONTFORK;
      break;
    case MADV_HUGEPAGE:
      v.huge_pages = Vma::HugePages::Wanted;
      break;
    case MADV_NOHUGEPAGE:
      v.huge_pages = Vma::HugePages::Unwanted;
      break;
    case MADV_DONTDUMP:
    case MADV_DODUMP:
      v.dont_dump = advice == MADV_DONTDUMP;
      break;
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
      v.wipe_on_fork = advice == MADV_WIPEONFORK;
      break;
    default:
      break;
  }
}

// May this mapping be advised so?
Result<void> AddressMap::advise_one(Vma const& v, int advice) const {
  bool special = v.kind == Vma::Kind::Vdso || v.kind == Vma::Kind::Vvar;
  bool anonymous = !v.memory;
  switch (advice) {
    case MADV_DONTNEED:
    case MADV_FREE:
    case MADV_COLD:
    case MADV_PAGEOUT:
      if (v.locked || special) return fail(Errno::Inval);
      if (advice == MADV_FREE && !anonymous) return fail(Errno::Inval);
      break;
    case MADV_DONTNEED_LOCKED:
      if (special) return fail(Errno::Inval);
      break;
    case MADV_REMOVE:
      if (v.locked || (!v.file && !(v.flags & MAP_SHARED))) return fail(Errno::Inval);
      if (!(v.flags & MAP_SHARED) || !v.may_write) return fail(Errno::Acces);
      break;
    case MADV_WIPEONFORK:
      if (!anonymous) return fail(Errno::Inval);
      break;
    default:
      break;
  }
  // A sealed mapping that cannot be written must keep its bytes.
  bool discards = advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE || advice == MADV_DONTFORK ||
                  advice == MADV_WIPEONFORK || advice == MADV_DONTNEED_LOCKED;
  if (v.sealed && discards && anonymous && !(v.protection & PROT_WRITE)) return fail(Errno::Perm);
  return {};
}

Result<void> AddressMap::advise(MapCaller const& caller, uint64_t address, uint64_t length, int advice,
                                std::vector<FileRange>& to_remove) {
  constexpr int hwpoison = 100, soft_offline = 101;
  if (advice == hwpoison || advice == soft_offline) return fail(Errno::Perm);
  if (!advice_is_known(advice)) return fail(Errno::Inval);
  if (!page_aligned(address)) return fail(Errno::Inval);
  uint64_t bytes = page_up(length), end = address + bytes;
  if (length != 0 && bytes == 0) return fail(Errno::Inval);
  if (end < address) return fail(Errno::Inval);
  if (end == address) return {};

  MutexLock lock(mutex_);
  refresh_stack_if_touched(address, end);
  Result<void> outcome;
  bool populate = advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE;
  uint64_t done = address, from = end, to = address;
  for (auto it = tree_.find(address); done < end; ++it) {
    if (it == tree_.end() || it->second.start >= end) {
      outcome = fail(Errno::NoMem);
      break;
    }
    Vma const& v = it->second;
    if (v.start > done) {
      outcome = fail(Errno::NoMem);  // a hole; Linux goes on behind it
      if (populate) break;
    }
    if (auto allowed = advise_one(v, advice); !allowed) {
      outcome = allowed;
      break;
    }
    uint64_t part_start = std::max(address, v.start), part_end = std::min(end, v.end);
    if (advice == MADV_REMOVE)
      to_remove.push_back({v.file, v.backing, v.file_offset + (part_start - v.start), part_end - part_start,
                           v.memory_offset + (part_start - v.start)});
    from = std::min(from, part_start);
    to = done = part_end;
  }
  if (from >= to) return outcome;
  if (changes_tree(advice) && tree_.size() + 2 > max_map_count) return fail(Errno::NoMem);
  if (concerns_host(advice)) {
    // Locks are ours alone; the host knows of none.
    auto host = caller.context.advise(from, to - from, advice == MADV_DONTNEED_LOCKED ? MADV_DONTNEED : advice);
    if (!host && !(host.error() == Errno::NoMem && !outcome)) return host;
  }
  if (changes_tree(advice)) tree_.update(from, to, [&](Vma& v) { set_advice(v, advice); });
  return outcome;
}

Result<void> AddressMap::collect_sync(uint64_t address, uint64_t length, int flags,
                                      std::vector<FileRange>& to_sync) const {
  if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) return fail(Errno::Inval);
  if (!page_aligned(address)) return fail(Errno::Inval);
  if ((flags & MS_ASYNC) && (flags & MS_SYNC)) return fail(Errno::Inval);
  uint64_t end = address + page_up(length);
  if (end < address || (length != 0 && page_up(length) == 0)) return fail(Errno::NoMem);
  if (end == address) return {};
  MutexLock lock(mutex_);
  refresh_stack_if_touched(address, end);
  Result<void> outcome;
  uint64_t done = address;
  for (auto it = tree_.find(address); done < end; ++it) {
    if (it == tree_.end() || it->second.start >= end) return fail(Errno::NoMem);
    Vma const& v = it->second;
    if (v.start > done) {
      if (flags == MS_ASYNC) return fail(Errno::NoMem);
      outcome = fail(Errno::NoMem);
    }
    if ((flags & MS_INVALIDATE) && v.locked) return fail(Errno::Busy);
    uint64_t part_start = std::max(address, v.start);
    done = std::min(end, v.end);
    if ((flags & MS_SYNC) && v.file && (v.flags & MAP_SHARED))
      to_sync.push_back({v.file, v.backing, v.file_offset + (part_start - v.start), done - part_start, 0});
  }
  return outcome;
}

Result<void> AddressMap::lock(MapCaller const& caller, uint64_t address, uint64_t length, bool on_fault) {
  if (!caller.may_lock && caller.lock_limit == 0) return fail(Errno::Perm);
  length = page_up(length + (address - page_down(address)));
  address = page_down(address);
  uint64_t end = address + length;
  MutexLock guard(mutex_);
  if (!caller.may_lock && tree_.usage().locked + length > caller.lock_limit &&
      tree_.usage().locked + length - tree_.locked_within(address, std::max(address, end)) > caller.lock_limit)
    return fail(Errno::NoMem);
  if (end < address) return fail(Errno::Inval);
  if (end == address) return {};
  refresh_stack_if_touched(address, end);
  uint64_t done = address;
  for (auto it = tree_.find(address); done < end && it != tree_.end() && it->second.start <= done; ++it)
    done = std::min(end, it->second.end);
  if (done == address) return fail(Errno::NoMem);
  if (tree_.size() + 2 > max_map_count) return fail(Errno::NoMem);
  restrict_discarding();
  tree_.update(address, done, [&](Vma& v) {
    v.locked = true;
    v.lock_on_fault = on_fault;
  });
  if (done < end) return fail(Errno::NoMem);
  if (on_fault) return {};
  // Locked memory is resident: bring it in (what cannot be read fails as mlock says).
  for (auto it = tree_.find(address); it != tree_.end() && it->second.start < end; ++it) {
    Vma const& v = it->second;
    if (v.protection == PROT_NONE) return fail(Errno::NoMem);
    bool write = (v.protection & PROT_WRITE) && !(v.flags & MAP_SHARED);
    uint64_t from = std::max(address, v.start), to = std::min(end, v.end);
    auto populated = caller.context.advise(from, to - from, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    if (!populated && populated.error() != Errno::Inval)  // a host without populate: they come when they are touched
      return fail(populated.error() == Errno::NoMem ? Errno::Again : Errno::NoMem);
  }
  return {};
}

Result<void> AddressMap::unlock(uint64_t address, uint64_t length) {
  length = page_up(length + (address - page_down(address)));
  address = page_down(address);
  uint64_t end = address + length;
  if (end < address) return fail(Errno::Inval);
  if (end == address) return {};
  MutexLock guard(mutex_);
  refresh_stack_if_touched(address, end);
  uint64_t done = address;
  for (auto it = tree_.find(address); done < end && it != tree_.end() && it->second.start <= done; ++it)
    done = std::min(end, it->second.end);
  if (done != address) tree_.update(address, done, [](Vma& v) { v.locked = v.lock_on_fault = false; });
  if (done < end) return fail(Errno::NoMem);
  return {};
}

Result<void> AddressMap::lock_all(MapCaller const& caller, int flags) {
  constexpr int onfault = 4;  // MCL_ONFAULT
  if (flags == 0 || (flags & ~(MCL_CURRENT | MCL_FUTURE | onfault)) || flags == onfault) return fail(Errno::Inval);
  if (!caller.may_lock && caller.lock_limit == 0) return fail(Errno::Perm);
  MutexLock guard(mutex_);
  if ((flags & MCL_CURRENT) && !caller.may_lock && tree_.usage().total > caller.lock_limit) return fail(Errno::NoMem);
  restrict_discarding();
  lock_future_ = flags & MCL_FUTURE;
  lock_future_on_fault_ = flags & onfault;
  if (flags & MCL_CURRENT) {
    refresh_stack();
    tree_.update(0, range_.high, [&](Vma& v) {
      if (v.kind == Vma::Kind::Vdso || v.kind == Vma::Kind::Vvar) return;
      v.locked = true;
      v.lock_on_fault = flags & onfault;
    });
  }
  return {};
}

void AddressMap::unlock_all() {
  MutexLock guard(mutex_);
  lock_future_ = lock_future_on_fault_ = false;
  tree_.update(0, range_.high, [](Vma& v) { v.locked = v.lock_on_fault = false; });
}

}  // namespace cofferdam::kernel

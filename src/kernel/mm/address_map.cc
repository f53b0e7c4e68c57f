#include "kernel/mm/address_map.h"

#include <sys/mman.h>

#include <algorithm>

namespace cofferdam::kernel {
namespace {

constexpr uint64_t low_2g_start = 0x40000000, low_2g_end = 0x80000000;  // MAP_32BIT

bool is_private_anonymous(Vma const& v) { return !v.memory; }

}  // namespace

Result<void> AddressMap::may_expand(MapCaller const& caller, uint64_t bytes, uint64_t replaced, int protection,
                                    int flags) const {
  MemoryUsage const& use = tree_.usage();
  if (use.total - replaced + bytes > caller.address_space_limit) return fail(Errno::NoMem);
  if (is_data_mapping(protection, flags) && use.data + bytes > caller.data_limit) return fail(Errno::NoMem);
  return {};
}

Result<void> AddressMap::may_lock(MapCaller const& caller, uint64_t bytes) const {
  if (!caller.may_lock && tree_.usage().locked + bytes > caller.lock_limit) return fail(Errno::Again);
  return {};
}

Result<void> AddressMap::check_seals(uint64_t start, uint64_t end) const {
  for (auto it = tree_.find(start); it != tree_.end() && it->second.start < end; ++it)
    if (it->second.sealed) return fail(Errno::Perm);
  return {};
}

// get_unmapped_area of Linux.
Result<uint64_t> AddressMap::place(MapPlan const& plan) {
  uint64_t address = plan.address;
  if (plan.length > range_.high) return fail(Errno::NoMem);
  if (plan.fixed) {
    if (!in_range(address, plan.length)) return fail(Errno::NoMem);
    if (!page_aligned(address)) return fail(Errno::Inval);
    if (address < range_.low) return fail(Errno::Perm);
    if (plan.no_replace && tree_.overlaps(address, address + plan.length)) return fail(Errno::Exist);
    return address;
  }
  if (plan.low_2g) {
    if (auto found = tree_.lowest_gap(plan.length, page_size, low_2g_start, low_2g_end)) return *found;
    return fail(Errno::NoMem);
  }
  address = page_down(address);
  if (address != 0) {
    address = std::max(address, page_up(range_.low));
    if (in_range(address, plan.length)) {
      auto next = tree_.find(address);
      if (next == tree_.end() || address + plan.length <= tree_.gap_end(next->second)) return address;
    }
  }
  bool huge = is_private_anonymous(plan.vma) && !plan.shared_anonymous && plan.address == 0 &&
              plan.length % huge_page_size == 0;
  if (huge)
    if (auto found = tree_.highest_gap(plan.length, huge_page_size, range_.low, range_.mmap_base)) return *found;
  if (auto found = tree_.highest_gap(plan.length, page_size, range_.low, range_.mmap_base)) return *found;
  // As Linux does when the room below mmap_base is used up: bottom-up over everything.
  if (auto found =
          tree_.lowest_gap(plan.length, page_size, page_up(std::max(range_.low, range_.high / 3)), range_.high))
    return *found;
  return fail(Errno::NoMem);
}

Result<void> AddressMap::map_on_host(platform::Context& context, Vma const& v) {
  uint64_t length = v.end - v.start;
  if (!v.memory) return context.map_anonymous(v.start, length, v.protection);
  return context.map_file(v.start, length, v.protection,
                          {v.memory->get(), v.memory_offset, (v.flags & MAP_SHARED) != 0});
}

Result<uint64_t> AddressMap::map(MapCaller const& caller, MapPlan&& plan) {
  Ref<MemoryExtent> extent;  // outlives the lock when the mapping fails
  Removed removed;
  MutexLock lock(mutex_);
  if (tree_.size() > max_map_count) return fail(Errno::NoMem);
  uint64_t address = TRY(place(plan));
  uint64_t end = address + plan.length;
  Vma& v = plan.vma;
  if (plan.lock_requested && !caller.may_lock && caller.lock_limit == 0) return fail(Errno::Perm);
  v.locked = plan.lock_requested || lock_future_;
  v.lock_on_fault = !plan.lock_requested && lock_future_ && lock_future_on_fault_;
  if (v.locked) {
    TRY(may_lock(caller, plan.length));
    restrict_discarding();
  }
  refresh_stack_if_touched(address, end);
  uint64_t replaced = plan.fixed ? tree_.mapped_within(address, end) : 0;
  TRY(may_expand(caller, plan.length, replaced, v.protection, v.flags));
  if (replaced != 0) TRY(check_seals(address, end));

  v.start = address;
  v.end = end;
  if (plan.shared_anonymous) {
    if (memory_file_ == nullptr) return fail(Errno::NoMem);
    extent = TRY(memory_file_->allocate(plan.length));
    v.memory = memory_file_->fd();
    v.memory_offset = extent->offset();
    v.backing = extent;
  } else if (!v.memory) {
    v.file_offset = address;
  }
  TRY(map_on_host(caller.context, v));
  if (replaced != 0) tree_.remove(address, end, removed);
  tree_.insert(std::move(v));
  if (plan.fixed) cut_stack_reserve(caller.context, address, end);
  return address;
}

Result<void> AddressMap::unmap_locked(MapCaller const& caller, uint64_t start, uint64_t end, Removed& removed) {
  refresh_stack_if_touched(start, end);
  auto first = tree_.find(start);
  if (first == tree_.end() || first->second.start >= end) return {};
  // The host call covers no more than what is mapped: what lies beside may be the platform's.
  uint64_t from = std::max(start, first->second.start), to = from;
  auto it = first;
  for (; it != tree_.end() && it->second.start < end; ++it) {
    if (it->second.sealed) return fail(Errno::Perm);
    to = std::min(end, it->second.end);
  }
  if (first->second.start < start && first->second.end > end && tree_.size() >= max_map_count)
    return fail(Errno::NoMem);
  TRY(caller.context.unmap(from, to - from));
  tree_.remove(start, end, removed);
  return {};
}

void AddressMap::forget(uint64_t address, uint64_t length) {
  Removed removed;
  MutexLock lock(mutex_);
  tree_.remove(address, address + length, removed);
}

Result<void> AddressMap::unmap(MapCaller const& caller, uint64_t address, uint64_t length) {
  if (!page_aligned(address) || address > range_.high || length > range_.high - address) return fail(Errno::Inval);
  length = page_up(length);
  if (length == 0) return fail(Errno::Inval);
  Removed removed;
  MutexLock lock(mutex_);
  return unmap_locked(caller, address, address + length, removed);
}

Result<void> AddressMap::protect(MapCaller const& caller, uint64_t address, uint64_t length, int protection) {
  bool down = protection & PROT_GROWSDOWN, up = protection & PROT_GROWSUP;
  protection &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
  if (down && up) return fail(Errno::Inval);
  if (!page_aligned(address)) return fail(Errno::Inval);
  if (length == 0) return {};
  length = page_up(length);
  uint64_t end = address + length;
  if (end <= address) return fail(Errno::NoMem);
  constexpr int prot_sem = 8;
  if (protection & ~(PROT_READ | PROT_WRITE | PROT_EXEC | prot_sem)) return fail(Errno::Inval);
  protection &= PROT_READ | PROT_WRITE | PROT_EXEC;

  MutexLock lock(mutex_);
  refresh_stack_if_touched(address, end);
  auto it = tree_.find(address);
  if (it == tree_.end()) return fail(Errno::NoMem);
  uint64_t start = address;
  if (down) {
    if (it->second.start >= end) return fail(Errno::NoMem);
    if (!(it->second.flags & MAP_GROWSDOWN)) return fail(Errno::Inval);
    start = it->second.start;
  } else {
    if (it->second.start > start) return fail(Errno::NoMem);
    if (up) return fail(Errno::Inval);
  }
  // As far as the rules allow; what follows is the error, after the allowed part has been changed.
  Result<void> outcome;
  uint64_t done = start;
  bool changes = false;
  for (; done < end; ++it) {
    if (it == tree_.end() || it->second.start > done) {
      outcome = fail(Errno::NoMem);
      break;
    }
    Vma const& v = it->second;
    if (v.sealed) return fail(Errno::Perm);
    if ((protection & PROT_WRITE && !v.may_write) || (protection & PROT_EXEC && !v.may_exec) ||
        (protection & PROT_READ && !v.may_read)) {
      outcome = fail(Errno::Acces);
      break;
    }
    uint64_t bytes = std::min(end, v.end) - done;
    if (is_data_mapping(protection, v.flags) && !is_data_mapping(v.protection, v.flags) &&
        tree_.usage().data + bytes > caller.data_limit) {
      outcome = fail(Errno::NoMem);
      break;
    }
    changes |= v.protection != protection;
    done += bytes;
  }
  if (done == start || !changes) return outcome;
  if (tree_.size() + 2 > max_map_count) return fail(Errno::NoMem);
  uint64_t host_start = start;
  if (down && tree_.find(start)->second.kind == Vma::Kind::Stack && tree_.stack_reserve() != 0)
    host_start = std::min(start, tree_.stack_reserve());  // what it will grow into must agree
  TRY(caller.context.protect(host_start, done - host_start, protection));
  tree_.update(start, done, [&](Vma& v) { v.protection = protection; });
  return outcome;
}

void AddressMap::set_break_range(uint64_t start, uint64_t end) {
  MutexLock lock(mutex_);
  break_start_ = start;
  break_ = end;
}

std::pair<uint64_t, uint64_t> AddressMap::break_range() const {
  MutexLock lock(mutex_);
  return {break_start_, break_};
}

// brk(2): gives the break as it is afterwards; a refusal leaves it. data_bytes: of the program's data segment.
uint64_t AddressMap::set_break(MapCaller const& caller, uint64_t new_break, uint64_t data_bytes) {
  Removed removed;
  MutexLock lock(mutex_);
  if (new_break < break_start_ || new_break > range_.high) return break_;
  uint64_t heap_bytes = new_break - break_start_;
  if (caller.data_limit != UINT64_MAX && heap_bytes + data_bytes > caller.data_limit) return break_;
  uint64_t old_end = page_up(break_), new_end = page_up(new_break);
  if (new_end < old_end) {
    if (!unmap_locked(caller, new_end, old_end, removed)) return break_;
  } else if (new_end > old_end) {
    // A page of room to the next mapping, as Linux keeps.
    auto next = tree_.find(old_end);
    if (next != tree_.end() && new_end + page_size > tree_.gap_end(next->second)) return break_;
    uint64_t length = new_end - old_end;
    constexpr int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE;
    if (!in_range(old_end, length) || old_end < range_.low || tree_.size() > max_map_count) return break_;
    if (!may_expand(caller, length, 0, protection, flags)) return break_;
    if (lock_future_ && !may_lock(caller, length)) return break_;
    if (!caller.context.map_anonymous(old_end, length, protection)) return break_;
    Vma heap{.start = old_end, .end = new_end, .protection = protection, .flags = flags};
    heap.file_offset = old_end;
    heap.kind = Vma::Kind::Heap;
    heap.locked = lock_future_;
    heap.lock_on_fault = lock_future_ && lock_future_on_fault_;
    tree_.insert(std::move(heap));
  }
  return break_ = new_break;
}

Result<void> AddressMap::seal(uint64_t address, uint64_t length) {
  if (!page_aligned(address)) return fail(Errno::Inval);
  uint64_t end = address + page_up(length);
  if (length != 0 && page_up(length) == 0) return fail(Errno::Inval);
  if (end < address) return fail(Errno::Inval);
  if (end == address) return {};
  MutexLock lock(mutex_);
  refresh_stack_if_touched(address, end);
  if (!tree_.covers(address, end)) return fail(Errno::NoMem);
  tree_.update(address, end, [](Vma& v) { v.sealed = true; });
  restrict_discarding();
  return {};
}

Result<void> AddressMap::set_name(uint64_t address, uint64_t length, std::string const& name) {
  if (!page_aligned(address)) return fail(Errno::Inval);
  uint64_t end = address + page_up(length);
  if ((length != 0 && page_up(length) == 0) || end < address) return fail(Errno::Inval);
  if (end == address) return {};
  MutexLock lock(mutex_);
  for (auto it = tree_.find(address); it != tree_.end() && it->second.start < end; ++it)
    if (it->second.file) return fail(Errno::BadF);
  bool whole = tree_.covers(address, end);
  tree_.update(address, end, [&](Vma& v) { v.name = name; });
  if (!whole) return fail(Errno::NoMem);
  return {};
}

void AddressMap::restrict_discarding() {
  if (discarding_is_restricted_) return;
  discarding_is_restricted_ = true;
  if (space_ != nullptr) space_->restrict_discarding();
}

std::unique_ptr<AddressMap> AddressMap::fork(platform::AddressSpace* space) const {
  auto copy = std::make_unique<AddressMap>(range_, memory_file_, space);
  MutexLock lock(mutex_);
  MutexLock lock_copy(copy->mutex_);
  copy->tree_ = tree_.clone_for_fork();
  copy->break_start_ = break_start_;
  copy->break_ = break_;
  if (discarding_is_restricted_) copy->restrict_discarding();
  return copy;
}

Result<uint64_t> AddressMap::find_room(uint64_t length, uint64_t alignment) {
  MutexLock lock(mutex_);
  if (auto found = tree_.highest_gap(page_up(length), alignment, range_.low, range_.mmap_base)) return *found;
  return fail(Errno::NoMem);
}

std::vector<Vma> AddressMap::snapshot() const {
  std::vector<Vma> copy;
  MutexLock lock(mutex_);
  refresh_stack();
  copy.reserve(tree_.size());
  for (auto const& [start, vma] : tree_) copy.push_back(vma);
  return copy;
}

std::optional<Vma> AddressMap::find(uint64_t address) const {
  MutexLock lock(mutex_);
  refresh_stack_if_touched(address, address + 1);
  auto it = tree_.find(address);
  if (it == tree_.end() || it->second.start > address) return std::nullopt;
  return it->second;
}

MemoryUsage AddressMap::usage() const {
  MutexLock lock(mutex_);
  refresh_stack();
  return tree_.usage();
}

bool AddressMap::covers(uint64_t address, uint64_t length) const {
  MutexLock lock(mutex_);
  if (!in_range(address, length)) return false;
  refresh_stack_if_touched(address, address + length);
  return tree_.covers(address, address + length);
}

bool AddressMap::may_write(uint64_t address, uint64_t length) const {
  if (!mutex_.try_lock()) return true;
  bool const writable = in_range(address, length) && tree_.may_write(address, address + length);
  mutex_.unlock();
  return writable;
}

AddressRange AddressMap::range() const {
  MutexLock lock(mutex_);
  return range_;
}

void AddressMap::set_mmap_base(uint64_t base) {
  MutexLock lock(mutex_);
  range_.mmap_base = base;
}

void AddressMap::add_existing(Vma&& v) {
  MutexLock lock(mutex_);
  tree_.insert(std::move(v));
}

}  // namespace cofferdam::kernel

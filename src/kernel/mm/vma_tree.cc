#include "kernel/mm/vma_tree.h"

#include <sys/mman.h>

#include <algorithm>
#include <iterator>

namespace cofferdam::kernel {
namespace {

bool holds_references(Vma const& v) { return v.file || v.memory || v.backing; }

// The part of a mapping from `start` on.
void trim_front(Vma& v, uint64_t start) {
  uint64_t by = start - v.start;
  v.start = start;
  v.file_offset += by;
  v.memory_offset += by;
}

}  // namespace

VmaTree::Map::iterator VmaTree::find(uint64_t address) {
  auto it = map_.upper_bound(address);
  if (it != map_.begin() && std::prev(it)->second.end > address) --it;
  return it;
}

VmaTree::Map::const_iterator VmaTree::find(uint64_t address) const {
  auto it = map_.upper_bound(address);
  if (it != map_.begin() && std::prev(it)->second.end > address) --it;
  return it;
}

bool VmaTree::overlaps(uint64_t start, uint64_t end) const {
  auto it = find(start);
  return it != map_.end() && it->second.start < end;
}

bool VmaTree::covers(uint64_t start, uint64_t end) const {
  for (auto it = find(start); start < end; ++it) {
    if (it == map_.end() || it->second.start > start) return false;
    start = it->second.end;
  }
  return true;
}

bool VmaTree::may_write(uint64_t start, uint64_t end) const {
  for (auto it = find(start); start < end; ++it) {
    if (it == map_.end() || !(it->second.protection & PROT_WRITE)) return false;
    Vma const& v = it->second;
    bool const grows = v.kind == Vma::Kind::Stack && stack_reserve() != 0;
    if ((grows ? std::min(stack_reserve(), v.start) : v.start) > start) return false;
    start = v.end;
  }
  return true;
}

bool VmaTree::mergeable(Vma const& l, Vma const& r) {
  if (l.end != r.start || l.protection != r.protection || l.flags != r.flags || l.kind != r.kind) return false;
  if (l.kind == Vma::Kind::Vdso || l.kind == Vma::Kind::Vvar || l.kind == Vma::Kind::Stack) return false;
  uint64_t length = l.end - l.start;
  if (l.file != r.file || l.memory != r.memory || l.backing != r.backing) return false;
  if (l.file_offset + length != r.file_offset || (l.memory && l.memory_offset + length != r.memory_offset))
    return false;
  return l.may_write == r.may_write && l.may_read == r.may_read && l.may_exec == r.may_exec &&
         l.dont_fork == r.dont_fork && l.wipe_on_fork == r.wipe_on_fork && l.dont_dump == r.dont_dump &&
         l.locked == r.locked && l.lock_on_fault == r.lock_on_fault && l.sealed == r.sealed &&
         l.random_access == r.random_access && l.sequential_access == r.sequential_access &&
         l.huge_pages == r.huge_pages && l.name == r.name;
}

void VmaTree::account(Vma const& v, int sign) {
  uint64_t n = v.end - v.start;
  auto add = [&](uint64_t& sum) { sum = sign > 0 ? sum + n : sum - n; };
  if (v.kind == Vma::Kind::Vvar) return;  // VM_PFNMAP: counted nowhere that matters
  add(usage_.total);
  if (v.flags & MAP_GROWSDOWN)
    add(usage_.stack);
  else if (is_data_mapping(v.protection, v.flags))
    add(usage_.data);
  else if ((v.protection & (PROT_EXEC | PROT_WRITE)) == PROT_EXEC)
    add(usage_.library);  // all code; the reader takes the program's own text off
  if (v.flags & MAP_SHARED) add(usage_.shared);
  if (v.locked) add(usage_.locked);
  usage_.peak_total = std::max(usage_.peak_total, usage_.total);
}

void VmaTree::split(uint64_t address) {
  auto it = map_.lower_bound(address);
  if (it == map_.begin()) return;
  --it;
  if (it->second.end <= address) return;
  Vma right = it->second;
  trim_front(right, address);
  it->second.end = address;
  map_.emplace_hint(std::next(it), address, std::move(right));
}

void VmaTree::insert(Vma&& v) {
  account(v, +1);
  auto next = map_.lower_bound(v.start);
  if (next != map_.begin()) {
    auto previous = std::prev(next);
    if (mergeable(previous->second, v)) {
      previous->second.end = v.end;
      if (next != map_.end() && mergeable(previous->second, next->second)) {
        previous->second.end = next->second.end;
        map_.erase(next);
      }
      return;
    }
  }
  if (next != map_.end() && mergeable(v, next->second)) {  // the usual case of top-down placement: no new node
    auto hint = std::next(next);
    auto node = map_.extract(next);
    node.key() = v.start;
    node.mapped().start = v.start;
    node.mapped().file_offset = v.file_offset;
    node.mapped().memory_offset = v.memory_offset;
    map_.insert(hint, std::move(node));
    return;
  }
  uint64_t key = v.start;
  map_.emplace_hint(next, key, std::move(v));
}

void VmaTree::remove(uint64_t start, uint64_t end, Removed& removed) {
  auto it = find(start);
  if (it == map_.end() || it->second.start >= end) return;
  split(start);
  split(end);
  it = map_.lower_bound(start);
  while (it != map_.end() && it->first < end) {
    account(it->second, -1);
    if (holds_references(it->second)) removed.push_back(std::move(it->second));
    it = map_.erase(it);
  }
  uint64_t hole_end = it == map_.end() ? UINT64_MAX : gap_end(it->second);
  searched_down_to_ = std::max(searched_down_to_, std::min(hole_end, searched_from_));
}

void VmaTree::merge_range(uint64_t start, uint64_t end) {
  auto it = map_.lower_bound(start);
  if (it != map_.begin()) --it;
  while (it != map_.end() && it->first <= end) {
    auto next = std::next(it);
    if (next == map_.end()) return;
    if (mergeable(it->second, next->second)) {
      it->second.end = next->second.end;
      map_.erase(next);
    } else {
      it = next;
    }
  }
}

void VmaTree::grow_down(Map::iterator it, uint64_t new_start) {
  account(it->second, -1);
  auto node = map_.extract(it);
  Vma& v = node.mapped();
  uint64_t by = v.start - new_start;
  v.start = new_start;
  v.file_offset -= by;
  v.memory_offset -= by;
  node.key() = new_start;
  account(v, +1);
  map_.insert(std::move(node));
}

uint64_t VmaTree::gap_end(Vma const& v) const {
  if (!(v.flags & MAP_GROWSDOWN)) return v.start;
  uint64_t bottom = v.kind == Vma::Kind::Stack && stack_reserve_ != 0 ? std::min(stack_reserve_, v.start) : v.start;
  return bottom > stack_guard_gap ? bottom - stack_guard_gap : 0;
}

std::optional<uint64_t> VmaTree::highest_gap(uint64_t length, uint64_t alignment, uint64_t low, uint64_t high) {
  if (high <= low || length == 0 || length > high - low) return std::nullopt;
  uint64_t top = high;
  if (searched_from_ == high && length > largest_skipped_ && searched_down_to_ <= high) {
    top = searched_down_to_;
  } else {
    searched_from_ = high;
    largest_skipped_ = 0;
  }
  auto above = map_.lower_bound(top);  // the first mapping at or above the room that we look at
  for (;;) {
    // The room under `top`: from the end of the mapping below it to the mapping above it.
    uint64_t room_end = top;
    if (above != map_.end()) room_end = std::min(room_end, gap_end(above->second));
    uint64_t room_start = low;
    if (above != map_.begin()) room_start = std::max(low, std::prev(above)->second.end);
    if (room_end > room_start) {
      uint64_t room = room_end - room_start;
      if (room >= length) {
        uint64_t start = (room_end - length) & ~(alignment - 1);
        if (start >= room_start) {
          searched_down_to_ = room_end;
          return start;
        }
      }
      largest_skipped_ = std::max(largest_skipped_, room);
    }
    if (above == map_.begin() || room_start <= low) break;
    --above;
    top = above->second.start;
  }
  searched_down_to_ = low;
  return std::nullopt;
}

std::optional<uint64_t> VmaTree::lowest_gap(uint64_t length, uint64_t alignment, uint64_t low, uint64_t high) const {
  uint64_t at = low;
  for (auto it = find(low);; ++it) {
    uint64_t start = (at + alignment - 1) & ~(alignment - 1);
    uint64_t room_end = it == map_.end() ? high : std::min(high, gap_end(it->second));
    if (start >= at && start <= room_end && room_end - start >= length) return start;
    if (it == map_.end() || it->second.end >= high) return std::nullopt;
    at = std::max(at, it->second.end);
  }
}

uint64_t VmaTree::locked_within(uint64_t start, uint64_t end) const {
  uint64_t sum = 0;
  for (auto it = find(start); it != map_.end() && it->second.start < end; ++it)
    if (it->second.locked) sum += std::min(end, it->second.end) - std::max(start, it->second.start);
  return sum;
}

uint64_t VmaTree::mapped_within(uint64_t start, uint64_t end) const {
  uint64_t sum = 0;
  for (auto it = find(start); it != map_.end() && it->second.start < end; ++it)
    sum += std::min(end, it->second.end) - std::max(start, it->second.start);
  return sum;
}

VmaTree VmaTree::clone_for_fork() const {
  VmaTree copy;
  copy.stack_reserve_ = stack_reserve_;
  for (auto const& [start, vma] : map_) {
    if (vma.dont_fork) continue;
    auto it = copy.map_.emplace_hint(copy.map_.end(), start, vma);
    it->second.locked = it->second.lock_on_fault = false;
    copy.account(it->second, +1);
  }
  return copy;
}

}  // namespace cofferdam::kernel

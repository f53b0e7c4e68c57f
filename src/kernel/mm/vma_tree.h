// The mapped ranges of an address space, ordered and disjoint. Knows nothing of limits, errors or the host: that is
// AddressMap's part. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "kernel/mm/memory_manager.h"

namespace cofferdam::kernel {

inline constexpr uint64_t page_size = 4096;
inline constexpr uint64_t huge_page_size = uint64_t{2} << 20;
inline constexpr uint64_t stack_guard_gap = 256 * page_size;  // stack_guard_gap of Linux
inline constexpr size_t max_map_count = 65530;                // vm.max_map_count

constexpr uint64_t page_down(uint64_t a) { return a & ~(page_size - 1); }
// Wraps to 0 at the top, as PAGE_ALIGN does.
constexpr uint64_t page_up(uint64_t a) { return (a + page_size - 1) & ~(page_size - 1); }
constexpr bool page_aligned(uint64_t a) { return (a & (page_size - 1)) == 0; }

class VmaTree {
 public:
  using Map = std::map<uint64_t, Vma>;  // by start
  // What was taken out and holds references: destroyed by the caller when it no longer holds locks.
  using Removed = std::vector<Vma>;

  // The first mapping that ends above the address.
  Map::iterator find(uint64_t address);
  Map::const_iterator find(uint64_t address) const;
  Map::iterator begin() { return map_.begin(); }
  Map::iterator end() { return map_.end(); }
  Map::const_iterator begin() const { return map_.begin(); }
  Map::const_iterator end() const { return map_.end(); }
  size_t size() const { return map_.size(); }

  bool overlaps(uint64_t start, uint64_t end) const;
  // Is every page of the range mapped?
  bool covers(uint64_t start, uint64_t end) const;
  bool may_write(uint64_t start, uint64_t end) const;  // the stack with what it can grow by

  // Adds a range that must be free, merged with its neighbours where they agree.
  void insert(Vma&&);
  // Takes [start, end) out; mappings that reach over the edges are split.
  void remove(uint64_t start, uint64_t end, Removed& removed);
  // Applies `change` to every mapping within [start, end), split at the edges and merged again afterwards.
  template <class Change>
  void update(uint64_t start, uint64_t end, Change&& change) {
    split(start);
    split(end);
    for (auto it = map_.lower_bound(start); it != map_.end() && it->first < end; ++it) {
      account(it->second, -1);
      change(it->second);
      account(it->second, +1);
    }
    merge_range(start, end);
  }
  // Moves the start of a mapping that grows downwards.
  void grow_down(Map::iterator, uint64_t new_start);

  // The highest (lowest) free range of that length within [low, high), below a stack's guard gap; its start is a
  // multiple of alignment (a power of two).
  std::optional<uint64_t> highest_gap(uint64_t length, uint64_t alignment, uint64_t low, uint64_t high);
  std::optional<uint64_t> lowest_gap(uint64_t length, uint64_t alignment, uint64_t low, uint64_t high) const;
  // Where the room below a mapping ends: its start, less the guard gap of a stack.
  uint64_t gap_end(Vma const&) const;
  // Bytes of locked mappings within [start, end).
  uint64_t locked_within(uint64_t start, uint64_t end) const;
  uint64_t mapped_within(uint64_t start, uint64_t end) const;

  // The lowest address that the main stack has been given by the host already, at or below its mapping's start.
  void set_stack_reserve(uint64_t a) { stack_reserve_ = a; }
  uint64_t stack_reserve() const { return stack_reserve_; }

  MemoryUsage const& usage() const { return usage_; }
  // A copy for fork(2): without MADV_DONTFORK ranges and locks.
  VmaTree clone_for_fork() const;

 private:
  static bool mergeable(Vma const& left, Vma const& right);
  void account(Vma const&, int sign);
  void split(uint64_t address);
  void merge_range(uint64_t start, uint64_t end);

  Map map_;
  MemoryUsage usage_;
  uint64_t stack_reserve_ = 0;
  // All gaps between searched_down_to_ and searched_from_ are smaller than or equal to largest_skipped_: the
  // "free area cache" that spares top-down searches the walk over what is full.
  uint64_t searched_from_ = 0, searched_down_to_ = 0, largest_skipped_ = 0;
};

// Is it counted against RLIMIT_DATA: private and writable, and no stack?
inline bool is_data_mapping(int protection, int flags) {
  return (protection & PROT_WRITE) && !(flags & (MAP_SHARED | MAP_GROWSDOWN));
}

}  // namespace cofferdam::kernel

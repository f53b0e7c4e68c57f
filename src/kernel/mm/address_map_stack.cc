// Stacks: the main one, which the host has been given as far as it may grow, and MAP_GROWSDOWN mappings.
//
// A fault costs a hand-off to the sentry, so the main stack's whole reserve is mapped at execve; untouched pages cost
// nothing. The tree shows what Linux would: the part that has been touched, found out when somebody looks.
#include <sys/mman.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "kernel/mm/address_map.h"

namespace cofferdam::kernel {

Result<void> AddressMap::map_stack(MapCaller const& caller, uint64_t top, uint64_t size, uint64_t visible_start,
                                   int protection) {
  MutexLock lock(mutex_);
  if (!in_range(top - size, size) || visible_start < top - size || visible_start >= top) return fail(Errno::NoMem);
  if (tree_.overlaps(top - size, top)) return fail(Errno::NoMem);
  constexpr int flags = MAP_PRIVATE | MAP_GROWSDOWN;
  TRY(may_expand(caller, top - visible_start, 0, protection, flags));
  TRY(caller.context.map_anonymous(top - size, size, protection));
  Vma stack{.start = visible_start, .end = top, .protection = protection, .flags = flags};
  stack.file_offset = visible_start;
  stack.kind = Vma::Kind::Stack;
  tree_.insert(std::move(stack));
  tree_.set_stack_reserve(top - size);
  return {};
}

void AddressMap::refresh_stack() const {
  uint64_t reserve = tree_.stack_reserve();
  if (reserve == 0 || space_ == nullptr) return;
  auto it = tree_.find(reserve);
  if (it == tree_.end() || it->second.kind != Vma::Kind::Stack || it->second.start <= reserve) return;
  std::vector<unsigned char> pages((it->second.start - reserve) / page_size);
  if (!space_->mincore(reserve, it->second.start - reserve, pages)) return;
  auto first = std::find_if(pages.begin(), pages.end(), [](unsigned char p) { return p & 1; });
  if (first == pages.end()) return;
  tree_.grow_down(it, reserve + static_cast<uint64_t>(first - pages.begin()) * page_size);
}

void AddressMap::refresh_stack_if_touched(uint64_t start, uint64_t end) const {
  uint64_t reserve = tree_.stack_reserve();
  if (reserve == 0 || end <= reserve) return;
  auto it = tree_.find(reserve);
  if (it != tree_.end() && it->second.kind == Vma::Kind::Stack && start < it->second.start) refresh_stack();
}

// Something was put into the reserve: the stack can grow no further than a guard gap above it.
void AddressMap::cut_stack_reserve(platform::Context& context, uint64_t start, uint64_t end) {
  uint64_t reserve = tree_.stack_reserve();
  if (reserve == 0 || end <= reserve) return;
  auto it = tree_.find(end);
  if (it == tree_.end() || it->second.kind != Vma::Kind::Stack || start >= it->second.start) return;
  uint64_t new_reserve = std::min(it->second.start, end + stack_guard_gap);
  if (new_reserve > end && it->second.start > end) (void)context.unmap(end, new_reserve - end);
  tree_.set_stack_reserve(new_reserve);
}

// expand_downwards of Linux.
Result<bool> AddressMap::grow_stack(MapCaller const& caller, uint64_t address) {
  address = page_down(address);
  MutexLock lock(mutex_);
  auto it = tree_.find(address);
  if (it == tree_.end() || it->second.start <= address || !(it->second.flags & MAP_GROWSDOWN)) return false;
  Vma const& v = it->second;
  uint64_t reserve = tree_.stack_reserve();
  bool main = v.kind == Vma::Kind::Stack && reserve != 0;
  uint64_t mapped_from = main ? std::min(reserve, v.start) : v.start;
  if (address >= mapped_from || address < range_.low) return false;  // it is there: the fault is one of permission
  uint64_t bottom = 0;
  if (it != tree_.begin()) {
    Vma const& below = std::prev(it)->second;
    bottom = below.end;
    if (!(below.flags & MAP_GROWSDOWN) && below.protection != PROT_NONE) bottom += stack_guard_gap;
  }
  if (address < bottom) return false;
  if (v.end - address > caller.stack_limit) return false;
  uint64_t more = v.start - address;
  if (!may_expand(caller, more, 0, v.protection, v.flags)) return false;
  if (v.locked && !may_lock(caller, more)) return false;
  uint64_t new_reserve = address;
  if (main) {  // further than asked, to spare the next faults
    constexpr uint64_t step = uint64_t{1} << 20;
    uint64_t limit = caller.stack_limit >= v.end ? 0 : page_up(v.end - caller.stack_limit);
    new_reserve =
        std::min(address, std::max({address > step ? address - step : 0, limit, bottom, page_up(range_.low)}));
  }
  TRY(caller.context.map_anonymous(new_reserve, mapped_from - new_reserve, v.protection));
  if (main) tree_.set_stack_reserve(new_reserve);
  tree_.grow_down(it, address);
  return true;
}

}  // namespace cofferdam::kernel

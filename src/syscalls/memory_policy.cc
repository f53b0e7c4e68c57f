// NUMA policy (numa(7)): one node, node 0, holds all memory.
#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/mm/memory_manager.h"
#include "kernel/task/task_internal.h"
#include "syscalls/handlers_memory.h"

namespace cofferdam::syscalls {
namespace {

// include/uapi/linux/mempolicy.h
constexpr int mpol_default = 0, mpol_preferred = 1, mpol_local = 4, mpol_max = 7;
constexpr int mode_flags = 0x8000 | 0x4000 | 0x2000;  // STATIC_NODES, RELATIVE_NODES, NUMA_BALANCING
constexpr uint64_t get_node = 1, get_address = 2, get_allowed = 4;
constexpr uint32_t mbind_flags = 1 | 2 | 4;  // STRICT, MOVE, MOVE_ALL

// A node mask of max_node bits, of which only node 0 may be set: EINVAL for others.
Result<uint64_t> read_nodes(Task& task, UserPtr<uint64_t> nodes, uint64_t max_node) {
  if (max_node == 0) return 0;
  --max_node;
  if (!nodes || max_node == 0) return 0;
  if (max_node > 4096 * 8) return fail(Errno::Inval);
  size_t words = (max_node + 63) / 64;
  auto mask = TRY(task.read_array(nodes, words));
  if (max_node % 64) mask.back() &= (uint64_t{1} << (max_node % 64)) - 1;
  for (size_t i = 0; i < words; ++i)
    if (mask[i] & ~(i == 0 ? uint64_t{1} : 0)) return fail(Errno::Inval);
  return mask[0];
}

// The rules of mpol_new() of Linux.
Result<void> check_policy(int mode, uint64_t nodes) {
  int base = mode & ~mode_flags;
  if (base < 0 || base >= mpol_max) return fail(Errno::Inval);
  if ((mode & 0x8000) && (mode & 0x4000)) return fail(Errno::Inval);
  if (base == mpol_default || base == mpol_local) {
    if (nodes != 0 || (base == mpol_local && (mode & mode_flags))) return fail(Errno::Inval);
    return {};
  }
  if (base == mpol_preferred && nodes == 0) return {};
  if (nodes == 0) return fail(Errno::Inval);
  return {};
}

}  // namespace

Result<void> sys_get_mempolicy(Task& task, UserPtr<int> mode, UserPtr<uint64_t> nodes, uint64_t max_node,
                               uint64_t address, uint64_t flags) {
  if (nodes && max_node < 1) return fail(Errno::Inval);
  if (flags & ~(get_node | get_address | get_allowed)) return fail(Errno::Inval);
  auto const& own = task.implementation();
  int value = own.memory_policy;
  uint64_t mask = own.memory_nodes;
  if (flags & get_allowed) {
    if (flags & (get_node | get_address)) return fail(Errno::Inval);
    value = 0;
    mask = 1;
  } else if (flags & get_address) {
    if (!task.mm()->find(address)) return fail(Errno::Fault);
    if (flags & get_node) value = 0;
  } else {
    if (address != 0) return fail(Errno::Inval);
    if (flags & get_node) return fail(Errno::Inval);
  }
  if (mode) TRY(task.write(mode, value));
  if (nodes) {
    std::vector<uint64_t> words(std::min<uint64_t>((max_node + 63) / 64, 16));
    words[0] = mask;
    TRY(task.write_array<uint64_t>(nodes, words));
  }
  return {};
}

Result<void> sys_set_mempolicy(Task& task, int mode, UserPtr<uint64_t> nodes, uint64_t max_node) {
  uint64_t mask = TRY(read_nodes(task, nodes, max_node));
  TRY(check_policy(mode, mask));
  task.implementation().memory_policy = mode;
  task.implementation().memory_nodes = mask;
  return {};
}

Result<void> sys_mbind(Task& task, uint64_t address, uint64_t length, uint64_t mode, UserPtr<uint64_t> nodes,
                       uint64_t max_node, uint32_t flags) {
  uint64_t mask = TRY(read_nodes(task, nodes, max_node));
  if (flags & ~mbind_flags) return fail(Errno::Inval);
  if ((flags & 4) && !task.capable(CAP_SYS_NICE)) return fail(Errno::Perm);
  if (address & 4095) return fail(Errno::Inval);
  uint64_t bytes = (length + 4095) & ~uint64_t{4095};
  if (address + bytes < address) return fail(Errno::Inval);
  if (mode > static_cast<uint64_t>(mpol_max | mode_flags)) return fail(Errno::Inval);
  TRY(check_policy(static_cast<int>(mode), mask));
  // With one node every policy puts every page where it is.
  if (bytes != 0 && !task.mm()->range_is_mapped(address, bytes)) return fail(Errno::Fault);
  return {};
}

Result<void> sys_set_mempolicy_home_node(Task& task, uint64_t address, uint64_t length, uint64_t node, uint64_t flags) {
  if ((address & 4095) || flags != 0 || node != 0) return fail(Errno::Inval);
  uint64_t bytes = (length + 4095) & ~uint64_t{4095};
  if (address + bytes < address) return fail(Errno::Inval);
  if (bytes != 0 && !task.mm()->range_is_mapped(address, bytes)) return fail(Errno::Fault);
  return fail(Errno::NoEnt);  // no mapping has a bind policy of its own
}

Result<uint64_t> sys_migrate_pages(Task& task, int32_t pid, uint64_t max_node, UserPtr<uint64_t> old_nodes,
                                   UserPtr<uint64_t> new_nodes) {
  (void)TRY(read_nodes(task, old_nodes, max_node));
  (void)TRY(read_nodes(task, new_nodes, max_node));
  if (pid != 0) {
    kernel::ProcessLocked lock(task.kernel());
    if (!task.pids().task(pid, lock)) return fail(Errno::Srch);
  }
  return 0;  // every page is on the one node
}

}  // namespace cofferdam::syscalls

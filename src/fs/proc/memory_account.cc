#include "fs/proc/memory_account.h"

#include <algorithm>

#include "host/system_facts.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::fs::proc {

using namespace kernel;

MemoryAccount memory_account(Task& reader) {
  Kernel& kernel = reader.kernel();
  ControlGroup const& control_group = reader.thread_group().control_group();
  std::vector<Ref<Task>> tasks;
  {
    ProcessLocked lock(kernel);
    for (Ref<ThreadGroup> const& group : kernel.groups_of(control_group, lock))
      if (Ref<Task> leader = group->leader(lock)) tasks.push_back(std::move(leader));
  }
  MemoryAccount account;
  for (Ref<Task> const& task : tasks)
    if (Ref<MemoryManager> mm = task->mm()) account.anonymous += mm->address_space().resident_bytes();
  account.shared = kernel.memory_file().allocated_bytes();
  account.total = cofferdam::host::memory_facts().total_bytes;
  if (uint64_t const limit = control_group.memory_limit(); limit != 0 && (limit < account.total || account.total == 0))
    account.total = limit;
  uint64_t const used = std::min(account.anonymous + account.shared, account.total);
  account.free = account.total - used;
  return account;
}

CpuAccount cpu_account(Kernel& kernel) {
  CpuAccount account;
  std::vector<Ref<MemoryManager>> spaces;
  {
    ProcessLocked lock(kernel);
    for (Ref<ThreadGroup> const& group : kernel.all_groups(lock)) {
      ThreadGroup::Implementation& g = group->implementation();
      g.settle_usage();
      account.user_ns += g.waited_children.user_ns;
      account.system_ns += g.waited_children.system_ns;
      Ref<MemoryManager> mm = g.leader ? g.leader->mm() : Ref<MemoryManager>();
      if (mm) {
        spaces.push_back(std::move(mm));
      } else {
        account.user_ns += g.own.user_ns;
        account.system_ns += g.own.system_ns;
      }
      account.tasks += g.tasks.size();
      for (Ref<Task> const& task : g.tasks)
        account.running += task->implementation().state.load() == TaskState::Running;
    }
  }
  for (Ref<MemoryManager> const& mm : spaces) {
    platform::AddressSpace::Usage const usage = mm->address_space().usage();
    account.user_ns += usage.user.count();
    account.system_ns += usage.system.count();
  }
  account.running = std::max<size_t>(account.running, 1);  // the reader runs
  return account;
}

}  // namespace cofferdam::fs::proc

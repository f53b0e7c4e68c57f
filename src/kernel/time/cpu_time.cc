#include "kernel/time/cpu_time.h"

#include "kernel/kernel.h"
#include "kernel/task/task_access.h"

namespace cofferdam::kernel {

GroupUsage usage_of(ThreadGroup& group) {
  GroupUsage sum;
  Ref<MemoryManager> mm;
  {
    ProcessLocked lock(group.kernel());
    auto& g = group.implementation();
    g.settle_usage();
    sum = g.own;
    if (!g.tasks.empty()) mm = g.tasks.front()->mm();
  }
  if (mm) sum.add(mm->address_space().usage());  // its ended threads are in it
  return sum;
}

GroupUsage usage_of(Task& task) {
  GroupUsage usage;
  usage.add(TaskAccess::usage(task));
  return usage;
}

}  // namespace cofferdam::kernel

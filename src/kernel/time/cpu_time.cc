#include "kernel/time/cpu_time.h"

#include "kernel/kernel.h"
#include "kernel/task/task_access.h"

namespace cofferdam::kernel {

GroupUsage usage_of(ThreadGroup& group) {
  GroupUsage sum;
  std::vector<Ref<Task>> tasks;
  {
    ProcessLocked lock(group.kernel());
    sum = group.implementation().own;
    tasks = group.tasks(lock);
  }
  for (auto const& task : tasks) sum.add(TaskAccess::usage(*task));
  return sum;
}

GroupUsage usage_of(Task& task) {
  GroupUsage usage;
  usage.add(TaskAccess::usage(task));
  return usage;
}

}  // namespace cofferdam::kernel

// Making tasks (clone(2)) and programs (execve(2)).
#pragma once

#include <string>
#include <vector>

#include "kernel/task/task.h"

namespace cofferdam::kernel {

struct CloneArguments {
  uint64_t flags = 0;  // CLONE_*, without the exit signal
  int exit_signal = 0;
  uint64_t stack_pointer = 0;  // 0: as the parent
  UserPtr<int32_t> parent_tid, child_tid, pidfd;
  uint64_t tls = 0;
  std::vector<int32_t> set_tid;
};

// The child's tid. EINVAL for flags that exclude each other; EPERM; EAGAIN and ENOSPC at limits.
Result<int32_t> clone_task(Task&, CloneArguments const&);

// Replaces the calling task's program. On success the registers have been replaced.
Result<void> execute(Task&, Ref<File> const& executable, std::string path, std::vector<std::string> arguments,
                     std::vector<std::string> environment);

}  // namespace cofferdam::kernel

// What stat, status and their kin say of a process, gathered under one hold of the process lock.
#pragma once

#include "kernel/task/process_internal.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::fs::proc {

struct ProcessFacts {
  char state = 'R';
  int32_t tgid = 0, tid = 0, parent = 0, group = 0, session = 0, terminal_group = -1;
  uint64_t terminal_device = 0;
  size_t threads = 0;
  bool zombie = false, core_dumping = false;
  int32_t exit_code = 0;
  int exit_signal = 0;
  kernel::Nanoseconds start_time_ns = 0;
  kernel::GroupUsage usage, children_usage;
  kernel::SignalSet pending, shared_pending, blocked, ignored, caught;
  size_t queued_signals = 0;
  int nice = 0, policy = 0, priority = 0;
  std::vector<uint64_t> affinity;
};

// as_thread: one thread alone, else the process with all its threads.
// Ids are those of the namespace.
ProcessFacts gather_facts(kernel::Task& target, bool as_thread, kernel::PidNamespace const&);

std::string_view state_name(char);

// The CPUs that the target may run on.
std::vector<bool> allowed_cpus(kernel::Task& target, ProcessFacts const&);

inline constexpr uint64_t ticks_per_second = 100;
inline uint64_t to_ticks(kernel::Nanoseconds ns) {
  return ns <= 0 ? 0 : static_cast<uint64_t>(ns) / (kernel::ns_per_second / ticks_per_second);
}
// In ticks since the sandbox booted, as field 22 of stat.
uint64_t start_ticks(kernel::Task&, ProcessFacts const&);

}  // namespace cofferdam::fs::proc

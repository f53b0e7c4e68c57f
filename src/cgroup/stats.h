// What a container has used, as its control groups tell.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cofferdam::cgroup {

struct MemoryUse {
  uint64_t limit = 0, usage = 0, peak = 0, failures = 0;
};

struct Stats {
  uint64_t cpu_ns = 0, user_ns = 0, kernel_ns = 0;
  uint64_t periods = 0, throttled_periods = 0, throttled_ns = 0;
  MemoryUse memory, swap;  // swap: with memory, as version 1 counts it
  uint64_t cache = 0, oom_kills = 0;
  uint64_t pids = 0, pids_limit = 0;                         // limit 0: none
  std::vector<std::pair<std::string, uint64_t>> memory_raw;  // memory.stat
};

// Of the leaf directories among these; what a file does not tell is 0.
Stats read_stats(std::vector<std::string> const& directories);

}  // namespace cofferdam::cgroup

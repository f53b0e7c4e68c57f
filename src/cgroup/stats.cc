#include "cgroup/stats.h"

#include <unistd.h>

#include <algorithm>

#include "cgroup/files.h"

namespace cofferdam::cgroup {

namespace {

using Table = std::vector<std::pair<std::string, uint64_t>>;

uint64_t value_of(Table const& table, std::string_view name) {
  auto it = std::ranges::find(table, name, [](auto& entry) -> std::string_view { return entry.first; });
  return it == table.end() ? 0 : it->second;
}

bool has(std::string const& directory, char const* file) {
  return ::access((directory + "/" + file).c_str(), F_OK) == 0;
}

MemoryUse version_1_use(std::string const& stem) {
  return {.limit = read_number(stem + ".limit_in_bytes"),
          .usage = read_number(stem + ".usage_in_bytes"),
          .peak = read_number(stem + ".max_usage_in_bytes"),
          .failures = read_number(stem + ".failcnt")};
}

void read_version_1(std::string const& d, Stats& s) {
  if (has(d, "cpuacct.usage")) {
    s.cpu_ns = read_number(d + "/cpuacct.usage");
    s.user_ns = read_number(d + "/cpuacct.usage_user");
    s.kernel_ns = read_number(d + "/cpuacct.usage_sys");
  }
  if (has(d, "cpu.stat")) {
    Table const t = read_table(d + "/cpu.stat");
    s.periods = value_of(t, "nr_periods");
    s.throttled_periods = value_of(t, "nr_throttled");
    s.throttled_ns = value_of(t, "throttled_time");
  }
  if (has(d, "memory.usage_in_bytes")) {
    s.memory = version_1_use(d + "/memory");
    s.swap = version_1_use(d + "/memory.memsw");
    s.memory_raw = read_table(d + "/memory.stat");
    s.cache = value_of(s.memory_raw, "cache");
    s.oom_kills = value_of(read_table(d + "/memory.oom_control"), "oom_kill");
  }
}

void read_version_2(std::string const& d, Stats& s) {
  constexpr uint64_t ns_per_us = 1000;
  Table const cpu = read_table(d + "/cpu.stat");
  s.cpu_ns = value_of(cpu, "usage_usec") * ns_per_us;
  s.user_ns = value_of(cpu, "user_usec") * ns_per_us;
  s.kernel_ns = value_of(cpu, "system_usec") * ns_per_us;
  s.periods = value_of(cpu, "nr_periods");
  s.throttled_periods = value_of(cpu, "nr_throttled");
  s.throttled_ns = value_of(cpu, "throttled_usec") * ns_per_us;
  Table const events = read_table(d + "/memory.events");
  s.memory = {.limit = read_number(d + "/memory.max"),
              .usage = read_number(d + "/memory.current"),
              .peak = read_number(d + "/memory.peak"),
              .failures = value_of(events, "max")};
  s.swap = {.limit = read_number(d + "/memory.swap.max") + s.memory.limit,
            .usage = read_number(d + "/memory.swap.current") + s.memory.usage};
  s.oom_kills = value_of(events, "oom_kill");
  s.memory_raw = read_table(d + "/memory.stat");
  s.cache = value_of(s.memory_raw, "file");
}

}  // namespace

Stats read_stats(std::vector<std::string> const& directories) {
  Stats s;
  for (auto& d : leaves_of(directories)) {
    if (has(d, "cgroup.subtree_control"))
      read_version_2(d, s);
    else
      read_version_1(d, s);
    if (has(d, "pids.current")) {
      s.pids = read_number(d + "/pids.current");
      s.pids_limit = read_number(d + "/pids.max");
    }
  }
  return s;
}

}  // namespace cofferdam::cgroup

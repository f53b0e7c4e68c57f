#include <stdlib.h>
#include <time.h>

#include <fmt/format.h>

#include "cgroup/stats.h"
#include "cli/command.h"
#include "cli/options.h"
#include "container/state.h"

namespace cofferdam::cli {

namespace {

using oci::JsonObject;

JsonObject usage(cgroup::MemoryUse const& m) {
  return {{"limit", m.limit}, {"usage", m.usage}, {"max", m.peak}, {"failcnt", m.failures}};
}

// In the shape of runc's.
JsonObject stats_json(cgroup::Stats const& s) {
  JsonObject raw;
  for (auto& [name, value] : s.memory_raw) raw.emplace_back(name, value);
  return {
      {"cpu", JsonObject{{"usage", JsonObject{{"total", s.cpu_ns}, {"kernel", s.kernel_ns}, {"user", s.user_ns}}},
                         {"throttling", JsonObject{{"periods", s.periods},
                                                   {"throttledPeriods", s.throttled_periods},
                                                   {"throttledTime", s.throttled_ns}}}}},
      {"memory",
       JsonObject{{"cache", s.cache}, {"usage", usage(s.memory)}, {"swap", usage(s.swap)}, {"raw", std::move(raw)}}},
      {"pids", JsonObject{{"current", s.pids}, {"limit", s.pids_limit}}},
      {"blkio", JsonObject{}},
      {"hugetlb", JsonObject{}},
      {"intel_rdt", JsonObject{}},
      {"network_interfaces", nullptr}};
}

Outcome<> print_event(std::string_view type, std::string const& id, oci::Json data) {
  JsonObject event{{"type", type}, {"id", id}};
  if (!data.is_null()) event.emplace_back("data", std::move(data));
  return print(oci::print_json(event) + "\n");
}

// "5s", "500ms", "1m", "3".
Outcome<long> milliseconds(std::string const& text) {
  char* end = nullptr;
  double n = ::strtod(text.c_str(), &end);
  std::string_view unit = end;
  double scale = unit == "ms" ? 1 : unit == "m" ? 60'000 : unit.empty() || unit == "s" ? 1000 : 0;
  if (end == text.c_str() || scale == 0 || n * scale < 1 || n * scale > 86'400'000)
    return refuse(fmt::format("--interval: '{}' is no time; give something like 5s", text));
  return static_cast<long>(n * scale);
}

}  // namespace

Outcome<int> run_events(Globals const& g, Words const& words) {
  bool once = false;
  std::string interval = "5s";
  Options options("cofferdam events", "ID",
                  "Prints what a container uses, and that it ran out of memory, as JSON lines until it ends.");
  options.flag("--stats", once, "print what it uses now, and end");
  options.text("--interval", interval, "how often to look");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  std::string id = ATTEMPT(single_id(rest, "events"));
  long const pause_ms = ATTEMPT(milliseconds(interval));
  auto record = ATTEMPT(container::StateDirectory::open(g.state_root, id));
  auto state = ATTEMPT(record.load());
  record.unlock();
  if (!container::alive(state)) return refuse(fmt::format("container '{}' is not running", id));
  if (state.cgroups.empty())
    return refuse(fmt::format("container '{}' has no cgroup to read; give linux.cgroupsPath when it is created", id));
  uint64_t kills = 0;
  for (bool first = true; container::alive(state); first = false) {
    auto const stats = cgroup::read_stats(state.cgroups);
    if (!first && stats.oom_kills > kills) ATTEMPT(print_event("oom", id, nullptr));
    kills = stats.oom_kills;
    ATTEMPT(print_event("stats", id, stats_json(stats)));
    if (once) break;
    timespec const pause{.tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
  return 0;
}

}  // namespace cofferdam::cli

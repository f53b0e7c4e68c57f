#include <fmt/core.h>

#include <algorithm>

#include "fs/proc/process/process_facts.h"
#include "fs/proc/process/process_text.h"
#include "kernel/kernel.h"
#include "kernel/vfs/pseudo_fs.h"

namespace cofferdam::fs::proc {

using namespace kernel;

Result<std::string> comm_text(View const&, Task& target) { return target.name() + "\n"; }

Result<void> comm_write(Task& writer, Task& target, std::string_view text) {
  if (&writer.thread_group() != &target.thread_group()) return fail(Errno::Inval);
  if (size_t const nul = text.find('\0'); nul != text.npos) text = text.substr(0, nul);
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  target.set_name(text.substr(0, 15));
  return {};
}

Result<std::string> limits_text(View const&, Task& target) {
  struct Row {
    char const *name, *unit;
    int resource;
  };
  static constexpr Row rows[] = {
      {"Max cpu time", "seconds", RLIMIT_CPU},         {"Max file size", "bytes", RLIMIT_FSIZE},
      {"Max data size", "bytes", RLIMIT_DATA},         {"Max stack size", "bytes", RLIMIT_STACK},
      {"Max core file size", "bytes", RLIMIT_CORE},    {"Max resident set", "bytes", RLIMIT_RSS},
      {"Max processes", "processes", RLIMIT_NPROC},    {"Max open files", "files", RLIMIT_NOFILE},
      {"Max locked memory", "bytes", RLIMIT_MEMLOCK},  {"Max address space", "bytes", RLIMIT_AS},
      {"Max file locks", "locks", RLIMIT_LOCKS},       {"Max pending signals", "signals", RLIMIT_SIGPENDING},
      {"Max msgqueue size", "bytes", RLIMIT_MSGQUEUE}, {"Max nice priority", "", RLIMIT_NICE},
      {"Max realtime priority", "", RLIMIT_RTPRIO},    {"Max realtime timeout", "us", RLIMIT_RTTIME}};
  auto value = [](rlim_t v) { return v == RLIM_INFINITY ? std::string("unlimited") : std::to_string(v); };
  std::string text = "Limit                     Soft Limit           Hard Limit           Units     \n";
  for (Row const& row : rows) {
    rlimit const l = target.thread_group().limits.get(row.resource);
    text += fmt::format("{:<25} {:<20} {:<20} {}\n", row.name, value(l.rlim_cur), value(l.rlim_max),
                        *row.unit ? fmt::format("{:<10}", row.unit) : std::string());
  }
  return text;
}

// ---- the choice of victims when memory runs out

namespace {

constexpr int oom_adjust_max = 1000;

int oom_adjustment(Task& target) {
  ProcessLocked lock(target.kernel());
  return target.thread_group().implementation().oom_score_adj;
}

Result<void> set_oom_adjustment(Task& writer, Task& target, int value) {
  bool const may_lower = writer.capable(CAP_SYS_RESOURCE);
  ProcessLocked lock(target.kernel());
  int& now = target.thread_group().implementation().oom_score_adj;
  if (value < now && !may_lower) return fail(Errno::Acces);
  now = value;
  return {};
}

}  // namespace

// Badness as Linux gives it: the share of memory in thousandths, moved by the adjustment and scaled to two thirds.
Result<std::string> oom_score_text(View const&, Task& target) {
  Ref<MemoryManager> mm = target.mm();
  uint64_t const limit = target.thread_group().control_group().memory_limit();
  int64_t score = 0;
  if (mm && limit != 0) score = static_cast<int64_t>(mm->address_space().resident_bytes() * 1000 / limit);
  score = (1000 + score + oom_adjustment(target)) * 2 / 3;
  return fmt::format("{}\n", mm ? std::clamp<int64_t>(score, 0, 2000) : 0);
}

Result<std::string> oom_score_adj_text(View const&, Task& target) {
  return fmt::format("{}\n", oom_adjustment(target));
}

Result<void> oom_score_adj_write(Task& writer, Task& target, std::string_view text) {
  int64_t const value = TRY(parse_number(text));
  if (value < -oom_adjust_max || value > oom_adjust_max) return fail(Errno::Inval);
  return set_oom_adjustment(writer, target, static_cast<int>(value));
}

Result<std::string> oom_adj_text(View const&, Task& target) {
  int const value = oom_adjustment(target);
  return fmt::format("{}\n", value == oom_adjust_max ? 15 : value * 17 / oom_adjust_max);
}

Result<void> oom_adj_write(Task& writer, Task& target, std::string_view text) {
  int64_t const value = TRY(parse_number(text));
  if (value < -17 || value > 15) return fail(Errno::Inval);
  return set_oom_adjustment(writer, target,
                            value == 15 ? oom_adjust_max : static_cast<int>(value * oom_adjust_max / 17));
}

// ---- what is the same for all

Result<std::string> cgroup_text(View const&, Task&) { return std::string("0::/\n"); }
Result<std::string> wchan_text(View const&, Task&) { return std::string("0"); }
Result<std::string> personality_text(View const&, Task&) { return std::string("00000000\n"); }
Result<std::string> coredump_filter_text(View const&, Task&) { return std::string("00000033\n"); }
Result<std::string> loginuid_text(View const&, Task&) { return std::string("4294967295"); }
Result<std::string> sessionid_text(View const&, Task&) { return std::string("4294967295"); }
namespace {
std::string identity_map() { return fmt::format("{:>10} {:>10} {:>10}\n", 0, 0, 4294967295u); }
}  // namespace

Result<std::string> uid_map_text(View const&, Task& target) {
  auto const& map = target.kernel().options().uid_map;
  return map.empty() ? identity_map() : map;
}
Result<std::string> gid_map_text(View const&, Task& target) {
  auto const& map = target.kernel().options().gid_map;
  return map.empty() ? identity_map() : map;
}
Result<std::string> project_id_map_text(View const&, Task&) { return identity_map(); }
Result<std::string> setgroups_text(View const&, Task&) { return std::string("allow\n"); }
Result<std::string> syscall_text(View const&, Task&) { return std::string("running\n"); }
Result<std::string> empty_text(View const&, Task&) { return std::string(); }

Result<std::string> timerslack_text(View const&, Task& target) {
  return fmt::format("{}\n", target.implementation().timer_slack_ns);
}

Result<std::string> children_text(View const& view, Task& target) {
  std::string text;
  ProcessLocked lock(target.kernel());
  for (Ref<ThreadGroup> const& child : target.thread_group().children(lock))
    text += fmt::format("{} ", view.pids.number_of(*child));
  return text;
}

}  // namespace cofferdam::fs::proc

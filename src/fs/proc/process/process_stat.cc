#include <algorithm>
#include <span>

#include <fmt/core.h>

#include "fs/proc/process/process_facts.h"
#include "fs/proc/process/process_text.h"
#include "fs/proc/process/target.h"
#include "kernel/kernel.h"
#include "kernel/mm/maps_text.h"
#include "kernel/task/descriptor_service.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

constexpr uint64_t page = 4096;

// What a task without memory of its own (a zombie) shows is zero throughout.
struct MemoryFields {
  uint64_t virtual_bytes = 0, resident_pages = 0;
  MemoryManager::Layout layout;
  bool may_see_addresses = false;
};

MemoryFields memory_fields(Task& reader, Task& target) {
  MemoryFields fields;
  Ref<MemoryManager> mm = target.mm();
  if (!mm) return fields;
  fields.virtual_bytes = mm->usage().total;
  fields.resident_pages = mm->address_space().resident_bytes() / page;
  fields.layout = mm->layout();
  fields.may_see_addresses = check_may_inspect(reader, target).has_value();
  return fields;
}

uint64_t low_31_bits(SignalSet s) { return s.bits() & 0x7fffffff; }

// Fields 3 to 13, with names from man 5 proc.
std::string identity_fields(ProcessFacts const& f) {
  auto const& t = f.terminal_device;
  uint64_t const major = (t >> 8) & 0xfff, minor = (t & 0xff) | ((t >> 12) & 0xfff00);
  int64_t const tty_nr = static_cast<int64_t>((minor & 0xff) | (major << 8) | ((minor & ~uint64_t{0xff}) << 12));
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {}", f.state, f.parent, f.group, f.session, tty_nr,
                     f.terminal_group, 0x400000, f.usage.minor_faults, f.children_usage.minor_faults,
                     f.usage.major_faults, f.children_usage.major_faults);
}

// Fields 14 to 22.
std::string time_fields(Task& target, ProcessFacts const& f) {
  int const priority = f.policy == SCHED_FIFO || f.policy == SCHED_RR ? -1 - f.priority : 20 + f.nice;
  return fmt::format("{} {} {} {} {} {} {} 0 {}", to_ticks(f.usage.user_ns), to_ticks(f.usage.system_ns),
                     to_ticks(f.children_usage.user_ns), to_ticks(f.children_usage.system_ns), priority, f.nice,
                     f.threads, start_ticks(target, f));
}

std::string stat_line(View const& view, Task& target, bool as_thread) {
  ProcessFacts const f = gather_facts(target, as_thread, view.pids);
  MemoryFields const m = memory_fields(view.reader, target);
  MemoryManager::Layout const shown = m.may_see_addresses ? m.layout : MemoryManager::Layout{};
  uint64_t const code_start = m.may_see_addresses ? shown.code_start : m.virtual_bytes ? 1 : 0;
  uint64_t const code_end = m.may_see_addresses ? shown.code_end : m.virtual_bytes ? 1 : 0;
  std::string line = fmt::format("{} ({}) {} {} {} {} {}", as_thread ? f.tid : f.tgid, target.name(),
                                 identity_fields(f), time_fields(target, f), m.virtual_bytes, m.resident_pages,
                                 target.thread_group().limits.current(RLIMIT_RSS));
  // 26 startcode … 35 wchan
  line += fmt::format(" {} {} {} 0 0 {} {} {} {} {}", code_start, code_end, shown.stack_start, low_31_bits(f.pending),
                      low_31_bits(f.blocked), low_31_bits(f.ignored), low_31_bits(f.caught), f.state == 'R' ? 0 : 1);
  // 36 nswap … 44 cguest_time
  line += fmt::format(" 0 0 {} 0 {} {} 0 0 0", f.exit_signal, f.priority, f.policy);
  // 45 start_data … 52 exit_code
  line += fmt::format(" {} {} {} {} {} {} {} {}\n", shown.data_start, shown.data_end, shown.break_start,
                      shown.arguments_start, shown.arguments_end, shown.environment_start, shown.environment_end,
                      m.may_see_addresses || f.zombie ? f.exit_code : 0);
  return line;
}

}  // namespace

Result<std::string> stat_text(View const& view, Task& target) { return stat_line(view, target, false); }
Result<std::string> thread_stat_text(View const& view, Task& target) { return stat_line(view, target, true); }

Result<std::string> statm_of(View const&, Task& target) {
  Ref<MemoryManager> mm = target.mm();
  return mm ? statm_text(*mm) : std::string("0 0 0 0 0 0 0\n");
}

Result<std::string> schedstat_text(View const& view, Task& target) {
  ProcessFacts const f = gather_facts(target, false, view.pids);
  return fmt::format("{} 0 {}\n", f.usage.user_ns + f.usage.system_ns,
                     f.usage.voluntary_switches + f.usage.involuntary_switches);
}

Result<std::string> sched_text(View const& view, Task& target) {
  ProcessFacts const f = gather_facts(target, false, view.pids);
  std::string text = fmt::format("{} ({}, #threads: {})\n", target.name(), f.tgid, f.threads);
  text += std::string(67, '-') + '\n';
  auto row = [&](std::string_view name, uint64_t value) { text += fmt::format("{:<45}:{:>21}\n", name, value); };
  auto milliseconds = [&](std::string_view name, Nanoseconds ns) {
    text += fmt::format("{:<45}:{:>21}\n", name, fmt::format("{}.{:06}", ns / 1'000'000, ns % 1'000'000));
  };
  milliseconds("se.exec_start", host_now(CLOCK_MONOTONIC) - target.kernel().boot_time_ns());
  milliseconds("se.sum_exec_runtime", f.usage.user_ns + f.usage.system_ns);
  row("nr_switches", f.usage.voluntary_switches + f.usage.involuntary_switches);
  row("nr_voluntary_switches", f.usage.voluntary_switches);
  row("nr_involuntary_switches", f.usage.involuntary_switches);
  row("policy", static_cast<uint64_t>(f.policy));
  row("prio", static_cast<uint64_t>(120 + int64_t{f.nice}));
  return text;
}

namespace {

// What storage was read and written is between the host and its page cache.
std::string io_lines(std::span<uint64_t const, 4> counts) {
  return fmt::format(
      "rchar: {}\nwchar: {}\nsyscr: {}\nsyscw: {}\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n",
      counts[0], counts[1], counts[2], counts[3]);
}

void add_counts(Task& task, std::span<uint64_t, 4> to) {
  IoCounts const& io = task.implementation().io;
  to[0] += io.read_bytes.load(std::memory_order_relaxed);
  to[1] += io.written_bytes.load(std::memory_order_relaxed);
  to[2] += io.reads.load(std::memory_order_relaxed);
  to[3] += io.writes.load(std::memory_order_relaxed);
}

}  // namespace

Result<std::string> io_text(View const&, Task& target) {
  uint64_t counts[4] = {};
  ThreadGroup& group = target.thread_group();
  ProcessLocked lock(target.kernel());
  std::ranges::copy(group.implementation().io_of_ended, counts);
  for (auto const& task : group.tasks(lock)) add_counts(*task, counts);
  auto const served = served_counts(target);
  counts[0] += served.read_bytes;
  counts[1] += served.written_bytes;
  counts[2] += served.reads;
  counts[3] += served.writes;
  return io_lines(counts);
}

Result<std::string> thread_io_text(View const&, Task& target) {
  uint64_t counts[4] = {};
  add_counts(target, counts);
  return io_lines(counts);
}

}  // namespace cofferdam::fs::proc

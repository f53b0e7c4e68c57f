// What stands at the root of /proc.
#include <fmt/core.h>

#include "fs/proc/memory_account.h"
#include "fs/proc/proc_file_system.h"
#include "kernel/ipc/sysv.h"
#include "kernel/kernel.h"
#include "kernel/namespace/namespace_set.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

constexpr uint64_t ticks_per_second = 100;

Nanoseconds uptime_ns(Kernel& kernel) { return host_now(CLOCK_MONOTONIC) - kernel.boot_time_ns(); }

size_t cpu_count(Kernel& kernel) { return static_cast<size_t>(std::max(1, kernel.platform().cpu_count())); }

uint64_t ticks(Nanoseconds ns) {
  return static_cast<uint64_t>(std::max<Nanoseconds>(ns, 0)) / (ns_per_second / ticks_per_second);
}

Result<std::string> cpuinfo(Task& task) {
  std::string text;
  for (std::string const& cpu : cpu_paragraphs(task.kernel().options().host_facts, cpu_count(task.kernel())))
    text += cpu + "\n\n";
  return text;
}

Result<std::string> meminfo(Task& task) {
  MemoryAccount const m = memory_account(task);
  std::string text;
  auto row = [&](std::string_view name, uint64_t bytes) {
    text += fmt::format("{:<16}{:>8} kB\n", fmt::format("{}:", name), bytes >> 10);
  };
  auto zeros = [&](std::initializer_list<std::string_view> names) {
    for (std::string_view name : names) row(name, 0);
  };
  row("MemTotal", m.total);
  row("MemFree", m.free);
  row("MemAvailable", m.free);
  row("Buffers", 0);
  row("Cached", m.shared);
  row("SwapCached", 0);
  row("Active", m.anonymous + m.shared);
  row("Inactive", 0);
  row("Active(anon)", m.anonymous + m.shared);
  zeros({"Inactive(anon)", "Active(file)", "Inactive(file)", "Unevictable", "Mlocked", "SwapTotal", "SwapFree", "Dirty",
         "Writeback"});
  row("AnonPages", m.anonymous);
  row("Mapped", 0);
  row("Shmem", m.shared);
  zeros({"KReclaimable", "Slab", "SReclaimable", "SUnreclaim", "KernelStack", "PageTables", "SecPageTables",
         "NFS_Unstable", "Bounce", "WritebackTmp"});
  row("CommitLimit", m.total / 2);
  row("Committed_AS", m.anonymous + m.shared);
  row("VmallocTotal", 34359738367ull << 10);
  zeros({"VmallocUsed", "VmallocChunk", "Percpu", "AnonHugePages", "ShmemHugePages", "ShmemPmdMapped", "FileHugePages",
         "FilePmdMapped"});
  text += "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\n";
  row("Hugepagesize", 2 << 20);
  row("Hugetlb", 0);
  return text;
}

std::string cpu_row(std::string_view name, uint64_t user, uint64_t system, uint64_t idle) {
  return fmt::format("{} {} 0 {} {} 0 0 0 0 0 0\n", name, user, system, idle);
}

// Whose CPU time it was is not told apart by CPU: each shows its share.
Result<std::string> stat(Task& task) {
  Kernel& kernel = task.kernel();
  CpuAccount const c = cpu_account(kernel);
  size_t const cpus = cpu_count(kernel);
  uint64_t const total = ticks(uptime_ns(kernel)) * cpus, user = ticks(c.user_ns), system = ticks(c.system_ns);
  uint64_t const idle = total > user + system ? total - user - system : 0;
  std::string text = cpu_row("cpu ", user, system, idle);
  for (size_t i = 0; i < cpus; ++i) text += cpu_row(fmt::format("cpu{}", i), user / cpus, system / cpus, idle / cpus);
  Nanoseconds const boot = host_now(CLOCK_REALTIME) - uptime_ns(kernel);
  text += fmt::format(
      "intr 0\nctxt {}\nbtime {}\nprocesses {}\nprocs_running {}\nprocs_blocked 0\n"
      "softirq 0 0 0 0 0 0 0 0 0 0 0\n",
      kernel.context_switches.load(), boot / ns_per_second, kernel.forks.load(), c.running);
  return text;
}

Result<std::string> uptime(Task& task) {
  Kernel& kernel = task.kernel();
  CpuAccount const c = cpu_account(kernel);
  Nanoseconds const up = uptime_ns(kernel);
  Nanoseconds const idle =
      std::max<Nanoseconds>(0, up * static_cast<Nanoseconds>(cpu_count(kernel)) - c.user_ns - c.system_ns);
  auto hundredths = [](Nanoseconds ns) { return fmt::format("{}.{:02}", ns / ns_per_second, ns / 10'000'000 % 100); };
  return fmt::format("{} {}\n", hundredths(up), hundredths(idle));
}

Result<std::string> loadavg(ProcFileSystem& fs) {
  CpuAccount const c = cpu_account(fs.kernel());
  LoadAverage::Values const v = fs.load_average.with(
      [&](LoadAverage& l) { return l.update(host_now(CLOCK_MONOTONIC), c.user_ns + c.system_ns); });
  return fmt::format("{:.2f} {:.2f} {:.2f} {}/{} {}\n", v.one, v.five, v.fifteen, c.running, c.tasks,
                     fs.pids().last_pid());
}

Result<std::string> version(Task& task) {
  return fmt::format("Linux version {} (cofferdam@cofferdam) (clang version 19) #1 SMP PREEMPT_DYNAMIC\n",
                     task.kernel().options().kernel_release);
}

Result<std::string> filesystems(Task& task) {
  std::string text;
  for (FileSystemType const& type : task.kernel().file_system_types())
    text += fmt::format("{}\t{}\n", type.nodev ? "nodev" : "", type.name);
  return text;
}

Result<std::string> devices(Task&) {
  return std::string(
      "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n");
}

Result<std::string> vmstat(Task& task) {
  MemoryAccount const m = memory_account(task);
  constexpr uint64_t page = 4096;
  return fmt::format(
      "nr_free_pages {}\nnr_inactive_anon 0\nnr_active_anon {}\nnr_inactive_file 0\nnr_active_file 0\nnr_anon_pages "
      "{}\n"
      "nr_mapped 0\nnr_file_pages {}\nnr_dirty 0\nnr_writeback 0\nnr_shmem {}\npgpgin 0\npgpgout 0\npswpin 0\npswpout "
      "0\n"
      "pgfault 0\npgmajfault 0\noom_kill 0\n",
      m.free / page, m.anonymous / page, m.anonymous / page, m.shared / page, m.shared / page);
}

Result<std::string> interrupts(Task& task) {
  std::string text = "           ";
  for (size_t i = 0; i < cpu_count(task.kernel()); ++i) text += fmt::format("CPU{:<8}", i);
  return text + "\n";
}

}  // namespace

void add_system_files(PseudoTreeBuilder& tree, ProcFileSystem& fs) {
  tree.text("cpuinfo", 0444, &cpuinfo);
  tree.text("meminfo", 0444, &meminfo);
  tree.text("stat", 0444, &stat);
  tree.text("uptime", 0444, &uptime);
  tree.text("loadavg", 0444, [&fs](Task&) { return loadavg(fs); });
  tree.text("version", 0444, &version);
  tree.fixed("cmdline", "BOOT_IMAGE=/vmlinuz quiet\n");
  tree.symlink("mounts", "self/mounts");
  tree.symlink("net", "self/net");
  tree.text("filesystems", 0444, &filesystems);
  tree.fixed("cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
  tree.text("devices", 0444, &devices);
  tree.fixed("partitions", "major minor  #blocks  name\n\n");
  tree.fixed("diskstats", "");
  tree.fixed("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
  tree.text("interrupts", 0444, &interrupts);
  tree.fixed("modules", "");
  tree.text("vmstat", 0444, &vmstat);
  tree.fixed("consoles", "");
  tree.fixed("misc", "");
  tree.fixed("locks", "");
  tree.fixed("tty/drivers",
             "/dev/tty             /dev/tty        5       0 system:/dev/tty\n"
             "/dev/console         /dev/console    5       1 system:console\n"
             "/dev/ptmx            /dev/ptmx       5       2 system\n"
             "pty_slave            /dev/pts      136 0-1048575 pty:slave\n"
             "pty_master           /dev/ptm      128 0-1048575 pty:master\n");
  tree.text("sysvipc/msg", 0444,
            [](Task& t) -> Result<std::string> { return t.namespaces()->ipc->sysv.message_queues.text(t.pids()); });
  tree.text("sysvipc/sem", 0444,
            [](Task& t) -> Result<std::string> { return t.namespaces()->ipc->sysv.semaphores.text(); });
  tree.text("sysvipc/shm", 0444,
            [](Task& t) -> Result<std::string> { return t.namespaces()->ipc->sysv.shared_memory.text(t.pids()); });
}

}  // namespace cofferdam::fs::proc

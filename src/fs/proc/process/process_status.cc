#include <fmt/core.h>

#include "fs/proc/process/process_facts.h"
#include "fs/proc/process/process_text.h"
#include "kernel/kernel.h"
#include "kernel/mm/maps_text.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

// task names with what would break a line escaped, as status shows them.
std::string escaped_name(Task& target) {
  std::string text;
  for (char c : target.name()) {
    if (c == '\n')
      text += "\\n";
    else if (c == '\\')
      text += "\\\\";
    else
      text += c;
  }
  return text;
}

// In each namespace from the reader's procfs inward.
std::string number_lines(View const& view, Task& target, bool as_thread) {
  auto numbers = [&](Pid const* pid) {
    if (pid == nullptr) return std::string();
    // What is not to be seen from the innermost ends the line with a 0 for each level (task_state of Linux).
    std::string text;
    for (PidNamespace const* space = &target.pids(); space != nullptr; space = space->parent()) {
      text.insert(0, fmt::format("\t{}", pid->number_in(*space)));
      if (space == &view.pids) break;
    }
    return text;
  };
  Ref<Pid> const pid = as_thread ? target.pid() : Ref<Pid>(&target.thread_group().pid());
  ProcessLocked lock(target.kernel());
  Ref<ProcessGroup> const group = target.thread_group().process_group(lock);
  return fmt::format("NStgid:{}\nNSpid:{}\nNSpgid:{}\nNSsid:{}\n", numbers(&target.thread_group().pid()),
                     numbers(pid.get()), numbers(group ? &group->pid() : nullptr),
                     numbers(group ? &group->session().pid() : nullptr));
}

std::string identity_lines(View const& view, Task& target, ProcessFacts const& f, bool as_thread) {
  Ref<Credentials const> c = target.credentials();
  Ref<FsContext> fs = target.fs();
  Ref<FdTable> files = target.files();
  std::string text = fmt::format("Name:\t{}\n", escaped_name(target));
  if (fs) text += fmt::format("Umask:\t{:04o}\n", fs->umask());
  text += fmt::format("State:\t{}\nTgid:\t{}\nNgid:\t0\nPid:\t{}\nPPid:\t{}\nTracerPid:\t0\n", state_name(f.state),
                      f.tgid, as_thread ? f.tid : f.tgid, f.parent);
  text += fmt::format("Uid:\t{}\t{}\t{}\t{}\nGid:\t{}\t{}\t{}\t{}\nFDSize:\t{}\nGroups:\t", c->uid, c->euid, c->suid,
                      c->fsuid, c->gid, c->egid, c->sgid, c->fsgid, files ? files->capacity() : 0);
  for (gid_t g : c->groups) text += fmt::format("{} ", g);
  if (c->groups.empty()) text += ' ';
  text += "\n" + number_lines(view, target, as_thread) + "Kthread:\t0\n";
  return text;
}

std::string memory_lines(Task& target, ProcessFacts const& f) {
  Ref<MemoryManager> mm = target.mm();
  if (!mm) return {};
  return status_memory_text(*mm) + fmt::format(
                                       "HugetlbPages:\t       0 kB\nCoreDumping:\t{}\nTHP_enabled:\t1\n"
                                       "untag_mask:\t0xffffffffffffffff\n",
                                       f.core_dumping ? 1 : 0);
}

std::string signal_lines(Task& target, ProcessFacts const& f) {
  return fmt::format(
      "Threads:\t{}\nSigQ:\t{}/"
      "{}\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\nSigIgn:\t{:016x}\nSigCgt:\t{:016x}\n",
      f.threads, f.queued_signals, target.thread_group().limits.current(RLIMIT_SIGPENDING), f.pending.bits(),
      f.shared_pending.bits(), f.blocked.bits(), f.ignored.bits(), f.caught.bits());
}

std::string privilege_lines(Task& target) {
  Ref<Credentials const> c = target.credentials();
  seccomp::Mode const mode = target.implementation().seccomp_mode.load();
  size_t filters = 0;
  {
    ProcessLocked lock(target.kernel());
    if (auto const& chain = target.implementation().seccomp_chain) filters = chain->chain_length();
  }
  return fmt::format(
      "CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{:016x}\n"
      "NoNewPrivs:\t{}\nSeccomp:\t{}\nSeccomp_filters:\t{}\nSpeculation_Store_Bypass:\tunknown\n"
      "SpeculationIndirectBranch:\tunknown\n",
      c->inheritable.bits(), c->permitted.bits(), c->effective.bits(), c->bounding.bits(), c->ambient.bits(),
      target.no_new_privileges.load() ? 1 : 0, static_cast<int>(mode), filters);
}

}  // namespace

std::vector<bool> allowed_cpus(Task& target, ProcessFacts const& f) {
  std::vector<bool> cpus(static_cast<size_t>(std::max(1, target.kernel().platform().cpu_count())), true);
  if (f.affinity.empty()) return cpus;
  for (size_t i = 0; i < cpus.size(); ++i)
    cpus[i] = i / 64 < f.affinity.size() && ((f.affinity[i / 64] >> (i % 64)) & 1);
  return cpus;
}

namespace {

std::string status_of(View const& view, Task& target, bool as_thread) {
  ProcessFacts const f = gather_facts(target, as_thread, view.pids);
  std::vector<bool> const cpus = allowed_cpus(target, f);
  return identity_lines(view, target, f, as_thread) + memory_lines(target, f) + signal_lines(target, f) +
         privilege_lines(target) +
         fmt::format(
             "Cpus_allowed:\t{}\nCpus_allowed_list:\t{}\nMems_allowed:\t1\nMems_allowed_list:\t0\n"
             "voluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t{}\n",
             cpu_mask(cpus), cpu_list(cpus), f.usage.voluntary_switches, f.usage.involuntary_switches);
}

}  // namespace

Result<std::string> status_text(View const& view, Task& target) { return status_of(view, target, false); }
Result<std::string> thread_status_text(View const& view, Task& target) { return status_of(view, target, true); }

}  // namespace cofferdam::fs::proc

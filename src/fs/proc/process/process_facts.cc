#include "fs/proc/process/process_facts.h"

#include "kernel/kernel.h"
#include "kernel/task/task_access.h"
#include "kernel/terminal.h"
#include "kernel/time/cpu_time.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

void note_signals(ProcessFacts& facts, Task& target, ThreadGroup::Implementation& group) {
  facts.pending = target.implementation().pending.set();
  facts.shared_pending = group.pending.set();
  facts.queued_signals = target.implementation().pending.queued() + group.pending.queued();
  facts.blocked = target.blocked_signals();
  if (!group.handlers) return;
  for (int s = 1; s <= signal_count; ++s) {
    uint64_t const handler = (*group.handlers)[s].handler;
    if (handler == 1) facts.ignored.add(s);
    if (handler > 1) facts.caught.add(s);
  }
}

void note_family(ProcessFacts& facts, Task& target, PidNamespace const& pids, ProcessLocked const& lock) {
  ThreadGroup& group = target.thread_group();
  facts.tgid = pids.number_of(group);
  facts.tid = pids.number_of(target);
  if (Ref<ThreadGroup> parent = group.parent(lock)) facts.parent = pids.number_of(*parent);
  Ref<ProcessGroup> process_group = group.process_group(lock);
  if (!process_group) return;
  facts.group = process_group->id_in(pids);
  facts.session = process_group->session().id_in(pids);
  if (Ref<Terminal> terminal = controlling_terminal(group, lock)) {
    facts.terminal_device = terminal->device();
    if (Pid* foreground = terminal->foreground(lock)) facts.terminal_group = foreground->number_in(pids);
  }
}

}  // namespace

ProcessFacts gather_facts(Task& target, bool as_thread, PidNamespace const& pids) {
  ProcessFacts facts;
  Ref<MemoryManager> mm = target.mm();
  {
    ProcessLocked lock(target.kernel());
    ThreadGroup::Implementation& group = target.thread_group().implementation();
    Task::Implementation& own = target.implementation();
    note_family(facts, target, pids, lock);
    note_signals(facts, target, group);
    facts.zombie = as_thread ? own.exiting : group.zombie;
    facts.state = facts.zombie ? 'Z' : group.stopped ? 'T' : static_cast<char>(TaskAccess::state(target));
    facts.threads = std::max<size_t>(group.tasks.size(), 1);
    facts.exit_code = group.zombie ? group.exit_status : 0;
    facts.exit_signal = as_thread && target.tid() != target.tgid() ? -1 : group.exit_signal;
    facts.start_time_ns = as_thread ? own.start_time_ns : group.start_time_ns;
    group.settle_usage();
    facts.usage = group.own;
    facts.children_usage = group.waited_children;
    facts.nice = own.nice;
    facts.policy = own.scheduling_policy;
    facts.priority = own.scheduling_priority;
    facts.affinity = own.affinity;
  }
  if (as_thread) {
    facts.usage = usage_of(target);
  } else if (mm) {  // the platform's account of a living address space has its ended threads in it
    facts.usage = {};
    facts.usage.add(mm->address_space().usage());
  }
  return facts;
}

std::string_view state_name(char state) {
  switch (state) {
    case 'R':
      return "R (running)";
    case 'S':
      return "S (sleeping)";
    case 'D':
      return "D (disk sleep)";
    case 'T':
      return "T (stopped)";
    case 't':
      return "t (tracing stop)";
    case 'Z':
      return "Z (zombie)";
    default:
      return "X (dead)";
  }
}

uint64_t start_ticks(Task& target, ProcessFacts const& facts) {
  return to_ticks(facts.start_time_ns - target.kernel().boot_time_ns());
}

}  // namespace cofferdam::fs::proc

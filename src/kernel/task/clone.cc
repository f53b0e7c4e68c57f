#include "kernel/task/clone.h"

#include <sched.h>

#include "kernel/ipc/pidfd.h"
#include "kernel/kernel.h"
#include "kernel/namespace/namespace_set.h"
#include "kernel/task/exit.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_access.h"
#include "kernel/task/task_internal.h"
#include "kernel/time/group_timers.h"

namespace cofferdam::kernel {

namespace {

Result<void> check_flags(Task& parent, CloneArguments const& a) {
  uint64_t f = a.flags;
  if ((f & CLONE_SIGHAND) && !(f & CLONE_VM)) return fail(Errno::Inval);
  if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND)) return fail(Errno::Inval);
  if ((f & CLONE_THREAD) && (f & CLONE_PIDFD)) return fail(Errno::Inval);
  if ((f & CLONE_PIDFD) && (f & CLONE_DETACHED)) return fail(Errno::Inval);
  if ((f & CLONE_FS) && (f & CLONE_NEWNS)) return fail(Errno::Inval);
  if ((f & CLONE_SYSVSEM) && (f & CLONE_NEWIPC)) return fail(Errno::Inval);
  // Threads of a process are in one pid namespace; a sibling of init would be nobody's child.
  bool const waits_for_first = parent.namespaces()->pids_for_children != &parent.pids();
  if ((f & CLONE_THREAD) && ((f & CLONE_NEWPID) || waits_for_first)) return fail(Errno::Inval);
  if ((f & CLONE_PARENT) && parent.thread_group().is_init()) return fail(Errno::Inval);
  if (namespace_flags(f) != 0) TRY(check_new_namespaces(parent, f));
  if (a.exit_signal < 0 || a.exit_signal > signal_count) return fail(Errno::Inval);
  return {};
}

// RLIMIT_NPROC counts tasks of the real uid (setrlimit(2)); root with CAP_SYS_RESOURCE or CAP_SYS_ADMIN is exempt.
Result<void> check_process_limit(Task& task) {
  auto credentials = task.credentials();
  if (credentials->uid == 0 || credentials->capable(CAP_SYS_RESOURCE) || credentials->capable(CAP_SYS_ADMIN)) return {};
  uint64_t limit = task.thread_group().limits.current(RLIMIT_NPROC);
  if (limit == RLIM_INFINITY) return {};
  ProcessLocked lock(task.kernel());
  uint64_t count = 0;
  for (auto const& group : task.kernel().all_groups(lock))
    for (auto const& t : group->tasks(lock))
      if (t->credentials()->uid == credentials->uid) ++count;
  if (count >= limit) return fail(Errno::Again);
  return {};
}

struct NewContext {
  std::unique_ptr<platform::Context> context;
  Ref<MemoryManager> mm;
};

// What the platform answers of the parent's descriptors: with a second user of the descriptions, or of the address
// space, it knows too little.
void stop_serving_for_clone(Task& parent, uint64_t flags) {
  if (!parent.implementation().is_served) return;
  bool const other_meaning = (flags & CLONE_VM) && !(flags & CLONE_FILES);
  auto files = parent.files();
  if (other_meaning)
    files->stop_serving();
  else
    files->stop_serving_positions();
}

Result<NewContext> clone_context(Task& parent, uint64_t flags) {
  stop_serving_for_clone(parent, flags);
  auto mm = parent.mm();
  if (flags & CLONE_VM) {
    auto context = TRY(parent.context().clone_thread(flags & CLONE_VFORK));
    return NewContext{std::move(context), mm};
  }
  auto process = TRY(parent.context().fork());
  auto copy = mm->fork(process.address_space);
  return NewContext{std::move(process.context), std::move(copy)};
}

// What the child gets that is not its memory.
struct NewShares {
  Ref<FdTable> files;
  Ref<FsContext> fs;
  Ref<NamespaceSet const> namespaces;
};

Result<NewShares> share_or_copy(Task& parent, uint64_t flags) {
  NewShares shares{parent.files(), parent.fs(), parent.namespaces()};
  if (!(flags & CLONE_FILES)) shares.files = shares.files->clone();
  if (!(flags & CLONE_FS)) shares.fs = shares.fs->clone();
  if (namespace_flags(flags) != 0) shares.namespaces = TRY(with_new_namespaces(parent, flags, *shares.fs));
  return shares;
}

void give_shared(Task& parent, Task& child, NewShares shares, Ref<MemoryManager> mm) {
  auto& c = child.implementation();
  auto credentials = parent.credentials();
  auto name = parent.name();
  MutexLock lock(c.shared_mutex);
  c.files = std::move(shares.files);
  c.fs = std::move(shares.fs);
  c.namespaces = std::move(shares.namespaces);
  c.mm = std::move(mm);
  c.credentials = credentials;
  c.name = name;
}

void copy_private(Task& parent, Task& child, CloneArguments const& a) {
  auto const& p = parent.implementation();
  auto& c = child.implementation();
  TaskAccess::set_blocked(child, parent.blocked_signals());
  child.no_new_privileges.store(parent.no_new_privileges.load());
  // sigaltstack(2): a child that shares memory (and is no vfork child) starts without one.
  if (!(a.flags & CLONE_VM) || (a.flags & CLONE_VFORK)) c.signal_stack = p.signal_stack;
  c.timer_slack_ns = p.timer_slack_ns;
  c.affinity = p.affinity;
  c.nice = p.nice;
  c.scheduling_policy = p.scheduling_policy;
  c.io_priority = p.io_priority;
  c.personality = p.personality;
  c.seccomp_chain = p.seccomp_chain;
  c.seccomp_filter.store(p.seccomp_chain.get(), std::memory_order_relaxed);
  c.seccomp_mode.store(p.seccomp_mode.load(std::memory_order_relaxed), std::memory_order_relaxed);
  c.memory_policy = p.memory_policy;
  c.memory_nodes = p.memory_nodes;
  c.scheduling_priority = p.scheduling_priority;
  if (a.flags & CLONE_CHILD_CLEARTID) c.clear_child_tid = a.child_tid.address().value;
}

Ref<ThreadGroup> new_group(Task& parent, CloneArguments const& a, Ref<Pid> pid, ProcessLocked const& lock) {
  auto group = make_ref<ThreadGroup>(parent.kernel(), std::move(pid));
  auto& g = group->implementation();
  ThreadGroup& parent_group = parent.thread_group();
  auto& p = parent_group.implementation();
  g.control_group = p.control_group;
  g.process_group = p.process_group;
  g.dumpable = p.dumpable;
  g.oom_score_adj = p.oom_score_adj;
  if (a.flags & CLONE_SIGHAND) {
    g.handlers = p.handlers;
  } else {
    g.handlers->actions = p.handlers->actions;
    if (a.flags & 0x100000000ULL /* CLONE_CLEAR_SIGHAND */)
      for (auto& action : g.handlers->actions)
        if (action.handler != reinterpret_cast<uint64_t>(SIG_IGN)) action = {};
  }
  for (int r = 0; r < static_cast<int>(RLIM_NLIMITS); ++r) group->limits.set(r, parent_group.limits.get(r));
  ThreadGroup* new_parent = (a.flags & CLONE_PARENT) ? p.parent : &parent_group;
  g.exit_signal = (a.flags & CLONE_PARENT) ? p.exit_signal : a.exit_signal;
  g.parent = new_parent;
  if (new_parent) new_parent->implementation().children.push_back(group);
  (void)lock;
  return group;
}

Result<Ref<Task>> insert_task(Task& parent, CloneArguments const& a, NewContext made, NewShares shares) {
  Kernel& kernel = parent.kernel();
  ProcessLocked lock(kernel);
  auto& parent_state = parent.thread_group().implementation();
  if (parent_state.group_exiting || (parent.pending_work() & work::kill)) return fail(Errno::RestartNoIntr);
  auto pid = TRY(Pid::allocate(*shares.namespaces->pids_for_children, a.set_tid));
  Ref<ThreadGroup> group =
      (a.flags & CLONE_THREAD) ? Ref<ThreadGroup>(&parent.thread_group()) : new_group(parent, a, pid, lock);
  auto child = make_ref<Task>(kernel, group, pid, std::move(made.context));
  copy_private(parent, *child, a);
  give_shared(parent, *child, std::move(shares), std::move(made.mm));
  auto& g = group->implementation();
  g.tasks.push_back(child);
  if (!g.leader) g.leader = child;
  child->pids().add(*pid, child, lock);
  kernel.task_started(lock);
  if (g.stopped) child->notify_work(work::stop);
  if (g.control_group->frozen()) child->notify_work(work::freeze);
  child->notify_work(work::credentials);
  return child;
}

Result<void> wait_for_vfork_child(Task& parent, Task::Implementation::VforkDone& done) {
  TaskWaiter waiter(parent);
  done.queue.add(waiter, EPOLLIN);
  Result<void> result;
  for (;;) {
    parent.prepare_to_wait();
    if (done.done.load()) break;
    result = parent.wait_killable(Deadline::never());
    if (!result) break;
  }
  done.queue.remove(waiter);
  return result;
}

}  // namespace

Result<int32_t> clone_task(Task& parent, CloneArguments const& a) {
  TRY(check_flags(parent, a));
  TRY(check_process_limit(parent));
  if (!a.set_tid.empty() && !parent.capable(CAP_SYS_ADMIN) && !parent.capable(CAP_CHECKPOINT_RESTORE))
    return fail(Errno::Perm);
  auto shares = TRY(share_or_copy(parent, a.flags));
  auto made = TRY(clone_context(parent, a.flags));
  platform::Context& context = *made.context;
  context.set_syscall_result(0);
  if (a.stack_pointer != 0) {
    auto registers = context.registers();
    registers.rsp = a.stack_pointer;
    context.set_registers(registers);
  }
  if (a.flags & CLONE_SETTLS) context.set_fs_base(a.tls);
  auto child = TRY(insert_task(parent, a, std::move(made), std::move(shares)));
  if (!(a.flags & CLONE_THREAD)) cpu_limit_changed(child->thread_group());
  int32_t const own_tid = child->tid(), tid = parent.pids().number_of(*child);
  if (a.flags & CLONE_CHILD_SETTID)
    (void)child->context().copy_out(a.child_tid.address().value, std::as_bytes(std::span(&own_tid, 1)));
  if (a.flags & CLONE_PARENT_SETTID) (void)parent.write(a.parent_tid, tid);
  if (a.flags & CLONE_PIDFD) {
    auto fd = make_pidfd(Ref<ThreadGroup>(&child->thread_group()), 0);
    auto number = parent.files()->install(std::move(fd), true, parent.thread_group().limits.current(RLIMIT_NOFILE));
    if (number) (void)parent.write(a.pidfd, static_cast<int32_t>(*number));
  }
  // The child shares this memory: what is written here must be there before it runs, and not land on what it writes (a
  // thread that ends clears the word that CLONE_PARENT_SETTID set).
  if (a.flags & CLONE_VM) (void)parent.context().flush();
  Ref<Task::Implementation::VforkDone> vfork_done;
  if (a.flags & CLONE_VFORK) {
    vfork_done = make_ref<Task::Implementation::VforkDone>();
    child->implementation().vfork_done = vfork_done;
  }
  parent.kernel().forks.fetch_add(1, std::memory_order_relaxed);
  if (auto started = parent.kernel().run_task(child); !started) {
    exit_task(*child);
    return std::unexpected(started.error());
  }
  if (vfork_done) (void)wait_for_vfork_child(parent, *vfork_done);
  return tid;
}

}  // namespace cofferdam::kernel

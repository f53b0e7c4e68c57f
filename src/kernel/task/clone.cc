#include "kernel/task/clone.h"

#include <sched.h>

#include "base/log.h"
#include "kernel/ipc/pidfd.h"
#include "kernel/kernel.h"
#include "kernel/task/exit.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_access.h"
#include "kernel/task/task_internal.h"
#include "kernel/time/group_timers.h"

namespace cofferdam::kernel {

namespace {

constexpr uint64_t namespace_flags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                     CLONE_NEWPID | CLONE_NEWNET | 0x80 /* NEWTIME */;

Result<void> check_flags(CloneArguments const& a) {
  uint64_t f = a.flags;
  if ((f & CLONE_SIGHAND) && !(f & CLONE_VM)) return fail(Errno::Inval);
  if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND)) return fail(Errno::Inval);
  if ((f & CLONE_THREAD) && (f & CLONE_PIDFD)) return fail(Errno::Inval);
  if ((f & CLONE_PIDFD) && (f & CLONE_DETACHED)) return fail(Errno::Inval);
  if ((f & CLONE_FS) && (f & CLONE_NEWNS)) return fail(Errno::Inval);
  if (f & namespace_flags) {
    log::warning("clone: namespaces {:#x} are not implemented: EINVAL", f & namespace_flags);
    return fail(Errno::Inval);
  }
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
  for (auto const& group : task.kernel().pids().groups(lock))
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

void copy_shared(Task& parent, Task& child, uint64_t flags, Ref<MemoryManager> mm) {
  auto files = parent.files();
  auto fs = parent.fs();
  auto& c = child.implementation();
  auto credentials = parent.credentials();
  auto name = parent.name();
  MutexLock lock(c.shared_mutex);
  c.files = (flags & CLONE_FILES) ? files : files->clone();
  c.fs = (flags & CLONE_FS) ? fs : fs->clone();
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

Ref<ThreadGroup> new_group(Task& parent, CloneArguments const& a, int32_t tgid, ProcessLocked const& lock) {
  auto group = make_ref<ThreadGroup>(parent.kernel(), tgid);
  auto& g = group->implementation();
  ThreadGroup& parent_group = parent.thread_group();
  auto& p = parent_group.implementation();
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

Result<Ref<Task>> insert_task(Task& parent, CloneArguments const& a, NewContext made) {
  Kernel& kernel = parent.kernel();
  ProcessLocked lock(kernel);
  auto& parent_state = parent.thread_group().implementation();
  if (parent_state.group_exiting || (parent.pending_work() & work::kill)) return fail(Errno::RestartNoIntr);
  int32_t tid = TRY(kernel.pids().allocate(lock));
  Ref<ThreadGroup> group =
      (a.flags & CLONE_THREAD) ? Ref<ThreadGroup>(&parent.thread_group()) : new_group(parent, a, tid, lock);
  auto child = make_ref<Task>(kernel, group, tid, std::move(made.context));
  copy_private(parent, *child, a);
  copy_shared(parent, *child, a.flags, std::move(made.mm));
  auto& g = group->implementation();
  g.tasks.push_back(child);
  if (!g.leader) g.leader = child;
  kernel.pids().add(tid, child, lock);
  kernel.task_started(lock);
  if (g.stopped) child->notify_work(work::stop);
  if (kernel.frozen()) child->notify_work(work::freeze);
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
  TRY(check_flags(a));
  TRY(check_process_limit(parent));
  if (!a.set_tid.empty()) return fail(Errno::Perm);
  auto made = TRY(clone_context(parent, a.flags));
  platform::Context& context = *made.context;
  context.set_syscall_result(0);
  if (a.stack_pointer != 0) {
    auto registers = context.registers();
    registers.rsp = a.stack_pointer;
    context.set_registers(registers);
  }
  if (a.flags & CLONE_SETTLS) context.set_fs_base(a.tls);
  auto child = TRY(insert_task(parent, a, std::move(made)));
  if (!(a.flags & CLONE_THREAD)) cpu_limit_changed(child->thread_group());
  int32_t tid = child->tid();
  if (a.flags & CLONE_CHILD_SETTID)
    (void)child->context().copy_out(a.child_tid.address().value, std::as_bytes(std::span(&tid, 1)));
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

#include "kernel/task/exit.h"

#include <sys/wait.h>

#include <algorithm>

#include "base/log.h"
#include "kernel/ipc/sysv.h"
#include "kernel/kernel.h"
#include "kernel/signal/delivery.h"
#include "kernel/task/host_wait.h"
#include "kernel/task/robust_list.h"
#include "kernel/task/task_access.h"
#include "kernel/terminal.h"
#include "kernel/time/group_timers.h"
#include "kernel/vfs/close.h"

namespace cofferdam::kernel {

namespace {

int child_code(int32_t status) {
  if (WIFEXITED(status)) return CLD_EXITED;
  return WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED;
}

SignalInfo child_signal(ThreadGroup& parent, ThreadGroup& child, int signal, int code, int status) {
  auto& c = child.implementation();
  SignalInfo info;
  info.raw.si_signo = signal;
  info.raw.si_code = code;
  info.raw.si_pid = parent.pids().number_of(child);
  info.raw.si_uid = c.leader ? c.leader->credentials()->uid : 0;
  info.raw.si_status = status;
  constexpr Nanoseconds tick = ns_per_second / 100;
  info.raw.si_utime = c.own.user_ns / tick;
  info.raw.si_stime = c.own.system_ns / tick;
  return info;
}

void reap(ThreadGroup& child, ProcessLocked const& lock) {
  auto& c = child.implementation();
  if (c.reaped) return;
  c.reaped = true;
  Ref<ThreadGroup> keep(&child);
  if (c.parent) {
    auto& p = c.parent->implementation();
    constexpr size_t most_left = 8;
    p.waited_children.add(c.own);
    p.waited_children.add(c.waited_children);
    for (auto* left : {&c.left_spaces, &c.left_spaces_of_children})
      p.left_spaces_of_children.insert(p.left_spaces_of_children.end(), left->begin(), left->end());
    if (p.left_spaces_of_children.size() > most_left) p.settle_usage();
    std::erase(p.children, keep);
    c.parent = nullptr;
  }
  child.pids().remove(child.pid(), lock);
  c.leader = nullptr;
  c.process_group = nullptr;
}

// Tells the parent that a zombie waits; a parent that does not care has it reaped at once (wait(2), NOTES).
void notify_parent_of_exit(ThreadGroup& child, ProcessLocked const& lock) {
  auto& c = child.implementation();
  if (c.parent == nullptr) {
    reap(child, lock);
    return;
  }
  ThreadGroup& parent = *c.parent;
  bool ignores = false;
  if (c.exit_signal == SIGCHLD) {
    SignalAction const& action = (*parent.implementation().handlers)[SIGCHLD];
    ignores = action.handler == reinterpret_cast<uint64_t>(SIG_IGN) || (action.flags & SA_NOCLDWAIT);
  }
  if (c.exit_signal != 0) {
    int32_t status = c.exit_status;
    int value = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    (void)parent.send_signal(child_signal(parent, child, c.exit_signal, child_code(status), value), lock);
  }
  if (ignores) reap(child, lock);
  parent.child_queue.wake(EPOLLIN);
}

// A subreaper among its ancestors that are in its namespace, else that namespace's init (find_new_reaper of Linux).
ThreadGroup* new_parent_for_orphans(ThreadGroup& dying, ProcessLocked const& lock) {
  for (ThreadGroup* p = dying.implementation().parent; p != nullptr && &p->pids() == &dying.pids();
       p = p->implementation().parent)
    if (p->implementation().child_subreaper && !p->implementation().zombie && !p->implementation().group_exiting)
      return p;
  auto init = dying.pids().group(1, lock);
  return init && init != &dying && !init->implementation().zombie ? init.get() : nullptr;
}

void hang_up_if_orphaned_and_stopped(ProcessGroup& group, ThreadGroup const* leaving, ProcessLocked const& lock) {
  if (!process_group_is_orphaned(group, leaving, lock)) return;
  auto members = group.members(lock);
  bool any_stopped =
      std::any_of(members.begin(), members.end(), [](auto const& m) { return m->implementation().stopped; });
  if (!any_stopped) return;
  for (auto const& member : members) {
    (void)member->send_signal(SignalInfo::from_kernel(SIGHUP), lock);
    (void)member->send_signal(SignalInfo::from_kernel(SIGCONT), lock);
  }
}

void reparent_children(ThreadGroup& dying, ProcessLocked const& lock) {
  auto& d = dying.implementation();
  ThreadGroup* adopter = new_parent_for_orphans(dying, lock);
  auto children = std::move(d.children);
  d.children.clear();
  for (auto& child : children) {
    auto& c = child->implementation();
    c.parent = adopter;
    for (auto const& t : c.tasks)
      if (int s = t->implementation().parent_death_signal)
        (void)t->thread_group().send_signal(SignalInfo::from_user(s, SI_USER, child->pids().number_of(dying), 0), lock);
    if (adopter) {
      adopter->implementation().children.push_back(child);
      c.exit_signal = SIGCHLD;
    }
    for (auto const& t : c.tasks) t->notify_work(work::credentials);  // getppid is answered from the facts
    if (c.zombie) {
      notify_parent_of_exit(*child, lock);
    } else if (c.process_group && c.process_group != d.process_group) {
      hang_up_if_orphaned_and_stopped(*c.process_group, &dying, lock);
    }
  }
}

// A pid namespace ends with its init (zap_pid_ns_processes of Linux): what is in it is killed, and init's end is told
// to nobody before all of that has gone.
void end_pid_namespace(ThreadGroup& init) {
  PidNamespace& space = init.pids();
  space.close();
  {
    ProcessLocked lock(init.kernel());
    auto& g = init.implementation();
    g.handlers = make_ref<SignalHandlers>();
    (*g.handlers)[SIGCHLD].handler = signal_ignore;  // children that end from now on are reaped at once
    for (auto const& child : std::vector(g.children))
      if (child->implementation().zombie) reap(*child, lock);
    for (auto const& other : space.groups(lock))
      if (other != &init) run_loop::request_group_kill(*other, SIGKILL, lock);
  }
  wait_on_host_thread(space.departures(), [&] {
    ProcessLocked lock(init.kernel());
    return space.task_count(lock) <= 1;
  });
}

void finish_group(ThreadGroup& group, ProcessLocked const& lock) {
  auto& g = group.implementation();
  if (g.process_group && &g.process_group->session().pid() == &group.pid()) disassociate_terminal(group, lock);
  detach_timers(group, lock);
  if (g.process_group) hang_up_if_orphaned_and_stopped(*g.process_group, &group, lock);
  reparent_children(group, lock);
  g.zombie = true;
  g.stopped = false;
  Ref<ThreadGroup> keep(&group);
  notify_parent_of_exit(group, lock);
  group.exit_queue.wake(EPOLLIN | EPOLLRDNORM);
}

// Releases what the task shares; gives back the parts to be destroyed without the lock.
struct Released {
  Ref<FdTable> files;
  Ref<FsContext> fs;
  Ref<MemoryManager> mm;
  Ref<NamespaceSet const> namespaces;
};

Released release_shared(Task& task) {
  auto& own = task.implementation();
  MutexLock lock(own.shared_mutex);
  return {std::move(own.files), std::move(own.fs), std::move(own.mm), std::move(own.namespaces)};
}

void clear_child_tid(Task& task, MemoryManager& mm) {
  auto& own = task.implementation();
  if (own.clear_child_tid == 0) return;
  uint64_t address = std::exchange(own.clear_child_tid, 0);
  if (mm.ref_count() <= 1) return;  // nobody left to see it
  task.context().clear_at_end(address);
}

// Takes the exiting task out of its group; whether it was the last.
bool leave_group(Task& task, Ref<platform::AddressSpace> left, ProcessLocked const& lock) {
  auto& own = task.implementation();
  ThreadGroup& group = task.thread_group();
  auto& g = group.implementation();
  Ref<Task> keep(&task);
  own.exiting = true;
  hand_over_group_signals(task, lock);
  if (left) g.left_spaces.push_back(std::move(left));
  IoCounts const& io = own.io;
  std::atomic<uint64_t> const* const counts[] = {&io.read_bytes, &io.written_bytes, &io.reads, &io.writes};
  for (size_t i = 0; i < std::size(counts); ++i) g.io_of_ended[i] += counts[i]->load(std::memory_order_relaxed);
  std::erase(g.tasks, keep);
  bool is_leader = g.leader == keep;
  own.state.store(is_leader ? TaskState::Zombie : TaskState::Dead);
  if (!is_leader) task.pids().remove(*task.pid(), lock);
  if (g.exec_task) g.exec_task->wake();
  if (!g.tasks.empty()) return false;
  // What the last thread ends with, the process does (synchronize_group_exit of Linux).
  if (!std::exchange(g.group_exiting, true)) g.exit_status = own.exit_status;
  return true;
}

}  // namespace

void release_mm_of_task(Task& task) {
  auto& own = task.implementation();
  if (auto mm = task.mm()) {
    exit_robust_list(task);
    clear_child_tid(task, *mm);
    (void)task.context().flush();
  }
  if (own.vfork_done) {
    own.vfork_done->done.store(true);
    own.vfork_done->queue.wake(EPOLLIN);
    own.vfork_done = nullptr;
  }
}

void exit_task(Task& task) {
  Ref<Task> keep(&task);
  ThreadGroup& group = task.thread_group();
  Ref<ThreadGroup> keep_group(&group);
  release_mm_of_task(task);
  Released released = release_shared(task);
  Ref<NamespaceSet const> const namespaces = std::move(released.namespaces);
  if (released.files && released.files->ref_count() == 1)
    for (auto& file : released.files->take_all()) (void)close_descriptor(task, *released.files, *file);
  released.files = nullptr;
  released.fs = nullptr;
  // The host thread ends here. The last one of an address space takes the memory along.
  TaskAccess::exchange_context(task, nullptr).reset();
  Ref<platform::AddressSpace> left;
  if (released.mm && released.mm->ref_count() == 1) left = released.mm->address_space_ref();
  released.mm = nullptr;

  auto finish = [&](ProcessLocked const& lock) {
    namespaces->ipc->sysv.semaphores.process_exited(group.pid());
    finish_group(group, lock);
  };
  bool ends_namespace = false;
  {
    ProcessLocked lock(task.kernel());
    bool const is_last = leave_group(task, std::move(left), lock);
    ends_namespace = is_last && group.is_init();
    if (is_last && !ends_namespace) finish(lock);
    if (!ends_namespace) task.kernel().task_ended(lock);
  }
  if (!ends_namespace) return;
  end_pid_namespace(group);
  ProcessLocked lock(task.kernel());
  finish(lock);
  task.kernel().task_ended(lock);
}

void notify_parent_of_stop(ThreadGroup& child, int code, int signal, ProcessLocked const& lock) {
  auto& c = child.implementation();
  if (c.parent == nullptr) return;
  SignalAction const& action = (*c.parent->implementation().handlers)[SIGCHLD];
  if (!(action.flags & SA_NOCLDSTOP) && action.handler != reinterpret_cast<uint64_t>(SIG_IGN))
    (void)c.parent->send_signal(child_signal(*c.parent, child, SIGCHLD, code, signal), lock);
  c.parent->child_queue.wake(EPOLLIN);
}

bool process_group_is_orphaned(ProcessGroup const& group, ThreadGroup const* leaving, ProcessLocked const& lock) {
  for (auto const& member : group.members(lock)) {
    auto const& m = member->implementation();
    if (member == leaving || m.zombie || m.parent == nullptr) continue;
    auto parent_group = m.parent->process_group(lock);
    if (parent_group && parent_group.get() != &group && &parent_group->session() == &group.session()) return false;
  }
  return true;
}

namespace {

bool eligible(ThreadGroup const& child, WaitSelector const& w, Task const& waiter) {
  auto const& c = child.implementation();
  bool is_clone_child = c.exit_signal != SIGCHLD;
  if (!w.all_children && is_clone_child != w.clone_children) return false;
  switch (w.kind) {
    case WaitSelector::Kind::Any:
      return true;
    case WaitSelector::Kind::Pid:
      return waiter.pids().number_of(child) == w.id;
    case WaitSelector::Kind::Group: {
      if (w.id == 0) return c.process_group == waiter.thread_group().implementation().process_group;
      return c.process_group && c.process_group->id_in(waiter.pids()) == w.id;
    }
  }
  return false;
}

std::optional<WaitedChild> report(ThreadGroup& child, WaitSelector const& w, Task const& waiter,
                                  ProcessLocked const& lock) {
  auto& c = child.implementation();
  WaitedChild out{.pid = waiter.pids().number_of(child), .uid = c.leader ? c.leader->credentials()->uid : 0};
  if (w.wants_usage) {
    c.settle_usage();
    out.usage.add(c.own);
    out.usage.add(c.waited_children);
  }
  if (c.zombie) {
    if (!w.exited) return {};
    out.status = c.exit_status;
    out.code = child_code(c.exit_status);
    if (!w.no_reap) reap(child, lock);
    return out;
  }
  if (w.stopped && c.stopped && !c.stop_reported) {
    out.status = (c.stop_signal << 8) | 0x7f;
    out.code = CLD_STOPPED;
    if (!w.no_reap) c.stop_reported = true;
    return out;
  }
  if (w.continued && c.continue_unreported) {
    out.status = 0xffff;
    out.code = CLD_CONTINUED;
    if (!w.no_reap) c.continue_unreported = false;
    return out;
  }
  return {};
}

}  // namespace

Result<std::optional<WaitedChild>> wait_for_child(Task& task, WaitSelector const& selector) {
  std::optional<WaitedChild> found;
  bool any = false;
  auto look = [&] {
    ProcessLocked lock(task.kernel());
    any = false;
    auto children = task.thread_group().implementation().children;
    for (auto const& child : children) {
      if (!eligible(*child, selector, task)) continue;
      any = true;
      if ((found = report(*child, selector, task, lock))) return true;
    }
    return !any || selector.no_hang;
  };
  TRY(task.wait_until(task.thread_group().child_queue, EPOLLIN, Deadline::never(), look));
  if (found) return found;
  if (!any) return fail(Errno::Child);
  return std::nullopt;
}

}  // namespace cofferdam::kernel

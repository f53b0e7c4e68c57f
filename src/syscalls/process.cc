// Processes: exit(2), wait4(2), waitid(2), clone(2), process groups and sessions.
#include <linux/sched.h>
#include <sched.h>
#include <sys/wait.h>

#include <algorithm>

#include "kernel/ipc/pidfd.h"
#include "kernel/kernel.h"
#include "kernel/task/clone.h"
#include "kernel/task/exit.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_internal.h"
#include "syscalls/handlers_process.h"
#include "syscalls/resource_usage.h"

namespace cofferdam::syscalls {

using namespace kernel;

Result<uint64_t> sys_exit(Task& task, int32_t status) {
  run_loop::request_exit(task, (status & 0xff) << 8);
  return 0;
}

Result<uint64_t> sys_exit_group(Task& task, int32_t status) {
  run_loop::request_group_exit(task, (status & 0xff) << 8);
  return 0;
}

static Result<WaitSelector> selector_of_options(int32_t options) {
  WaitSelector w;
  w.no_hang = options & WNOHANG;
  w.continued = options & WCONTINUED;
  w.clone_children = static_cast<uint32_t>(options) & static_cast<uint32_t>(__WCLONE);
  w.all_children = options & __WALL;
  return w;
}

Result<int32_t> sys_wait4(Task& task, int32_t pid, UserPtr<int32_t> status, int32_t options, UserPtr<rusage> usage) {
  constexpr uint32_t allowed =
      WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | static_cast<uint32_t>(__WCLONE) | __WALL;
  if (static_cast<uint32_t>(options) & ~allowed) return fail(Errno::Inval);
  if (pid == INT32_MIN) return fail(Errno::Srch);
  auto selector = TRY(selector_of_options(options));
  selector.stopped = options & WUNTRACED;
  selector.wants_usage = static_cast<bool>(usage);
  if (pid > 0) {
    selector.kind = WaitSelector::Kind::Pid;
    selector.id = pid;
  } else if (pid != -1) {
    selector.kind = WaitSelector::Kind::Group;
    selector.id = -pid;
  }
  auto child = TRY(wait_for_child(task, selector));
  if (!child) return 0;
  if (status) TRY(task.write(status, child->status));
  if (usage) TRY(task.write(usage, to_rusage(child->usage)));
  return child->pid;
}

static Result<void> select_by_id(Task& task, int32_t id_type, int32_t id, WaitSelector& w) {
  switch (id_type) {
    case P_ALL:
      return {};
    case P_PID:
      if (id <= 0) return fail(Errno::Inval);
      w.kind = WaitSelector::Kind::Pid;
      w.id = id;
      return {};
    case P_PGID:
      if (id < 0) return fail(Errno::Inval);
      w.kind = WaitSelector::Kind::Group;
      w.id = id;
      return {};
    case 3 /* P_PIDFD */: {
      if (id < 0) return fail(Errno::Inval);
      auto file = TRY(task.file(id));
      auto group = group_of(*file);
      if (!group) return fail(Errno::BadF);
      w.kind = WaitSelector::Kind::Pid;
      w.id = task.pids().number_of(*group);
      if (file->nonblocking()) w.no_hang = true;
      return {};
    }
    default:
      return fail(Errno::Inval);
  }
}

Result<int32_t> sys_waitid(Task& task, int32_t id_type, int32_t id, UserAddr info, int32_t options,
                           UserPtr<rusage> usage) {
  constexpr uint32_t allowed =
      WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD | static_cast<uint32_t>(__WCLONE) | __WALL;
  if (static_cast<uint32_t>(options) & ~allowed) return fail(Errno::Inval);
  if (!(options & (WEXITED | WSTOPPED | WCONTINUED))) return fail(Errno::Inval);
  auto selector = TRY(selector_of_options(options));
  selector.exited = options & WEXITED;
  selector.stopped = options & WSTOPPED;
  selector.no_reap = options & WNOWAIT;
  selector.wants_usage = static_cast<bool>(usage);
  TRY(select_by_id(task, id_type, id, selector));
  auto child = TRY(wait_for_child(task, selector));
  if (!child && selector.no_hang && !(options & WNOHANG)) return fail(Errno::Again);  // a non-blocking pidfd
  SignalInfo out;
  if (child) {
    out.raw.si_signo = SIGCHLD;
    out.raw.si_code = child->code;
    out.raw.si_pid = child->pid;
    out.raw.si_uid = child->uid;
    int s = child->status;
    out.raw.si_status = child->code == CLD_EXITED      ? WEXITSTATUS(s)
                        : child->code == CLD_STOPPED   ? WSTOPSIG(s)
                        : child->code == CLD_CONTINUED ? SIGCONT
                                                       : WTERMSIG(s);
    if (usage) TRY(task.write(usage, to_rusage(child->usage)));
  }
  if (info) TRY(task.copy_out(info, std::as_bytes(std::span(&out, 1)).first(128)));
  return 0;
}

Result<int32_t> sys_clone(Task& task, uint64_t flags, UserAddr stack, UserPtr<int32_t> parent_tid,
                          UserPtr<int32_t> child_tid, uint64_t tls) {
  CloneArguments a;
  a.flags = flags & 0xffffff00u;
  a.exit_signal = static_cast<int>(flags & 0xff);
  a.stack_pointer = stack.value;
  a.parent_tid = parent_tid;
  a.child_tid = child_tid;
  a.pidfd = parent_tid;
  a.tls = tls;
  if ((a.flags & CLONE_PIDFD) && (a.flags & CLONE_PARENT_SETTID)) return fail(Errno::Inval);
  return clone_task(task, a);
}

Result<int32_t> sys_clone3(Task& task, UserAddr arguments, uint64_t size) {
  constexpr uint64_t smallest = 64;  // CLONE_ARGS_SIZE_VER0
  struct Args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
  } args{};
  if (size < smallest) return fail(Errno::Inval);
  if (size > 4096) return fail(Errno::TooBig);
  std::vector<std::byte> raw(size);
  TRY(task.copy_in(arguments, raw));
  std::memcpy(&args, raw.data(), std::min(raw.size(), sizeof args));
  for (size_t i = sizeof args; i < raw.size(); ++i)
    if (raw[i] != std::byte{0}) return fail(Errno::TooBig);
  constexpr uint64_t known = 0x3ffffff00ULL & ~uint64_t{CLONE_DETACHED};
  if (args.flags & ~known) return fail(Errno::Inval);
  if (args.exit_signal & ~uint64_t{0xff}) return fail(Errno::Inval);
  if ((args.flags & (CLONE_THREAD | CLONE_PARENT)) && args.exit_signal) return fail(Errno::Inval);
  if ((args.stack == 0) != (args.stack_size == 0)) return fail(Errno::Inval);
  if (args.flags & 0x200000000ULL /* CLONE_INTO_CGROUP */) return fail(Errno::OpNotSupp);
  if (args.set_tid_size > 32 || (args.set_tid == 0) != (args.set_tid_size == 0)) return fail(Errno::Inval);
  CloneArguments a;
  a.flags = args.flags;
  a.exit_signal = static_cast<int>(args.exit_signal);
  a.stack_pointer = args.stack + args.stack_size;
  a.parent_tid = UserPtr<int32_t>(args.parent_tid);
  a.child_tid = UserPtr<int32_t>(args.child_tid);
  a.pidfd = UserPtr<int32_t>(args.pidfd);
  a.tls = args.tls;
  if (args.set_tid_size) a.set_tid = TRY(task.read_array(UserPtr<int32_t>(args.set_tid), args.set_tid_size));
  return clone_task(task, a);
}

Result<int32_t> sys_fork(Task& task) { return clone_task(task, {.exit_signal = SIGCHLD}); }

Result<int32_t> sys_vfork(Task& task) {
  return clone_task(task, {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD});
}

Result<int32_t> sys_getpid(Task& task) { return task.tgid(); }
Result<int32_t> sys_gettid(Task& task) { return task.tid(); }
Result<int32_t> sys_getppid(Task& task) { return task.thread_group().parent_tgid(); }

Result<int32_t> sys_set_tid_address(Task& task, UserAddr address) {
  task.implementation().clear_child_tid = address.value;
  return task.tid();
}

// The group that `pid` names: the caller's for 0. ESRCH.
static Result<Ref<ThreadGroup>> group_by_pid(Task& task, int32_t pid, ProcessLocked const& lock) {
  if (pid == 0) return Ref<ThreadGroup>(&task.thread_group());
  auto found = task.pids().task(pid, lock);
  if (!found) return fail(Errno::Srch);
  return Ref<ThreadGroup>(&found->thread_group());
}

Result<int32_t> sys_getpgid(Task& task, int32_t pid) {
  ProcessLocked lock(task.kernel());
  auto group = TRY(group_by_pid(task, pid, lock));
  auto pg = group->process_group(lock);
  return pg ? pg->id_in(task.pids()) : 0;
}

Result<int32_t> sys_getpgrp(Task& task) { return sys_getpgid(task, 0); }

Result<int32_t> sys_getsid(Task& task, int32_t pid) {
  ProcessLocked lock(task.kernel());
  auto group = TRY(group_by_pid(task, pid, lock));
  auto pg = group->process_group(lock);
  return pg ? pg->session().id_in(task.pids()) : 0;
}

Result<void> sys_setpgid(Task& task, int32_t pid, int32_t pgid) {
  if (pgid < 0) return fail(Errno::Inval);
  Kernel& kernel = task.kernel();
  ProcessLocked lock(kernel);
  ThreadGroup& self = task.thread_group();
  int32_t target_pid = pid == 0 ? self.tgid() : pid;
  if (pgid == 0) pgid = target_pid;
  PidNamespace& pids = task.pids();
  auto target = pids.group(target_pid, lock);
  if (!target) return fail(Errno::Srch);
  auto& t = target->implementation();
  auto own_group = self.process_group(lock);
  if (!t.process_group || !own_group) return fail(Errno::Srch);
  if (target != &self) {
    if (t.parent != &self) return fail(Errno::Srch);
    if (&t.process_group->session() != &own_group->session()) return fail(Errno::Perm);
    if (t.has_execed) return fail(Errno::Acces);
  }
  if (&t.process_group->session().pid() == &target->pid()) return fail(Errno::Perm);  // a session leader
  if (pgid == t.process_group->id_in(pids)) return {};
  if (pgid == target_pid) {
    auto fresh = pids.process_group(pgid);
    t.process_group =
        fresh ? fresh : make_ref<ProcessGroup>(Ref<Pid>(&target->pid()), Ref<Session>(&t.process_group->session()));
    return {};
  }
  auto existing = pids.process_group(pgid);
  if (!existing || &existing->session() != &own_group->session()) return fail(Errno::Perm);
  t.process_group = existing;
  return {};
}

Result<int32_t> sys_setsid(Task& task) {
  Kernel& kernel = task.kernel();
  ProcessLocked lock(kernel);
  ThreadGroup& self = task.thread_group();
  Ref<Pid> const pid(&self.pid());
  if (task.pids().process_group(self.tgid())) return fail(Errno::Perm);  // it leads a process group
  self.implementation().process_group = make_ref<ProcessGroup>(pid, make_ref<Session>(pid));
  return pid->number();
}

}  // namespace cofferdam::syscalls

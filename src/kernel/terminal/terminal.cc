#include "kernel/terminal.h"

#include <signal.h>

#include "kernel/kernel.h"
#include "kernel/task/exit.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

Session* session_of_group(ThreadGroup const& group, ProcessLocked const& lock) {
  Ref<ProcessGroup> g = group.process_group(lock);
  return g ? &g->session() : nullptr;
}

bool ignores_or_blocks(Task& task, int signal, ProcessLocked const&) {
  if (task.blocked_signals().has(signal)) return true;
  Ref<SignalHandlers> const& handlers = task.thread_group().implementation().handlers;
  return handlers && (*handlers)[signal].handler == 1;  // SIG_IGN
}

bool leads(ThreadGroup const& group, Session const& session) { return &session.pid() == &group.pid(); }

void signal_group_of(Ref<Pid> const& id, int signal, ProcessLocked const& lock) {
  if (!id) return;
  if (Ref<ProcessGroup> group = id->space().process_group(id->number())) signal_group(*group, signal, lock);
}

}  // namespace

void signal_group(ProcessGroup const& group, int signal, ProcessLocked const& lock) {
  for (Ref<ThreadGroup> const& member : group.members(lock))
    (void)member->send_signal(SignalInfo::from_kernel(signal), lock);  // a full queue loses it, as on Linux
}

Ref<Terminal> controlling_terminal(ThreadGroup const& group, ProcessLocked const& lock) {
  Session* session = session_of_group(group, lock);
  return session ? ref_cast<Terminal>(session->controlling_terminal) : Ref<Terminal>();
}

Ref<Terminal> controlling_terminal(Task& task) {
  ProcessLocked lock(task.kernel());
  return controlling_terminal(task.thread_group(), lock);
}

bool Terminal::controls(Task& task, ProcessLocked const& lock) const {
  Session* session = session_of_group(task.thread_group(), lock);
  return session && session->controlling_terminal == this;
}

void Terminal::leave_session(Session& session, ProcessLocked const&) {
  session_ = foreground_ = {};
  session.controlling_terminal = {};
}

void Terminal::set_controlling(ThreadGroup& leader, ProcessLocked const& lock) {
  Ref<ProcessGroup> group = leader.process_group(lock);
  if (!group) return;
  session_ = Ref<Pid>(&group->session().pid());
  foreground_ = Ref<Pid>(&group->pid());
  group->session().controlling_terminal = Ref<Terminal>(this);
}

void Terminal::adopt_on_open(Task& task) {
  ProcessLocked lock(kernel_);
  Session* session = session_of_group(task.thread_group(), lock);
  if (!session || !leads(task.thread_group(), *session) || session->controlling_terminal || session_) return;
  set_controlling(task.thread_group(), lock);
}

Result<void> Terminal::set_controlling(Task& task, bool steal) {
  bool const may_steal = steal && task.capable(CAP_SYS_ADMIN);
  ProcessLocked lock(kernel_);
  Session* session = session_of_group(task.thread_group(), lock);
  if (!session) return fail(Errno::Perm);
  bool const leader = leads(task.thread_group(), *session);
  if (leader && session_ == &session->pid()) return {};  // it is ours already
  if (!leader || session->controlling_terminal) return fail(Errno::Perm);
  if (session_) {
    if (!may_steal) return fail(Errno::Perm);
    for (Ref<ThreadGroup> const& group : kernel_.all_groups(lock)) {
      Session* other = session_of_group(*group, lock);
      if (other && other->controlling_terminal == this) other->controlling_terminal = {};
    }
  }
  set_controlling(task.thread_group(), lock);
  return {};
}

Result<void> Terminal::give_up(Task& task) {
  ProcessLocked lock(kernel_);
  if (!controls(task, lock)) return fail(Errno::NoTty);
  Session* session = session_of_group(task.thread_group(), lock);
  if (!leads(task.thread_group(), *session)) return {};  // a member's own tie is not kept apart from its session's
  Ref<Pid> const foreground = foreground_;
  Ref<Terminal> self(this);
  leave_session(*session, lock);
  signal_group_of(foreground, SIGHUP, lock);
  signal_group_of(foreground, SIGCONT, lock);
  return {};
}

Result<int32_t> Terminal::foreground_of(Task& task, bool any_session) {
  ProcessLocked lock(kernel_);
  if (!any_session && !controls(task, lock)) return fail(Errno::NoTty);
  return foreground_ ? foreground_->number_in(task.pids()) : 0;
}

Result<int32_t> Terminal::session_of(Task& task, bool any_session) {
  ProcessLocked lock(kernel_);
  if (!any_session && !controls(task, lock)) return fail(Errno::NoTty);
  if (!session_) return fail(Errno::NoTty);
  return session_->number_in(task.pids());
}

Result<void> Terminal::set_foreground(Task& task, int32_t group) {
  Result<void> allowed = check_background_change(task);
  if (!allowed) return allowed.error() == Errno::Io ? fail(Errno::NoTty) : allowed;
  ProcessLocked lock(kernel_);
  Session* session = session_of_group(task.thread_group(), lock);
  if (!session || session->controlling_terminal != this || session_ != &session->pid()) return fail(Errno::NoTty);
  if (group < 0) return fail(Errno::Inval);
  Ref<ProcessGroup> wanted = task.pids().process_group(group);
  if (!wanted) return fail(Errno::Srch);
  if (&wanted->session() != session) return fail(Errno::Perm);
  foreground_ = Ref<Pid>(&wanted->pid());
  return {};
}

// __tty_check_change of Linux.
Result<void> Terminal::check_background(Task& task, int signal) {
  ProcessLocked lock(kernel_);
  if (!controls(task, lock)) return {};
  Ref<ProcessGroup> group = task.thread_group().process_group(lock);
  if (!group || !foreground_ || foreground_ == &group->pid()) return {};
  if (ignores_or_blocks(task, signal, lock)) {
    if (signal == SIGTTIN) return fail(Errno::Io);
    return {};
  }
  if (process_group_is_orphaned(*group, nullptr, lock)) return fail(Errno::Io);
  signal_group(*group, signal, lock);
  return fail(Errno::RestartSys);
}

Result<void> Terminal::check_background_read(Task& task) { return check_background(task, SIGTTIN); }
Result<void> Terminal::check_background_change(Task& task) { return check_background(task, SIGTTOU); }

void Terminal::signal_foreground(int signal) {
  ProcessLocked lock(kernel_);
  signal_group_of(foreground_, signal, lock);
}

void Terminal::hang_up_session() {
  ProcessLocked lock(kernel_);
  if (!session_) return;
  Ref<ThreadGroup> leader = session_->space().group(session_->number(), lock);
  Ref<Terminal> self(this);
  Ref<Pid> const foreground = foreground_;
  for (Ref<ThreadGroup> const& group : kernel_.all_groups(lock)) {
    Session* session = session_of_group(*group, lock);
    if (!session || session->controlling_terminal != this) continue;
    session->hung_up_foreground = foreground;
    session->controlling_terminal = {};
  }
  session_ = foreground_ = {};
  if (!leader || leader->exited(lock)) return;
  (void)leader->send_signal(SignalInfo::from_kernel(SIGHUP), lock);
  (void)leader->send_signal(SignalInfo::from_kernel(SIGCONT), lock);
}

void Terminal::forget_session() {
  ProcessLocked lock(kernel_);
  if (!session_) return;
  for (Ref<ThreadGroup> const& group : kernel_.all_groups(lock)) {
    Session* session = session_of_group(*group, lock);
    if (session && session->controlling_terminal == this) session->controlling_terminal = {};
  }
  session_ = foreground_ = {};
}

void disassociate_terminal(ThreadGroup& group, ProcessLocked const& lock) {
  Session* session = session_of_group(group, lock);
  if (!session || !leads(group, *session)) return;
  Ref<Terminal> terminal = ref_cast<Terminal>(session->controlling_terminal);
  if (!terminal) {  // it went before: those that were in its foreground hear of the leader's end
    Ref<Pid> const foreground = std::exchange(session->hung_up_foreground, {});
    signal_group_of(foreground, SIGHUP, lock);
    signal_group_of(foreground, SIGCONT, lock);
    return;
  }
  Ref<Pid> const foreground = terminal->foreground_;
  terminal->leave_session(*session, lock);
  signal_group_of(foreground, SIGHUP, lock);
}

}  // namespace cofferdam::kernel

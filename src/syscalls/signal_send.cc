// Sending signals: kill(2) and its kin.
#include "kernel/ipc/pidfd.h"
#include "kernel/kernel.h"
#include "kernel/signal/delivery.h"
#include "kernel/task/process_internal.h"
#include "syscalls/handlers_signal.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

Result<void> deliver(ThreadGroup& group, Task* thread, SignalInfo const& info, ProcessLocked const& lock) {
  return thread ? thread->send_signal(info, lock) : group.send_signal(info, lock);
}

// Sends to one group or, with a task, to one thread. Signal 0 only checks.
Result<void> send_checked(Task& sender, ThreadGroup& group, Task* thread, SignalInfo const& info,
                          ProcessLocked const& lock) {
  int signal = info.signal();
  if (signal < 0 || signal > signal_count) return fail(Errno::Inval);
  TRY(may_signal(sender, group, signal, lock));
  if (signal == 0) return {};
  if (info.code() != SI_USER && info.code() != SI_TKILL) return deliver(group, thread, info, lock);
  // The sender as the target's namespace knows it.
  SignalInfo seen = info;
  seen.raw.si_pid = group.pids().number_of(sender.thread_group());
  return deliver(group, thread, seen, lock);
}

Result<void> send_to_process_group(Task& sender, ProcessGroup const& target, SignalInfo const& info,
                                   ProcessLocked const& lock) {
  Result<void> last = fail(Errno::Srch);
  bool sent = false;
  for (auto const& group : target.members(lock)) {
    last = send_checked(sender, *group, nullptr, info, lock);
    sent |= last.has_value();
  }
  if (sent) return {};
  return last;
}

// To everybody but init and the sender itself.
Result<void> send_to_all(Task& sender, SignalInfo const& info, ProcessLocked const& lock) {
  Result<void> result = fail(Errno::Srch);
  bool any = false;
  for (auto const& group : sender.pids().groups(lock)) {
    bool const is_init = sender.pids().number_of(*group) == 1;
    if (is_init || group.get() == &sender.thread_group()) continue;
    auto sent = send_checked(sender, *group, nullptr, info, lock);
    if (!any) result = {};
    any = true;
    if (sent || !(sent.error() == Errno::Perm)) result = sent;
  }
  return result;
}

Result<void> send_to_thread(Task& sender, int32_t tgid, int32_t tid, SignalInfo const& info) {
  ProcessLocked lock(sender.kernel());
  auto target = sender.pids().task(tid, lock);
  if (!target || (tgid > 0 && sender.pids().number_of(target->thread_group()) != tgid)) return fail(Errno::Srch);
  return send_checked(sender, target->thread_group(), target.get(), info, lock);
}

SignalInfo from(Task& sender, int signal, int code) {
  return SignalInfo::from_user(signal, code, sender.tgid(), sender.credentials()->uid);
}

// Nobody may pretend to another that the kernel or kill(2) sent a signal.
Result<SignalInfo> read_info(Task& task, UserPtr<SignalInfo> from, int signal, bool to_self) {
  auto info = TRY(task.read(from));
  info.raw.si_signo = signal;
  if ((info.code() >= 0 || info.code() == SI_TKILL) && !to_self) return fail(Errno::Perm);
  return info;
}

}  // namespace

Result<void> sys_kill(Task& task, int32_t pid, SignalNumber signal) {
  auto info = from(task, signal.value, SI_USER);
  auto& pids = task.pids();
  ProcessLocked lock(task.kernel());
  if (pid > 0) {
    auto group = pids.group(pid, lock);
    if (!group) {  // any thread's number serves as its process's
      auto thread = pids.task(pid, lock);
      if (!thread) return fail(Errno::Srch);
      group = Ref<ThreadGroup>(&thread->thread_group());
    }
    return send_checked(task, *group, nullptr, info, lock);
  }
  if (pid == -1) return send_to_all(task, info, lock);
  if (pid == INT32_MIN) return fail(Errno::Srch);
  auto target = pid == 0 ? task.thread_group().process_group(lock) : pids.process_group(-pid);
  if (!target) return fail(Errno::Srch);
  return send_to_process_group(task, *target, info, lock);
}

Result<void> sys_tkill(Task& task, int32_t tid, SignalNumber signal) {
  if (tid <= 0) return fail(Errno::Inval);
  return send_to_thread(task, 0, tid, from(task, signal.value, SI_TKILL));
}

Result<void> sys_tgkill(Task& task, int32_t tgid, int32_t tid, SignalNumber signal) {
  if (tid <= 0 || tgid <= 0) return fail(Errno::Inval);
  return send_to_thread(task, tgid, tid, from(task, signal.value, SI_TKILL));
}

Result<void> sys_rt_sigqueueinfo(Task& task, int32_t pid, SignalNumber signal, UserPtr<SignalInfo> from) {
  auto info = TRY(read_info(task, from, signal.value, pid == task.tgid()));
  ProcessLocked lock(task.kernel());
  auto group = task.pids().group(pid, lock);
  if (!group) return fail(Errno::Srch);
  return send_checked(task, *group, nullptr, info, lock);
}

Result<void> sys_rt_tgsigqueueinfo(Task& task, int32_t tgid, int32_t tid, SignalNumber signal,
                                   UserPtr<SignalInfo> from) {
  auto info = TRY(read_info(task, from, signal.value, tid == task.tid()));
  if (tid <= 0 || tgid <= 0) return fail(Errno::Inval);
  return send_to_thread(task, tgid, tid, info);
}

Result<void> sys_pidfd_send_signal(Task& task, Fd pidfd, SignalNumber signal, UserPtr<SignalInfo> given,
                                   uint32_t flags) {
  constexpr uint32_t to_thread = 1, to_group = 2, to_process_group = 4;  // PIDFD_SIGNAL_*
  if ((flags & ~(to_thread | to_group | to_process_group)) || (flags & (flags - 1))) return fail(Errno::Inval);
  auto file = TRY(task.file(pidfd.value));
  auto group = group_to_signal(*file);
  if (!group) return fail(Errno::BadF);
  bool to_self = group.get() == &task.thread_group();
  auto info = from(task, signal.value, flags & to_thread ? SI_TKILL : SI_USER);
  if (given) {
    if (TRY(task.read(given)).signal() != signal.value) return fail(Errno::Inval);
    info = TRY(read_info(task, given, signal.value, to_self));
  }
  ProcessLocked lock(task.kernel());
  if (group->exited(lock)) return fail(Errno::Srch);
  if (flags & to_process_group) {
    auto members = group->process_group(lock);
    if (!members) return fail(Errno::Srch);
    return send_to_process_group(task, *members, info, lock);
  }
  auto thread = flags & to_thread ? group->leader(lock) : Ref<Task>();
  return send_checked(task, *group, thread.get(), info, lock);
}

}  // namespace cofferdam::syscalls

// Dispositions, masks and waiting for signals.
#include "kernel/kernel.h"
#include "kernel/signal/delivery.h"
#include "kernel/task/process_internal.h"
#include "syscalls/handlers_signal.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

// What of sa_flags is kept (UAPI_SA_FLAGS of Linux); other bits read back as zero, so that programs can probe.
constexpr uint64_t known_action_flags = SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART |
                                        SA_NODEFER | 0x80000000 | 0x04000000 | 0x00000800;

bool is_signal(int n) { return n >= 1 && n <= signal_count; }

Result<SignalSet> read_mask(Task& task, UserPtr<SignalSet> from, uint64_t size) {
  if (size != sizeof(SignalSet)) return fail(Errno::Inval);
  return TRY(task.read(from)).maskable();
}

void discard_ignored(ThreadGroup& group, int signal) {
  auto& g = group.implementation();
  g.pending.discard(SignalSet::of(signal));
  for (auto const& t : g.tasks) t->implementation().pending.discard(SignalSet::of(signal));
}

// Sleeps until a signal (or the end) comes.
void wait_for_signal(Task& task) {
  for (;;) {
    task.prepare_to_wait();
    if (!task.wait(Deadline::never())) return;
  }
}

}  // namespace

Result<void> sys_rt_sigaction(Task& task, SignalNumber signal, UserPtr<SignalAction> act, UserPtr<SignalAction> old,
                              uint64_t set_size) {
  if (set_size != sizeof(SignalSet)) return fail(Errno::Inval);
  std::optional<SignalAction> action;
  if (act) action = TRY(task.read(act));
  int n = signal.value;
  if (!is_signal(n) || (action && (n == SIGKILL || n == SIGSTOP))) return fail(Errno::Inval);
  SignalAction before;
  {
    auto& group = task.thread_group();
    ProcessLocked lock(task.kernel());
    SignalAction& current = (*group.implementation().handlers)[n];
    before = current;
    if (action) {
      action->flags &= known_action_flags;
      action->mask = action->mask.maskable();
      current = *action;
      if (current.handler == signal_ignore || (current.handler == signal_default && default_is_ignore(n)))
        discard_ignored(group, n);
    }
  }
  if (old) TRY(task.write(old, before));
  return {};
}

Result<void> sys_rt_sigprocmask(Task& task, int how, UserPtr<SignalSet> set, UserPtr<SignalSet> old,
                                uint64_t set_size) {
  if (set_size != sizeof(SignalSet)) return fail(Errno::Inval);
  SignalSet before = task.blocked_signals();
  if (set) {
    SignalSet given = TRY(task.read(set)).maskable();
    switch (how) {
      case SIG_BLOCK:
        task.set_blocked_signals(before | given);
        break;
      case SIG_UNBLOCK:
        task.set_blocked_signals(before & ~given);
        break;
      case SIG_SETMASK:
        task.set_blocked_signals(given);
        break;
      default:
        return fail(Errno::Inval);
    }
  }
  if (old) TRY(task.write(old, before));
  return {};
}

Result<void> sys_rt_sigpending(Task& task, UserAddr set, uint64_t set_size) {
  if (set_size > sizeof(SignalSet)) return fail(Errno::Inval);
  SignalSet waiting = pending_signals(task) & task.blocked_signals();
  return task.copy_out(set, std::as_bytes(std::span(&waiting, 1)).first(set_size));
}

Result<uint64_t> sys_rt_sigsuspend(Task& task, UserPtr<SignalSet> mask, uint64_t set_size) {
  SignalSet temporary = TRY(read_mask(task, mask, set_size));
  task.set_temporary_signal_mask(temporary);
  wait_for_signal(task);
  return fail(Errno::RestartNoHand);
}

Result<int> sys_rt_sigtimedwait(Task& task, UserPtr<SignalSet> wanted, UserPtr<SignalInfo> info,
                                UserPtr<timespec> timeout, uint64_t set_size) {
  SignalSet set = TRY(read_mask(task, wanted, set_size));
  auto deadline = Deadline::never();
  if (timeout) deadline = Deadline::after(TRY(to_nanoseconds(TRY(task.read(timeout)))));
  std::optional<SignalInfo> taken;
  auto waited = task.wait_until(signal_arrival(task), EPOLLIN, deadline,
                                [&] { return (taken = take_signal(task, set)).has_value(); });
  // A signal that is not blocked interrupts the wait before it can be seen to have arrived.
  if (!waited && !taken) taken = take_signal(task, set);
  if (!taken) return fail(waited.error() == Errno::TimedOut ? Errno::Again : Errno::Intr);
  if (info) TRY(task.write(info, *taken));
  return taken->signal();
}

Result<uint64_t> sys_rt_sigreturn(Task& task) { return return_from_signal(task); }

Result<void> sys_sigaltstack(Task& task, UserPtr<GuestSignalStack> stack, UserPtr<GuestSignalStack> old) {
  uint64_t stack_pointer = task.context().registers().rsp;
  auto const& current = task.implementation().signal_stack;
  GuestSignalStack before{current.address, signal_stack_flags(task, stack_pointer), 0, current.size};
  if (stack) {
    auto given = TRY(task.read(stack));
    TRY(set_signal_stack(task, given.address, given.flags, given.size, stack_pointer));
  }
  if (old) TRY(task.write(old, before));
  return {};
}

Result<uint64_t> sys_pause(Task& task) {
  wait_for_signal(task);
  return fail(Errno::RestartNoHand);
}

Result<uint64_t> sys_restart_syscall(Task& task) { return task.restart(); }

}  // namespace cofferdam::syscalls

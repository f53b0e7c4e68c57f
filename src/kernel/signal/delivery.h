// Delivery of signals at the edge to the guest: default actions, handler frames, sigreturn, call restarts.
#pragma once

#include <optional>

#include "kernel/task/task.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::kernel {

// The edge to the guest. The run loop calls it before the guest runs, whenever work::signals is set,
// implementation().interrupted holds a call, or implementation().saved_mask is set. Dequeues every deliverable signal:
// ignores it, applies its default action (through run_loop::request_*, after which it returns at once and the loop
// acts), or builds a handler's frame. Resolves implementation().interrupted: EINTR or a restart (rax and rip put back
// to the syscall instruction; restart_syscall for RestartRestartBlock), and restores the saved mask. An interrupted
// call stays unresolved while the task is stopped.
void deliver_pending_signals(Task&);

// Is anything there that deliver_pending_signals would act on? Recomputes work::signals.
void recalculate_pending(Task&, ProcessLocked const&);

// When a task exits: what it would have taken for its group goes to another thread.
void hand_over_group_signals(Task& leaving, ProcessLocked const&);

// rt_sigreturn(2): restores registers, XSAVE state, mask and signal stack from the frame at the stack pointer. On a bad
// frame: SIGSEGV. Returns the rax to go on with.
Result<uint64_t> return_from_signal(Task&);

// sigaltstack(2) with `stack_pointer` the guest's: EPERM, EINVAL, ENOMEM.
Result<void> set_signal_stack(Task&, uint64_t address, int flags, uint64_t size, uint64_t stack_pointer);
// SS_ONSTACK, SS_DISABLE or 0, with SS_AUTODISARM, as sigaltstack reports it.
int signal_stack_flags(Task&, uint64_t stack_pointer);

// signalfd(2), rt_sigtimedwait(2): takes a signal of `wanted` that waits for the task or its group, blocked or not.
std::optional<SignalInfo> take_signal(Task&, SignalSet wanted);
// All that waits for the task or its group (rt_sigpending without regard to the mask). Any thread.
SignalSet pending_signals(Task&);
// Woken with EPOLLIN, under the process lock, when a signal arrives for the task's group or one of its tasks.
WaitQueue& signal_arrival(Task&);

// A POSIX timer's expiry, to a thread or (null) to the group. false: ignored and not queued.
bool send_timer_signal(ThreadGroup&, Task* to, SignalInfo const&, ProcessLocked const&);

// May the sender send `signal` to the group (kill(2))? EPERM.
Result<void> may_signal(Task& sender, ThreadGroup&, int signal, ProcessLocked const&);

// At execve(2): handlers become the default (ignored ones stay ignored), the signal stack goes; unshares CLONE_SIGHAND.
void reset_signals_for_exec(Task&, ProcessLocked const&);

}  // namespace cofferdam::kernel

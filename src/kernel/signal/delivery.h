// Delivery of signals at the edge to the guest: default actions, handler frames, sigreturn, call restarts.
#pragma once

#include "kernel/task/task.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::kernel {

// Called by the run loop before the guest runs, when work::signals may be set. Dequeues every deliverable signal: ignores
// it, applies its default action (through run_loop::request_*), or builds a handler's frame. Resolves task.implementation().interrupted:
// EINTR or a restart (rax and rip put back to the syscall instruction; restart_syscall for RestartRestartBlock), and the saved mask.
void deliver_pending_signals(Task&);

// Is anything there that deliver_pending_signals would act on? Recomputes work::signals.
void recalculate_pending(Task&, ProcessLocked const&);

// rt_sigreturn(2): restores registers, XSAVE state, mask and signal stack from the frame at the stack pointer. On a bad frame:
// SIGSEGV. Returns the rax to go on with.
Result<uint64_t> return_from_signal(Task&);

}  // namespace cofferdam::kernel

// Handlers of this family; each is documented by its man page.
#pragma once

#include "kernel/signal/frame.h"
#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

using kernel::GuestSignalStack;
using kernel::SignalAction;
using kernel::SignalInfo;
using kernel::SignalSet;

Result<void> sys_rt_sigaction(Task&, SignalNumber, UserPtr<SignalAction> act, UserPtr<SignalAction> old,
                              uint64_t set_size);
Result<void> sys_rt_sigprocmask(Task&, int how, UserPtr<SignalSet> set, UserPtr<SignalSet> old, uint64_t set_size);
Result<void> sys_rt_sigpending(Task&, UserAddr set, uint64_t set_size);
Result<uint64_t> sys_rt_sigsuspend(Task&, UserPtr<SignalSet> mask, uint64_t set_size);
Result<int> sys_rt_sigtimedwait(Task&, UserPtr<SignalSet> wanted, UserPtr<SignalInfo> info, UserPtr<timespec> timeout,
                                uint64_t set_size);
Result<uint64_t> sys_rt_sigreturn(Task&);
Result<void> sys_sigaltstack(Task&, UserPtr<GuestSignalStack> stack, UserPtr<GuestSignalStack> old);
Result<uint64_t> sys_pause(Task&);
Result<uint64_t> sys_restart_syscall(Task&);

Result<void> sys_kill(Task&, int32_t pid, SignalNumber);
Result<void> sys_tkill(Task&, int32_t tid, SignalNumber);
Result<void> sys_tgkill(Task&, int32_t tgid, int32_t tid, SignalNumber);
Result<void> sys_rt_sigqueueinfo(Task&, int32_t pid, SignalNumber, UserPtr<SignalInfo> info);
Result<void> sys_rt_tgsigqueueinfo(Task&, int32_t tgid, int32_t tid, SignalNumber, UserPtr<SignalInfo> info);

Result<void> sys_pidfd_send_signal(Task&, Fd pidfd, SignalNumber, UserPtr<SignalInfo> info, uint32_t flags);

}  // namespace cofferdam::syscalls

// Handlers of this family; each is documented by its man page.
#pragma once

#include <sys/resource.h>

#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

Result<uint64_t> sys_exit(Task&, int32_t status);
Result<uint64_t> sys_exit_group(Task&, int32_t status);
Result<int32_t> sys_wait4(Task&, int32_t pid, UserPtr<int32_t> status, int32_t options, UserPtr<rusage> usage);
Result<int32_t> sys_waitid(Task&, int32_t id_type, int32_t id, UserAddr info, int32_t options, UserPtr<rusage> usage);
Result<int32_t> sys_clone(Task&, uint64_t flags, UserAddr stack, UserPtr<int32_t> parent_tid,
                          UserPtr<int32_t> child_tid, uint64_t tls);
Result<int32_t> sys_clone3(Task&, UserAddr arguments, uint64_t size);
Result<int32_t> sys_fork(Task&);
Result<int32_t> sys_vfork(Task&);
Result<uint64_t> sys_execve(Task&, UserCString path, UserPtr<uint64_t> arguments, UserPtr<uint64_t> environment);
Result<uint64_t> sys_execveat(Task&, Fd directory, UserCString path, UserPtr<uint64_t> arguments,
                              UserPtr<uint64_t> environment, int32_t flags);
Result<int32_t> sys_getpid(Task&);
Result<int32_t> sys_gettid(Task&);
Result<int32_t> sys_getppid(Task&);
Result<int32_t> sys_getpgrp(Task&);
Result<int32_t> sys_getpgid(Task&, int32_t pid);
Result<void> sys_setpgid(Task&, int32_t pid, int32_t pgid);
Result<int32_t> sys_getsid(Task&, int32_t pid);
Result<int32_t> sys_setsid(Task&);
Result<int32_t> sys_set_tid_address(Task&, UserAddr address);
Result<uint64_t> sys_arch_prctl(Task&, int32_t option, uint64_t address);
Result<uint64_t> sys_prctl(Task&, int32_t option, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
Result<void> sys_unshare(Task&, uint64_t flags);
Result<void> sys_setns(Task&, Fd, uint64_t type);
Result<uint64_t> sys_seccomp(Task&, uint32_t operation, uint32_t flags, UserAddr arguments);

}  // namespace cofferdam::syscalls

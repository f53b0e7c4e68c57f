// Handlers of this family; each is documented by its man page.
#pragma once

#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

#include "kernel/user_memory.h"
#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

// struct sched_attr of sched(7), all 56 bytes.
struct SchedulingAttributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t clamp_min, clamp_max;
};
static_assert(sizeof(SchedulingAttributes) == 56);

// What the machine is, and settings of the whole sandbox.
Result<void> sys_uname(Task&, UserPtr<utsname>);
Result<void> sys_sethostname(Task&, UserAddr name, int length);
Result<void> sys_setdomainname(Task&, UserAddr name, int length);
Result<void> sys_sysinfo(Task&, UserPtr<struct sysinfo>);
Result<uint64_t> sys_getrandom(Task&, UserAddr buffer, uint64_t length, uint32_t flags);
Result<void> sys_getcpu(Task&, UserPtr<uint32_t> cpu, UserPtr<uint32_t> node, UserAddr unused);
Result<uint64_t> sys_syslog(Task&, int type, UserAddr buffer, int length);
Result<uint64_t> sys_personality(Task&, uint32_t persona);

// What no container may do.
Result<void> sys_reboot(Task&, int magic, int magic2, uint32_t command, UserAddr argument);
Result<void> sys_swapon(Task&, UserCString path, int flags);
Result<void> sys_swapoff(Task&, UserCString path);
Result<void> sys_acct(Task&, UserCString path);
Result<void> sys_kexec_load(Task&);
Result<void> sys_kexec_file_load(Task&);
Result<void> sys_init_module(Task&);
Result<void> sys_finit_module(Task&);
Result<void> sys_delete_module(Task&);
Result<void> sys_iopl(Task&, uint32_t level);
Result<void> sys_ioperm(Task&, uint64_t from, uint64_t count, int on);
Result<void> sys_bpf(Task&, int command);

// Scheduling.
Result<void> sys_sched_yield(Task&);
Result<void> sys_sched_setaffinity(Task&, int32_t pid, uint32_t length, UserAddr mask);
Result<uint64_t> sys_sched_getaffinity(Task&, int32_t pid, uint32_t length, UserAddr mask);
Result<void> sys_sched_setscheduler(Task&, int32_t pid, int policy, UserPtr<int32_t> priority);
Result<int> sys_sched_getscheduler(Task&, int32_t pid);
Result<void> sys_sched_setparam(Task&, int32_t pid, UserPtr<int32_t> priority);
Result<void> sys_sched_getparam(Task&, int32_t pid, UserPtr<int32_t> priority);
Result<void> sys_sched_setattr(Task&, int32_t pid, UserAddr attributes, uint32_t flags);
Result<void> sys_sched_getattr(Task&, int32_t pid, UserAddr attributes, uint32_t size, uint32_t flags);
Result<int> sys_sched_get_priority_max(Task&, int policy);
Result<int> sys_sched_get_priority_min(Task&, int policy);
Result<void> sys_sched_rr_get_interval(Task&, int32_t pid, UserPtr<timespec> interval);
Result<int> sys_getpriority(Task&, int which, int32_t who);
Result<void> sys_setpriority(Task&, int which, int32_t who, int nice);
Result<int> sys_ioprio_get(Task&, int which, int32_t who);
Result<void> sys_ioprio_set(Task&, int which, int32_t who, int priority);

}  // namespace cofferdam::syscalls

template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<struct sysinfo> = true;

// Handlers of this family; each is documented by its man page.
#pragma once

#include <sys/resource.h>

#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

// Of capget(2) and capset(2).
struct CapabilityHeader {
  uint32_t version;
  int32_t pid;
};
struct CapabilityWords {
  uint32_t effective, permitted, inheritable;
};

Result<uint32_t> sys_getuid(Task&);
Result<uint32_t> sys_geteuid(Task&);
Result<uint32_t> sys_getgid(Task&);
Result<uint32_t> sys_getegid(Task&);
Result<void> sys_getresuid(Task&, UserPtr<uint32_t> real, UserPtr<uint32_t> effective, UserPtr<uint32_t> saved);
Result<void> sys_getresgid(Task&, UserPtr<uint32_t> real, UserPtr<uint32_t> effective, UserPtr<uint32_t> saved);
Result<void> sys_setuid(Task&, uint32_t);
Result<void> sys_setgid(Task&, uint32_t);
Result<void> sys_setreuid(Task&, uint32_t real, uint32_t effective);
Result<void> sys_setregid(Task&, uint32_t real, uint32_t effective);
Result<void> sys_setresuid(Task&, uint32_t real, uint32_t effective, uint32_t saved);
Result<void> sys_setresgid(Task&, uint32_t real, uint32_t effective, uint32_t saved);
Result<uint32_t> sys_setfsuid(Task&, uint32_t);
Result<uint32_t> sys_setfsgid(Task&, uint32_t);
Result<uint64_t> sys_getgroups(Task&, int32_t size, UserPtr<uint32_t> list);
Result<void> sys_setgroups(Task&, int32_t size, UserPtr<uint32_t> list);
Result<void> sys_capget(Task&, UserPtr<CapabilityHeader>, UserPtr<CapabilityWords>);
Result<void> sys_capset(Task&, UserPtr<CapabilityHeader>, UserPtr<CapabilityWords>);

Result<void> sys_getrlimit(Task&, uint32_t resource, UserPtr<rlimit> limit);
Result<void> sys_setrlimit(Task&, uint32_t resource, UserPtr<rlimit> limit);
Result<void> sys_prlimit64(Task&, int32_t pid, uint32_t resource, UserPtr<rlimit> limit, UserPtr<rlimit> old);
Result<void> sys_getrusage(Task&, int32_t who, UserPtr<rusage> usage);

}  // namespace cofferdam::syscalls

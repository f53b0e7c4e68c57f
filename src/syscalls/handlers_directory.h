// Handlers of this family; each is documented by its man page.
#pragma once

#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

Result<void> sys_mkdir(Task&, UserCString path, FileMode);
Result<void> sys_mkdirat(Task&, Fd directory, UserCString path, FileMode);
Result<void> sys_rmdir(Task&, UserCString path);
Result<void> sys_unlink(Task&, UserCString path);
Result<void> sys_unlinkat(Task&, Fd directory, UserCString path, int32_t flags);
Result<void> sys_rename(Task&, UserCString from, UserCString to);
Result<void> sys_renameat(Task&, Fd from_directory, UserCString from, Fd to_directory, UserCString to);
Result<void> sys_renameat2(Task&, Fd from_directory, UserCString from, Fd to_directory, UserCString to, uint32_t flags);
Result<void> sys_link(Task&, UserCString from, UserCString to);
Result<void> sys_linkat(Task&, Fd from_directory, UserCString from, Fd to_directory, UserCString to, int32_t flags);
Result<void> sys_symlink(Task&, UserCString target, UserCString path);
Result<void> sys_symlinkat(Task&, UserCString target, Fd directory, UserCString path);
Result<size_t> sys_readlink(Task&, UserCString path, UserAddr buffer, int32_t size);
Result<size_t> sys_readlinkat(Task&, Fd directory, UserCString path, UserAddr buffer, int32_t size);
Result<void> sys_mknod(Task&, UserCString path, FileMode, uint32_t device);
Result<void> sys_mknodat(Task&, Fd directory, UserCString path, FileMode, uint32_t device);
Result<size_t> sys_getdents(Task&, Fd, UserAddr buffer, uint32_t size);
Result<size_t> sys_getdents64(Task&, Fd, UserAddr buffer, uint32_t size);
Result<void> sys_chdir(Task&, UserCString path);
Result<void> sys_fchdir(Task&, Fd);
Result<size_t> sys_getcwd(Task&, UserAddr buffer, uint64_t size);
Result<void> sys_chroot(Task&, UserCString path);
Result<uint32_t> sys_umask(Task&, uint32_t mask);

}  // namespace cofferdam::syscalls

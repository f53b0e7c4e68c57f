// Handlers of this family; each is documented by its man page.
#pragma once

#include <linux/aio_abi.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <utime.h>

#include "syscalls/arguments.h"

struct statx;

namespace cofferdam::syscalls {

Result<size_t> sys_read(Task&, Fd, UserAddr buffer, uint64_t count);
Result<size_t> sys_write(Task&, Fd, UserAddr buffer, uint64_t count);
Result<size_t> sys_pread64(Task&, Fd, UserAddr buffer, uint64_t count, int64_t offset);
Result<size_t> sys_pwrite64(Task&, Fd, UserAddr buffer, uint64_t count, int64_t offset);
Result<size_t> sys_readv(Task&, Fd, UserAddr vector, uint64_t count);
Result<size_t> sys_writev(Task&, Fd, UserAddr vector, uint64_t count);
Result<size_t> sys_preadv(Task&, Fd, UserAddr vector, uint64_t count, uint64_t low, uint64_t high);
Result<size_t> sys_pwritev(Task&, Fd, UserAddr vector, uint64_t count, uint64_t low, uint64_t high);
Result<size_t> sys_preadv2(Task&, Fd, UserAddr vector, uint64_t count, uint64_t low, uint64_t high, int32_t flags);
Result<size_t> sys_pwritev2(Task&, Fd, UserAddr vector, uint64_t count, uint64_t low, uint64_t high, int32_t flags);
Result<uint64_t> sys_lseek(Task&, Fd, int64_t offset, int32_t whence);
Result<size_t> sys_sendfile(Task&, Fd out, Fd in, UserPtr<int64_t> offset, uint64_t count);
Result<size_t> sys_copy_file_range(Task&, Fd in, UserPtr<int64_t> in_offset, Fd out, UserPtr<int64_t> out_offset,
                                   uint64_t count, uint32_t flags);
Result<size_t> sys_splice(Task&, Fd in, UserPtr<int64_t> in_offset, Fd out, UserPtr<int64_t> out_offset, uint64_t count,
                          uint32_t flags);
Result<size_t> sys_tee(Task&, Fd in, Fd out, uint64_t count, uint32_t flags);
Result<size_t> sys_vmsplice(Task&, Fd fd, UserAddr vector, uint64_t count, uint32_t flags);

Result<int> sys_open(Task&, UserCString path, int32_t flags, uint32_t mode);
Result<int> sys_openat(Task&, Fd directory, UserCString path, int32_t flags, uint32_t mode);
Result<int> sys_openat2(Task&, Fd directory, UserCString path, UserAddr how, uint64_t size);
Result<int> sys_creat(Task&, UserCString path, uint32_t mode);
Result<void> sys_truncate(Task&, UserCString path, int64_t size);
Result<void> sys_ftruncate(Task&, Fd, int64_t size);
Result<void> sys_fallocate(Task&, Fd, int32_t mode, int64_t offset, int64_t length);
Result<void> sys_fsync(Task&, Fd);
Result<void> sys_fdatasync(Task&, Fd);
Result<void> sys_sync(Task&);
Result<void> sys_syncfs(Task&, Fd);
Result<void> sys_sync_file_range(Task&, Fd, int64_t offset, int64_t count, uint32_t flags);
Result<void> sys_fadvise64(Task&, Fd, int64_t offset, int64_t length, int32_t advice);
Result<void> sys_readahead(Task&, Fd, int64_t offset, uint64_t count);

Result<void> sys_stat(Task&, UserCString path, UserPtr<struct stat> out);
Result<void> sys_lstat(Task&, UserCString path, UserPtr<struct stat> out);
Result<void> sys_fstat(Task&, Fd, UserPtr<struct stat> out);
Result<void> sys_newfstatat(Task&, Fd directory, UserCString path, UserPtr<struct stat> out, int32_t flags);
Result<void> sys_statx(Task&, Fd directory, UserCString path, int32_t flags, uint32_t mask, UserAddr out);
Result<void> sys_access(Task&, UserCString path, int32_t mode);
Result<void> sys_faccessat(Task&, Fd directory, UserCString path, int32_t mode);
Result<void> sys_faccessat2(Task&, Fd directory, UserCString path, int32_t mode, int32_t flags);
Result<void> sys_statfs(Task&, UserCString path, UserPtr<struct statfs> out);
Result<void> sys_fstatfs(Task&, Fd, UserPtr<struct statfs> out);

Result<void> sys_chmod(Task&, UserCString path, FileMode);
Result<void> sys_fchmod(Task&, Fd, FileMode);
Result<void> sys_fchmodat(Task&, Fd directory, UserCString path, FileMode);
Result<void> sys_fchmodat2(Task&, Fd directory, UserCString path, FileMode, uint32_t flags);
Result<void> sys_chown(Task&, UserCString path, uint32_t uid, uint32_t gid);
Result<void> sys_lchown(Task&, UserCString path, uint32_t uid, uint32_t gid);
Result<void> sys_fchown(Task&, Fd, uint32_t uid, uint32_t gid);
Result<void> sys_fchownat(Task&, Fd directory, UserCString path, uint32_t uid, uint32_t gid, int32_t flags);
Result<void> sys_utime(Task&, UserCString path, UserPtr<utimbuf> times);
Result<void> sys_utimes(Task&, UserCString path, UserPtr<timeval> times);
Result<void> sys_futimesat(Task&, Fd directory, UserCString path, UserPtr<timeval> times);
Result<void> sys_utimensat(Task&, Fd directory, UserCString path, UserPtr<timespec> times, int32_t flags);

Result<size_t> sys_getxattr(Task&, UserCString path, UserCString name, UserAddr value, uint64_t size);
Result<size_t> sys_lgetxattr(Task&, UserCString path, UserCString name, UserAddr value, uint64_t size);
Result<size_t> sys_fgetxattr(Task&, Fd, UserCString name, UserAddr value, uint64_t size);
Result<void> sys_setxattr(Task&, UserCString path, UserCString name, UserAddr value, uint64_t size, int32_t flags);
Result<void> sys_lsetxattr(Task&, UserCString path, UserCString name, UserAddr value, uint64_t size, int32_t flags);
Result<void> sys_fsetxattr(Task&, Fd, UserCString name, UserAddr value, uint64_t size, int32_t flags);
Result<size_t> sys_listxattr(Task&, UserCString path, UserAddr list, uint64_t size);
Result<size_t> sys_llistxattr(Task&, UserCString path, UserAddr list, uint64_t size);
Result<size_t> sys_flistxattr(Task&, Fd, UserAddr list, uint64_t size);
Result<void> sys_removexattr(Task&, UserCString path, UserCString name);
Result<void> sys_lremovexattr(Task&, UserCString path, UserCString name);
Result<void> sys_fremovexattr(Task&, Fd, UserCString name);

using InotifyFlags = Flags<struct InotifyFlagsTag, O_CLOEXEC | O_NONBLOCK>;  // IN_CLOEXEC, IN_NONBLOCK
Result<int> sys_inotify_init(Task&);
Result<int> sys_inotify_init1(Task&, InotifyFlags);
Result<int> sys_inotify_add_watch(Task&, Fd fd, UserCString path, uint32_t mask);
Result<void> sys_inotify_rm_watch(Task&, Fd fd, int32_t wd);

// Asynchronous I/O: aio.cc.
struct AioSignalMask {  // what the last argument of io_pgetevents points at
  uint64_t mask, size;
};
Result<void> sys_io_setup(Task&, uint32_t most, UserPtr<uint64_t> context);
Result<void> sys_io_destroy(Task&, uint64_t context);
Result<int64_t> sys_io_submit(Task&, uint64_t context, int64_t count, UserPtr<uint64_t> requests);
Result<void> sys_io_cancel(Task&, uint64_t context, UserAddr request, UserAddr result);
Result<int64_t> sys_io_getevents(Task&, uint64_t context, int64_t least, int64_t most, UserPtr<io_event> events,
                                 UserPtr<timespec> timeout);
Result<int64_t> sys_io_pgetevents(Task&, uint64_t context, int64_t least, int64_t most, UserPtr<io_event> events,
                                  UserPtr<timespec> timeout, UserPtr<AioSignalMask> mask);

}  // namespace cofferdam::syscalls

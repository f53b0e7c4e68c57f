// open(2), openat2(2), truncate(2), fallocate(2), fsync(2).
#include <fcntl.h>
#include <linux/openat2.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/notify.h"
#include "syscalls/handlers_file.h"
#include "syscalls/path_arguments.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

constexpr int large_file = 0100000;  // O_LARGEFILE, which 64-bit Linux adds by itself
// NOLINTBEGIN(misc-redundant-expression): O_TMPFILE holds O_DIRECTORY
constexpr int valid_flags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |
                            O_ASYNC | O_DIRECT | large_file | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC |
                            O_PATH | O_TMPFILE;
// NOLINTEND(misc-redundant-expression)

Result<int> open_at(Task& task, Fd directory, UserCString path, int flags, mode_t mode, uint64_t resolve) {
  flags |= large_file;
  if (flags & O_PATH) flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  auto at = TRY(path_argument(task, directory, path));
  if (at.text.empty()) return fail(Errno::NoEnt);
  if ((resolve & RESOLVE_IN_ROOT) && at.text.starts_with('/')) {  // the directory is what / means
    at.start = TRY(task.kernel().vfs().start_of(task, directory.value, {}));
    if (!at.start.dentry || !at.start.dentry->is_directory()) return fail(Errno::NotDir);
  }
  auto file = TRY(task.kernel().vfs().open(task, at.start, at.text, flags, mode, resolve));
  return task.files()->install(std::move(file), flags & O_CLOEXEC, descriptor_limit(task));
}

Result<Ref<File>> file_to_truncate(Task& task, Fd fd, int64_t size) {
  if (size < 0) return fail(Errno::Inval);
  auto file = TRY(task.file(fd.value));
  if (!file->writable() || (file->inode() && !S_ISREG(file->inode()->type()))) return fail(Errno::Inval);
  return file;
}

Result<void> check_size_limit(Task& task, int64_t size) {
  uint64_t limit = task.thread_group().limits.current(RLIMIT_FSIZE);
  if (limit == RLIM_INFINITY || static_cast<uint64_t>(size) <= limit) return {};
  (void)task.send_signal(SignalInfo::from_kernel(SIGXFSZ));
  return fail(Errno::FBig);
}

}  // namespace

Result<int> sys_openat(Task& task, Fd directory, UserCString path, int32_t flags, uint32_t mode) {
  return open_at(task, directory, path, flags & valid_flags, mode & 07777, 0);
}

Result<int> sys_open(Task& task, UserCString path, int32_t flags, uint32_t mode) {
  return sys_openat(task, Fd{AT_FDCWD}, path, flags, mode);
}

Result<int> sys_creat(Task& task, UserCString path, uint32_t mode) {
  return sys_openat(task, Fd{AT_FDCWD}, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

Result<int> sys_openat2(Task& task, Fd directory, UserCString path, UserAddr how_address, uint64_t size) {
  if (size < sizeof(open_how)) return fail(Errno::Inval);
  if (size > 4096) return fail(Errno::TooBig);
  std::vector<std::byte> raw(size);
  TRY(task.copy_in(how_address, raw));
  open_how how;
  std::memcpy(&how, raw.data(), sizeof how);
  if (std::any_of(raw.begin() + sizeof how, raw.end(), [](std::byte b) { return b != std::byte{0}; }))
    return fail(Errno::TooBig);
  constexpr uint64_t known_resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH |
                                     RESOLVE_IN_ROOT | RESOLVE_CACHED;
  if (how.flags & ~static_cast<uint64_t>(valid_flags)) return fail(Errno::Inval);
  if (how.resolve & ~known_resolve) return fail(Errno::Inval);
  if ((how.resolve & RESOLVE_BENEATH) && (how.resolve & RESOLVE_IN_ROOT)) return fail(Errno::Inval);
  int flags = static_cast<int>(how.flags);
  bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
  if (creates ? (how.mode & ~uint64_t{07777}) != 0 : how.mode != 0) return fail(Errno::Inval);
  if ((flags & O_PATH) && (flags & ~(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))) return fail(Errno::Inval);
  if ((how.resolve & RESOLVE_CACHED) && (flags & (O_TRUNC | O_CREAT | O_TMPFILE) & ~O_DIRECTORY))
    return fail(Errno::Again);
  return open_at(task, directory, path, flags, static_cast<mode_t>(how.mode), how.resolve);
}

Result<void> sys_truncate(Task& task, UserCString path, int64_t size) {
  if (size < 0) return fail(Errno::Inval);
  auto& vfs = task.kernel().vfs();
  auto at = TRY(lookup_argument(task, Fd{AT_FDCWD}, path, true));
  Inode& inode = *at.dentry->inode();
  if (S_ISDIR(inode.type())) return fail(Errno::IsDir);
  if (!S_ISREG(inode.type())) return fail(Errno::Inval);
  TRY(vfs.permission(*task.credentials(), at, may_write));
  TRY(check_size_limit(task, size));
  auto file = TRY(vfs.open_unnoticed(task, at, O_WRONLY));  // ETXTBSY, and the file system's own way to shorten
  TRY(file->truncate(task, static_cast<uint64_t>(size)));
  notify(at, IN_MODIFY);
  return {};
}

Result<void> sys_ftruncate(Task& task, Fd fd, int64_t size) {
  auto file = TRY(file_to_truncate(task, fd, size));
  TRY(check_size_limit(task, size));
  if (file->inode()) TRY(task.kernel().vfs().strip_privileges(task, *file->inode()));
  TRY(file->truncate(task, static_cast<uint64_t>(size)));
  notify(*file, IN_MODIFY);
  return {};
}

Result<void> sys_fallocate(Task& task, Fd fd, int32_t mode, int64_t offset, int64_t length) {
  auto file = TRY(task.file(fd.value));
  if (offset < 0 || length <= 0) return fail(Errno::Inval);
  constexpr int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE |
                        FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE;
  if (mode & ~known) return fail(Errno::OpNotSupp);
  if ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE)) return fail(Errno::OpNotSupp);
  if (!file->writable()) return fail(Errno::BadF);
  if (file->inode() && S_ISFIFO(file->inode()->type())) return fail(Errno::SPipe);
  if (file->inode() && S_ISDIR(file->inode()->type())) return fail(Errno::IsDir);
  if (!file->inode() || !S_ISREG(file->inode()->type()))
    return file->seekable() ? fail(Errno::NoDev) : fail(Errno::SPipe);
  int64_t end;
  if (__builtin_add_overflow(offset, length, &end)) return fail(Errno::FBig);
  if (!(mode & FALLOC_FL_KEEP_SIZE)) TRY(check_size_limit(task, end));
  TRY(file->allocate(task, mode, static_cast<uint64_t>(offset), static_cast<uint64_t>(length)));
  notify(*file, IN_MODIFY);
  return {};
}

Result<void> sys_fsync(Task& task, Fd fd) { return TRY(task.file(fd.value))->sync(task, false); }
Result<void> sys_fdatasync(Task& task, Fd fd) { return TRY(task.file(fd.value))->sync(task, true); }

Result<void> sys_sync(Task& task) {
  task.kernel().vfs().sync_all(*task.namespaces()->mounts);
  return {};
}

Result<void> sys_syncfs(Task& task, Fd fd) {
  auto file = TRY(task.file(fd.value));
  if (!file->path().mount) return {};
  return file->path().mount->file_system().sync();
}

Result<void> sys_sync_file_range(Task& task, Fd fd, int64_t offset, int64_t count, uint32_t flags) {
  constexpr uint32_t known = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  auto file = TRY(task.file(fd.value));
  if ((flags & ~known) || offset < 0 || count < 0 || offset + count < offset) return fail(Errno::Inval);
  mode_t type = file->inode() ? file->inode()->type() : 0;
  if (!S_ISREG(type) && !S_ISBLK(type) && !S_ISDIR(type) && !S_ISLNK(type)) return fail(Errno::SPipe);
  return file->sync(task, true);
}

Result<void> sys_fadvise64(Task& task, Fd fd, int64_t, int64_t length, int32_t advice) {
  auto file = TRY(task.file(fd.value));
  if (file->inode() && S_ISFIFO(file->inode()->type())) return fail(Errno::SPipe);
  if (!file->seekable() && !file->inode()) return fail(Errno::SPipe);
  if (length < 0 || advice < POSIX_FADV_NORMAL || advice > POSIX_FADV_NOREUSE) return fail(Errno::Inval);
  return {};  // advice: the host's own read-ahead serves
}

Result<void> sys_readahead(Task& task, Fd fd, int64_t, uint64_t) {
  auto file = TRY(task.file(fd.value));
  if (!file->readable()) return fail(Errno::BadF);
  if (!file->inode() || !S_ISREG(file->inode()->type())) return fail(Errno::Inval);
  return {};
}

}  // namespace cofferdam::syscalls

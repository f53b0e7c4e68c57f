// stat(2), statx(2), access(2), statfs(2).
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kernel/kernel.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/mount.h"
#include "syscalls/handlers_file.h"
#include "syscalls/path_arguments.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

struct stat to_stat(Attributes const& a) {
  struct stat s{};
  s.st_dev = a.device;
  s.st_ino = a.inode;
  s.st_nlink = a.link_count;
  s.st_mode = a.mode;
  s.st_uid = a.uid;
  s.st_gid = a.gid;
  s.st_rdev = a.special_device;
  s.st_size = static_cast<off_t>(a.size);
  s.st_blksize = a.block_size;
  s.st_blocks = static_cast<blkcnt_t>(a.blocks);
  s.st_atim = a.accessed;
  s.st_mtim = a.modified;
  s.st_ctim = a.changed;
  return s;
}

statx_timestamp to_statx_time(timespec const& t) {
  return {.tv_sec = t.tv_sec, .tv_nsec = static_cast<uint32_t>(t.tv_nsec), .__reserved = 0};
}

struct statx to_statx(Attributes const& a, Mount const* mount) {
  struct statx s{};
  s.stx_mask = STATX_BASIC_STATS;
  s.stx_blksize = a.block_size;
  s.stx_attributes = a.statx_attributes;
  s.stx_nlink = static_cast<uint32_t>(a.link_count);
  s.stx_uid = a.uid;
  s.stx_gid = a.gid;
  s.stx_mode = static_cast<uint16_t>(a.mode);
  s.stx_ino = a.inode;
  s.stx_size = a.size;
  s.stx_blocks = a.blocks;
  s.stx_atime = to_statx_time(a.accessed);
  s.stx_mtime = to_statx_time(a.modified);
  s.stx_ctime = to_statx_time(a.changed);
  if (a.born) {
    s.stx_btime = to_statx_time(*a.born);
    s.stx_mask |= STATX_BTIME;
  }
  s.stx_rdev_major = major(a.special_device);
  s.stx_rdev_minor = minor(a.special_device);
  s.stx_dev_major = major(a.device);
  s.stx_dev_minor = minor(a.device);
  if (mount) {
    s.stx_mnt_id = static_cast<uint64_t>(mount->id());
    s.stx_mask |= STATX_MNT_ID;
  }
  return s;
}

// What a stat call looks at: an open file (whose own attributes count, a pipe's say) or a path.
struct Target {
  Attributes attributes;
  Ref<Mount> mount;
  bool is_mount_root = false;
};

bool is_mount_root(Path const& p) { return p.mount && p.dentry == p.mount->root(); }

Result<Target> target_of(Task& task, Fd directory, UserCString path, int flags) {
  bool of_descriptor = (flags & AT_EMPTY_PATH) && directory.value != AT_FDCWD;
  std::string text;
  if (path || !of_descriptor) text = TRY(task.read_path(path));
  if (of_descriptor && text.empty()) {
    auto file = TRY(task.file(directory.value, true));
    return Target{TRY(file->attributes()), file->path().mount, is_mount_root(file->path())};
  }
  auto found = TRY(lookup_text(task, directory, text, !(flags & AT_SYMLINK_NOFOLLOW), flags & AT_EMPTY_PATH));
  return Target{TRY(task.kernel().vfs().attributes(found)), found.mount, is_mount_root(found)};
}

Result<void> stat_at(Task& task, Fd directory, UserCString path, UserPtr<struct stat> out, int flags) {
  auto target = TRY(target_of(task, directory, path, flags));
  return task.write(out, to_stat(target.attributes));
}

Result<struct statfs> statfs_of(kernel::Path const& path) {
  auto s = TRY(path.mount->file_system().statfs());
  constexpr long valid = 0x20, nosuid = 2, nodev = 4, noexec = 8, read_only = 1, relatime = 0x1000, noatime = 0x400;
  unsigned long flags = path.mount->flags();
  s.f_flags = valid | (flags & MS_RDONLY ? read_only : 0) | (flags & MS_NOSUID ? nosuid : 0) |
              (flags & MS_NODEV ? nodev : 0) | (flags & MS_NOEXEC ? noexec : 0) |
              (flags & MS_NOATIME ? noatime : relatime);
  return s;
}

}  // namespace

Result<void> sys_newfstatat(Task& task, Fd directory, UserCString path, UserPtr<struct stat> out, int32_t flags) {
  if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) return fail(Errno::Inval);
  return stat_at(task, directory, path, out, flags);
}

Result<void> sys_stat(Task& task, UserCString path, UserPtr<struct stat> out) {
  return stat_at(task, Fd{AT_FDCWD}, path, out, 0);
}

Result<void> sys_lstat(Task& task, UserCString path, UserPtr<struct stat> out) {
  return stat_at(task, Fd{AT_FDCWD}, path, out, AT_SYMLINK_NOFOLLOW);
}

Result<void> sys_fstat(Task& task, Fd fd, UserPtr<struct stat> out) {
  auto file = TRY(task.file(fd.value, true));
  return task.write(out, to_stat(TRY(file->attributes())));
}

Result<void> sys_statx(Task& task, Fd directory, UserCString path, int32_t flags, uint32_t mask, UserAddr out) {
  constexpr int sync_type = AT_STATX_SYNC_TYPE;
  if (mask & STATX__RESERVED) return fail(Errno::Inval);
  if ((flags & sync_type) == sync_type) return fail(Errno::Inval);
  if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | sync_type)) return fail(Errno::Inval);
  auto target = TRY(target_of(task, directory, path, flags));
  struct statx s = to_statx(target.attributes, target.mount.get());
  s.stx_attributes_mask = STATX_ATTR_MOUNT_ROOT | STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND;
  if (target.is_mount_root) s.stx_attributes |= STATX_ATTR_MOUNT_ROOT;
  return task.copy_out(out, std::as_bytes(std::span(&s, 1)));
}

Result<void> sys_faccessat2(Task& task, Fd directory, UserCString path, int32_t mode, int32_t flags) {
  if (mode & ~(R_OK | W_OK | X_OK)) return fail(Errno::Inval);
  if (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) return fail(Errno::Inval);
  auto found = TRY(lookup_argument(task, directory, path, !(flags & AT_SYMLINK_NOFOLLOW), flags & AT_EMPTY_PATH));
  if (mode == F_OK) return {};
  return task.kernel().vfs().access(task, found, mode, flags & AT_EACCESS);
}

Result<void> sys_faccessat(Task& task, Fd directory, UserCString path, int32_t mode) {
  return sys_faccessat2(task, directory, path, mode, 0);
}

Result<void> sys_access(Task& task, UserCString path, int32_t mode) {
  return sys_faccessat2(task, Fd{AT_FDCWD}, path, mode, 0);
}

Result<void> sys_statfs(Task& task, UserCString path, UserPtr<struct statfs> out) {
  auto found = TRY(lookup_argument(task, Fd{AT_FDCWD}, path, true));
  return task.write(out, TRY(statfs_of(found)));
}

Result<void> sys_fstatfs(Task& task, Fd fd, UserPtr<struct statfs> out) {
  auto file = TRY(task.file(fd.value, true));
  if (file->path().mount) return task.write(out, TRY(statfs_of(file->path())));
  struct statfs s{};
  s.f_type = 0x50495045;  // PIPEFS_MAGIC, as good as any of the anonymous file systems' numbers
  s.f_bsize = s.f_frsize = 4096;
  s.f_namelen = 255;
  return task.write(out, s);
}

}  // namespace cofferdam::syscalls

// Names and directories: mkdir(2), unlink(2), rename(2), link(2), symlink(2), readlink(2), mknod(2), getdents(2),
// chdir(2).
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <vector>

#include "kernel/kernel.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/notify.h"
#include "syscalls/handlers_directory.h"
#include "syscalls/path_arguments.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

// Packs entries as getdents64 or getdents lays them out.
class EntryBuffer final : public DirectorySink {
 public:
  EntryBuffer(size_t capacity, bool wide) : capacity_(capacity), wide_(wide) {}
  bool add(std::string_view name, uint64_t inode, unsigned char type, uint64_t next) override {
    // d_ino, d_off, d_reclen; then d_type and the name, or the name with d_type in the record's last byte.
    size_t header = wide_ ? 19 : 18;
    size_t length = (header + name.size() + (wide_ ? 1 : 2) + 7) & ~size_t{7};
    if (bytes_.size() + length > capacity_) {
      full_ = true;
      return false;
    }
    size_t at = bytes_.size();
    bytes_.resize(at + length);
    auto* record = bytes_.data() + at;
    auto short_length = static_cast<uint16_t>(length);
    std::memcpy(record, &inode, 8);
    std::memcpy(record + 8, &next, 8);
    std::memcpy(record + 16, &short_length, 2);
    if (wide_) record[18] = static_cast<std::byte>(type);
    std::memcpy(record + header, name.data(), name.size());
    if (!wide_) record[length - 1] = static_cast<std::byte>(type);
    next_ = next;
    return true;
  }
  std::vector<std::byte> const& bytes() const { return bytes_; }
  bool full() const { return full_; }
  uint64_t next() const { return next_; }

 private:
  std::vector<std::byte> bytes_;
  size_t capacity_;
  bool wide_, full_ = false;
  uint64_t next_ = 0;
};

Result<size_t> read_entries(Task& task, Fd fd, UserAddr buffer, uint32_t size, bool wide) {
  constexpr size_t most = 64 << 10;  // more comes with the next call
  auto file = TRY(task.file(fd.value));
  if (!file->inode() || !S_ISDIR(file->inode()->type())) return fail(Errno::NotDir);
  if (file->inode()->removed()) return fail(Errno::NoEnt);
  EntryBuffer entries(std::min<size_t>(size, most), wide);
  MutexLock lock(file->position_lock);
  TRY(file->iterate(task, file->position, entries));
  notify(*file, IN_ACCESS);
  if (entries.bytes().empty()) return entries.full() ? Result<size_t>(fail(Errno::Inval)) : Result<size_t>(size_t{0});
  TRY(task.copy_out(buffer, entries.bytes()));
  file->position = entries.next();
  return entries.bytes().size();
}

}  // namespace

Result<void> sys_mkdirat(Task& task, Fd directory, UserCString path, FileMode mode) {
  auto at = TRY(path_argument(task, directory, path));
  return task.kernel().vfs().mkdir(task, at.start, at.text, mode.bits & 01777);
}
Result<void> sys_mkdir(Task& task, UserCString path, FileMode mode) { return sys_mkdirat(task, here, path, mode); }

Result<void> sys_unlinkat(Task& task, Fd directory, UserCString path, int32_t flags) {
  if (flags & ~AT_REMOVEDIR) return fail(Errno::Inval);
  auto at = TRY(path_argument(task, directory, path));
  auto& vfs = task.kernel().vfs();
  return flags & AT_REMOVEDIR ? vfs.rmdir(task, at.start, at.text) : vfs.unlink(task, at.start, at.text);
}
Result<void> sys_unlink(Task& task, UserCString path) { return sys_unlinkat(task, here, path, 0); }
Result<void> sys_rmdir(Task& task, UserCString path) { return sys_unlinkat(task, here, path, AT_REMOVEDIR); }

Result<void> sys_renameat2(Task& task, Fd from_directory, UserCString from, Fd to_directory, UserCString to,
                           uint32_t flags) {
  if (flags & ~uint32_t{RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT}) return fail(Errno::Inval);
  if ((flags & RENAME_EXCHANGE) && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT))) return fail(Errno::Inval);
  if ((flags & RENAME_WHITEOUT) && !task.capable(CAP_MKNOD)) return fail(Errno::Perm);
  RenameMode mode = flags & RENAME_EXCHANGE    ? RenameMode::Exchange
                    : flags & RENAME_NOREPLACE ? RenameMode::NoReplace
                    : flags & RENAME_WHITEOUT  ? RenameMode::Whiteout
                                               : RenameMode::Replace;
  auto old_at = TRY(path_argument(task, from_directory, from));
  auto new_at = TRY(path_argument(task, to_directory, to));
  return task.kernel().vfs().rename(task, old_at.start, old_at.text, new_at.start, new_at.text, mode);
}
Result<void> sys_renameat(Task& task, Fd from_directory, UserCString from, Fd to_directory, UserCString to) {
  return sys_renameat2(task, from_directory, from, to_directory, to, 0);
}
Result<void> sys_rename(Task& task, UserCString from, UserCString to) {
  return sys_renameat2(task, here, from, here, to, 0);
}

Result<void> sys_linkat(Task& task, Fd from_directory, UserCString from, Fd to_directory, UserCString to,
                        int32_t flags) {
  if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) return fail(Errno::Inval);
  if ((flags & AT_EMPTY_PATH) && !task.capable(CAP_DAC_READ_SEARCH)) return fail(Errno::NoEnt);
  auto old_path = TRY(lookup_argument(task, from_directory, from, flags & AT_SYMLINK_FOLLOW, flags & AT_EMPTY_PATH));
  auto new_at = TRY(path_argument(task, to_directory, to));
  return task.kernel().vfs().link(task, old_path, new_at.start, new_at.text);
}
Result<void> sys_link(Task& task, UserCString from, UserCString to) {
  return sys_linkat(task, here, from, here, to, 0);
}

Result<void> sys_symlinkat(Task& task, UserCString target, Fd directory, UserCString path) {
  auto text = TRY(task.read_path(target));
  if (text.empty()) return fail(Errno::NoEnt);
  auto at = TRY(path_argument(task, directory, path));
  return task.kernel().vfs().symlink(task, text, at.start, at.text);
}
Result<void> sys_symlink(Task& task, UserCString target, UserCString path) {
  return sys_symlinkat(task, target, here, path);
}

Result<size_t> sys_readlinkat(Task& task, Fd directory, UserCString path, UserAddr buffer, int32_t size) {
  if (size <= 0) return fail(Errno::Inval);
  auto const given = TRY(task.read_path(path));
  auto const at = lookup_text(task, directory, given, false, true);
  if (given.empty() && (!at ? at.error() == Errno::Inval : !S_ISLNK(at->dentry->inode()->type())))
    return fail(Errno::NoEnt);
  auto const found = TRY(at);
  if (!S_ISLNK(found.dentry->inode()->type())) return fail(Errno::Inval);
  auto text = TRY(task.kernel().vfs().read_link(task, found));
  size_t n = std::min<size_t>(text.size(), static_cast<size_t>(size));
  TRY(task.copy_out(buffer, as_bytes(std::string_view(text).substr(0, n))));
  return n;
}
Result<size_t> sys_readlink(Task& task, UserCString path, UserAddr buffer, int32_t size) {
  return sys_readlinkat(task, here, path, buffer, size);
}

Result<void> sys_mknodat(Task& task, Fd directory, UserCString path, FileMode mode, uint32_t device) {
  mode_t type = mode.bits & S_IFMT;
  if (S_ISDIR(type)) return fail(Errno::Perm);
  if (type != 0 && !S_ISREG(type) && !S_ISCHR(type) && !S_ISBLK(type) && !S_ISFIFO(type) && !S_ISSOCK(type))
    return fail(Errno::Inval);
  auto at = TRY(path_argument(task, directory, path));
  // The call's 32-bit number: 12 bits of major, 20 of minor (new_decode_dev of Linux).
  uint64_t wide = makedev((device & 0xfff00) >> 8, (device & 0xff) | ((device >> 12) & 0xfff00));
  return task.kernel().vfs().mknod(task, at.start, at.text, (type ? type : S_IFREG) | (mode.bits & 07777), wide);
}
Result<void> sys_mknod(Task& task, UserCString path, FileMode mode, uint32_t device) {
  return sys_mknodat(task, here, path, mode, device);
}

Result<size_t> sys_getdents64(Task& task, Fd fd, UserAddr buffer, uint32_t size) {
  return read_entries(task, fd, buffer, size, true);
}
Result<size_t> sys_getdents(Task& task, Fd fd, UserAddr buffer, uint32_t size) {
  return read_entries(task, fd, buffer, size, false);
}

Result<void> sys_chdir(Task& task, UserCString path) {
  return task.kernel().vfs().chdir(task, TRY(lookup_argument(task, here, path, true)));
}

Result<void> sys_fchdir(Task& task, Fd fd) {
  auto file = TRY(task.file(fd.value, true));
  if (!file->path()) return fail(Errno::NotDir);
  return task.kernel().vfs().chdir(task, file->path());
}

Result<size_t> sys_getcwd(Task& task, UserAddr buffer, uint64_t size) {
  auto fs = task.fs();
  auto cwd = fs->cwd();
  if (cwd.dentry->is_unlinked()) return fail(Errno::NoEnt);
  std::string text = task.kernel().vfs().path_text(cwd, fs->root());
  if (text.size() + 1 > 4096) return fail(Errno::NameTooLong);
  if (text.size() + 1 > size) return fail(Errno::Range);
  TRY(task.copy_out(buffer, std::as_bytes(std::span(text.c_str(), text.size() + 1))));
  return text.size() + 1;
}

Result<void> sys_chroot(Task& task, UserCString path) {
  return task.kernel().vfs().chroot(task, TRY(lookup_argument(task, here, path, true)));
}

Result<uint32_t> sys_umask(Task& task, uint32_t mask) { return task.fs()->exchange_umask(mask & 0777); }

}  // namespace cofferdam::syscalls

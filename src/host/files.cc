#include "host/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace cofferdam::host {
namespace {

// A component as a C string, without the heap.
class Name {
 public:
  explicit Name(std::string_view s) { text_[s.copy(text_, sizeof text_ - 1)] = 0; }
  operator char const*() const { return text_; }

 private:
  char text_[256];
};

Result<void> done(int r) {
  if (r < 0) return fail_host(errno);
  return {};
}

constexpr size_t max_xattr = 64 << 10;
constexpr int fchmodat2_number = 452;

}  // namespace

Result<OwnedFd> open_at(int directory, std::string_view name, int flags, mode_t mode) {
  int extra = O_NOFOLLOW | O_CLOEXEC;
  if (!(flags & O_PATH)) extra |= O_NOCTTY | O_NONBLOCK;
  int fd = ::openat(directory, Name(name), flags | extra, mode);
  if (fd < 0) return fail_host(errno);
  return OwnedFd(fd);
}

Result<OwnedFd> open_self(int directory) {
  int fd = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_host(errno);
  return OwnedFd(fd);
}

Result<struct ::statx> stat_at(int directory, std::string_view name) {
  struct ::statx s{};
  int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name.empty() ? AT_EMPTY_PATH : 0);
  long r =
      ::syscall(SYS_statx, directory, static_cast<char const*>(Name(name)), flags, STATX_BASIC_STATS | STATX_BTIME, &s);
  if (r < 0) return fail_host(errno);
  return s;
}

Result<std::string> read_link_at(int directory, std::string_view name) {
  char text[4096];
  ssize_t n = ::readlinkat(directory, Name(name), text, sizeof text);
  if (n < 0) return fail_host(errno);
  return std::string(text, static_cast<size_t>(n));
}

Result<void> make_directory_at(int directory, std::string_view name, mode_t mode) {
  return done(::mkdirat(directory, Name(name), mode));
}

Result<void> make_node_at(int directory, std::string_view name, mode_t mode, uint64_t device) {
  return done(::mknodat(directory, Name(name), mode, device));
}

Result<void> make_symlink_at(std::string_view target, int directory, std::string_view name) {
  return done(::symlinkat(std::string(target).c_str(), directory, Name(name)));
}

Result<void> link_at(int old_directory, std::string_view old_name, int directory, std::string_view name) {
  return done(::linkat(old_directory, Name(old_name), directory, Name(name), old_name.empty() ? AT_EMPTY_PATH : 0));
}

Result<void> unlink_at(int directory, std::string_view name, bool is_directory) {
  return done(::unlinkat(directory, Name(name), is_directory ? AT_REMOVEDIR : 0));
}

Result<void> rename_at(int old_directory, std::string_view old_name, int directory, std::string_view name,
                       unsigned flags) {
  // Not the C library's renameat2, which calls renameat when there are no flags: the jail knows one of them.
  Name const from(old_name), to(name);
  return done(static_cast<int>(::syscall(SYS_renameat2, old_directory, static_cast<char const*>(from), directory,
                                         static_cast<char const*>(to), flags)));
}

Result<void> change_owner_at(int directory, std::string_view name, uid_t uid, gid_t gid) {
  return done(::fchownat(directory, Name(name), uid, gid, AT_SYMLINK_NOFOLLOW | (name.empty() ? AT_EMPTY_PATH : 0)));
}

Result<void> change_mode_at(int directory, std::string_view name, mode_t mode) {
  int flags = AT_SYMLINK_NOFOLLOW | (name.empty() ? AT_EMPTY_PATH : 0);
  if (::syscall(fchmodat2_number, directory, static_cast<char const*>(Name(name)), mode, flags) == 0) return {};
  if (errno != ENOSYS) return fail_host(errno);
  // Before Linux 6.6: by a descriptor, since fchmodat(2) follows symlinks.
  if (name.empty()) return done(::fchmod(directory, mode));
  OwnedFd fd = TRY(open_at(directory, name, O_RDONLY));
  return done(::fchmod(fd.get(), mode));
}

Result<void> change_times_at(int directory, std::string_view name, timespec const (&times)[2]) {
  return done(::utimensat(directory, Name(name), times, AT_SYMLINK_NOFOLLOW | (name.empty() ? AT_EMPTY_PATH : 0)));
}

Result<void> truncate_file(int fd, uint64_t size) { return done(::ftruncate(fd, static_cast<off_t>(size))); }

Result<void> allocate_file(int fd, int mode, uint64_t offset, uint64_t length) {
  return done(::fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(length)));
}

Result<void> sync_file(int fd, bool data_only) { return done(data_only ? ::fdatasync(fd) : ::fsync(fd)); }

Result<void> sync_file_system(int fd) { return done(::syncfs(fd)); }

Result<struct ::statfs> stat_file_system(int fd) {
  struct ::statfs s{};
  if (::fstatfs(fd, &s) < 0) return fail_host(errno);
  return s;
}

Result<uint64_t> seek_file(int fd, int64_t offset, int whence) {
  off_t r = ::lseek(fd, offset, whence);
  if (r < 0) return fail_host(errno);
  return static_cast<uint64_t>(r);
}

Result<size_t> read_entries(int fd, std::span<std::byte> to) {
  long n = ::syscall(SYS_getdents64, fd, to.data(), to.size());
  if (n < 0) return fail_host(errno);
  return static_cast<size_t>(n);
}

Result<size_t> read_at(int fd, std::span<std::byte> to, uint64_t offset) {
  ssize_t n = ::pread(fd, to.data(), to.size(), static_cast<off_t>(offset));
  if (n < 0) return fail_host(errno);
  return static_cast<size_t>(n);
}

Result<size_t> write_at(int fd, std::span<std::byte const> from, uint64_t offset) {
  ssize_t n = ::pwrite(fd, from.data(), from.size(), static_cast<off_t>(offset));
  if (n < 0) return fail_host(errno);
  return static_cast<size_t>(n);
}

Result<size_t> read_host(int fd, std::span<std::byte> to, int64_t offset) {
  ssize_t n = offset < 0 ? ::read(fd, to.data(), to.size()) : ::pread(fd, to.data(), to.size(), offset);
  if (n < 0) return fail_host(errno);
  return static_cast<size_t>(n);
}

Result<size_t> write_host(int fd, std::span<std::byte const> from, int64_t offset) {
  ssize_t n = offset < 0 ? ::write(fd, from.data(), from.size()) : ::pwrite(fd, from.data(), from.size(), offset);
  if (n < 0) return fail_host(errno);
  return static_cast<size_t>(n);
}

Result<size_t> copy_range(int from, uint64_t from_offset, int to, uint64_t to_offset, size_t n) {
  auto in = static_cast<off_t>(from_offset), out = static_cast<off_t>(to_offset);
  ssize_t r = ::copy_file_range(from, &in, to, &out, n, 0);
  if (r < 0) return fail_host(errno);
  return static_cast<size_t>(r);
}

Result<int> access_mode(int fd) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return fail_host(errno);
  return flags & O_PATH ? O_PATH : flags & O_ACCMODE;
}

namespace {

struct flock as_flock(LockKind kind, uint64_t first, uint64_t last) {
  struct flock l{};
  l.l_type = kind == LockKind::None ? F_UNLCK : kind == LockKind::Shared ? F_RDLCK : F_WRLCK;
  l.l_whence = SEEK_SET;
  constexpr uint64_t most = INT64_MAX;
  l.l_start = static_cast<off_t>(std::min(first, most));
  l.l_len = last >= most ? 0 : static_cast<off_t>(last - first + 1);
  return l;
}

}  // namespace

Result<void> set_record_lock(int fd, LockKind kind, uint64_t first, uint64_t last) {
  struct flock l = as_flock(kind, first, last);
  return done(::fcntl(fd, F_OFD_SETLK, &l));
}

Result<std::optional<HeldLock>> test_record_lock(int fd, LockKind kind, uint64_t first, uint64_t last) {
  struct flock l = as_flock(kind, first, last);
  TRY(done(::fcntl(fd, F_OFD_GETLK, &l)));
  if (l.l_type == F_UNLCK) return std::nullopt;
  auto const start = static_cast<uint64_t>(l.l_start);
  return HeldLock{l.l_type == F_WRLCK, start, l.l_len == 0 ? UINT64_MAX : start + static_cast<uint64_t>(l.l_len) - 1};
}

Result<void> set_whole_lock(int fd, LockKind kind) {
  int const operation = kind == LockKind::None ? LOCK_UN : kind == LockKind::Shared ? LOCK_SH : LOCK_EX;
  return done(::flock(fd, operation | LOCK_NB));
}

Result<std::string> get_xattr(int fd, std::string const& name) {
  std::string value(256, 0);
  for (;;) {
    ssize_t n = ::fgetxattr(fd, name.c_str(), value.data(), value.size());
    if (n >= 0) {
      value.resize(static_cast<size_t>(n));
      return value;
    }
    if (errno != ERANGE || value.size() >= max_xattr) return fail_host(errno);
    value.resize(max_xattr);
  }
}

Result<void> set_xattr(int fd, std::string const& name, std::string_view value, int flags) {
  return done(::fsetxattr(fd, name.c_str(), value.data(), value.size(), flags));
}

Result<void> remove_xattr(int fd, std::string const& name) { return done(::fremovexattr(fd, name.c_str())); }

Result<std::vector<std::string>> list_xattr(int fd) {
  std::string all(max_xattr, 0);
  ssize_t n = ::flistxattr(fd, all.data(), all.size());
  if (n < 0) return fail_host(errno);
  all.resize(static_cast<size_t>(n));
  std::vector<std::string> names;
  for (size_t at = 0; at < all.size(); at += names.back().size() + 1) names.emplace_back(all.c_str() + at);
  return names;
}

void clear_umask() { ::umask(0); }

}  // namespace cofferdam::host

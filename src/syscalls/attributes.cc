// chmod(2), chown(2), utimensat(2).
#include "kernel/vfs/attributes.h"

#include <fcntl.h>

#include "kernel/kernel.h"
#include "kernel/vfs/inode.h"
#include "syscalls/handlers_file.h"
#include "syscalls/path_arguments.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

Result<void> change_mode(Task& task, kernel::Path const& path, FileMode mode) {
  return task.kernel().vfs().set_attributes(task, path, {.mode = mode.bits & 07777});
}

Result<void> change_owner(Task& task, kernel::Path const& path, uint32_t uid, uint32_t gid) {
  AttributeChange change;
  if (uid != UINT32_MAX) change.uid = uid;
  if (gid != UINT32_MAX) change.gid = gid;
  return task.kernel().vfs().set_attributes(task, path, change);
}

AttributeChange::Time exact(timespec t) { return {.now = false, .value = t}; }

Result<void> set_times(Task& task, kernel::Path const& path, std::optional<AttributeChange::Time> accessed,
                       std::optional<AttributeChange::Time> modified) {
  if (!accessed && !modified) return {};
  AttributeChange change;
  change.accessed = accessed;
  change.modified = modified;
  return task.kernel().vfs().set_attributes(task, path, change);
}

Result<std::optional<AttributeChange::Time>> time_argument(timespec const& t) {
  if (t.tv_nsec == UTIME_OMIT) return std::optional<AttributeChange::Time>();
  if (t.tv_nsec == UTIME_NOW) return std::optional(AttributeChange::Time{.now = true});
  if (t.tv_nsec < 0 || t.tv_nsec >= ns_per_second) return fail(Errno::Inval);
  return std::optional(exact(t));
}

Result<void> set_times_from_timevals(Task& task, kernel::Path const& path, UserPtr<timeval> times) {
  if (!times) return set_times(task, path, AttributeChange::Time{.now = true}, AttributeChange::Time{.now = true});
  timeval t[2] = {TRY(task.read(times)), TRY(task.read(TRY(times.at(1))))};
  for (auto const& v : t)
    if (v.tv_usec < 0 || v.tv_usec >= 1'000'000) return fail(Errno::Inval);
  return set_times(task, path, exact({t[0].tv_sec, t[0].tv_usec * 1000}), exact({t[1].tv_sec, t[1].tv_usec * 1000}));
}

}  // namespace

Result<void> sys_fchmodat2(Task& task, Fd directory, UserCString path, FileMode mode, uint32_t flags) {
  if (flags & ~uint32_t{AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH}) return fail(Errno::Inval);
  auto found = TRY(lookup_argument(task, directory, path, !(flags & AT_SYMLINK_NOFOLLOW), flags & AT_EMPTY_PATH));
  return change_mode(task, found, mode);
}

Result<void> sys_fchmodat(Task& task, Fd directory, UserCString path, FileMode mode) {
  return sys_fchmodat2(task, directory, path, mode, 0);
}

Result<void> sys_chmod(Task& task, UserCString path, FileMode mode) {
  return sys_fchmodat2(task, Fd{AT_FDCWD}, path, mode, 0);
}

Result<void> sys_fchmod(Task& task, Fd fd, FileMode mode) {
  return change_mode(task, TRY(path_of_descriptor(task, fd, false)), mode);
}

Result<void> sys_fchownat(Task& task, Fd directory, UserCString path, uint32_t uid, uint32_t gid, int32_t flags) {
  if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) return fail(Errno::Inval);
  auto found = TRY(lookup_argument(task, directory, path, !(flags & AT_SYMLINK_NOFOLLOW), flags & AT_EMPTY_PATH));
  return change_owner(task, found, uid, gid);
}

Result<void> sys_chown(Task& task, UserCString path, uint32_t uid, uint32_t gid) {
  return sys_fchownat(task, Fd{AT_FDCWD}, path, uid, gid, 0);
}

Result<void> sys_lchown(Task& task, UserCString path, uint32_t uid, uint32_t gid) {
  return sys_fchownat(task, Fd{AT_FDCWD}, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

Result<void> sys_fchown(Task& task, Fd fd, uint32_t uid, uint32_t gid) {
  return change_owner(task, TRY(path_of_descriptor(task, fd, false)), uid, gid);
}

Result<void> sys_utimensat(Task& task, Fd directory, UserCString path, UserPtr<timespec> times, int32_t flags) {
  if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) return fail(Errno::Inval);
  std::optional<AttributeChange::Time> accessed(AttributeChange::Time{.now = true}),
      modified(AttributeChange::Time{.now = true});
  if (times) {
    accessed = TRY(time_argument(TRY(task.read(times))));
    modified = TRY(time_argument(TRY(task.read(TRY(times.at(1))))));
  }
  if (!path) {  // futimens: the descriptor itself
    if (flags) return fail(Errno::Inval);
    return set_times(task, TRY(path_of_descriptor(task, directory, false)), accessed, modified);
  }
  auto found = TRY(lookup_argument(task, directory, path, !(flags & AT_SYMLINK_NOFOLLOW), flags & AT_EMPTY_PATH));
  return set_times(task, found, accessed, modified);
}

Result<void> sys_futimesat(Task& task, Fd directory, UserCString path, UserPtr<timeval> times) {
  if (!path) return set_times_from_timevals(task, TRY(path_of_descriptor(task, directory, false)), times);
  return set_times_from_timevals(task, TRY(lookup_argument(task, directory, path, true)), times);
}

Result<void> sys_utimes(Task& task, UserCString path, UserPtr<timeval> times) {
  return sys_futimesat(task, Fd{AT_FDCWD}, path, times);
}

Result<void> sys_utime(Task& task, UserCString path, UserPtr<utimbuf> times) {
  auto found = TRY(lookup_argument(task, Fd{AT_FDCWD}, path, true));
  if (!times) return set_times_from_timevals(task, found, {});
  utimbuf t = TRY(task.read(times));
  return set_times(task, found, exact({t.actime, 0}), exact({t.modtime, 0}));
}

}  // namespace cofferdam::syscalls

// mount(2), umount2(2), pivot_root(2).
#include <sys/mount.h>

#include "kernel/kernel.h"
#include "syscalls/handlers_mount.h"
#include "syscalls/path_arguments.h"

namespace cofferdam::syscalls {

using namespace kernel;

Result<void> sys_mount(Task& task, UserCString source, UserCString target, UserCString type, uint64_t flags,
                       UserAddr data) {
  if (!task.capable(CAP_SYS_ADMIN)) return fail(Errno::Perm);
  constexpr uint64_t magic = 0xc0ed0000, magic_mask = 0xffff0000;
  if ((flags & magic_mask) == magic) flags &= ~magic_mask;
  std::string source_text, type_text, data_text;
  if (source) source_text = TRY(task.read_path(source));
  if (type) type_text = TRY(task.read_string(type, 4096));
  if (data) {
    // A page, or less where the memory ends.
    data_text.resize(4096);
    size_t n = task.context().copy_in_partial(data.value, std::as_writable_bytes(std::span(data_text)));
    if (n == 0) return fail(Errno::Fault);
    data_text.resize(strnlen(data_text.data(), n));
  }
  auto at = TRY(lookup_argument(task, Fd{AT_FDCWD}, target, true));
  return task.kernel().vfs().mount(task, source_text, at, type_text, flags, data_text);
}

Result<void> sys_umount2(Task& task, UserCString target, int32_t flags) {
  if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)) return fail(Errno::Inval);
  if (!task.capable(CAP_SYS_ADMIN)) return fail(Errno::Perm);
  auto at = TRY(lookup_argument(task, Fd{AT_FDCWD}, target, !(flags & UMOUNT_NOFOLLOW)));
  return task.kernel().vfs().unmount(task, at, flags);
}

Result<void> sys_pivot_root(Task& task, UserCString new_root, UserCString put_old) {
  if (!task.capable(CAP_SYS_ADMIN)) return fail(Errno::Perm);
  auto root = TRY(lookup_argument(task, Fd{AT_FDCWD}, new_root, true));
  auto old = TRY(lookup_argument(task, Fd{AT_FDCWD}, put_old, true));
  return task.kernel().vfs().pivot_root(task, root, old);
}

}  // namespace cofferdam::syscalls

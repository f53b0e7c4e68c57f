// xattr(7): getxattr(2), setxattr(2), listxattr(2), removexattr(2) and their l- and f- forms.
#include <linux/limits.h>
#include <sys/xattr.h>

#include "kernel/kernel.h"
#include "kernel/vfs/file_capabilities.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/notify.h"
#include "syscalls/handlers_file.h"
#include "syscalls/path_arguments.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

Result<kernel::Path> path_of(Task& task, Fd fd) {
  auto file = TRY(task.file(fd.value));
  if (!file->path()) return fail(Errno::OpNotSupp);
  return file->path();
}

Result<std::string> name_argument(Task& task, UserCString name) {
  auto text = task.read_string(name, XATTR_NAME_MAX + 1);
  if (!text) return text.error() == Errno::NameTooLong ? Result<std::string>(fail(Errno::Range)) : text;
  if (text->empty()) return fail(Errno::Range);
  return text;
}

// A namespace and a name in it.
Result<void> check_name(std::string_view name) {
  for (std::string_view prefix : {"user.", "trusted.", "security."})
    if (name == prefix) return fail(Errno::Inval);
  return {};
}

// xattr(7): who may touch which namespace.
Result<void> check(Task& task, kernel::Path const& path, std::string_view name, bool writing) {
  auto who = task.credentials();
  Inode& inode = *path.dentry->inode();
  if (writing && path.mount->read_only()) return fail(Errno::RoFs);
  if (name.starts_with("security.") || name.starts_with("system.")) {
    bool const capability = name == capability_xattr;
    if (writing && name.starts_with("security.") && !who->capable(capability ? CAP_SETFCAP : CAP_SYS_ADMIN))
      return fail(Errno::Perm);
    return check_name(name);
  }
  if (name.starts_with("trusted.")) {
    if (who->capable(CAP_SYS_ADMIN)) return check_name(name);
    return writing ? fail(Errno::Perm) : fail(Errno::NoData);
  }
  if (!name.starts_with("user.")) return fail(Errno::OpNotSupp);
  if (!S_ISREG(inode.type()) && !S_ISDIR(inode.type())) return writing ? fail(Errno::Perm) : fail(Errno::NoData);
  if (writing && S_ISDIR(inode.type()) && !who->capable(CAP_FOWNER)) {
    Attributes const a = TRY(inode.attributes());
    if ((a.mode & S_ISVTX) && a.uid != who->fsuid) return fail(Errno::Perm);
  }
  TRY(check_name(name));
  return task.kernel().vfs().permission(*who, path, writing ? may_write : may_read);
}

Result<size_t> give(Task& task, std::string_view value, UserAddr to, uint64_t size) {
  if (size == 0) return value.size();
  if (value.size() > size) return fail(Errno::Range);
  TRY(task.copy_out(to, as_bytes(value)));
  return value.size();
}

Result<size_t> get(Task& task, Result<kernel::Path> path, UserCString name, UserAddr value, uint64_t size) {
  auto text = TRY(name_argument(task, name));
  auto at = TRY(std::move(path));
  TRY(check(task, at, text, false));
  return give(task, TRY(at.dentry->inode()->get_xattr(text)), value, size);
}

Result<void> set(Task& task, Result<kernel::Path> path, UserCString name, UserAddr value, uint64_t size, int flags) {
  if (flags & ~(XATTR_CREATE | XATTR_REPLACE)) return fail(Errno::Inval);
  auto text = TRY(name_argument(task, name));
  if (size > XATTR_SIZE_MAX) return fail(Errno::TooBig);
  std::string bytes(size, '\0');
  if (size) TRY(task.copy_in(value, std::as_writable_bytes(std::span(bytes))));
  auto at = TRY(std::move(path));
  TRY(check(task, at, text, true));
  Inode& inode = *at.dentry->inode();
  if (text == capability_xattr) {
    if (!parse_file_capabilities(bytes)) return fail(Errno::Inval);
    note_capable_file(task.kernel().vfs(), inode);
  }
  TRY(inode.set_xattr(text, bytes, flags));
  notify(at, IN_ATTRIB);
  return {};
}

Result<size_t> list(Task& task, Result<kernel::Path> path, UserAddr to, uint64_t size) {
  auto at = TRY(std::move(path));
  std::string all;
  bool sees_trusted = task.capable(CAP_SYS_ADMIN);
  for (auto const& name : TRY(at.dentry->inode()->list_xattr()))
    if (sees_trusted || !name.starts_with("trusted.")) all.append(name).push_back('\0');
  return give(task, all, to, size);
}

Result<void> remove(Task& task, Result<kernel::Path> path, UserCString name) {
  auto text = TRY(name_argument(task, name));
  auto at = TRY(std::move(path));
  TRY(check(task, at, text, true));
  TRY(at.dentry->inode()->remove_xattr(text));
  notify(at, IN_ATTRIB);
  return {};
}

}  // namespace

Result<size_t> sys_getxattr(Task& task, UserCString path, UserCString name, UserAddr value, uint64_t size) {
  return get(task, lookup_argument(task, here, path, true), name, value, size);
}
Result<size_t> sys_lgetxattr(Task& task, UserCString path, UserCString name, UserAddr value, uint64_t size) {
  return get(task, lookup_argument(task, here, path, false), name, value, size);
}
Result<size_t> sys_fgetxattr(Task& task, Fd fd, UserCString name, UserAddr value, uint64_t size) {
  return get(task, path_of(task, fd), name, value, size);
}
Result<void> sys_setxattr(Task& task, UserCString path, UserCString name, UserAddr value, uint64_t size,
                          int32_t flags) {
  return set(task, lookup_argument(task, here, path, true), name, value, size, flags);
}
Result<void> sys_lsetxattr(Task& task, UserCString path, UserCString name, UserAddr value, uint64_t size,
                           int32_t flags) {
  return set(task, lookup_argument(task, here, path, false), name, value, size, flags);
}
Result<void> sys_fsetxattr(Task& task, Fd fd, UserCString name, UserAddr value, uint64_t size, int32_t flags) {
  return set(task, path_of(task, fd), name, value, size, flags);
}
Result<size_t> sys_listxattr(Task& task, UserCString path, UserAddr to, uint64_t size) {
  return list(task, lookup_argument(task, here, path, true), to, size);
}
Result<size_t> sys_llistxattr(Task& task, UserCString path, UserAddr to, uint64_t size) {
  return list(task, lookup_argument(task, here, path, false), to, size);
}
Result<size_t> sys_flistxattr(Task& task, Fd fd, UserAddr to, uint64_t size) {
  return list(task, path_of(task, fd), to, size);
}
Result<void> sys_removexattr(Task& task, UserCString path, UserCString name) {
  return remove(task, lookup_argument(task, here, path, true), name);
}
Result<void> sys_lremovexattr(Task& task, UserCString path, UserCString name) {
  return remove(task, lookup_argument(task, here, path, false), name);
}
Result<void> sys_fremovexattr(Task& task, Fd fd, UserCString name) { return remove(task, path_of(task, fd), name); }

}  // namespace cofferdam::syscalls

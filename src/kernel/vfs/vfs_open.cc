// open(2) and what execve(2) opens.
#include <linux/openat2.h>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/vfs/creation.h"
#include "kernel/vfs/leases.h"
#include "kernel/vfs/vfs_state.h"
#include "kernel/vfs/walk.h"

namespace cofferdam::kernel {
namespace {

// What an access mode asks for; 3 (neither) asks for both, as ioctl-only opens of Linux do.
int mask_of(int flags) {
  constexpr int masks[] = {may_read, may_write, may_read | may_write, may_read | may_write};
  int mask = masks[flags & O_ACCMODE];
  if (flags & O_TRUNC) mask |= may_write;
  return mask;
}

bool opens_for_write(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

}  // namespace

// Opens what stands at the path. `created`: by this very call, so its mode does not matter yet.
static Result<void> check_open(Vfs& vfs, Task& task, Path const& path, int flags, bool created) {
  Inode& inode = *path.dentry->inode();
  mode_t type = inode.type();
  if (S_ISLNK(type)) return fail(Errno::Loop);
  if (S_ISDIR(type)) {
    if (opens_for_write(flags) || (flags & (O_CREAT | O_TRUNC))) return fail(Errno::IsDir);
  } else if (flags & O_DIRECTORY) {
    return fail(Errno::NotDir);
  }
  if ((S_ISCHR(type) || S_ISBLK(type)) && path.mount->nodev()) return fail(Errno::Acces);
  if (!created) TRY(vfs.permission(*task.credentials(), path, mask_of(flags)));
  if (flags & O_NOATIME) {
    auto who = task.credentials();
    if (!who->capable(CAP_FOWNER) && TRY(inode.attributes()).uid != who->fsuid) return fail(Errno::Perm);
  }
  return {};
}

Result<Ref<File>> Vfs::open_path(Task& task, Path const& path, int flags) {
  return open_checked(task, path, flags, false);
}

Result<Ref<File>> Vfs::open_checked(Task& task, Path const& path, int flags, bool created) {
  if (flags & O_PATH) {
    if ((flags & O_DIRECTORY) && !path.dentry->is_directory()) return fail(Errno::NotDir);
    return Ref<File>(make_ref<PathFile>(path, flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)));
  }
  auto file = open_unnoticed(task, path, flags, created);
  if (!file) return file;
  (*file)->noticed_ = true;
  notify(path, IN_OPEN);
  if ((flags & O_TRUNC) && !created && S_ISREG(path.dentry->inode()->type())) notify(path, IN_MODIFY);
  return file;
}

Result<Ref<File>> Vfs::open_unnoticed(Task& task, Path const& path, int flags, bool created) {
  TRY(check_open(*this, task, path, flags, created));
  Inode& inode = *path.dentry->inode();
  mode_t type = inode.type();
  constexpr int creation_flags = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC;
  int kept = flags & ~creation_flags & ~O_CLOEXEC;
  if (!inode.opens_special_files()) {
    if (S_ISSOCK(type)) return fail(Errno::NxIo);
    if (S_ISFIFO(type)) {
      FifoOpener opener = state_->open_fifo;
      return opener ? opener(task, path, kept) : fail(Errno::NxIo);
    }
    if (S_ISCHR(type) || S_ISBLK(type)) {
      uint64_t device = TRY(inode.attributes()).special_device;
      return kernel_.open_device(task, type & S_IFMT, device, path, kept | (flags & O_NOCTTY));
    }
  }
  if (S_ISREG(type) && !created) TRY(break_leases(task, inode, opens_for_write(flags), flags & O_NONBLOCK));
  bool writes = S_ISREG(type) && (opens_for_write(flags) || ((flags & O_TRUNC) && !created));
  if (writes && !inode.acquire_write()) return fail(Errno::TxtBsy);
  auto file = inode.open(OpenRequest{(flags & ~(O_CREAT | O_EXCL | O_CLOEXEC)), task}, path);
  if (file && S_ISREG(type) && (flags & O_TRUNC) && !created) {
    auto truncated = strip_privileges(task, inode);
    if (truncated) truncated = inode.set_attributes({.size = 0}, task);
    if (!truncated) file = std::unexpected(truncated.error());
  }
  if (!file || !opens_for_write(flags)) {
    if (writes) inode.release_write();
    return file;
  }
  if (writes) (*file)->hold_ = File::Hold::Writer;
  if (writes && !created && inode.get_xattr(capability_xattr)) state_->capable_files.note(inode);
  return file;
}

// One turn of open(2) with O_CREAT at (parent, name): the file, or null when a symlink there was followed.
Result<Ref<File>> Vfs::open_or_create(Task& task, PathWalk& walk, ParentLookup const& at, int flags, mode_t mode) {
  if (at.last_is_special || at.trailing_slash) return fail(Errno::IsDir);
  Ref<Dentry> child = TRY(state_->child(at.parent, at.name));
  if (child->is_negative()) {
    Inode& directory = *at.parent.dentry->inode();
    WriteLock lock(directory.directory_lock());
    child = TRY(state_->child_locked(at.parent.dentry, at.name));
    if (child->is_negative()) {
      TRY(may_create(task, at.parent));
      auto inode = TRY(directory.create(at.name, new_inode(task, directory, S_IFREG | (mode & 07777))));
      Ref<Dentry> made = state_->dentries.replace(at.parent.dentry, at.name, std::move(inode));
      notify_name(directory, IN_CREATE, at.name, false);
      return open_checked(task, Path(at.parent.mount, std::move(made)), flags, true);
    }
  }
  if ((flags & O_EXCL)) return fail(Errno::Exist);
  if (child->is_symlink()) {
    if (flags & O_NOFOLLOW) return fail(Errno::Loop);
    TRY(walk.follow(child));
    if (!walk.arrived()) return Ref<File>();
    return open_checked(task, walk.place(), flags, false);
  }
  Path found(at.parent.mount, std::move(child));
  state_->cross(found);
  return open_checked(task, found, flags, false);
}

Result<Ref<File>> Vfs::open_temporary(Task& task, Path const& directory, int flags, mode_t mode) {
  if (!opens_for_write(flags)) return fail(Errno::Inval);
  Inode& inode = *directory.dentry->inode();
  TRY(may_create(task, directory));
  auto made = TRY(inode.tmpfile(new_inode(task, inode, S_IFREG | (mode & 07777))));
  if (!(flags & O_EXCL)) made->set_linkable();
  auto number = TRY(made->attributes()).inode;
  auto dentry = make_ref<Dentry>(std::move(made), "#" + std::to_string(number));
  return open_checked(task, Path(directory.mount, std::move(dentry)), flags & ~O_TMPFILE, true);
}

Result<Ref<File>> Vfs::open(Task& task, Path const& start, std::string_view path, int flags, mode_t mode,
                            uint64_t resolve) {
  auto who = task.credentials();
  LookupOptions options{.follow_last = !(flags & O_NOFOLLOW), .must_be_directory = (flags & O_DIRECTORY) != 0};
  options.resolve = resolve;
  bool create = (flags & O_CREAT) && !(flags & O_PATH);
  if (create && (flags & O_DIRECTORY)) return fail(Errno::Inval);
  PathWalk walk(*state_, &task, who.get(), task.fs()->root(), start, path, options);
  if (create) {
    for (;;) {  // ends: the walk counts symlinks
      ParentLookup at = TRY(walk.run_to_parent());
      if (auto file = TRY(open_or_create(task, walk, at, flags, mode))) return file;
    }
  }
  // O_DIRECTORY|O_NOFOLLOW of a symlink is ENOTDIR, so the walk may check it; a plain O_NOFOLLOW is ELOOP, below.
  Path found = TRY(walk.run());
  if ((flags & O_TMPFILE) == O_TMPFILE && !(flags & O_PATH)) return open_temporary(task, found, flags, mode);
  return open_checked(task, found, flags, false);
}

Result<Ref<File>> Vfs::open_executable(Task& task, Path const& start, std::string_view path, bool follow_last) {
  auto who = task.credentials();
  LookupOptions options{.follow_last = follow_last};
  options.allow_empty = true;
  Path found = TRY(PathWalk(*state_, &task, who.get(), task.fs()->root(), start, path, options).run());
  Inode& inode = *found.dentry->inode();
  if (S_ISLNK(inode.type())) return fail(Errno::Loop);
  if (!S_ISREG(inode.type()) || found.mount->noexec()) return fail(Errno::Acces);
  TRY(permission(*who, found, may_exec));
  TRY(break_leases(task, inode, false, false));
  if (!inode.deny_write()) return fail(Errno::TxtBsy);
  auto file = inode.open(OpenRequest{O_RDONLY, task}, found);
  if (!file)
    inode.allow_write();
  else
    (*file)->hold_ = File::Hold::Executable;
  if (!file) return file;
  (*file)->noticed_ = true;
  notify(found, IN_OPEN);
  return file;
}

}  // namespace cofferdam::kernel

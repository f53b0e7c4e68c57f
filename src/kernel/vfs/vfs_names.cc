// Making and removing names: mkdir(2), mknod(2), symlink(2), link(2), unlink(2), rmdir(2).
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/vfs/creation.h"
#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {
namespace {

// Makes the name that `at` speaks of by `make(directory inode)`, which gives the new inode.
template <class Make>
Result<void> make_name(Vfs::State& state, Task& task, ParentLookup const& at, bool directory, Make make) {
  if (at.last_is_special) return fail(Errno::Exist);
  Inode& parent = *at.parent.dentry->inode();
  WriteLock lock(parent.directory_lock());
  Ref<Dentry> child = TRY(state.child_locked(at.parent.dentry, at.name));
  if (!child->is_negative()) return fail(Errno::Exist);
  if (at.trailing_slash && !directory) return fail(Errno::NoEnt);
  TRY(may_create(task, at.parent));
  Ref<Inode> made = TRY(make(parent));
  state.dentries.replace(at.parent.dentry, at.name, std::move(made));
  notify_name(parent, IN_CREATE, at.name, directory);
  return {};
}

// After a name was removed: tells it. `child` is the caller's reference to what it named: without other users of it the
// watches of the inode end first, as on Linux. The inode itself is let go of later.
void tell_removed(Inode& parent, std::string_view name, Ref<Dentry>& child, Ref<Inode>& inode) {
  Notifications* n = parent.file_system().notifications();
  if (n == nullptr) return;
  inode = child->inode_ref();
  bool const is_directory = child->is_directory();
  if (!is_directory) n->on(*inode, {.mask = IN_ATTRIB});
  n->name_removed(*inode);
  child = {};
  notify_name(parent, IN_DELETE, name, is_directory);
}

}  // namespace

Result<void> may_create(Task& task, Path const& directory) {
  Inode& inode = *directory.dentry->inode();
  if (inode.removed() || directory.dentry->is_unlinked()) return fail(Errno::NoEnt);
  if (directory.mount->read_only()) return fail(Errno::RoFs);
  return inode.permission(*task.credentials(), may_write | may_exec);
}

Result<void> may_remove(Task& task, Path const& directory, Inode& victim) {
  if (directory.mount->read_only()) return fail(Errno::RoFs);
  auto who = task.credentials();
  Inode& inode = *directory.dentry->inode();
  TRY(inode.permission(*who, may_write | may_exec));
  Attributes a = TRY(inode.attributes());
  if (!(a.mode & S_ISVTX) || a.uid == who->fsuid || who->capable(CAP_FOWNER)) return {};
  if (TRY(victim.attributes()).uid == who->fsuid) return {};
  return fail(Errno::Perm);
}

NewInode new_inode(Task& task, Inode& directory, mode_t mode) {
  auto who = task.credentials();
  NewInode fresh{.mode = mode & ~task.fs()->umask(), .uid = who->fsuid, .gid = who->fsgid};
  auto parent = directory.attributes();
  if (!parent || !(parent->mode & S_ISGID)) return fresh;
  fresh.gid = parent->gid;
  if (S_ISDIR(mode)) {
    fresh.mode |= S_ISGID;
  } else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && !who->in_group(fresh.gid) &&
             !who->capable(CAP_FSETID)) {
    fresh.mode &= ~static_cast<mode_t>(S_ISGID);
  }
  return fresh;
}

Result<void> Vfs::mkdir(Task& task, Path const& start, std::string_view path, mode_t mode) {
  ParentLookup at = TRY(lookup_parent(task, start, path));
  return make_name(*state_, task, at, true, [&](Inode& parent) {
    return parent.create(at.name, new_inode(task, parent, S_IFDIR | (mode & 01777)));
  });
}

Result<void> Vfs::mknod(Task& task, Path const& start, std::string_view path, mode_t mode, uint64_t device) {
  mode_t type = mode & S_IFMT;
  if (type == 0) type = S_IFREG;
  if (S_ISDIR(type)) return fail(Errno::Perm);
  if (!S_ISREG(type) && !S_ISCHR(type) && !S_ISBLK(type) && !S_ISFIFO(type) && !S_ISSOCK(type))
    return fail(Errno::Inval);
  ParentLookup at = TRY(lookup_parent(task, start, path));
  bool whiteout = S_ISCHR(type) && device == 0;
  return make_name(*state_, task, at, false, [&](Inode& parent) -> Result<Ref<Inode>> {
    if ((S_ISCHR(type) || S_ISBLK(type)) && !whiteout && !task.capable(CAP_MKNOD)) return fail(Errno::Perm);
    NewInode fresh = new_inode(task, parent, type | (mode & 07777));
    if (S_ISCHR(type) || S_ISBLK(type)) fresh.special_device = device;
    return parent.create(at.name, fresh);
  });
}

Result<void> Vfs::symlink(Task& task, std::string_view target, Path const& start, std::string_view path) {
  if (target.empty()) return fail(Errno::NoEnt);
  if (target.size() >= max_path_length) return fail(Errno::NameTooLong);
  ParentLookup at = TRY(lookup_parent(task, start, path));
  return make_name(*state_, task, at, false, [&](Inode& parent) {
    NewInode fresh = new_inode(task, parent, S_IFLNK | 0777);
    fresh.mode = S_IFLNK | 0777;
    return parent.symlink(at.name, target, fresh);
  });
}

Result<void> Vfs::link(Task& task, Path const& old_path, Path const& new_start, std::string_view new_path) {
  ParentLookup at = TRY(lookup_parent(task, new_start, new_path));
  Ref<Inode> const& target = old_path.dentry->inode_ref();
  return make_name(*state_, task, at, false, [&](Inode& parent) -> Result<Ref<Inode>> {
    if (old_path.mount != at.parent.mount) return fail(Errno::XDev);
    if (S_ISDIR(target->type())) return fail(Errno::Perm);
    // What has lost its last name gets none again.
    if (!target->linkable() && TRY(target->attributes()).link_count == 0) return fail(Errno::NoEnt);
    TRY(parent.link(at.name, *target));
    notify_inode(*target, IN_ATTRIB);
    return target;
  });
}

Result<void> Vfs::unlink(Task& task, Path const& start, std::string_view path) {
  ParentLookup at = TRY(lookup_parent(task, start, path));
  if (at.last_is_special) return fail(Errno::IsDir);
  Inode& parent = *at.parent.dentry->inode();
  Ref<Dentry> child;  // released after the lock: it may be the last reference to a large file
  Ref<Inode> inode;
  WriteLock lock(parent.directory_lock());
  child = TRY(state_->child_locked(at.parent.dentry, at.name));
  if (child->is_negative()) return fail(Errno::NoEnt);
  if (at.trailing_slash) return fail(child->is_directory() ? Errno::IsDir : Errno::NotDir);
  TRY(may_remove(task, at.parent, *child->inode()));
  if (child->is_directory()) return fail(Errno::IsDir);
  if (child->is_mountpoint()) return fail(Errno::Busy);
  TRY(parent.unlink(at.name, *child->inode()));
  child->inode()->on_name_removed(parent, at.name);
  state_->dentries.remove(*child, true);
  tell_removed(parent, at.name, child, inode);
  return {};
}

Result<void> Vfs::rmdir(Task& task, Path const& start, std::string_view path) {
  ParentLookup at = TRY(lookup_parent(task, start, path));
  if (at.last_is_special) return fail(at.name == "." ? Errno::Inval : at.name == ".." ? Errno::NotEmpty : Errno::Busy);
  Inode& parent = *at.parent.dentry->inode();
  Ref<Dentry> child;
  Ref<Inode> inode;
  WriteLock lock(parent.directory_lock());
  child = TRY(state_->child_locked(at.parent.dentry, at.name));
  if (child->is_negative()) return fail(Errno::NoEnt);
  Inode& victim = *child->inode();
  TRY(may_remove(task, at.parent, victim));
  if (!child->is_directory()) return fail(Errno::NotDir);
  if (child->is_mountpoint()) return fail(Errno::Busy);
  {
    WriteLock victim_lock(victim.directory_lock());
    TRY(parent.rmdir(at.name, victim));
    victim.set_removed();
  }
  victim.on_name_removed(parent, at.name);
  state_->dentries.remove(*child, true);
  tell_removed(parent, at.name, child, inode);
  return {};
}

}  // namespace cofferdam::kernel

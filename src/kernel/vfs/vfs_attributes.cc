// chmod(2), chown(2), utimensat(2), truncate(2), access(2): who may change what.
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/vfs/leases.h"
#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {
namespace {

bool owns(Credentials const& who, Attributes const& a) { return who.fsuid == a.uid || who.capable(CAP_FOWNER); }

// The mode without what a change of owner or contents takes away; `who` null: always.
mode_t without_privileges(mode_t mode, Credentials const* who, gid_t group) {
  mode_t kept = mode & ~static_cast<mode_t>(S_ISUID);
  if ((mode & S_ISGID) && ((mode & S_IXGRP) || (who != nullptr && !who->in_group(group) && !who->capable(CAP_FSETID))))
    kept &= ~static_cast<mode_t>(S_ISGID);
  return kept;
}

Result<void> check_owner_change(Credentials const& who, Attributes const& a, AttributeChange const& change) {
  if (change.uid && !who.capable(CAP_CHOWN) && (who.fsuid != a.uid || *change.uid != a.uid)) return fail(Errno::Perm);
  if (change.gid && !who.capable(CAP_CHOWN)) {
    bool may = who.fsuid == a.uid && (who.in_group(*change.gid) || *change.gid == a.gid);
    if (!may) return fail(Errno::Perm);
  }
  return {};
}

Result<void> check_times(Credentials const& who, Attributes const& a, AttributeChange const& change, Inode& inode) {
  if ((!change.accessed && !change.modified) || owns(who, a)) return {};
  bool touch = change.accessed && change.modified && change.accessed->now && change.modified->now;
  if (!touch) return fail(Errno::Perm);
  return inode.permission(who, may_write);
}

// What inotify(7) tells of a change (fsnotify_change of Linux).
uint32_t events_of(AttributeChange const& change) {
  uint32_t mask = 0;
  if (change.mode || change.uid || change.gid || (change.accessed && change.modified)) mask |= IN_ATTRIB;
  if (change.size || (change.modified && !change.accessed)) mask |= IN_MODIFY;
  if (change.accessed && !change.modified) mask |= IN_ACCESS;
  return mask;
}

}  // namespace

Result<void> Vfs::permission(Credentials const& who, Path const& path, int mask) {
  Inode& inode = *path.dentry->inode();
  if ((mask & may_write) && path.mount->read_only()) {
    mode_t type = inode.type();
    if (S_ISREG(type) || S_ISDIR(type) || S_ISLNK(type)) return fail(Errno::RoFs);
  }
  return inode.permission(who, mask);
}

Result<void> Vfs::set_attributes(Task& task, Path const& path, AttributeChange change) {
  if (path.mount->read_only()) return fail(Errno::RoFs);
  Inode& inode = *path.dentry->inode();
  auto who = task.credentials();
  Attributes a = TRY(inode.attributes());
  if (change.mode) {
    if (S_ISLNK(a.mode)) return fail(Errno::OpNotSupp);
    if (!owns(*who, a)) return fail(Errno::Perm);
    *change.mode &= 07777;
    if ((*change.mode & S_ISGID) && !a.is_directory() && !who->in_group(a.gid) && !who->capable(CAP_FSETID))
      *change.mode &= ~static_cast<mode_t>(S_ISGID);
  }
  TRY(check_owner_change(*who, a, change));
  TRY(check_times(*who, a, change, inode));
  if (change.size) {
    if (a.is_directory()) return fail(Errno::IsDir);
    if (!a.is_regular()) return fail(Errno::Inval);
    TRY(inode.permission(*who, may_write));
    TRY(break_leases(task, inode, true, false));
    if (inode.get_xattr(capability_xattr)) TRY(inode.remove_xattr(capability_xattr));
  }
  bool drops = (change.uid || change.gid || change.size) && !a.is_directory() && !a.is_symlink();
  if (drops && !change.mode && (a.mode & (S_ISUID | S_ISGID))) {
    bool by_size = change.size && !change.uid && !change.gid;
    mode_t kept = by_size && who->capable(CAP_FSETID) ? a.mode : without_privileges(a.mode, who.get(), a.gid);
    if (kept != a.mode) change.mode = kept & 07777;
  }
  if (change.size) {
    if (!inode.acquire_write()) return fail(Errno::TxtBsy);
    auto done = inode.set_attributes(change, task);
    inode.release_write();
    if (done) notify(path, events_of(change));
    return done;
  }
  // Another owner's capabilities are not for this one (notify_change of Linux).
  if ((change.uid || change.gid) && a.is_regular() && inode.get_xattr(capability_xattr))
    TRY(inode.remove_xattr(capability_xattr));
  TRY(inode.set_attributes(change, task));
  notify(path, events_of(change));
  return {};
}

Result<void> Vfs::strip_privileges(Task& task, Inode& inode) {
  if (state_->capable_files.take(inode) && inode.get_xattr(capability_xattr)) {
    TRY(inode.remove_xattr(capability_xattr));
    notify_inode(inode, IN_ATTRIB);
  }
  auto hint = inode.mode_hint();
  if (hint && !(*hint & (S_ISUID | S_ISGID))) return {};
  if (!S_ISREG(inode.type())) return {};
  auto who = task.credentials();
  if (who->capable(CAP_FSETID)) return {};
  Attributes a = TRY(inode.attributes());
  mode_t kept = without_privileges(a.mode, who.get(), a.gid);
  if (kept == a.mode) return {};
  TRY(inode.set_attributes({.mode = kept & 07777}, task));
  notify_inode(inode, IN_ATTRIB);
  return {};
}

Result<void> Vfs::access(Task& task, Path const& path, int mask, bool effective) {
  auto who = task.credentials();
  if (!effective && (who->fsuid != who->uid || who->fsgid != who->gid || who->effective != who->permitted)) {
    auto real = make_ref<Credentials>(*who);
    real->fsuid = who->uid;
    real->fsgid = who->gid;
    real->effective = who->uid == 0 ? who->permitted : CapabilitySet();
    who = std::move(real);
  }
  if ((mask & may_exec) && path.mount->noexec() && S_ISREG(path.dentry->inode()->type())) return fail(Errno::Acces);
  if (mask == 0) return {};
  TRY(path.dentry->inode()->permission(*who, mask));
  return permission(*who, path, mask);
}

}  // namespace cofferdam::kernel

// mount(2), umount2(2), pivot_root(2), and the mounts that a sandbox starts with.
#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/namespace/namespace_set.h"
#include "kernel/task/task.h"
#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {
namespace {

constexpr unsigned long kept_flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME |
                                     MS_RELATIME | MS_NOSYMFOLLOW | MS_SYNCHRONOUS;
constexpr unsigned long propagation = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;
constexpr size_t max_mounts = 100'000;  // fs.mount-max of Linux

unsigned long mount_flags(unsigned long flags) {
  unsigned long kept = flags & kept_flags;
  if (!(kept & MS_NOATIME)) kept |= MS_RELATIME;
  return kept;
}

bool is_root_of_mount(Path const& p) { return p.dentry == p.mount->root(); }

// The task holds it while it runs.
MountNamespace const* own_namespace(Task const& task) { return task.namespaces()->mounts.get(); }

}  // namespace

bool Vfs::is_attached_to(Path const& path, MountNamespace const* ns) {
  ReadLock lock(state_->dentries.lock());
  return path.mount->attached_to() == ns;
}

// Of its own namespace, or the file of a namespace, wherever it stands.
bool Vfs::may_bind_from(Path const& source, MountNamespace const* own) {
  return source.dentry->inode()->stands_for_namespace() || is_attached_to(source, own);
}

Result<Ref<Mount>> Vfs::attach(MountNamespace& ns, Ref<FileSystem> fs, std::optional<Path> const& at,
                               unsigned long flags, std::optional<std::string> source) {
  Ref<Inode> root = fs->root();
  if (!root) return fail(Errno::Inval);
  auto mount = state_->mounts.create(std::move(fs), make_ref<Dentry>(std::move(root)), mount_flags(flags));
  mount->source_ = std::move(source);
  std::vector<Ref<RefCounted>> dropped;
  WriteLock lock(state_->dentries.lock());
  if (!at) {
    state_->mounts.attach_root(ns, mount);
    return mount;
  }
  state_->mounts.attach(ns, mount, *at);
  TRY(propagate(*mount, dropped));
  return mount;
}

// What was just attached appears wherever its place is propagated to; where that cannot be it is taken off again.
Result<void> Vfs::propagate(Mount& top, std::vector<Ref<RefCounted>>& dropped) {
  size_t const have = state_->mounts.mounts_of(*top.attached_to()).size();
  auto done = have <= max_mounts ? state_->mounts.propagate_attach(top, max_mounts) : fail(Errno::NoSpc);
  if (done) return done;
  auto tree = state_->mounts.subtree(top);
  for (auto it = tree.rbegin(); it != tree.rend(); ++it) state_->mounts.detach(**it, dropped);
  return done;
}

Path Vfs::root_of(MountNamespace& ns) {
  ReadLock lock(state_->dentries.lock());
  auto& all = state_->mounts.mounts_of(ns);
  if (all.empty()) return {};
  Ref<Mount> top = all.front();
  while (Mount* over = state_->mounts.at(top.get(), top->root().get())) top = Ref<Mount>(over);
  return Path(top, top->root());
}

std::vector<MountInfo> Vfs::mounts(MountNamespace& ns) {
  std::vector<MountInfo> found;
  ReadLock lock(state_->dentries.lock());
  for (auto& m : state_->mounts.mounts_of(ns)) {
    MountInfo info;
    info.mount = m;
    if (m->parent() != nullptr) {
      info.parent_id = m->parent()->id();
      info.mountpoint = Path(Ref<Mount>(m->parent()), Ref<Dentry>(m->mountpoint()));
    } else {
      info.parent_id = m->id();
      info.mountpoint = Path(m, m->root());
    }
    info.peer_group = m->peer_group();
    info.master_group = m->master_group();
    info.unbindable = m->unbindable();
    found.push_back(std::move(info));
  }
  return found;
}

Ref<MountNamespace> Vfs::copy_namespace(MountNamespace& from, FsContext& fs) {
  auto copy = make_ref<MountNamespace>(kernel_);
  MountTree::Copies copies;
  {
    WriteLock lock(state_->dentries.lock());
    copies = state_->mounts.copy_all(from, *copy);
  }
  // Where the task is, it is in the copy.
  auto moved = [&](Path path) {
    if (auto it = copies.find(path.mount.get()); it != copies.end()) path.mount = it->second;
    return path;
  };
  fs.set_root(moved(fs.root()));
  fs.set_cwd(moved(fs.cwd()));
  return copy;
}

void Vfs::sync_all(MountNamespace& ns) {
  for (auto& info : mounts(ns)) (void)info.mount->file_system().sync();  // sync(2) reports nothing
}

Result<void> Vfs::mount_bind(Path const& source, Path const& target, bool recursive) {
  if (source.dentry->is_directory() != target.dentry->is_directory()) return fail(Errno::NotDir);
  std::vector<Ref<RefCounted>> dropped;
  WriteLock lock(state_->dentries.lock());
  if (source.mount->unbindable()) return fail(Errno::Inval);
  MountNamespace* ns = target.mount->attached_to();
  if (ns == nullptr) return fail(Errno::Inval);
  if (auto const* bound = MountTree::namespace_of(*source.dentry))
    if (bound->sequence() <= ns->sequence()) return fail(Errno::Inval);
  auto copies = recursive ? state_->mounts.subtree(*source.mount) : std::vector<Ref<Mount>>{};
  if (state_->mounts.mounts_of(*ns).size() + copies.size() >= max_mounts) return fail(Errno::NoSpc);
  auto top = state_->mounts.copy(*source.mount, source.dentry);
  MountTree::Copies made{{source.mount.get(), top}};
  state_->mounts.attach(*ns, top, target);
  for (auto& m : copies) {
    if (m == source.mount) continue;
    // Only what is mounted below the source directory comes along.
    bool below = m->parent() != source.mount.get();
    for (Dentry const* d = m->mountpoint(); d != nullptr && !below; d = d->parent()) below = d == source.dentry.get();
    auto parent = made.find(m->parent());
    if (!below || parent == made.end() || m->unbindable()) continue;
    auto copy = state_->mounts.copy(*m, m->root());
    state_->mounts.attach(*ns, copy, Path(parent->second, Ref<Dentry>(m->mountpoint())));
    made.emplace(m.get(), copy);
  }
  return propagate(*top, dropped);
}

Result<void> Vfs::mount_move(Path const& source, Path const& target) {
  if (!is_root_of_mount(source)) return fail(Errno::Inval);
  if (source.dentry->is_directory() != target.dentry->is_directory()) return fail(Errno::NotDir);
  std::vector<Ref<RefCounted>> dropped;
  WriteLock lock(state_->dentries.lock());
  if (source.mount->parent() == nullptr || target.mount->attached_to() != source.mount->attached_to())
    return fail(Errno::Inval);
  if (source.mount->parent()->peer_group() != 0) return fail(Errno::Inval);
  if (MountTree::is_below(target.mount.get(), source.mount.get())) return fail(Errno::Loop);
  Path const from(Ref<Mount>(source.mount->parent()), Ref<Dentry>(source.mount->mountpoint()));
  state_->mounts.move(*source.mount, target, dropped);
  auto done = state_->mounts.propagate_attach(*source.mount, max_mounts);
  if (!done) state_->mounts.move(*source.mount, from, dropped);
  return done;
}

Result<void> Vfs::mount(Task& task, std::string_view source, Path const& target, std::string_view type,
                        unsigned long flags, std::string_view data) {
  if (!task.capable(CAP_SYS_ADMIN)) return fail(Errno::Perm);
  if ((flags & MS_MGC_MSK) == MS_MGC_VAL) flags &= ~static_cast<unsigned long>(MS_MGC_MSK);
  // Nobody changes what another namespace sees.
  MountNamespace const* const own = own_namespace(task);
  if (!is_attached_to(target, own)) return fail(Errno::Inval);
  if (flags & MS_REMOUNT) {
    if (!is_root_of_mount(target)) return fail(Errno::Inval);
    if (!(flags & MS_BIND)) TRY(target.mount->file_system().reconfigure(data));
    target.mount->set_flags(mount_flags(flags));
    return {};
  }
  if (flags & (MS_BIND | MS_MOVE)) {
    if (source.empty()) return fail(Errno::NoEnt);
    Path from = TRY(lookup(task, task.fs()->cwd(), source, {}));
    if (!may_bind_from(from, own)) return fail(Errno::Inval);
    return flags & MS_BIND ? mount_bind(from, target, (flags & MS_REC) != 0) : mount_move(from, target);
  }
  if (flags & propagation) {
    if (__builtin_popcountl(flags & propagation) != 1 || !is_root_of_mount(target)) return fail(Errno::Inval);
    WriteLock lock(state_->dentries.lock());
    auto const mounts = flags & MS_REC ? state_->mounts.subtree(*target.mount) : std::vector{target.mount};
    for (auto& m : mounts) state_->mounts.set_propagation(*m, flags & propagation);
    return {};
  }
  FileSystemType const* known = kernel_.file_system_type(type);
  if (known == nullptr || !known->user_mountable) return fail(Errno::NoDev);
  if (!target.dentry->is_directory()) return fail(Errno::NotDir);
  auto const namespaces = task.namespaces();
  auto fs = TRY(known->create({kernel_, &task, task.pids(), *namespaces, source, data}));
  MountNamespace* ns = nullptr;
  {
    ReadLock lock(state_->dentries.lock());
    ns = target.mount->attached_to();
    if (ns == nullptr) return fail(Errno::Inval);
    if (state_->mounts.mounts_of(*ns).size() >= max_mounts) return fail(Errno::NoSpc);
  }
  TRY(attach(*ns, std::move(fs), target, flags, std::string(source)));
  return {};
}

Result<void> Vfs::unmount(Task& task, Path const& target, int flags) {
  if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)) return fail(Errno::Inval);
  if (!task.capable(CAP_SYS_ADMIN)) return fail(Errno::Perm);
  if (!is_root_of_mount(target)) return fail(Errno::Inval);
  if ((flags & MNT_EXPIRE) && (flags & (MNT_FORCE | MNT_DETACH))) return fail(Errno::Inval);
  MountNamespace const* const own = own_namespace(task);
  (void)target.mount->file_system().sync();  // as a last writeback; a failure does not keep the mount
  state_->dentries.shrink();                 // so that only true users count below
  std::vector<Ref<RefCounted>> dropped;
  WriteLock lock(state_->dentries.lock());
  Mount& mount = *target.mount;
  if (mount.attached_to() == nullptr || mount.attached_to() != own || mount.parent() == nullptr)
    return fail(Errno::Inval);
  if (!(flags & MNT_DETACH)) {
    if (state_->mounts.has_children(mount)) return fail(Errno::Busy);
    // The namespace, `target` and the caller's copy of it: more means open files, working directories or roots.
    if (mount.ref_count() > 2) return fail(Errno::Busy);
    if ((flags & MNT_EXPIRE) && !mount.mark_expired()) return fail(Errno::Again);
    state_->mounts.propagate_detach(mount, dropped);
    state_->mounts.detach(mount, dropped);
    return {};
  }
  auto tree = state_->mounts.subtree(mount);
  state_->mounts.propagate_detach(mount, dropped);
  for (auto it = tree.rbegin(); it != tree.rend(); ++it) state_->mounts.detach(**it, dropped);
  return {};
}

// Who stands in the old root stands in the new one from now on (chroot_fs_refs of Linux).
void Vfs::move_roots(Path const& from, Path const& to) {
  std::vector<Ref<FsContext>> all;
  {
    ProcessLocked lock(kernel_);
    for (auto const& group : kernel_.all_groups(lock))
      for (auto const& task : group->tasks(lock))
        if (auto fs = task->fs()) all.push_back(std::move(fs));
  }
  for (auto const& fs : all) fs->move(from, to);
}

Result<void> Vfs::pivot_root(Task& task, Path const& new_root, Path const& put_old) {
  Path const old_root = task.fs()->root();
  TRY(exchange_roots(task, new_root, put_old, old_root));
  move_roots(old_root, new_root);
  return {};
}

Result<void> Vfs::exchange_roots(Task& task, Path const& new_root, Path const& put_old, Path const& old_root) {
  if (!task.capable(CAP_SYS_ADMIN)) return fail(Errno::Perm);
  MountNamespace const* const own = own_namespace(task);
  std::vector<Ref<RefCounted>> dropped;
  WriteLock lock(state_->dentries.lock());
  if (!is_root_of_mount(new_root) || !is_root_of_mount(old_root)) return fail(Errno::Inval);
  if (new_root.mount == old_root.mount || put_old.mount == old_root.mount) return fail(Errno::Busy);
  if (!MountTree::is_below(put_old.mount.get(), new_root.mount.get())) return fail(Errno::Inval);
  MountNamespace* ns = new_root.mount->attached_to();
  if (ns == nullptr || ns != own || new_root.mount->parent() == nullptr || old_root.mount->attached_to() != ns)
    return fail(Errno::Inval);
  Path old_place;
  if (old_root.mount->parent() != nullptr)
    old_place = Path(Ref<Mount>(old_root.mount->parent()), Ref<Dentry>(old_root.mount->mountpoint()));
  state_->mounts.move(*new_root.mount, old_place, dropped);
  state_->mounts.move(*old_root.mount, put_old, dropped);
  if (!old_place) {
    auto& all = state_->mounts.mounts_of(*ns);
    auto it = std::find(all.begin(), all.end(), new_root.mount);
    if (it != all.end()) std::rotate(all.begin(), it, it + 1);
  }
  return {};
}

}  // namespace cofferdam::kernel

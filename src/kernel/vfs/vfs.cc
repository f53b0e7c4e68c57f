#include "kernel/vfs/vfs.h"

#include <linux/magic.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/namespace/namespace_file.h"
#include "kernel/task/task.h"
#include "kernel/vfs/rootless_file_system.h"
#include "kernel/vfs/vfs_state.h"
#include "kernel/vfs/walk.h"

namespace cofferdam::kernel {

Vfs::Vfs(Kernel& kernel) : kernel_(kernel), state_(std::make_unique<State>()) {
  state_->anonymous = make_ref<RootlessFileSystem>("tmpfs", TMPFS_MAGIC, allocate_device());  // of memfd_create(2)
  state_->anonymous_mount = state_->mounts.create(state_->anonymous, make_ref<Dentry>(Ref<Inode>()), 0);
  state_->namespaces = make_namespace_file_system(allocate_device());
  state_->namespaces_mount = state_->mounts.create(state_->namespaces, make_ref<Dentry>(Ref<Inode>()), 0);
}

Vfs::~Vfs() = default;

// ---- the dentry of a name

// From the cache and still true; null if it must be asked for.
Ref<Dentry> Vfs::State::cached_child(Dentry const& directory, std::string_view name) {
  Ref<Dentry> found;
  {
    ReadLock lock(dentries.lock());
    found = Ref<Dentry>(dentries.find(&directory, name));
  }
  if (!found || !found->revalidates() || found->is_mountpoint() || found->inode()->revalidate()) return found;
  dentries.remove(*found, false);
  return {};
}

Result<Ref<Dentry>> Vfs::State::child(Path const& directory, std::string_view name) {
  if (auto cached = cached_child(*directory.dentry, name)) return cached;
  ReadLock lock(directory.dentry->inode()->directory_lock());
  return child_locked(directory.dentry, name);
}

Result<Ref<Dentry>> Vfs::State::child_locked(Ref<Dentry> const& directory, std::string_view name) {
  if (auto cached = cached_child(*directory, name)) return cached;
  if (name.size() > max_name_length) return fail(Errno::NameTooLong);
  auto found = directory->inode()->lookup(name);
  if (found) return dentries.insert(directory, name, std::move(*found));
  if (found.error() != Errno::NoEnt) return std::unexpected(found.error());
  if (directory->inode()->cache_negative()) return dentries.insert(directory, name, {});
  return make_ref<Dentry>(Ref<Inode>());  // negative, known to nobody
}

void Vfs::State::cross(Path& p) {
  if (!p.dentry->is_mountpoint()) return;
  ReadLock lock(dentries.lock());
  while (Mount* over = mounts.at(p.mount.get(), p.dentry.get())) p = Path(Ref<Mount>(over), over->root());
}

// ---- lookups

Result<Path> Vfs::lookup(Task& task, Path const& start, std::string_view path, LookupOptions options) {
  auto who = task.credentials();
  return PathWalk(*state_, &task, who.get(), task.fs()->root(), start, path, options).run();
}

Result<ParentLookup> Vfs::lookup_parent(Task& task, Path const& start, std::string_view path, uint64_t resolve) {
  auto who = task.credentials();
  LookupOptions options;
  options.resolve = resolve;
  return PathWalk(*state_, &task, who.get(), task.fs()->root(), start, path, options).run_to_parent();
}

Result<Path> Vfs::start_of(Task& task, int dirfd, std::string_view path) {
  if (path.starts_with('/')) return Path();  // not looked at
  if (dirfd == AT_FDCWD) return task.fs()->cwd();
  Ref<File> file = TRY(task.file(dirfd, true));
  if (!path.empty() && (!file->path() || !file->path().dentry->is_directory())) return fail(Errno::NotDir);
  return file->path();
}

Result<Path> Vfs::resolve(MountNamespace& ns, std::string_view path) {
  Path root = root_of(ns);
  if (!root) return fail(Errno::NoEnt);
  return PathWalk(*state_, nullptr, nullptr, root, root, path, {}).run();
}

Result<Path> Vfs::make_mountpoint(MountNamespace& ns, std::string_view path, bool directory) {
  Path at = root_of(ns);
  if (!at) return fail(Errno::NoEnt);
  for (size_t begin = 0; begin < path.size();) {
    size_t end = std::min(path.find('/', begin), path.size());
    std::string_view name = path.substr(begin, end - begin);
    begin = end + 1;
    if (name.empty()) continue;
    bool last = path.find_first_not_of('/', end) == std::string_view::npos;
    auto found = PathWalk(*state_, nullptr, nullptr, root_of(ns), at, name, {}).run();
    if (!found && found.error() == Errno::NoEnt && !is_dot_name(name)) {
      Inode& parent = *at.dentry->inode();
      WriteLock lock(parent.directory_lock());
      mode_t mode = last && !directory ? S_IFREG | 0644 : S_IFDIR | 0755;
      TRY(parent.create(name, NewInode{.mode = mode, .uid = 0, .gid = 0}));
      if (auto stale = state_->child_locked(at.dentry, name); stale && (*stale)->is_negative())
        state_->dentries.remove(**stale, false);
    }
    if (!found) found = PathWalk(*state_, nullptr, nullptr, root_of(ns), at, name, {}).run();
    at = TRY(std::move(found));
  }
  return at;
}

// ---- what paths are called

std::string Vfs::path_text(Path const& path, Path const& root) {
  if (!path) return {};
  ReadLock lock(state_->dentries.lock());
  Mount const* mount = path.mount.get();
  Dentry const* dentry = path.dentry.get();
  bool deleted = dentry->is_unlinked();
  std::vector<std::string_view> parts;
  size_t length = 0;
  std::string_view prefix;
  while (mount != root.mount.get() || dentry != root.dentry.get()) {
    if (dentry == mount->root().get()) {
      if (mount->parent() == nullptr) {
        if (root && !deleted) prefix = "(unreachable)";
        break;
      }
      dentry = mount->mountpoint();
      mount = mount->parent();
      continue;
    }
    if (dentry->parent() == nullptr) {  // a detached file: "/memfd:name (deleted)"
      if (dentry->inode() && dentry->inode()->stands_for_namespace()) return std::string(dentry->name());
      if (!dentry->name().empty()) parts.push_back(dentry->name());
      break;
    }
    parts.push_back(dentry->name());
    length += dentry->name().size() + 1;
    if (length > 16 * max_path_length) break;
    dentry = dentry->parent();
  }
  std::string text(prefix);
  text.reserve(length + 16);
  for (auto it = parts.rbegin(); it != parts.rend(); ++it) {
    text += '/';
    text += *it;
  }
  if (parts.empty()) text += '/';
  if (deleted) text += " (deleted)";
  return text;
}

// ---- assembly and registries

uint64_t Vfs::allocate_device() { return makedev(0, state_->next_device.fetch_add(1)); }

FileSystem& Vfs::anonymous_file_system() { return *state_->anonymous; }

uint64_t Vfs::allocate_inode_number() { return state_->next_inode.fetch_add(1); }

Path Vfs::detached_path(Ref<Inode> inode, std::string_view name) {
  return Path(state_->anonymous_mount, make_ref<Dentry>(std::move(inode), name));
}

Notifications& Vfs::notifications() { return state_->notifications; }

LockWaits& Vfs::lock_waits() { return state_->lock_waits; }

void Vfs::set_fifo_opener(FifoOpener opener) { state_->open_fifo = opener; }

Result<Attributes> Vfs::attributes(Path const& path) { return path.dentry->inode()->attributes(); }

Result<std::string> Vfs::read_link(Task& task, Path const& path) {
  if (!path.dentry->is_symlink()) return fail(Errno::Inval);
  return path.dentry->inode()->read_link(task);
}

Result<void> Vfs::chdir(Task& task, Path const& path) {
  if (!path.dentry->is_directory()) return fail(Errno::NotDir);
  TRY(path.dentry->inode()->permission(*task.credentials(), may_exec));
  task.fs()->set_cwd(path);
  return {};
}

Result<void> Vfs::chroot(Task& task, Path const& path) {
  if (!path.dentry->is_directory()) return fail(Errno::NotDir);
  TRY(path.dentry->inode()->permission(*task.credentials(), may_exec));
  if (!task.capable(CAP_SYS_CHROOT)) return fail(Errno::Perm);
  task.fs()->set_root(path);
  return {};
}

}  // namespace cofferdam::kernel

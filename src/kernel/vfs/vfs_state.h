// What the parts of the VFS share. Private to kernel/vfs.
#pragma once

#include <atomic>
#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernel/vfs/dentry.h"
#include "kernel/vfs/file_capabilities.h"
#include "kernel/vfs/locks.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/vfs.h"

namespace cofferdam::kernel {

inline constexpr size_t max_name_length = 255;
inline constexpr size_t max_path_length = 4096;
inline constexpr size_t max_cached_dentries = 200'000;

// All mounts. Everything but create() needs the tree lock: shared to look, exclusive to change.
class MountTree {
 public:
  // What is mounted at (mount, dentry); null if nothing.
  Mount* at(Mount const* mount, Dentry const* dentry) const {
    if (!dentry->is_mountpoint()) return nullptr;
    auto found = mounted_.find({mount, dentry});
    return found == mounted_.end() ? nullptr : found->second;
  }
  Ref<Mount> create(Ref<FileSystem>, Ref<Dentry> root, unsigned long flags);
  // Makes it the root of a namespace without one.
  void attach_root(MountNamespace&, Ref<Mount>);
  void attach(MountNamespace&, Ref<Mount>, Path const& at);
  // Takes one mount off its place (not its children).
  void detach(Mount&, std::vector<Ref<RefCounted>>& dropped);
  // pivot_root: `mount` becomes the root in place of the old one, which goes to `put_old`.
  void move(Mount&, Path const& to, std::vector<Ref<RefCounted>>& dropped);
  bool has_children(Mount const&) const;
  // The same subtree of the same file system once more, attached nowhere; a peer or fellow slave of the original.
  Ref<Mount> copy(Mount const&, Ref<Dentry> root);

  // Propagation. MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE for one mount.
  void set_propagation(Mount&, unsigned long type);
  // The mounts of any namespace that receive what is mounted on `at`, other than its own.
  std::vector<Ref<Mount>> receivers(Path const& at) const;
  // After the tree below `top` was attached: the same at each receiver, but for mounts that show a mount namespace: two
  // namespaces could come to hold each other.
  //   ENOSPC  a namespace would have more than `most` mounts
  //   EINVAL  `top` shows a mount namespace, and there are receivers
  Result<void> propagate_attach(Mount& top, size_t most);
  // Before `mount` is detached: what it was propagated to goes too, unless something is mounted on it.
  void propagate_detach(Mount const& mount, std::vector<Ref<RefCounted>>& dropped);
  std::vector<Ref<Mount>> subtree(Mount&) const;  // parents first
  static bool is_below(Mount const* inner, Mount const* outer);
  // The mount namespace whose file stands there; null if none does.
  static MountNamespace* shown_by(Mount const& m) { return namespace_of(*m.root_); }
  static MountNamespace* namespace_of(Dentry const&);
  // Every mount of `from` once more in `to`, which is empty; the old ones with theirs. What shows a mount namespace is
  // left out, with what stands on it: a namespace holds only younger ones, so that none holds itself.
  using Copies = std::unordered_map<Mount const*, Ref<Mount>>;
  Copies copy_all(MountNamespace& from, MountNamespace& to);
  // Takes everything off.
  void dissolve(MountNamespace&, std::vector<Ref<RefCounted>>& dropped);
  std::vector<Ref<Mount>>& mounts_of(MountNamespace& ns) const { return ns.mounts_; }

 private:
  struct PlaceHash {
    size_t operator()(std::pair<Mount const*, Dentry const*> const& p) const {
      return std::hash<void const*>()(p.first) * 31 + std::hash<void const*>()(p.second);
    }
  };
  std::unordered_map<std::pair<Mount const*, Dentry const*>, Mount*, PlaceHash> mounted_;
  // Of attached mounts, the tables below know peer and master group.
  void unhook(Mount&, std::vector<Ref<RefCounted>>& dropped);
  void enlist(Mount&);
  void delist(Mount&);
  void regroup(Mount&, int peer_group, int master_group);
  void leave_group(Mount&);
  std::vector<Mount*> const& peers_of(int group) const;
  std::vector<Mount*> const& slaves_of(int group) const;
  bool has_room(std::vector<Ref<Mount>> const& receivers, size_t more, size_t most) const;
  std::unordered_map<int, std::vector<Mount*>> peers_, slaves_;
  std::atomic<int> next_id_{1};
  int next_group_ = 1;
};

// Mount namespaces without references, on their way out.
struct EndingNamespaces {
  Mutex mutex;
  std::vector<MountNamespace*> waiting GUARDED_BY(mutex);
  bool is_ending GUARDED_BY(mutex) = false;  // a thread is at it
  MountNamespace* take();                    // null: that was all
};

struct Vfs::State {
  EndingNamespaces ending_namespaces;
  DentryCache dentries{max_cached_dentries};
  Notifications notifications{dentries};
  MountTree mounts;
  Mutex rename_lock;  // renames between directories; before all directory locks
  std::atomic<uint64_t> next_device{1}, next_inode{1}, next_namespace{1};
  std::atomic<FifoOpener> open_fifo{nullptr};
  LockWaits lock_waits;
  CapableFiles capable_files;
  Ref<FileSystem> anonymous;
  Ref<Mount> anonymous_mount;
  Ref<FileSystem> namespaces;  // of the files that stand for namespaces
  Ref<Mount> namespaces_mount;

  // The child of a directory, negative dentries included. No lock held, or (locked) the directory's own.
  Result<Ref<Dentry>> child(Path const& directory, std::string_view name);
  Result<Ref<Dentry>> child_locked(Ref<Dentry> const& directory, std::string_view name);
  // Steps over what is mounted on the path.
  void cross(Path&);

 private:
  Ref<Dentry> cached_child(Dentry const& directory, std::string_view name);
};

inline bool is_dot_name(std::string_view name) { return name.empty() || name == "." || name == ".."; }

}  // namespace cofferdam::kernel

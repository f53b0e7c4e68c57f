// Mounts: a file system (or a subtree of one) seen at a place in the tree of a mount namespace.
#pragma once

#include <sys/mount.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ref.h"
#include "kernel/namespace/namespace.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/path.h"

namespace cofferdam::kernel {

class MountNamespace;

class Mount final : public RefCounted {
 public:
  Mount(int id, Ref<FileSystem> fs, Ref<Dentry> root, unsigned long flags)
      : id_(id), file_system_(std::move(fs)), root_(std::move(root)), flags_(flags) {
    file_system_->mounted();
  }
  ~Mount() override { file_system_->unmounted(); }

  int id() const { return id_; }
  FileSystem& file_system() const { return *file_system_; }
  Ref<FileSystem> const& file_system_ref() const { return file_system_; }
  Ref<Dentry> const& root() const { return root_; }
  // MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME, MS_NODIRATIME, MS_RELATIME, MS_NOSYMFOLLOW.
  unsigned long flags() const { return flags_.load(std::memory_order_relaxed); }
  void set_flags(unsigned long flags) { flags_.store(flags, std::memory_order_relaxed); }
  bool read_only() const { return flags() & MS_RDONLY; }
  bool nosuid() const { return flags() & MS_NOSUID; }
  bool nodev() const { return flags() & MS_NODEV; }
  bool noexec() const { return flags() & MS_NOEXEC; }
  // What mount(2) named as its source; of the file system's own where it named none.
  std::string source() const { return source_ ? *source_ : file_system_->source(); }
  // MNT_EXPIRE: was it marked already? It is now.
  bool mark_expired() { return expired_.exchange(true, std::memory_order_relaxed); }
  // Propagation (mount_namespaces(7)), under the tree lock: peers have the same group, a slave has its master's.
  // 0: none.
  int peer_group() const { return peer_group_; }
  int master_group() const { return master_group_; }
  bool unbindable() const { return unbindable_; }
  // Under the tree lock. Null for a namespace's root and for what is not attached.
  Mount* parent() const { return parent_.get(); }
  Dentry* mountpoint() const { return mountpoint_.get(); }
  MountNamespace* attached_to() const { return attached_to_; }

 private:
  friend class MountTree;
  friend class Vfs;
  int const id_;
  Ref<FileSystem> file_system_;
  Ref<Dentry> root_;
  std::atomic<unsigned long> flags_;
  std::atomic<bool> expired_{false};
  std::optional<std::string> source_;  // set before it is attached
  // Tree lock.
  int peer_group_ = 0, master_group_ = 0;
  bool unbindable_ = false;
  Ref<Mount> parent_;  // null: a namespace's root, or not attached
  Ref<Dentry> mountpoint_;
  MountNamespace* attached_to_ = nullptr;
};

// The mounts that a group of tasks sees (mount_namespaces(7)). Guarded by the tree lock; ask through Vfs.
class MountNamespace final : public Namespace {
 public:
  explicit MountNamespace(Kernel&);
  // Ascending in the order of making: a namespace can be bound by its file in an older one only, so that none holds
  // itself.
  uint64_t sequence() const { return sequence_; }

 private:
  friend class MountTree;
  void last_ref_dropped() override;  // what is mounted goes with it
  Kernel& kernel_;
  uint64_t const sequence_;
  std::vector<Ref<Mount>> mounts_;  // in the order of mounting; the first is the root
};

// One line of /proc/PID/mountinfo.
struct MountInfo {
  Ref<Mount> mount;
  int parent_id = 0;  // its own id for the root
  int peer_group = 0, master_group = 0;
  bool unbindable = false;
  Path mountpoint;  // where it stands, in its parent; the mount's own root for the namespace's root
};

}  // namespace cofferdam::kernel

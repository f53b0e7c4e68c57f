// Mounts: a file system (or a subtree of one) seen at a place in the tree of a mount namespace.
#pragma once

#include <sys/mount.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/ref.h"
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
  // Under the tree lock. Null for a namespace's root and for what is not attached.
  Mount* parent() const { return parent_.get(); }
  Dentry* mountpoint() const { return mountpoint_.get(); }
  MountNamespace* attached_to() const { return attached_to_; }

 private:
  friend class MountTree;
  int const id_;
  Ref<FileSystem> file_system_;
  Ref<Dentry> root_;
  std::atomic<unsigned long> flags_;
  // Tree lock.
  Ref<Mount> parent_;  // null: a namespace's root, or not attached
  Ref<Dentry> mountpoint_;
  MountNamespace* attached_to_ = nullptr;
};

// The mounts that a group of tasks sees. Guarded by the tree lock; ask through Vfs.
class MountNamespace {
 public:
  MountNamespace() = default;
  ~MountNamespace();
  MountNamespace(MountNamespace const&) = delete;
  MountNamespace& operator=(MountNamespace const&) = delete;

 private:
  friend class MountTree;
  std::vector<Ref<Mount>> mounts_;  // in the order of mounting; the first is the root
};

// One line of /proc/PID/mountinfo.
struct MountInfo {
  Ref<Mount> mount;
  int parent_id = 0;  // its own id for the root
  Path mountpoint;    // where it stands, in its parent; the mount's own root for the namespace's root
};

}  // namespace cofferdam::kernel

// Dentries: names in the file tree, and the cache of them.
//
// A dentry binds (parent, name) to an inode, or says that there is none (negative). Its inode never changes: creating a
// file replaces the negative dentry, removing one takes the dentry out of the cache. Name and parent change at rename
// only. The cache holds one reference to each dentry that can be found in it; a child holds its parent; so only leaves
// that nobody uses are evicted.
//
// The tree lock (DentryCache::lock) guards names, parents, the hash table and the mount tree. Walks over cached names
// hold it shared and touch no reference count; no call into a file system is made under it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/small_name.h"
#include "kernel/vfs/inode.h"

namespace cofferdam::kernel {

class DentryCache;

class Dentry final : public RefCounted {
 public:
  enum class Kind : uint8_t { Negative, Directory, Symlink, Other };

  // A dentry that is in no cache: the root of a file system, or a file without a place in the tree (memfd, O_TMPFILE).
  // A nameless one is a root; a named one shows as "/name (deleted)".
  Dentry(Ref<Inode> inode, std::string_view name = {});

  Inode* inode() const { return inode_.get(); }  // null: negative
  Ref<Inode> const& inode_ref() const { return inode_; }
  Kind kind() const { return kind_; }
  bool is_negative() const { return kind_ == Kind::Negative; }
  bool is_directory() const { return kind_ == Kind::Directory; }
  bool is_symlink() const { return kind_ == Kind::Symlink; }
  // Removed from the tree (or never in it), while still in use.
  bool is_unlinked() const { return unlinked_.load(std::memory_order_relaxed); }
  bool is_mountpoint() const { return mounts_on_.load(std::memory_order_relaxed) != 0; }
  // Its file system wants Inode::revalidate() before each use.
  bool revalidates() const { return revalidates_; }
  // Under the tree lock.
  Dentry* parent() const { return parent_.get(); }  // null for roots
  std::string_view name() const { return name_.view(); }

 private:
  friend class DentryCache;
  friend class MountTree;
  Dentry(Ref<Dentry> parent, std::string_view name, Ref<Inode> inode, uint32_t hash);
  ~Dentry() override = default;
  void last_ref_dropped() override;

  Ref<Dentry> parent_;  // null for roots. Tree lock.
  SmallName name_;      // Tree lock.
  Ref<Inode> inode_;
  Dentry* hash_next_ = nullptr;  // Tree lock.
  uint32_t hash_ = 0;
  std::atomic<uint32_t> mounts_on_{0};
  Kind kind_;
  bool hashed_ = false;  // Tree lock.
  bool revalidates_ = false;
  std::atomic<bool> unlinked_{false};
  mutable std::atomic<bool> used_{true};  // since the eviction hand passed
};

class DentryCache {
 public:
  explicit DentryCache(size_t limit);
  ~DentryCache();

  SharedMutex& lock() const RETURN_CAPABILITY(lock_) { return lock_; }

  static uint32_t hash(Dentry const* parent, std::string_view name);
  // The cached dentry, negative ones too; null when nothing is known. Valid while the lock is held.
  Dentry* find(Dentry const* parent, std::string_view name) const REQUIRES_SHARED(lock_);

  // Adds (parent, name) -> inode (null: negative), or gives the dentry that is there already. Takes the lock.
  Ref<Dentry> insert(Ref<Dentry> parent, std::string_view name, Ref<Inode> inode);
  // As insert, but in place of what is there (a negative dentry, a stale one).
  Ref<Dentry> replace(Ref<Dentry> parent, std::string_view name, Ref<Inode> inode);
  // Takes a dentry out; it stays usable for those who hold it. `gone`: its name was removed from the tree.
  void remove(Dentry&, bool gone);
  void remove(Dentry&, bool gone, std::vector<Ref<Dentry>>& dropped) REQUIRES(lock_);
  // The dentry now stands at (parent, name); whatever was there is removed as gone.
  void move(Dentry&, Ref<Dentry> new_parent, std::string_view new_name);
  // Both exchange their places.
  void exchange(Dentry&, Dentry&);
  // Drops everything that nobody uses (before unmount, under memory pressure).
  void shrink();
  size_t size() const;

 private:
  void link(Dentry&) REQUIRES(lock_);
  void unlink(Dentry&) REQUIRES(lock_);
  void evict(std::vector<Ref<Dentry>>& dropped, size_t target, size_t max_steps) REQUIRES(lock_);
  void grow() REQUIRES(lock_);

  mutable SharedMutex lock_;
  size_t const limit_;
  std::vector<Dentry*> buckets_ GUARDED_BY(lock_);
  size_t count_ GUARDED_BY(lock_) = 0;
  size_t hand_ GUARDED_BY(lock_) = 0;  // the bucket that eviction looks at next
};

}  // namespace cofferdam::kernel

#include <algorithm>

#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {

MountNamespace::~MountNamespace() = default;

Ref<Mount> MountTree::create(Ref<FileSystem> fs, Ref<Dentry> root, unsigned long flags) {
  return make_ref<Mount>(next_id_.fetch_add(1), std::move(fs), std::move(root), flags);
}

void MountTree::attach_root(MountNamespace& ns, Ref<Mount> mount) {
  mount->attached_to_ = &ns;
  ns.mounts_.insert(ns.mounts_.begin(), std::move(mount));
}

void MountTree::attach(MountNamespace& ns, Ref<Mount> mount, Path const& at) {
  mount->parent_ = at.mount;
  mount->mountpoint_ = at.dentry;
  mount->attached_to_ = &ns;
  at.dentry->mounts_on_.fetch_add(1, std::memory_order_relaxed);
  mounted_[{at.mount.get(), at.dentry.get()}] = mount.get();
  ns.mounts_.push_back(std::move(mount));
}

void MountTree::detach(Mount& mount, std::vector<Ref<RefCounted>>& dropped) {
  if (mount.mountpoint_) {
    mounted_.erase({mount.parent_.get(), mount.mountpoint_.get()});
    mount.mountpoint_->mounts_on_.fetch_sub(1, std::memory_order_relaxed);
    dropped.emplace_back(std::exchange(mount.parent_, {}));
    dropped.emplace_back(std::exchange(mount.mountpoint_, {}));
  }
  leave_group(mount);
  mount.master_group_ = 0;
  if (mount.attached_to_ != nullptr) {
    auto& all = mount.attached_to_->mounts_;
    auto it = std::find(all.begin(), all.end(), &mount);
    if (it != all.end()) {
      dropped.emplace_back(std::move(*it));
      all.erase(it);
    }
    mount.attached_to_ = nullptr;
  }
}

void MountTree::move(Mount& mount, Path const& to, std::vector<Ref<RefCounted>>& dropped) {
  if (mount.mountpoint_) {
    mounted_.erase({mount.parent_.get(), mount.mountpoint_.get()});
    mount.mountpoint_->mounts_on_.fetch_sub(1, std::memory_order_relaxed);
    dropped.emplace_back(std::exchange(mount.parent_, {}));
    dropped.emplace_back(std::exchange(mount.mountpoint_, {}));
  }
  if (!to) return;  // becomes a root
  mount.parent_ = to.mount;
  mount.mountpoint_ = to.dentry;
  to.dentry->mounts_on_.fetch_add(1, std::memory_order_relaxed);
  mounted_[{to.mount.get(), to.dentry.get()}] = &mount;
}

bool MountTree::has_children(Mount const& mount) const {
  if (mount.attached_to_ == nullptr) return false;
  auto& all = mount.attached_to_->mounts_;
  return std::any_of(all.begin(), all.end(), [&](Ref<Mount> const& m) { return m->parent_.get() == &mount; });
}

bool MountTree::is_below(Mount const* inner, Mount const* outer) {
  for (; inner != nullptr; inner = inner->parent_.get())
    if (inner == outer) return true;
  return false;
}

std::vector<Ref<Mount>> MountTree::subtree(Mount& top) const {
  std::vector<Ref<Mount>> found;
  if (top.attached_to_ == nullptr) return found;
  found.emplace_back(&top);
  for (auto& m : top.attached_to_->mounts_)
    if (m.get() != &top && is_below(m.get(), &top)) found.push_back(m);
  // Older mounts come first, and a parent may be younger than its child only by pivot_root or a move: order by depth.
  auto depth = [](Mount const* m) {
    int n = 0;
    for (; m != nullptr; m = m->parent_.get()) ++n;
    return n;
  };
  std::sort(found.begin(), found.end(), [&](Ref<Mount> const& a, Ref<Mount> const& b) {
    return std::pair(depth(a.get()), a->id()) < std::pair(depth(b.get()), b->id());
  });
  return found;
}

}  // namespace cofferdam::kernel

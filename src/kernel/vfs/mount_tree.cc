#include <algorithm>
#include <utility>

#include "kernel/kernel.h"
#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {

MountNamespace::MountNamespace(Kernel& kernel)
    : Namespace(kernel, NamespaceKind::Mount),
      kernel_(kernel),
      sequence_(kernel.vfs().state().next_namespace.fetch_add(1, std::memory_order_relaxed)) {}

// A mount may hold another namespace by its file, and that one a next: one after the other, not one within the other.
void MountNamespace::last_ref_dropped() {
  auto& state = kernel_.vfs().state();
  {
    MutexLock lock(state.ending_namespaces.mutex);
    state.ending_namespaces.waiting.push_back(this);
    if (std::exchange(state.ending_namespaces.is_ending, true)) return;
  }
  while (MountNamespace* next = state.ending_namespaces.take()) {
    std::vector<Ref<RefCounted>> dropped;
    {
      WriteLock lock(state.dentries.lock());
      state.mounts.dissolve(*next, dropped);
    }
    delete next;
  }
}

MountNamespace* EndingNamespaces::take() {
  MutexLock lock(mutex);
  is_ending = !waiting.empty();
  if (!is_ending) return nullptr;
  MountNamespace* next = waiting.back();
  waiting.pop_back();
  return next;
}

Ref<Mount> MountTree::create(Ref<FileSystem> fs, Ref<Dentry> root, unsigned long flags) {
  return make_ref<Mount>(next_id_.fetch_add(1), std::move(fs), std::move(root), flags);
}

void MountTree::attach_root(MountNamespace& ns, Ref<Mount> mount) {
  mount->attached_to_ = &ns;
  enlist(*mount);
  ns.mounts_.insert(ns.mounts_.begin(), std::move(mount));
}

void MountTree::attach(MountNamespace& ns, Ref<Mount> mount, Path const& at) {
  mount->parent_ = at.mount;
  mount->mountpoint_ = at.dentry;
  mount->attached_to_ = &ns;
  enlist(*mount);
  at.dentry->mounts_on_.fetch_add(1, std::memory_order_relaxed);
  mounted_[{at.mount.get(), at.dentry.get()}] = mount.get();
  ns.mounts_.push_back(std::move(mount));
}

// All of detach() but its namespace's list.
void MountTree::unhook(Mount& mount, std::vector<Ref<RefCounted>>& dropped) {
  if (mount.mountpoint_) {
    mounted_.erase({mount.parent_.get(), mount.mountpoint_.get()});
    mount.mountpoint_->mounts_on_.fetch_sub(1, std::memory_order_relaxed);
    dropped.emplace_back(std::exchange(mount.parent_, {}));
    dropped.emplace_back(std::exchange(mount.mountpoint_, {}));
  }
  leave_group(mount);
  regroup(mount, 0, 0);
  mount.attached_to_ = nullptr;
}

void MountTree::detach(Mount& mount, std::vector<Ref<RefCounted>>& dropped) {
  MountNamespace* const ns = mount.attached_to_;
  unhook(mount, dropped);
  if (ns == nullptr) return;
  auto it = std::ranges::find(ns->mounts_, Ref<Mount>(&mount));
  if (it == ns->mounts_.end()) return;
  dropped.emplace_back(std::move(*it));
  ns->mounts_.erase(it);
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

MountNamespace* MountTree::namespace_of(Dentry const& d) {
  return dynamic_cast<MountNamespace*>(d.inode()->stands_for_namespace());
}

std::vector<Ref<Mount>> MountTree::subtree(Mount& top) const {
  std::vector<Ref<Mount>> found;
  if (top.attached_to_ == nullptr) return found;
  std::unordered_map<Mount const*, std::vector<Mount*>> children;
  for (auto& m : top.attached_to_->mounts_)
    if (m->parent_) children[m->parent_.get()].push_back(m.get());
  found.emplace_back(&top);
  for (size_t i = 0; i < found.size(); ++i)
    if (auto it = children.find(found[i].get()); it != children.end())
      for (Mount* child : it->second) found.emplace_back(child);
  return found;
}

MountTree::Copies MountTree::copy_all(MountNamespace& from, MountNamespace& to) {
  Copies copies;
  if (from.mounts_.empty()) return copies;
  // From the root down: a parent is there before its children.
  for (auto& m : subtree(*from.mounts_.front())) {
    if (m->parent_ && (shown_by(*m) != nullptr || !copies.contains(m->parent_.get()))) continue;
    auto again = copy(*m, m->root_);
    again->unbindable_ = m->unbindable_;
    copies.emplace(m.get(), again);
    if (m->parent_)
      attach(to, std::move(again), Path(copies.at(m->parent_.get()), m->mountpoint_));
    else
      attach_root(to, std::move(again));
  }
  return copies;
}

void MountTree::dissolve(MountNamespace& ns, std::vector<Ref<RefCounted>>& dropped) {
  for (auto& m : ns.mounts_) {
    unhook(*m, dropped);
    dropped.emplace_back(std::move(m));
  }
  ns.mounts_.clear();
}

}  // namespace cofferdam::kernel

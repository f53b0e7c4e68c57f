// Propagation of mounts between peers and from masters to slaves (mount_namespaces(7), shared subtrees).
#include <algorithm>
#include <set>

#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {

Ref<Mount> MountTree::copy(Mount const& m, Ref<Dentry> root) {
  auto made = create(m.file_system_, std::move(root), m.flags());
  made->source_ = m.source_;
  made->peer_group_ = m.peer_group_;
  made->master_group_ = m.master_group_;
  return made;
}

// The last peer of a group passes its slaves on to its own master.
void MountTree::leave_group(Mount& m) {
  int const group = std::exchange(m.peer_group_, 0);
  if (group == 0 || m.attached_to_ == nullptr) return;
  auto& all = m.attached_to_->mounts_;
  if (std::ranges::any_of(all, [&](auto& other) { return other->peer_group_ == group; })) return;
  for (auto& other : all)
    if (other->master_group_ == group) other->master_group_ = m.master_group_;
}

void MountTree::set_propagation(Mount& m, unsigned long type) {
  int const group = m.peer_group_;
  if (type == MS_SHARED) {
    if (group == 0) m.peer_group_ = next_group_++;
    m.unbindable_ = false;
    return;
  }
  bool const has_peers =
      group != 0 && m.attached_to_ != nullptr && std::ranges::any_of(m.attached_to_->mounts_, [&](auto& other) {
        return other.get() != &m && other->peer_group_ == group;
      });
  leave_group(m);
  if (type == MS_SLAVE) {
    if (has_peers) m.master_group_ = group;
    return;
  }
  m.master_group_ = 0;
  m.unbindable_ = type == MS_UNBINDABLE;
}

std::vector<Ref<Mount>> MountTree::receivers(Path const& at) const {
  std::vector<Ref<Mount>> found;
  if (at.mount->peer_group_ == 0 || at.mount->attached_to_ == nullptr) return found;
  // Groups that hear of it: the mount's own, and those of slaves, and of theirs.
  std::set<int> groups{at.mount->peer_group_};
  for (bool grown = true; grown;) {
    grown = false;
    for (auto& m : at.mount->attached_to_->mounts_)
      if (m->peer_group_ != 0 && groups.contains(m->master_group_)) grown |= groups.insert(m->peer_group_).second;
  }
  for (auto& m : at.mount->attached_to_->mounts_) {
    if (m == at.mount || (!groups.contains(m->peer_group_) && !groups.contains(m->master_group_))) continue;
    // It may show another part of the file system.
    bool shows = false;
    for (Dentry const* d = at.dentry.get(); d != nullptr && !shows; d = d->parent()) shows = d == m->root_.get();
    if (shows) found.push_back(m);
  }
  return found;
}

bool MountTree::propagate_attach(Mount& top, size_t room) {
  Path const at(top.parent_, top.mountpoint_);
  auto const to = receivers(at);
  if (at.mount->peer_group_ == 0) return true;
  auto const tree = subtree(top);
  if (to.size() * tree.size() > room) return false;
  for (auto& m : tree)
    if (m->peer_group_ == 0) m->peer_group_ = next_group_++;  // what is mounted on a shared mount is shared
  for (auto& receiver : to) {
    bool const slave = receiver->peer_group_ != at.mount->peer_group_;
    std::vector<std::pair<Mount*, Ref<Mount>>> made;
    for (auto& m : tree) {
      auto again = copy(*m, m->root_);
      if (slave) {
        again->master_group_ = m->peer_group_;
        again->peer_group_ = receiver->peer_group_ != 0 ? next_group_++ : 0;
      }
      Path place(receiver, at.dentry);
      if (m.get() != &top) {
        auto above = std::ranges::find_if(made, [&](auto& pair) { return pair.first == m->parent_.get(); });
        if (above == made.end()) continue;
        place = Path(above->second, m->mountpoint_);
      }
      // Beneath what stands there already lies nothing that could be seen: it goes on top, as on Linux of old.
      while (Mount* over = this->at(place.mount.get(), place.dentry.get())) place = Path(Ref<Mount>(over), over->root_);
      made.emplace_back(m.get(), again);
      attach(*receiver->attached_to_, std::move(again), place);
    }
  }
  return true;
}

void MountTree::propagate_detach(Mount const& mount, std::vector<Ref<RefCounted>>& dropped) {
  if (!mount.parent_) return;
  Path const place(mount.parent_, mount.mountpoint_);
  for (auto& receiver : receivers(place)) {
    Mount* there = at(receiver.get(), place.dentry.get());
    if (there == nullptr || there->file_system_ != mount.file_system_ || has_children(*there)) continue;
    detach(*there, dropped);
  }
}

}  // namespace cofferdam::kernel

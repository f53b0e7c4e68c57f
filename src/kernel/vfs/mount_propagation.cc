// Propagation of mounts between peers and from masters to slaves (mount_namespaces(7), shared subtrees).
#include <algorithm>
#include <map>
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

namespace {
std::vector<Mount*> const nobody;
}

void MountTree::enlist(Mount& m) {
  if (m.peer_group_ != 0) peers_[m.peer_group_].push_back(&m);
  if (m.master_group_ != 0) slaves_[m.master_group_].push_back(&m);
}

void MountTree::delist(Mount& m) {
  auto remove = [&](auto& table, int group) {
    auto it = table.find(group);
    if (it == table.end()) return;
    std::erase(it->second, &m);
    if (it->second.empty()) table.erase(it);
  };
  remove(peers_, m.peer_group_);
  remove(slaves_, m.master_group_);
}

void MountTree::regroup(Mount& m, int peer_group, int master_group) {
  bool const attached = m.attached_to_ != nullptr;
  if (attached) delist(m);
  m.peer_group_ = peer_group;
  m.master_group_ = master_group;
  if (attached) enlist(m);
}

std::vector<Mount*> const& MountTree::peers_of(int group) const {
  auto it = peers_.find(group);
  return it == peers_.end() ? nobody : it->second;
}

std::vector<Mount*> const& MountTree::slaves_of(int group) const {
  auto it = slaves_.find(group);
  return it == slaves_.end() ? nobody : it->second;
}

// The last peer of a group passes its slaves on to its own master.
void MountTree::leave_group(Mount& m) {
  int const group = m.peer_group_, master = m.master_group_;
  regroup(m, 0, master);
  if (group == 0 || m.attached_to_ == nullptr || !peers_of(group).empty()) return;
  for (Mount* slave : std::vector(slaves_of(group))) regroup(*slave, slave->peer_group_, master);
}

void MountTree::set_propagation(Mount& m, unsigned long type) {
  int const group = m.peer_group_;
  if (type == MS_SHARED) {
    if (group == 0) regroup(m, next_group_++, m.master_group_);
    m.unbindable_ = false;
    return;
  }
  bool const has_peers = group != 0 && peers_of(group).size() > 1;
  leave_group(m);
  if (type == MS_SLAVE) {
    if (has_peers) regroup(m, 0, group);
    return;
  }
  regroup(m, 0, 0);
  m.unbindable_ = type == MS_UNBINDABLE;
}

std::vector<Ref<Mount>> MountTree::receivers(Path const& at) const {
  std::vector<Ref<Mount>> found;
  if (at.mount->peer_group_ == 0 || at.mount->attached_to_ == nullptr) return found;
  // Those that hear of it: the mount's peers, their slaves, the peers of slaves, and so on; each once.
  std::vector<Mount*> heard{at.mount.get()};
  std::set<int> groups;
  std::set<Mount const*> known{at.mount.get()};
  auto hear = [&](Mount* m) {
    if (known.insert(m).second) heard.push_back(m);
  };
  for (size_t i = 0; i < heard.size(); ++i) {
    int const group = heard[i]->peer_group_;
    if (group == 0 || !groups.insert(group).second) continue;
    for (Mount* peer : peers_of(group)) hear(peer);
    for (Mount* slave : slaves_of(group)) hear(slave);
  }
  for (Mount* m : heard) {
    if (m == at.mount.get()) continue;
    // It may show another part of the file system.
    bool shows = false;
    for (Dentry const* d = at.dentry.get(); d != nullptr && !shows; d = d->parent()) shows = d == m->root_.get();
    if (shows) found.emplace_back(m);
  }
  return found;
}

bool MountTree::has_room(std::vector<Ref<Mount>> const& receivers, size_t more, size_t most) const {
  std::map<MountNamespace*, size_t> coming;
  for (auto const& r : receivers) coming[r->attached_to_] += more;
  return std::ranges::all_of(coming, [&](auto const& c) { return c.first->mounts_.size() + c.second <= most; });
}

Result<void> MountTree::propagate_attach(Mount& top, size_t most) {
  Path const at(top.parent_, top.mountpoint_);
  auto const to = receivers(at);
  if (at.mount->peer_group_ == 0) return {};
  if (!to.empty() && shown_by(top) != nullptr) return fail(Errno::Inval);
  auto const tree = subtree(top);
  if (!has_room(to, tree.size(), most)) return fail(Errno::NoSpc);
  for (auto& m : tree)
    if (m->peer_group_ == 0)
      regroup(*m, next_group_++, m->master_group_);  // what is mounted on a shared mount is shared
  for (auto& receiver : to) {
    bool const slave = receiver->peer_group_ != at.mount->peer_group_;
    Copies made;
    for (auto& m : tree) {
      if (shown_by(*m) != nullptr) continue;
      auto again = copy(*m, m->root_);
      if (slave) regroup(*again, receiver->peer_group_ != 0 ? next_group_++ : 0, m->peer_group_);
      Path place(receiver, at.dentry);
      if (m.get() != &top) {
        auto above = made.find(m->parent_.get());
        if (above == made.end()) continue;
        place = Path(above->second, m->mountpoint_);
      }
      // Beneath what stands there already lies nothing that could be seen: it goes on top, as on Linux of old.
      while (Mount* over = this->at(place.mount.get(), place.dentry.get())) place = Path(Ref<Mount>(over), over->root_);
      made.emplace(m.get(), again);
      attach(*receiver->attached_to_, std::move(again), place);
    }
  }
  return {};
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

#include "kernel/vfs/notify.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernel/vfs/mount.h"

namespace cofferdam::kernel {

Ref<WatchList> WatchList::of(Inode& inode) {
  return inode.with_attachment(Attachment::Watches, [](Ref<RefCounted>& slot) {
    if (!slot) slot = make_ref<WatchList>();
    return Ref<WatchList>(static_cast<WatchList*>(slot.get()));
  });
}

Ref<WatchList> WatchList::find(Inode& inode) {
  if (!inode.has_attachment(Attachment::Watches)) return {};
  return inode.with_attachment(
      Attachment::Watches, [](Ref<RefCounted>& slot) { return Ref<WatchList>(static_cast<WatchList*>(slot.get())); });
}

std::vector<Ref<Watch>> WatchList::all() const {
  return state_.with([](State const& s) { return s.watches; });
}

Notifications::~Notifications() {
  watched_.with([](auto& all) {
    for (auto& [fs, inodes] : all) fs->set_notifications(nullptr);
  });
}

void Notifications::add(Ref<Dentry> const& place, Ref<Watch> watch) {
  Ref<Inode> const& inode = place->inode_ref();
  FileSystem& fs = inode->file_system();
  auto list = WatchList::of(*inode);
  uint32_t const events = watch->events();
  watched_.with([&](auto& all) {
    bool const first = list->state_.with([&](WatchList::State& s) {
      s.watches.push_back(std::move(watch));
      if (!s.pin && !place->is_unlinked()) s.pin = place;
      return !std::exchange(s.inode, inode);
    });
    if (!first) return;
    all[&fs].push_back(inode.get());
    fs.set_notifications(this);
  });
  widen(*inode, events);
}

void Notifications::widen(Inode& inode, uint32_t mask) {
  if (outside_) outside_->watch(inode, mask & IN_ALL_EVENTS);
}

void Notifications::remove(Inode& inode, Watch const& watch) {
  auto list = WatchList::find(inode);
  if (!list) return;
  Ref<Watch> dropped;
  WatchList::State last;  // what an empty list lets go of, released outside all locks
  watched_.with([&](auto& all) {
    list->state_.with([&](WatchList::State& s) {
      auto it = std::ranges::find_if(s.watches, [&](auto& w) { return w.get() == &watch; });
      if (it == s.watches.end()) return;
      dropped = std::move(*it);
      s.watches.erase(it);
      if (s.watches.empty()) last = std::exchange(s, {});
    });
    if (!last.inode) return;
    FileSystem& fs = inode.file_system();
    std::vector<Inode*>& there = all[&fs];
    std::erase(there, &inode);
    if (!there.empty()) return;
    all.erase(&fs);
    fs.set_notifications(nullptr);
  });
  if (last.inode && outside_) outside_->unwatch(inode);
}

void Notifications::on(Inode& inode, FileEvent const& event) {
  auto list = WatchList::find(inode);
  if (!list) return;
  for (auto& watch : list->all()) watch->on_event(event);
}

void Notifications::at(Dentry& dentry, uint32_t mask) {
  if (dentry.is_directory()) mask |= IN_ISDIR;
  Ref<Dentry> parent;
  std::string name;
  {
    ReadLock lock(dentries_.lock());
    Dentry* above = dentry.parent();
    if (above != nullptr && above->inode() != nullptr && above->inode()->has_attachment(Attachment::Watches)) {
      parent = Ref<Dentry>(above);
      name = dentry.name();
    }
  }
  if (parent) on(*parent->inode(), {.mask = mask, .name = name, .name_is_gone = dentry.is_unlinked()});
  if (dentry.inode() != nullptr) on(*dentry.inode(), {.mask = mask});
}

void Notifications::name_removed(Inode& inode) {
  auto list = WatchList::find(inode);
  if (!list) return;
  Ref<Dentry> pin;  // its end may be the inode's: dentry_gone
  list->state_.with([&](WatchList::State& s) {
    if (s.pin && s.pin->is_unlinked()) pin = std::move(s.pin);
  });
}

void Notifications::dentry_gone(Inode& inode) {
  if (!inode.has_attachment(Attachment::Watches)) return;
  if (!inode.removed()) {
    auto attributes = inode.attributes();
    if (!attributes || attributes->link_count != 0) return;
  }
  end(inode, IN_DELETE_SELF);
}

void Notifications::end(Inode& inode, uint32_t mask) {
  auto list = WatchList::find(inode);
  if (!list) return;
  Ref<Inode> keep(&inode);
  if (S_ISDIR(inode.type())) mask |= IN_ISDIR;
  for (auto& watch : list->all()) {
    watch->on_event({.mask = mask});
    remove(inode, *watch);
    watch->on_end();
  }
}

void FileSystem::unmounted() {
  if (mounts_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (Notifications* n = notifications()) n->unmounted(*this);
}

void Notifications::unmounted(FileSystem& fs) {
  std::vector<Ref<Inode>> inodes;
  watched_.with([&](auto& all) {
    auto it = all.find(&fs);
    if (it == all.end()) return;
    for (Inode* inode : it->second) inodes.emplace_back(inode);
  });
  for (auto& inode : inodes) end(*inode, IN_UNMOUNT);
}

}  // namespace cofferdam::kernel

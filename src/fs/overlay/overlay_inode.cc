#include "fs/overlay/overlay_inode.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "kernel/task/task.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/path.h"

namespace cofferdam::fs::overlay {
namespace {

bool is_whiteout(Inode& inode) {
  if (!S_ISCHR(inode.type())) return false;
  auto a = inode.attributes();
  return a && a->special_device == 0;
}

std::vector<Ref<Inode>> directories_only(std::vector<Ref<Inode>> const& inodes) {
  std::vector<Ref<Inode>> found;
  for (auto const& i : inodes)
    if (S_ISDIR(i->type())) found.push_back(i);
  return found;
}

}  // namespace

OverlayInode::OverlayInode(OverlayFileSystem& fs, Ref<Inode> upper, std::vector<Ref<Inode>> lowers,
                           Ref<OverlayInode> parent, std::string_view name, uint64_t number)
    : Inode(fs),
      fs_(fs),
      upper_(upper.get()),
      upper_ref_(std::move(upper)),
      lowers_(std::move(lowers)),
      number_(number),
      type_(real().type()) {
  if (parent) add_place(std::move(parent), name);
}

OverlayInode::~OverlayInode() { fs_.forget(*this); }

void OverlayInode::last_ref_dropped() {
  Ref<FileSystem> keep(&fs_);
  OverlayInode* inode = this;
  while (inode != nullptr) {
    OverlayInode* parent = nullptr;
    {
      MutexLock lock(inode->mutex_);
      if (inode->places_.size() == 1) parent = inode->places_.front().parent.release();
    }
    delete inode;
    if (parent == nullptr) return;
    if (parent->ref_count() != 1) {
      parent->unref();
      return;
    }
    inode = parent;
  }
}

// ---- where it is

std::vector<OverlayInode::Place> OverlayInode::places() const {
  MutexLock lock(mutex_);
  return places_;
}

Ref<OverlayInode> OverlayInode::parent() const {
  MutexLock lock(mutex_);
  return places_.empty() ? Ref<OverlayInode>() : places_.front().parent;
}

void OverlayInode::add_place(Ref<OverlayInode> parent, std::string_view name) {
  constexpr size_t enough = 16;
  MutexLock lock(mutex_);
  for (auto const& p : places_)
    if (p.parent == parent && p.name == name) return;
  if (places_.size() < enough) places_.push_back({std::move(parent), std::string(name)});
}

uint64_t OverlayInode::parent_number() const {
  auto above = parent();
  return above ? above->number() : number_;
}

void OverlayInode::on_moved(Inode& old_directory, std::string_view old_name, Inode& directory, std::string_view name) {
  on_name_removed(old_directory, old_name);
  add_place(Ref<OverlayInode>(dynamic_cast<OverlayInode*>(&directory)), name);
}

void OverlayInode::on_name_removed(Inode& directory, std::string_view name) {
  std::vector<Place> dropped;  // released after the lock
  MutexLock lock(mutex_);
  auto it = std::find_if(places_.begin(), places_.end(),
                         [&](Place const& p) { return p.parent.get() == &directory && p.name == name; });
  if (it == places_.end()) return;
  dropped.push_back(std::move(*it));
  places_.erase(it);
}

// ---- lookup

Ref<OverlayInode> OverlayInode::child(Ref<Inode> upper, std::vector<Ref<Inode>> lowers, std::string_view name,
                                      uint64_t number, uint64_t links) {
  Inode* top = upper ? upper.get() : lowers.front().get();
  bool several = links > 1 && !S_ISDIR(top->type());
  if (several) {
    if (auto found = fs_.living(top)) {
      found->add_place(Ref<OverlayInode>(this), name);
      return found;
    }
  }
  auto inode = make_ref<OverlayInode>(fs_, std::move(upper), std::move(lowers), Ref<OverlayInode>(this), name, number);
  if (several) fs_.note_living(top, *inode);
  return inode;
}

Result<Ref<Inode>> OverlayInode::lookup(std::string_view name) {
  if (!S_ISDIR(type_)) return fail(Errno::NotDir);
  Ref<Inode> found_upper;
  std::vector<Ref<Inode>> found_lowers;
  bool merge = true;
  if (Inode* u = upper()) {
    auto found = u->lookup(name);
    if (!found && found.error() != Errno::NoEnt) return found;
    if (found) {
      if (is_whiteout(**found)) return fail(Errno::NoEnt);
      found_upper = std::move(*found);
      merge = S_ISDIR(found_upper->type());
      if (merge) found_lowers = fs_.redirected(found_upper.get());
      if (merge && (!found_lowers.empty() || is_opaque(*found_upper))) merge = false;
    }
  }
  for (auto const& lower : lowers_) {
    if (!merge) break;
    auto found = lower->lookup(name);
    if (!found) {
      if (found.error() == Errno::NoEnt) continue;
      return found;
    }
    if (is_whiteout(**found)) break;
    bool directory = S_ISDIR((*found)->type());
    if (!directory && (found_upper || !found_lowers.empty())) break;
    merge = directory && (lowers_.size() == 1 || !is_opaque(**found));
    found_lowers.push_back(std::move(*found));
  }
  if (!found_upper && found_lowers.empty()) return fail(Errno::NoEnt);
  // The number stays when a file is copied up while it is in use, and a merged directory has its lower one's.
  Inode& numbered = found_lowers.empty() ? *found_upper : *found_lowers.front();
  Attributes a = TRY(numbered.attributes());
  uint64_t links = a.link_count;
  if (found_upper && &numbered != found_upper.get()) links = TRY(found_upper->attributes()).link_count;
  uint64_t number = fs_.number_of(numbered, a.inode);
  return Ref<Inode>(child(std::move(found_upper), std::move(found_lowers), name, number, links));
}

// ---- attributes

Result<Attributes> OverlayInode::attributes() {
  Attributes a = TRY(real().attributes());
  a.device = fs_.device();
  a.inode = number_;
  if (S_ISDIR(type_) && upper() != nullptr && !lowers_.empty()) a.link_count = 1;  // merged: not counted, as overlayfs
  note_mode(a.mode);
  return a;
}

Result<void> OverlayInode::set_attributes(AttributeChange const& change, Task& task) {
  TRY(copy_up(!(change.size && *change.size == 0)));
  TRY(upper()->set_attributes(change, task));
  (void)attributes();  // the mode hint
  return {};
}

Result<std::string> OverlayInode::get_xattr(std::string_view name) {
  if (name.starts_with(fs_.private_prefix())) return fail(Errno::NoData);
  return real().get_xattr(name);
}

Result<void> OverlayInode::set_xattr(std::string_view name, std::string_view value, int flags) {
  if (name.starts_with(fs_.private_prefix())) return fail(Errno::Perm);
  TRY(copy_up());
  return upper()->set_xattr(name, value, flags);
}

Result<void> OverlayInode::remove_xattr(std::string_view name) {
  if (name.starts_with(fs_.private_prefix())) return fail(Errno::NoData);
  TRY(real().get_xattr(name));
  TRY(copy_up());
  return upper()->remove_xattr(name);
}

Result<std::vector<std::string>> OverlayInode::list_xattr() {
  auto names = TRY(real().list_xattr());
  std::erase_if(names, [&](std::string const& n) { return n.starts_with(fs_.private_prefix()); });
  return names;
}

// ---- making names

bool OverlayInode::is_opaque(Inode& directory) const {
  auto value = directory.get_xattr(fs_.opaque_name());
  return value && *value == "y";
}

void OverlayInode::upper_changed(std::string_view name) {
  if (!fs_.upper_is_shown()) return;
  std::vector<std::string> names{std::string(name)};
  for (Ref<OverlayInode> at(this); at;) {
    auto where = at->places();
    if (where.empty()) break;
    names.push_back(std::move(where.front().name));
    at = std::move(where.front().parent);
  }
  std::ranges::reverse(names);
  fs_.upper_changed(names);
}

bool OverlayInode::lower_has(std::string_view name) const {
  for (auto const& lower : lowers_) {
    auto found = lower->lookup(name);
    if (found) return !is_whiteout(**found);
  }
  return false;
}

Result<void> OverlayInode::clear_whiteout(std::string_view name) {
  auto found = upper()->lookup(name);
  if (!found || !is_whiteout(**found)) return {};
  TRY(upper()->unlink(name, **found));
  upper_changed(name);
  return {};
}

Result<void> OverlayInode::make_whiteout(std::string_view name) {
  TRY(upper()->create(name, NewInode{.mode = S_IFCHR, .uid = 0, .gid = 0}));
  upper_changed(name);
  return {};
}

Result<Ref<Inode>> OverlayInode::wrap_new(std::string_view name, Ref<Inode> made) {
  upper_changed(name);
  uint64_t number = fs_.number_of(*made, TRY(made->attributes()).inode);
  return Ref<Inode>(child(std::move(made), {}, name, number, 1));
}

Result<Ref<Inode>> OverlayInode::create(std::string_view name, NewInode const& fresh) {
  TRY(copy_up());
  TRY(clear_whiteout(name));
  Ref<Inode> made = TRY(upper()->create(name, fresh));
  if (S_ISDIR(fresh.mode) && !lowers_.empty()) TRY(made->set_xattr(fs_.opaque_name(), "y", 0));
  return wrap_new(name, std::move(made));
}

Result<Ref<Inode>> OverlayInode::symlink(std::string_view name, std::string_view target, NewInode const& fresh) {
  TRY(copy_up());
  TRY(clear_whiteout(name));
  return wrap_new(name, TRY(upper()->symlink(name, target, fresh)));
}

Result<Ref<Inode>> OverlayInode::tmpfile(NewInode const& fresh) {
  TRY(copy_up());
  Ref<Inode> made = TRY(upper()->tmpfile(fresh));
  uint64_t number = fs_.number_of(*made, TRY(made->attributes()).inode);
  return Ref<Inode>(make_ref<OverlayInode>(fs_, std::move(made), std::vector<Ref<Inode>>(), Ref<OverlayInode>(),
                                           std::string_view(), number));
}

Result<void> OverlayInode::link(std::string_view name, Inode& target) {
  auto* inode = dynamic_cast<OverlayInode*>(&target);
  if (inode == nullptr || &inode->fs_ != &fs_) return fail(Errno::XDev);
  TRY(copy_up());
  TRY(inode->copy_up());
  TRY(clear_whiteout(name));
  TRY(upper()->link(name, *inode->upper()));
  upper_changed(name);
  fs_.note_living(inode->upper(), *inode);
  return {};
}

// ---- removing names

Result<void> OverlayInode::unlink(std::string_view name, Inode&) {
  bool covers = lower_has(name);
  if (!covers && upper() == nullptr) return fail(Errno::NoEnt);
  TRY(copy_up());
  auto found = upper()->lookup(name);
  if (found) TRY(upper()->unlink(name, **found));
  upper_changed(name);
  if (covers) TRY(make_whiteout(name));
  return {};
}

// Of an upper directory whose merged contents are empty: takes its whiteouts out, so that the layer can remove it.
Result<void> OverlayInode::clear_whiteouts_inside() {
  Inode* u = upper();
  if (u == nullptr) return {};
  for (auto const& entry : TRY(u->list_entries())) {
    auto found = u->lookup(entry.name);
    if (found && is_whiteout(**found)) TRY(u->unlink(entry.name, **found));
  }
  return {};
}

Result<void> OverlayInode::rmdir(std::string_view name, Inode& victim_inode) {
  auto* victim = dynamic_cast<OverlayInode*>(&victim_inode);
  if (victim == nullptr) return fail(Errno::XDev);
  if (!TRY(victim->list_entries()).empty()) return fail(Errno::NotEmpty);
  bool covers = lower_has(name);
  TRY(copy_up());
  if (Inode* u = victim->upper()) {
    TRY(victim->clear_whiteouts_inside());
    TRY(upper()->rmdir(name, *u));
    upper_changed(name);
    fs_.forget_redirect(u);
  }
  if (covers) TRY(make_whiteout(name));
  return {};
}

// ---- rename

Result<void> OverlayInode::make_opaque() { return upper()->set_xattr(fs_.opaque_name(), "y", 0); }

// What is to be renamed stands in the upper layer; a directory takes its lower ones along.
Result<void> OverlayInode::prepare_move(OverlayInode& moved) {
  TRY(moved.copy_up());
  if (!S_ISDIR(moved.type_)) return {};
  auto lowers = directories_only(moved.lowers_);
  if (!lowers.empty()) fs_.redirect(*moved.upper(), std::move(lowers));
  return moved.make_opaque();
}

Result<void> OverlayInode::rename(std::string_view old_name, Inode& moved_inode, Inode& new_directory,
                                  std::string_view new_name, Inode* target_inode, RenameMode mode) {
  auto* to = dynamic_cast<OverlayInode*>(&new_directory);
  auto* moved = dynamic_cast<OverlayInode*>(&moved_inode);
  auto* target = dynamic_cast<OverlayInode*>(target_inode);
  if (to == nullptr || moved == nullptr || &to->fs_ != &fs_) return fail(Errno::XDev);
  // The lower directories that go along are remembered in memory, which an upper layer of the guest's outlives: as
  // Linux without redirect_dir.
  auto stays = [&](OverlayInode const* inode) {
    return fs_.upper_is_shown() && inode != nullptr && !directories_only(inode->lowers_).empty();
  };
  if (stays(moved) || (mode == RenameMode::Exchange && stays(target))) return fail(Errno::XDev);
  bool covers = lower_has(old_name);
  TRY(copy_up());
  TRY(to->copy_up());
  if (mode == RenameMode::Exchange) {
    TRY(prepare_move(*moved));
    TRY(prepare_move(*target));
    TRY(upper()->rename(old_name, *moved->upper(), *to->upper(), new_name, target->upper(), mode));
    upper_changed(old_name);
    to->upper_changed(new_name);
    return {};
  }
  if (target != nullptr && S_ISDIR(target->type_)) {
    if (!TRY(target->list_entries()).empty()) return fail(Errno::NotEmpty);
    TRY(target->clear_whiteouts_inside());
  }
  TRY(prepare_move(*moved));
  TRY(to->clear_whiteout(new_name));
  Ref<Inode> replaced;
  if (target != nullptr && target->upper() != nullptr) replaced = Ref<Inode>(target->upper());
  TRY(upper()->rename(old_name, *moved->upper(), *to->upper(), new_name, replaced.get(), RenameMode::Replace));
  upper_changed(old_name);
  to->upper_changed(new_name);
  if (replaced) fs_.forget_redirect(replaced.get());
  if (covers || mode == RenameMode::Whiteout) TRY(make_whiteout(old_name));
  return {};
}

// ---- merged listing

Result<std::vector<Inode::DirectoryEntry>> OverlayInode::list_entries() {
  if (!S_ISDIR(type_)) return fail(Errno::NotDir);
  std::vector<DirectoryEntry> merged;
  std::unordered_set<std::string> seen;
  Inode* u = upper();
  bool alone = u == nullptr ? lowers_.size() == 1 : lowers_.empty();
  auto take = [&](Inode& layer) -> Result<void> {
    for (auto& entry : TRY(layer.list_entries())) {
      if (!alone && !seen.insert(entry.name).second) continue;
      if (entry.type == DT_CHR) {
        auto found = layer.lookup(entry.name);
        if (found && is_whiteout(**found)) continue;
      }
      entry.inode = fs_.number_of(layer, entry.inode);
      merged.push_back(std::move(entry));
    }
    return {};
  };
  if (u != nullptr) TRY(take(*u));
  for (auto const& lower : lowers_) TRY(take(*lower));
  return merged;
}

}  // namespace cofferdam::fs::overlay

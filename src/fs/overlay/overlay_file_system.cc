#include <algorithm>

#include "fs/overlay/overlay_inode.h"
#include "kernel/vfs/forget.h"

namespace cofferdam::fs::overlay {

Result<Ref<FileSystem>> create(kernel::Vfs& vfs, Options options) {
  if (options.lowers.empty()) return fail(Errno::Inval);
  for (auto const& lower : options.lowers)
    if (!lower || !S_ISDIR(lower->type())) return fail(Errno::NotDir);
  if (options.upper && !S_ISDIR(options.upper->type())) return fail(Errno::NotDir);
  return Ref<FileSystem>(make_ref<OverlayFileSystem>(vfs, std::move(options)));
}

OverlayFileSystem::OverlayFileSystem(kernel::Vfs& vfs, Options options)
    : vfs_(vfs), options_(std::move(options)), device_(vfs.allocate_device()) {
  for (auto const& lower : options_.lowers)
    if (auto const* below = dynamic_cast<OverlayFileSystem const*>(&lower->file_system()))
      depth_ = std::max(depth_, below->depth() + 1);
}

Ref<Inode> OverlayFileSystem::root() {
  auto a = options_.lowers.front()->attributes();
  uint64_t number = a ? a->inode : 1;
  return make_ref<OverlayInode>(*this, options_.upper, options_.lowers, Ref<OverlayInode>(), std::string_view(),
                                number);
}

Result<struct statfs> OverlayFileSystem::statfs() {
  Inode& first = options_.upper ? *options_.upper : *options_.lowers.front();
  auto s = TRY(first.file_system().statfs());
  s.f_type = 0x794c7630;  // OVERLAYFS_SUPER_MAGIC
  if (!options_.shown.empty()) return s;
  // A container's root: what is free is the upper's; what the lowers hold counts as used.
  for (auto const& lower : options_.lowers)
    if (auto l = lower->file_system().statfs(); l && s.f_bsize > 0) {
      auto const block = static_cast<uint64_t>(l->f_frsize != 0 ? l->f_frsize : l->f_bsize);
      s.f_blocks += (l->f_blocks - l->f_bfree) * block / static_cast<uint64_t>(s.f_bsize);
      s.f_files += l->f_files - l->f_ffree;
    }
  return s;
}

void OverlayFileSystem::upper_changed(std::vector<std::string> const& names) {
  kernel::forget_cached(vfs_, options_.upper_place.dentry, names);
}

// The first lower layer's numbers stay; others get high bits of their layer, so that no two files share one.
uint64_t OverlayFileSystem::number_of(Inode& layer_inode, uint64_t number) const {
  constexpr int layer_shift = 48;
  FileSystem const* fs = &layer_inode.file_system();
  if (options_.upper && fs == &options_.upper->file_system()) return number | (uint64_t{1} << layer_shift);
  for (size_t i = 0; i < options_.lowers.size(); ++i)
    if (&options_.lowers[i]->file_system() == fs) return i == 0 ? number : number | ((i + 1) << layer_shift);
  return number;
}

Ref<OverlayInode> OverlayFileSystem::living(Inode const* layer_inode) {
  MutexLock lock(mutex_);
  auto it = living_.find(layer_inode);
  if (it == living_.end() || !it->second->try_ref()) return {};
  return Ref<OverlayInode>::adopt(it->second);
}

void OverlayFileSystem::note_living(Inode const* layer_inode, OverlayInode& inode) {
  MutexLock lock(mutex_);
  living_[layer_inode] = &inode;
  inode.registered_ = true;
}

void OverlayFileSystem::forget(OverlayInode& inode) {
  MutexLock lock(mutex_);
  if (!inode.registered_) return;
  auto forget_one = [&](Inode const* layer_inode) REQUIRES(mutex_) {
    auto it = living_.find(layer_inode);
    if (it != living_.end() && it->second == &inode) living_.erase(it);
  };
  if (inode.upper() != nullptr) forget_one(inode.upper());
  for (auto const& lower : inode.lowers_) forget_one(lower.get());
}

void OverlayFileSystem::redirect(Inode& upper, std::vector<Ref<Inode>> lowers) {
  MutexLock lock(mutex_);
  redirects_[&upper] = {Ref<Inode>(&upper), std::move(lowers)};
}

std::vector<Ref<Inode>> OverlayFileSystem::redirected(Inode const* upper) {
  MutexLock lock(mutex_);
  auto it = redirects_.find(upper);
  return it == redirects_.end() ? std::vector<Ref<Inode>>() : it->second.second;
}

void OverlayFileSystem::forget_redirect(Inode const* upper) {
  std::pair<Ref<Inode>, std::vector<Ref<Inode>>> dropped;
  MutexLock lock(mutex_);
  auto it = redirects_.find(upper);
  if (it == redirects_.end()) return;
  dropped = std::move(it->second);
  redirects_.erase(it);
}

}  // namespace cofferdam::fs::overlay

#include "fs/host/host_file_system.h"

#include <fcntl.h>

#include "fs/host/host_inode.h"

namespace cofferdam::fs::host {
Result<Ref<FileSystem>> create(kernel::Vfs& vfs, OwnedFd root, Options options) {
  cofferdam::host::clear_umask();
  auto fs = make_ref<HostFileSystem>(vfs, std::move(root), std::move(options));
  TRY(fs->initialize());
  return Ref<FileSystem>(std::move(fs));
}

HostFileSystem::HostFileSystem(kernel::Vfs& vfs, OwnedFd root, Options options)
    : vfs_(vfs), options_(std::move(options)), root_fd_(make_ref<SharedFd>(std::move(root))) {}

Result<void> HostFileSystem::initialize() {
  root_stat_ = TRY(cofferdam::host::stat_at(root_fd_->get(), ""));
  device_ = &device_for(root_stat_.stx_dev_major, root_stat_.stx_dev_minor);
  return {};
}

// Donated descriptors are O_PATH, which syncfs(2) does not take.
Result<void> HostFileSystem::sync() {
  if (!S_ISDIR(root_stat_.stx_mode)) return cofferdam::host::sync_file_system(root_fd_->get());
  return cofferdam::host::sync_file_system(TRY(cofferdam::host::open_self(root_fd_->get())).get());
}

Mutex& HostFileSystem::append_lock(HostInode const& inode) {
  return append_locks_[inode.host_inode() % append_locks_.size()];
}

Ref<Inode> HostFileSystem::root() {
  return make_ref<HostInode>(*this, root_stat_, *device_, Ref<HostInode>(), std::string_view());
}

Device const& HostFileSystem::device_for(uint32_t major, uint32_t minor) {
  MutexLock lock(mutex_);
  for (Device const& d : devices_)
    if (d.major == major && d.minor == minor) return d;
  return devices_.emplace_back(Device{major, minor, vfs_.allocate_device()});
}

Device const& HostFileSystem::device_of(struct ::statx const& s) {
  bool const usual = device_->major == s.stx_dev_major && device_->minor == s.stx_dev_minor;
  return usual ? *device_ : device_for(s.stx_dev_major, s.stx_dev_minor);
}

Ref<HostInode> HostFileSystem::inode_for(struct ::statx const& s, Ref<HostInode> parent, std::string_view name) {
  Device const& device = device_of(s);
  bool several = s.stx_nlink > 1 && !S_ISDIR(s.stx_mode);
  if (!several) return make_ref<HostInode>(*this, s, device, std::move(parent), name);
  Ref<HostInode> found;
  {
    MutexLock lock(mutex_);
    auto it = several_names_.find({device.number, s.stx_ino});
    if (it != several_names_.end() && it->second->try_ref()) found = Ref<HostInode>::adopt(it->second);
  }
  if (found && found->type() == (s.stx_mode & S_IFMT)) {
    found->add_place(std::move(parent), name);
    return found;
  }
  auto fresh = make_ref<HostInode>(*this, s, device, std::move(parent), name);
  note_multiple_names(*fresh);
  return fresh;
}

Ref<CountedView> HostFileSystem::make_view() {
  constexpr uint32_t enough = 64;
  if (views_.fetch_add(1) < enough) return make_ref<CountedView>(views_);
  views_.fetch_sub(1);
  return {};
}

void HostFileSystem::note_multiple_names(HostInode& inode) {
  MutexLock lock(mutex_);
  inode.known_to_.fetch_or(HostInode::has_several_names);
  several_names_[inode.identity()] = &inode;
}

void HostFileSystem::forget(HostInode& inode) {
  uint8_t const known = inode.known_to_.load();
  if (known == 0) return;
  if (known & HostInode::has_several_names) {
    MutexLock lock(mutex_);
    auto it = several_names_.find(inode.identity());
    if (it != several_names_.end() && it->second == &inode) several_names_.erase(it);
  }
  std::vector<KeptFd> fds;  // released after the lock
  std::vector<Ref<Listing>> listings;
  MutexLock lock(kept_mutex_);
  fds_.drop(inode, fds);
  listings_.drop(inode, listings);
}

Ref<SharedFd> HostFileSystem::kept_fd(HostInode const& inode, bool full) {
  if (!(inode.known_to_.load() & HostInode::kept_descriptor)) return {};
  MutexLock lock(kept_mutex_);
  KeptFd kept = fds_.find(inode);
  return kept.full || !full ? kept.fd : Ref<SharedFd>();
}

void HostFileSystem::keep_fd(HostInode& inode, Ref<SharedFd> fd, bool full) {
  inode.known_to_.fetch_or(HostInode::kept_descriptor);
  std::vector<KeptFd> dropped;
  MutexLock lock(kept_mutex_);
  fds_.put(inode, {std::move(fd), full}, 1, dropped);
}

void HostFileSystem::drop_fd(HostInode const& inode) {
  std::vector<KeptFd> dropped;
  MutexLock lock(kept_mutex_);
  fds_.drop(inode, dropped);
}

void HostFileSystem::drop_all_fds() {
  std::vector<KeptFd> dropped;
  MutexLock lock(kept_mutex_);
  fds_.drop_all(dropped);
}

Ref<Listing> HostFileSystem::kept_listing(HostInode const& inode) {
  if (!(inode.known_to_.load() & HostInode::kept_a_listing)) return {};
  MutexLock lock(kept_mutex_);
  return listings_.find(inode);
}

void HostFileSystem::keep_listing(HostInode& inode, Ref<Listing> listing, uint64_t changes) {
  inode.known_to_.fetch_or(HostInode::kept_a_listing);
  std::vector<Ref<Listing>> dropped;
  MutexLock lock(kept_mutex_);
  if (changes_.load() != changes) return;
  size_t const cost = sizeof *listing + listing->size;
  listings_.put(inode, std::move(listing), cost, dropped);
}

void HostFileSystem::note_directory_change(HostInode const& directory) {
  changes_.fetch_add(1);
  if (!(directory.known_to_.load() & HostInode::kept_a_listing)) return;
  std::vector<Ref<Listing>> dropped;
  MutexLock lock(kept_mutex_);
  listings_.drop(directory, dropped);
}

}  // namespace cofferdam::fs::host

#include "fs/host/host_file_system.h"

#include <fcntl.h>

#include "fs/host/host_inode.h"

namespace cofferdam::fs::host {
namespace {

// Descriptors that inodes keep for later. RLIMIT_NOFILE of the sentry may be as low as 20,000, with many mounts.
constexpr size_t max_kept = 768;

}  // namespace

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
  device_ = device_for(root_stat_.stx_dev_major, root_stat_.stx_dev_minor);
  return {};
}

Ref<Inode> HostFileSystem::root() {
  return make_ref<HostInode>(*this, root_stat_, device_, Ref<HostInode>(), std::string_view());
}

uint64_t HostFileSystem::device_for(uint32_t major, uint32_t minor) {
  MutexLock lock(mutex_);
  uint64_t& device = devices_[{major, minor}];
  if (device == 0) device = vfs_.allocate_device();
  return device;
}

Ref<HostInode> HostFileSystem::inode_for(struct ::statx const& s, Ref<HostInode> parent, std::string_view name) {
  uint64_t device = device_;
  if (s.stx_dev_major != root_stat_.stx_dev_major || s.stx_dev_minor != root_stat_.stx_dev_minor)
    device = device_for(s.stx_dev_major, s.stx_dev_minor);
  bool several = s.stx_nlink > 1 && !S_ISDIR(s.stx_mode);
  if (!several) return make_ref<HostInode>(*this, s, device, std::move(parent), name);
  Ref<HostInode> found;
  {
    MutexLock lock(mutex_);
    auto it = several_names_.find({device, s.stx_ino});
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

void HostFileSystem::note_multiple_names(HostInode& inode) {
  MutexLock lock(mutex_);
  inode.several_names_ = true;
  several_names_[inode.identity()] = &inode;
}

void HostFileSystem::forget(HostInode& inode) {
  MutexLock lock(mutex_);
  if (!inode.several_names_) return;
  auto it = several_names_.find(inode.identity());
  if (it != several_names_.end() && it->second == &inode) several_names_.erase(it);
}

Ref<SharedFd> HostFileSystem::kept_fd(HostInode& inode, bool writable) {
  MutexLock lock(fd_mutex_);
  if (!inode.fd_ || (writable && !inode.fd_writable_)) return {};
  kept_.splice(kept_.begin(), kept_, inode.kept_at_);
  return inode.fd_;
}

void HostFileSystem::keep_fd(HostInode& inode, Ref<SharedFd> fd, bool writable) {
  std::vector<Ref<SharedFd>> dropped;  // closed after the lock
  MutexLock lock(fd_mutex_);
  if (inode.fd_) {
    dropped.push_back(std::exchange(inode.fd_, {}));
    kept_.erase(inode.kept_at_);
  }
  inode.fd_ = std::move(fd);
  inode.fd_writable_ = writable;
  kept_.push_front(&inode);
  inode.kept_at_ = kept_.begin();
  while (kept_.size() > max_kept) {
    HostInode* oldest = kept_.back();
    kept_.pop_back();
    dropped.push_back(std::exchange(oldest->fd_, {}));
  }
}

void HostFileSystem::drop_fd(HostInode& inode) {
  Ref<SharedFd> dropped;
  MutexLock lock(fd_mutex_);
  if (!inode.fd_) return;
  dropped = std::exchange(inode.fd_, {});
  kept_.erase(inode.kept_at_);
}

void HostFileSystem::drop_all_fds() {
  std::vector<Ref<SharedFd>> dropped;
  MutexLock lock(fd_mutex_);
  for (HostInode* inode : kept_) dropped.push_back(std::exchange(inode->fd_, {}));
  kept_.clear();
}

}  // namespace cofferdam::fs::host

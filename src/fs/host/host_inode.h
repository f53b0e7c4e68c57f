// Inodes of a host file system, and the descriptors that they keep.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "fs/host/host_file_system.h"
#include "host/files.h"
#include "kernel/vfs/inode.h"

namespace cofferdam::fs::host {

using cofferdam::host::OwnedFd;
using cofferdam::host::SharedFd;
using kernel::AttributeChange;
using kernel::Attributes;
using kernel::FileSystem;
using kernel::Inode;
using kernel::NewInode;
using kernel::OpenRequest;
using kernel::Path;
using kernel::RenameMode;
using kernel::Task;

class HostInode;

class HostFileSystem final : public FileSystem {
 public:
  HostFileSystem(kernel::Vfs&, OwnedFd root, Options);
  Result<void> initialize();
  std::string_view type_name() const override { return "9p"; }
  Result<struct statfs> statfs() override { return cofferdam::host::stat_file_system(root_fd_->get()); }
  Ref<Inode> root() override;
  uint64_t device() const override { return device_; }
  std::string source() const override { return options_.source; }
  Result<void> sync() override { return cofferdam::host::sync_file_system(root_fd_->get()); }
  bool revalidates() const override { return !options_.exclusive; }
  bool exclusive() const { return options_.exclusive; }
  Ref<SharedFd> const& root_fd() const { return root_fd_; }
  struct ::statx const& root_stat() const { return root_stat_; }

  // The guest's device number for a host one.
  uint64_t device_for(uint32_t major, uint32_t minor);
  // The inode that stat describes, at (parent, name): the living one when it has several names.
  Ref<HostInode> inode_for(struct ::statx const&, Ref<HostInode> parent, std::string_view name);

  // Descriptors kept by inodes, the least recently used closed first.
  Ref<SharedFd> kept_fd(HostInode&, bool writable);
  void keep_fd(HostInode&, Ref<SharedFd>, bool writable);
  void drop_fd(HostInode&);
  void drop_all_fds();

  void note_multiple_names(HostInode&);
  void forget(HostInode&);

 private:
  kernel::Vfs& vfs_;
  Options options_;
  uint64_t device_ = 0;
  Ref<SharedFd> root_fd_;
  struct ::statx root_stat_{};
  Mutex mutex_;
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> devices_ GUARDED_BY(mutex_);
  std::map<std::pair<uint64_t, uint64_t>, HostInode*> several_names_ GUARDED_BY(mutex_);  // by device, inode
  Mutex fd_mutex_;
  std::list<HostInode*> kept_ GUARDED_BY(fd_mutex_);  // most recently used first
};

class HostInode final : public Inode {
 public:
  HostInode(HostFileSystem&, struct ::statx const&, uint64_t device, Ref<HostInode> parent, std::string_view name);
  ~HostInode() override;

  Result<Attributes> attributes() override;
  Result<void> set_attributes(AttributeChange const&, Task&) override;
  mode_t type() const override { return type_; }
  Result<Ref<Inode>> lookup(std::string_view) override;
  Result<Ref<Inode>> create(std::string_view, NewInode const&) override;
  Result<Ref<Inode>> symlink(std::string_view, std::string_view target, NewInode const&) override;
  Result<void> link(std::string_view, Inode& target) override;
  Result<void> unlink(std::string_view, Inode& victim) override;
  Result<void> rmdir(std::string_view, Inode& victim) override;
  Result<void> rename(std::string_view, Inode& moved, Inode&, std::string_view, Inode* target, RenameMode) override;
  void on_moved(Inode&, std::string_view, Inode&, std::string_view) override;
  void on_name_removed(Inode&, std::string_view) override;
  Result<Ref<Inode>> tmpfile(NewInode const&) override;
  Result<std::string> link_text() override;
  Result<Ref<kernel::File>> open(OpenRequest const&, Path const&) override;
  Result<std::string> get_xattr(std::string_view) override;
  Result<void> set_xattr(std::string_view, std::string_view, int) override;
  Result<void> remove_xattr(std::string_view) override;
  Result<std::vector<std::string>> list_xattr() override;
  Result<size_t> read_data(std::span<std::byte>, uint64_t offset) override;
  Result<std::vector<DirectoryEntry>> list_entries() override;
  bool revalidate() override;
  Ref<kernel::OutsideLocks> outside_locks() override;
  bool cache_negative() const override { return fs_.exclusive(); }

  HostFileSystem& host_fs() const { return fs_; }
  // A descriptor for reading (and writing) the file's data, shared by all that have it open.
  Result<Ref<SharedFd>> data_fd(bool writable);
  // A description of its own, for locks: writable where that is to be had.
  Result<Ref<SharedFd>> lock_fd();
  // An O_PATH descriptor of the directory.
  Result<Ref<SharedFd>> directory_fd();
  // Data or times have changed behind the cached attributes.
  void note_change();
  void note_size(uint64_t at_least);
  void note_truncated(uint64_t size);
  void note_mapped_writable();
  Result<Attributes> attributes_by(int fd);
  uint64_t host_inode() const { return number_; }
  // For watches of what the host does (host_changes.h).
  Result<Ref<SharedFd>> watchable_fd();
  Ref<HostInode> parent() const;
  std::string name() const;  // empty where it has none
  bool removed_on_host();
  std::pair<uint64_t, uint64_t> identity() const { return {device_, number_}; }
  // Also found at this name.
  void add_place(Ref<HostInode> parent, std::string_view name);

 private:
  friend class HostFileSystem;
  struct Place {
    Ref<HostInode> parent;
    std::string name;
  };
  void last_ref_dropped() override;
  std::optional<Place> place() const;
  void store(struct ::statx const&) REQUIRES(mutex_);
  Attributes as_attributes() const REQUIRES(mutex_);
  Result<struct ::statx> ask_host();
  Result<void> refresh(int fd);
  bool is_this(struct ::statx const&) const;
  Result<Ref<SharedFd>> open_below(HostInode& parent, std::string const& name, int flags);
  // f(directory descriptor, name): by the place, or by a descriptor of its own with an empty name.
  template <class F>
  Result<void> at_place(F&&);
  Result<Ref<Inode>> adopt_new(int directory, std::string_view name, NewInode const&);
  Result<Ref<SharedFd>> xattr_fd();

  HostFileSystem& fs_;
  uint64_t const device_, number_;
  uint32_t const device_major_, device_minor_;
  mode_t const type_;

  Ref<SharedFd> nameless_fd_;  // of a file made without a name: the only way to it; set before others see it

  // Descriptor cache: under HostFileSystem::fd_mutex_.
  Ref<SharedFd> fd_;
  bool fd_writable_ = false;
  std::list<HostInode*>::iterator kept_at_;

  mutable Mutex mutex_;
  Place place_ GUARDED_BY(mutex_);
  std::unique_ptr<std::vector<Place>> more_places_ GUARDED_BY(mutex_);
  struct Compact {
    uint64_t size, blocks, rdev;
    uint32_t nlink, uid, gid, block_size, statx_attributes;
    statx_timestamp accessed, modified, changed, born;
    uint16_t mode;
    bool has_born;
  };
  Compact data_ GUARDED_BY(mutex_);
  std::unique_ptr<std::string const> link_text_ GUARDED_BY(mutex_);  // where nobody else changes names
  bool stale_ GUARDED_BY(mutex_) = false;
  bool mapped_writable_ GUARDED_BY(mutex_) = false;
  bool several_names_ = false;  // under HostFileSystem::mutex_
};

inline bool out_of_descriptors(Error const& e) { return e == Errno::MFile || e == Errno::NFile; }

// Opens with the descriptor cache as reserve.
template <class Open>
auto open_with_reserve(HostFileSystem& fs, Open&& open) -> decltype(open()) {
  auto fd = open();
  if (fd || !out_of_descriptors(fd.error())) return fd;
  fs.drop_all_fds();
  return open();
}

}  // namespace cofferdam::fs::host

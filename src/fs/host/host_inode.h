// Inodes of a host file system, and the descriptors that they keep.
#pragma once

#include <array>
#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/small_mutex.h"
#include "base/small_name.h"
#include "fs/host/host_file_system.h"
#include "fs/host/kept.h"
#include "host/file_view.h"
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

// A whole directory as getdents64(2) of the host gave it.
struct Listing final : RefCounted {
  Listing(std::unique_ptr<std::byte[]> bytes, size_t n) : records(std::move(bytes)), size(n) {}
  std::unique_ptr<std::byte[]> const records;
  size_t const size;
};

// One of the few views that a file system's open files may have: page tables cost memory.
struct CountedView final : RefCounted {
  explicit CountedView(std::atomic<uint32_t>& views) : count(views) {}
  ~CountedView() override { count.fetch_sub(1); }
  std::atomic<uint32_t>& count;
  cofferdam::host::FileView view;
};

// A device of the host below the mount, and what the guest knows it as.
struct Device {
  uint32_t major, minor;
  uint64_t number;
};

class HostFileSystem final : public FileSystem {
 public:
  HostFileSystem(kernel::Vfs&, OwnedFd root, Options);
  Result<void> initialize();
  std::string_view type_name() const override { return "9p"; }
  Result<struct statfs> statfs() override { return cofferdam::host::stat_file_system(root_fd_->get()); }
  Ref<Inode> root() override;
  uint64_t device() const override { return device_->number; }
  std::string source() const override { return options_.source; }
  Result<void> sync() override;
  bool revalidates() const override { return !options_.exclusive; }
  bool exclusive() const { return options_.exclusive; }
  Ref<SharedFd> const& root_fd() const { return root_fd_; }
  struct ::statx const& root_stat() const { return root_stat_; }

  Device const& device_for(uint32_t major, uint32_t minor);
  Device const& device_of(struct ::statx const&);
  // The inode that stat describes, at (parent, name): the living one when it has several names.
  Ref<HostInode> inode_for(struct ::statx const&, Ref<HostInode> parent, std::string_view name);

  // Descriptors kept by inodes, the least recently used closed first. `full`: not just for names (O_PATH), of a
  // directory; not just for reading, of a file.
  Ref<SharedFd> kept_fd(HostInode const&, bool full);
  void keep_fd(HostInode&, Ref<SharedFd>, bool full);
  void drop_fd(HostInode const&);
  void drop_all_fds();

  // Listings of directories that nobody else changes. One that was read while any directory changed is not kept:
  // `changes` is changes() from before.
  Ref<Listing> kept_listing(HostInode const&);
  void keep_listing(HostInode&, Ref<Listing>, uint64_t changes);
  uint64_t changes() const { return changes_.load(); }
  void note_directory_change(HostInode const&);
  // One reader at a time per directory: its descriptor has one position.
  Mutex& reading_mutex(uint64_t number) { return reading_[number % reading_.size()]; }
  // Held over an append: the end is asked for and written to at once.
  Mutex& append_lock(HostInode const&);

  // For an open file of large reads, which holds the file system; null when there are enough.
  Ref<CountedView> make_view();

  void note_multiple_names(HostInode&);
  // The inode dies.
  void forget(HostInode&);

 private:
  struct KeptFd {
    Ref<SharedFd> fd;
    bool full = false;
  };
  // Descriptors that inodes keep for later. RLIMIT_NOFILE of the sentry may be as low as 20,000, with many mounts.
  static constexpr size_t max_kept_fds = 768;
  static constexpr size_t max_kept_listings = 4 << 20;  // bytes

  kernel::Vfs& vfs_;
  Options options_;
  Device const* device_ = nullptr;
  Ref<SharedFd> root_fd_;
  struct ::statx root_stat_{};
  std::atomic<uint64_t> changes_{0};
  std::atomic<uint32_t> views_{0};
  std::array<Mutex, 16> reading_;
  Mutex mutex_;
  std::list<Device> devices_ GUARDED_BY(mutex_);
  std::map<std::pair<uint64_t, uint64_t>, HostInode*> several_names_ GUARDED_BY(mutex_);  // by device, inode
  Mutex kept_mutex_;
  Kept<KeptFd> fds_ GUARDED_BY(kept_mutex_){max_kept_fds};
  Kept<Ref<Listing>> listings_ GUARDED_BY(kept_mutex_){max_kept_listings};
  std::array<Mutex, 16> append_locks_;  // by inode number
  Mutex fd_mutex_;
  std::list<HostInode*> kept_ GUARDED_BY(fd_mutex_);  // most recently used first
};

class HostInode final : public Inode {
 public:
  HostInode(HostFileSystem&, struct ::statx const&, Device const&, Ref<HostInode> parent, std::string_view name);
  ~HostInode() override;

  Result<Attributes> attributes() override;
  Result<void> set_attributes(AttributeChange const&, Task&) override;
  mode_t type() const override { return static_cast<mode_t>(type_) << 12; }
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
  Result<size_t> write_data(std::span<std::byte const>, uint64_t offset) override;
  Result<void> set_times(timespec accessed, timespec modified) override;
  Result<std::vector<DirectoryEntry>> list_entries() override;
  bool revalidate() override;
  Ref<kernel::OutsideLocks> outside_locks() override;
  bool cache_negative() const override { return host_fs().exclusive(); }

  HostFileSystem& host_fs() const { return static_cast<HostFileSystem&>(file_system()); }
  // A descriptor for reading (and writing) the file's data, shared by all that have it open.
  Result<Ref<SharedFd>> data_fd(bool writable);
  // A description of its own, for locks: writable where that is to be had.
  Result<Ref<SharedFd>> lock_fd();
  // A descriptor of the directory: where nobody else changes the tree one that can be read, else O_PATH.
  Result<Ref<SharedFd>> directory_fd();
  // A description of its own, to read the directory by.
  Result<Ref<SharedFd>> open_directory();
  // The whole directory; null if it is too large for that, or somebody else may change it.
  Result<Ref<Listing>> listing();
  // Data or times have changed behind the cached attributes.
  void note_change();
  void note_size(uint64_t at_least);
  void note_truncated(uint64_t size);
  void note_mapped_writable();
  Result<Attributes> attributes_by(int fd);
  uint64_t host_inode() const { return number_; }
  // For watches of what the host does (host_changes.h).
  Result<Ref<SharedFd>> watchable_fd();
  Result<Ref<SharedFd>> place_fd();  // O_PATH, of anything that has a name
  Ref<HostInode> parent() const;
  std::string name() const;  // empty where it has none
  bool removed_on_host();
  std::pair<uint64_t, uint64_t> identity() const { return {device_.number, number_}; }
  // Also found at this name.
  void add_place(Ref<HostInode> parent, std::string_view name);

 private:
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

  Ref<SharedFd> nameless_fd() const;

  // What few inodes have.
  struct Rare {
    Ref<SharedFd> nameless_fd;  // of a file made without a name: the only way to it
    std::vector<Place> more_places;
    std::unique_ptr<std::string const> link_text;  // where nobody else changes names
  };
  Rare& rare() REQUIRES(mutex_);
  struct Compact {
    uint64_t size, blocks;
    std::array<int64_t, 4> seconds;  // accessed, modified, changed, born
    std::array<uint32_t, 4> nanoseconds;
    uint32_t special_device, nlink, uid, gid, block_size;
    uint16_t mode;
    uint8_t statx_attributes;  // STATX_ATTR_IMMUTABLE, STATX_ATTR_APPEND
    bool has_born : 1, stale : 1, mapped_writable : 1;
  };

  // In the order that leaves no holes: there are as many as cached names (tests/unit/dentry_memory_test.cc).
  friend class HostFileSystem;
  enum : uint8_t { kept_descriptor = 1, kept_a_listing = 2, has_several_names = 4 };
  std::atomic<uint8_t> known_to_{0};  // the file system has, or had, these of it
  uint8_t const type_;                // S_IFMT, moved down
  mutable SmallMutex mutex_;
  uint64_t const number_;
  Device const& device_;
  Ref<HostInode> parent_ GUARDED_BY(mutex_);  // with name_: the first place; null: none
  SmallName name_ GUARDED_BY(mutex_);
  std::unique_ptr<Rare> rare_ GUARDED_BY(mutex_);
  Compact data_ GUARDED_BY(mutex_){};
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

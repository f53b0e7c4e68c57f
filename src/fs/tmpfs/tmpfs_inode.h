#pragma once

#include <map>
#include <string>
#include <unordered_map>

#include "base/mutex.h"
#include "fs/tmpfs/tmpfs.h"
#include "kernel/vfs/memory_inode.h"

namespace cofferdam::fs::tmpfs {

using kernel::FileSystem;
using kernel::Inode;
using kernel::MemoryInode;
using kernel::NewInode;
using kernel::OpenRequest;
using kernel::Path;
using kernel::RenameMode;

class TmpfsInode;

class TmpfsFileSystem final : public FileSystem {
 public:
  TmpfsFileSystem(kernel::Kernel&, Options const&);
  ~TmpfsFileSystem() override;
  std::string_view type_name() const override { return "tmpfs"; }
  Result<struct statfs> statfs() override;
  Ref<Inode> root() override;
  uint64_t device() const override { return device_; }
  std::string mount_options() const override;
  // Another size or number of inodes; EINVAL when more is in use.
  Result<void> reconfigure(std::string_view options) override;

  // ENOSPC when there may be no more inodes.
  Result<Ref<TmpfsInode>> make_inode(NewInode const&);

  // Guards the entries of all directories; below directory locks.
  Mutex names;

 private:
  friend class TmpfsInode;
  kernel::Kernel& kernel_;
  uint64_t inode_limit() const;
  Options const options_;  // size and inodes as they were at first
  std::atomic<uint64_t> size_, inodes_wanted_;
  uint64_t const device_;
  Ref<kernel::PageBudget> pages_;
  Ref<TmpfsInode> unclaimed_root_;  // until root() is first asked: an inode holds its file system, not the reverse
  TmpfsInode* root_ = nullptr;
  std::atomic<uint64_t> inodes_{0}, next_number_{1};
};

class TmpfsInode final : public MemoryInode {
 public:
  TmpfsInode(TmpfsFileSystem&, uint64_t number, NewInode const&);
  ~TmpfsInode() override;

  Result<kernel::Attributes> attributes() override;
  Result<Ref<Inode>> lookup(std::string_view) override;
  Result<Ref<Inode>> create(std::string_view, NewInode const&) override;
  Result<Ref<Inode>> symlink(std::string_view, std::string_view target, NewInode const&) override;
  Result<void> link(std::string_view, Inode& target) override;
  Result<void> unlink(std::string_view, Inode& victim) override;
  Result<void> rmdir(std::string_view, Inode& victim) override;
  // Takes fs_.names, which is the other directory's too: the analysis cannot see that.
  Result<void> rename(std::string_view, Inode& moved, Inode&, std::string_view, Inode* target,
                      RenameMode) override NO_THREAD_SAFETY_ANALYSIS;
  Result<Ref<Inode>> tmpfile(NewInode const&) override;
  Result<Ref<kernel::File>> open(OpenRequest const&, Path const&) override;
  Result<std::vector<DirectoryEntry>> list_entries() override;

  struct Name {
    std::string text;
    Ref<TmpfsInode> inode;
  };
  // The entries from a cookie on (cookies rise in the order of making), at most `max`.
  std::vector<std::pair<uint64_t, DirectoryEntry>> entries_from(uint64_t cookie, size_t max);
  uint64_t parent_number();

 private:
  struct Directory {
    TmpfsInode* parent = nullptr;  // while it has a name
    std::map<uint64_t, Name> entries;
    std::unordered_map<std::string_view, uint64_t> by_name;  // views into entries
    uint64_t next_cookie = first_cookie;
  };
  void last_ref_dropped() override;
  TmpfsInode* find(std::string_view) const REQUIRES(fs_.names);
  void add(std::string_view, Ref<TmpfsInode>) REQUIRES(fs_.names);
  Ref<TmpfsInode> take(std::string_view) REQUIRES(fs_.names);
  Result<Ref<Inode>> add_new(std::string_view, Ref<TmpfsInode>);

  TmpfsFileSystem& fs_;
  std::unique_ptr<Directory> directory_;  // its contents: fs_.names
  bool linkable_ = false;                 // O_TMPFILE: may get its first name. fs_.names

 public:
  static constexpr uint64_t first_cookie = 3;  // 1 and 2 stand behind "." and ".."
};

}  // namespace cofferdam::fs::tmpfs

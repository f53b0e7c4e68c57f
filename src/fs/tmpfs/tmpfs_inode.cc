#include "fs/tmpfs/tmpfs_inode.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>

#include "kernel/vfs/dentry.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/path.h"

namespace cofferdam::fs::tmpfs {
namespace {

using kernel::Attributes;
using kernel::DirectorySink;
using kernel::File;
using kernel::IoOptions;
using kernel::IoSink;
using kernel::Task;

class TmpfsDirectory final : public File {
 public:
  TmpfsDirectory(Path path, int flags, Ref<TmpfsInode> inode)
      : File(std::move(path), flags), inode_(std::move(inode)) {}
  bool seekable() const override { return true; }
  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override { return fail(Errno::IsDir); }
  Result<void> sync(Task&, bool) override { return {}; }

  Result<void> iterate(Task&, uint64_t position_wanted, DirectorySink& sink) override {
    inode_->note_accessed();
    if (position_wanted == 0 && !sink.add(".", inode_->number(), DT_DIR, 1)) return {};
    if (position_wanted <= 1 && !sink.add("..", inode_->parent_number(), DT_DIR, 2)) return {};
    uint64_t cookie = std::max(position_wanted, TmpfsInode::first_cookie);
    for (;;) {
      auto batch = inode_->entries_from(cookie, batch_size);
      for (auto const& [at, entry] : batch) {
        if (!sink.add(entry.name, entry.inode, entry.type, at + 1)) return {};
        cookie = at + 1;
      }
      if (batch.size() < batch_size) return {};
    }
  }

 private:
  static constexpr size_t batch_size = 128;
  Ref<TmpfsInode> inode_;
};

constexpr int64_t max_links = 1 << 20;

}  // namespace

TmpfsInode::TmpfsInode(TmpfsFileSystem& fs, uint64_t number, NewInode const& fresh)
    : MemoryInode(fs, number, fresh), fs_(fs) {
  if (S_ISDIR(fresh.mode)) directory_ = std::make_unique<Directory>();
}

TmpfsInode::~TmpfsInode() { fs_.inodes_.fetch_sub(1, std::memory_order_relaxed); }

// A tree that goes with its mount may be as deep as the guest likes: no recursion.
void TmpfsInode::last_ref_dropped() {
  if (!directory_) {
    delete this;
    return;
  }
  Ref<FileSystem> keep(&fs_);
  std::vector<TmpfsInode*> dead{this};
  while (!dead.empty()) {
    TmpfsInode* inode = dead.back();
    dead.pop_back();
    for (auto& [cookie, name] : inode->directory_->entries) {
      TmpfsInode* child = name.inode.release();
      if (child->directory_ && child->ref_count() == 1) {
        dead.push_back(child);
        continue;
      }
      if (child->directory_) {
        MutexLock lock(fs_.names);
        child->directory_->parent = nullptr;
      }
      child->unref();
    }
    delete inode;
  }
}

Result<Attributes> TmpfsInode::attributes() {
  Attributes a = TRY(MemoryInode::attributes());
  if (directory_) {
    MutexLock lock(fs_.names);
    a.size = 40 + 20 * directory_->entries.size();
  }
  return a;
}

// ---- entries

TmpfsInode* TmpfsInode::find(std::string_view name) const {
  if (!directory_) return nullptr;
  auto it = directory_->by_name.find(name);
  return it == directory_->by_name.end() ? nullptr : directory_->entries.find(it->second)->second.inode.get();
}

void TmpfsInode::add(std::string_view name, Ref<TmpfsInode> inode) {
  if (inode->directory_) {
    inode->directory_->parent = this;
    add_links(1);
  }
  uint64_t cookie = directory_->next_cookie++;
  auto [it, fresh] = directory_->entries.emplace(cookie, Name{std::string(name), std::move(inode)});
  directory_->by_name.emplace(it->second.text, cookie);
  note_modified();
}

Ref<TmpfsInode> TmpfsInode::take(std::string_view name) {
  auto by_name = directory_->by_name.find(name);
  auto it = directory_->entries.find(by_name->second);
  directory_->by_name.erase(by_name);
  Ref<TmpfsInode> inode = std::move(it->second.inode);
  directory_->entries.erase(it);
  if (inode->directory_) {
    inode->directory_->parent = nullptr;
    add_links(-1);
  }
  note_modified();
  return inode;
}

std::vector<std::pair<uint64_t, Inode::DirectoryEntry>> TmpfsInode::entries_from(uint64_t cookie, size_t max) {
  std::vector<std::pair<uint64_t, DirectoryEntry>> found;
  MutexLock lock(fs_.names);
  for (auto it = directory_->entries.lower_bound(cookie); it != directory_->entries.end() && found.size() < max; ++it) {
    TmpfsInode const& inode = *it->second.inode;
    found.emplace_back(
        it->first, DirectoryEntry{it->second.text, inode.number(), static_cast<unsigned char>(IFTODT(inode.type()))});
  }
  return found;
}

Result<std::vector<Inode::DirectoryEntry>> TmpfsInode::list_entries() {
  if (!directory_) return fail(Errno::NotDir);
  std::vector<DirectoryEntry> all;
  for (auto& [cookie, entry] : entries_from(0, SIZE_MAX)) all.push_back(std::move(entry));
  return all;
}

uint64_t TmpfsInode::parent_number() {
  MutexLock lock(fs_.names);
  return directory_->parent ? directory_->parent->number() : number();
}

// ---- operations

Result<Ref<Inode>> TmpfsInode::lookup(std::string_view name) {
  if (!directory_) return fail(Errno::NotDir);
  MutexLock lock(fs_.names);
  TmpfsInode* found = find(name);
  if (found == nullptr) return fail(Errno::NoEnt);
  return Ref<Inode>(found);
}

Result<Ref<Inode>> TmpfsInode::add_new(std::string_view name, Ref<TmpfsInode> inode) {
  if (!directory_) return fail(Errno::NotDir);
  inode->add_links(inode->directory_ ? 2 : 1);
  MutexLock lock(fs_.names);
  if (find(name) != nullptr) return fail(Errno::Exist);
  add(name, inode);
  return Ref<Inode>(std::move(inode));
}

Result<Ref<Inode>> TmpfsInode::create(std::string_view name, NewInode const& fresh) {
  return add_new(name, TRY(fs_.make_inode(fresh)));
}

Result<Ref<Inode>> TmpfsInode::symlink(std::string_view name, std::string_view target, NewInode const& fresh) {
  auto inode = TRY(fs_.make_inode(fresh));
  inode->set_link_text(std::string(target));
  return add_new(name, std::move(inode));
}

Result<Ref<Inode>> TmpfsInode::tmpfile(NewInode const& fresh) {
  auto inode = TRY(fs_.make_inode(fresh));
  inode->linkable_ = true;
  return Ref<Inode>(std::move(inode));
}

Result<void> TmpfsInode::link(std::string_view name, Inode& target) {
  auto* inode = dynamic_cast<TmpfsInode*>(&target);
  if (inode == nullptr || &inode->fs_ != &fs_) return fail(Errno::XDev);
  if (!directory_) return fail(Errno::NotDir);
  MutexLock lock(fs_.names);
  if (find(name) != nullptr) return fail(Errno::Exist);
  if (inode->links() == 0 && !inode->linkable_) return fail(Errno::NoEnt);
  if (inode->links() >= max_links) return fail(Errno::MLink);
  inode->linkable_ = false;
  inode->add_links(1);
  add(name, Ref<TmpfsInode>(inode));
  return {};
}

Result<void> TmpfsInode::unlink(std::string_view name, Inode&) {
  Ref<TmpfsInode> removed;  // destroyed after the lock
  if (!directory_) return fail(Errno::NotDir);
  MutexLock lock(fs_.names);
  TmpfsInode* found = find(name);
  if (found == nullptr) return fail(Errno::NoEnt);
  if (found->directory_) return fail(Errno::IsDir);
  removed = take(name);
  removed->add_links(-1);
  return {};
}

Result<void> TmpfsInode::rmdir(std::string_view name, Inode&) {
  Ref<TmpfsInode> removed;
  if (!directory_) return fail(Errno::NotDir);
  MutexLock lock(fs_.names);
  TmpfsInode* found = find(name);
  if (found == nullptr) return fail(Errno::NoEnt);
  if (!found->directory_) return fail(Errno::NotDir);
  if (!found->directory_->entries.empty()) return fail(Errno::NotEmpty);
  removed = take(name);
  removed->add_links(-2);
  return {};
}

Result<void> TmpfsInode::rename(std::string_view old_name, Inode&, Inode& new_directory, std::string_view new_name,
                                Inode*, RenameMode mode) {
  auto* to = dynamic_cast<TmpfsInode*>(&new_directory);
  if (to == nullptr || &to->fs_ != &fs_) return fail(Errno::XDev);
  if (!directory_ || !to->directory_) return fail(Errno::NotDir);
  Ref<TmpfsInode> whiteout, removed;
  if (mode == RenameMode::Whiteout) {
    whiteout = TRY(fs_.make_inode({.mode = S_IFCHR, .uid = 0, .gid = 0}));
    whiteout->add_links(1);
  }
  MutexLock lock(fs_.names);
  TmpfsInode* moved = find(old_name);
  TmpfsInode* target = to->find(new_name);
  if (moved == nullptr) return fail(Errno::NoEnt);
  if (moved == target) return {};
  if (mode == RenameMode::Exchange) {
    if (target == nullptr) return fail(Errno::NoEnt);
    auto a = take(old_name), b = to->take(new_name);
    to->add(new_name, std::move(a));
    add(old_name, std::move(b));
    moved->note_changed();
    target->note_changed();
    return {};
  }
  if (target != nullptr) {
    if (mode == RenameMode::NoReplace) return fail(Errno::Exist);
    if (target->directory_ && !target->directory_->entries.empty()) return fail(Errno::NotEmpty);
    removed = to->take(new_name);
    removed->add_links(removed->directory_ ? -2 : -1);
  }
  to->add(new_name, take(old_name));
  moved->note_changed();
  if (whiteout) add(old_name, std::move(whiteout));
  return {};
}

Result<Ref<File>> TmpfsInode::open(OpenRequest const& request, Path const& path) {
  if (directory_) return Ref<File>(make_ref<TmpfsDirectory>(path, request.flags, Ref<TmpfsInode>(this)));
  return MemoryInode::open(request, path);
}

}  // namespace cofferdam::fs::tmpfs

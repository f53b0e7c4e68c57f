// Open files of an overlay: those of the layer, and merged directories.
#include <dirent.h>
#include <fcntl.h>

#include "fs/overlay/overlay_inode.h"
#include "kernel/task/task.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/path.h"

namespace cofferdam::fs::overlay {
namespace {

using kernel::DirectorySink;
using kernel::File;
using kernel::IoOptions;
using kernel::IoSink;

// Lists what was there when reading began (or began again).
class OverlayDirectory final : public File {
 public:
  OverlayDirectory(Path path, int flags, Ref<OverlayInode> inode)
      : File(std::move(path), flags), inode_(std::move(inode)) {}
  bool seekable() const override { return true; }
  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override { return fail(Errno::IsDir); }
  Result<void> sync(Task&, bool) override { return {}; }

  Result<void> iterate(Task&, uint64_t wanted, DirectorySink& sink) override {
    MutexLock lock(mutex_);
    if (wanted == 0 || !listed_) {
      entries_ = TRY(inode_->list_entries());
      listed_ = true;
    }
    if (wanted == 0 && !sink.add(".", inode_->number(), DT_DIR, 1)) return {};
    if (wanted <= 1 && !sink.add("..", inode_->parent_number(), DT_DIR, 2)) return {};
    for (uint64_t i = std::max<uint64_t>(wanted, 2); i - 2 < entries_.size(); ++i) {
      auto const& entry = entries_[i - 2];
      if (!sink.add(entry.name, entry.inode, entry.type, i + 1)) return {};
    }
    return {};
  }

 private:
  Ref<OverlayInode> inode_;
  Mutex mutex_;
  std::vector<Inode::DirectoryEntry> entries_ GUARDED_BY(mutex_);
  bool listed_ GUARDED_BY(mutex_) = false;
};

// A file of a lower layer, open for reading: after it was copied up, what is read is the copy's. Mappings stay what
// they were.
class LowerFile final : public File {
 public:
  LowerFile(Path path, int flags, Ref<OverlayInode> inode, Ref<File> lower)
      : File(std::move(path), flags), inode_(std::move(inode)), lower_(std::move(lower)) {
    ask_for_service_after(kernel::reads_before_service);
  }
  bool seekable() const override { return true; }
  Result<size_t> read(Task& task, IoSink& sink, uint64_t offset, IoOptions options) override {
    return TRY(current(task))->read(task, sink, offset, options);
  }
  Result<uint64_t> seek(Task& task, int64_t offset, int whence) override {
    if (whence != SEEK_DATA && whence != SEEK_HOLE) return File::seek(task, offset, whence);
    uint64_t const found = TRY(TRY(current(task))->seek(task, offset, whence));
    MutexLock lock(position_lock);
    return position = found;
  }
  Result<void> sync(Task& task, bool data_only) override { return TRY(current(task))->sync(task, data_only); }
  Result<uint64_t> ioctl(Task& task, uint32_t request, uint64_t argument) override {
    return TRY(current(task))->ioctl(task, request, argument);
  }
  Result<kernel::MapTarget> map(Task& task, kernel::MapRequest const& request) override {
    auto target = TRY(TRY(current(task))->map(task, request));
    target.keep_file = Ref<File>(this);
    return target;
  }
  std::optional<kernel::FileService> service(Task& task) override {
    auto const file = current(task);
    return file ? (*file)->service(task) : std::nullopt;
  }
  kernel::Inode* data_inode() const override {
    File const* upper = upper_.load(std::memory_order_acquire);
    return upper != nullptr ? upper->data_inode() : lower_->data_inode();
  }
  Ref<host::SharedFd> host_fd() override {
    File* upper = upper_.load(std::memory_order_acquire);
    if (upper == nullptr && inode_->is_copied_up()) return {};
    return upper != nullptr ? upper->host_fd() : lower_->host_fd();
  }

 private:
  Result<File*> current(Task& task) {
    if (File* upper = upper_.load(std::memory_order_acquire)) return upper;
    if (!inode_->is_copied_up()) return lower_.get();
    MutexLock lock(mutex_);
    if (!upper_ref_) upper_ref_ = TRY(inode_->open_upper({.flags = O_RDONLY, .task = task}, path()));
    upper_.store(upper_ref_.get(), std::memory_order_release);
    return upper_ref_.get();
  }

  Ref<OverlayInode> const inode_;
  Ref<File> const lower_;
  Mutex mutex_;
  Ref<File> upper_ref_ GUARDED_BY(mutex_);  // set once
  std::atomic<File*> upper_{nullptr};
};

}  // namespace

Result<Ref<File>> OverlayInode::open_upper(OpenRequest const& request, Path const& path) {
  return upper()->open(request, path);
}

Result<Ref<File>> OverlayInode::open(OpenRequest const& request, Path const& path) {
  if (S_ISDIR(type_)) return Ref<File>(make_ref<OverlayDirectory>(path, request.flags, Ref<OverlayInode>(this)));
  bool writes = (request.flags & O_ACCMODE) != O_RDONLY || (request.flags & O_TRUNC);
  if (writes) TRY(copy_up(!(request.flags & O_TRUNC)));
  if (S_ISREG(type_) && !is_copied_up()) {
    auto lower = TRY(lowers_.front()->open(request, path));
    return Ref<File>(make_ref<LowerFile>(path, request.flags, Ref<OverlayInode>(this), std::move(lower)));
  }
  return real().open(request, path);
}

}  // namespace cofferdam::fs::overlay

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

}  // namespace

Result<Ref<File>> OverlayInode::open(OpenRequest const& request, Path const& path) {
  if (S_ISDIR(type_)) return Ref<File>(make_ref<OverlayDirectory>(path, request.flags, Ref<OverlayInode>(this)));
  bool writes = (request.flags & O_ACCMODE) != O_RDONLY || (request.flags & O_TRUNC);
  if (writes) TRY(copy_up(!(request.flags & O_TRUNC)));
  return real().open(request, path);
}

}  // namespace cofferdam::fs::overlay

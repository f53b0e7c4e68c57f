// Open files and directories of a host file system.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "fs/host/host_inode.h"
#include "kernel/task/task.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/mount.h"

namespace cofferdam::fs::host {
namespace {

using kernel::DirectorySink;
using kernel::File;
using kernel::IoOptions;
using kernel::IoSink;
using kernel::IoSource;
using kernel::MapRequest;
using kernel::MapTarget;

constexpr size_t entry_buffer_size = 32 << 10;

// The host's own bytes, but of any length and alignment.
struct dirent64 entry_at(std::byte const* from, size_t room) {
  struct dirent64 entry;
  std::memcpy(&entry, from, std::min(sizeof entry, room));
  entry.d_name[sizeof entry.d_name - 1] = 0;
  return entry;
}

class HostFile final : public File {
 public:
  HostFile(Path path, int flags, Ref<HostInode> inode, Ref<SharedFd> fd)
      : File(std::move(path), flags), inode_(std::move(inode)), fd_(std::move(fd)) {}

  bool seekable() const override { return true; }

  Result<size_t> read(Task&, IoSink& sink, uint64_t offset, IoOptions) override {
    return sink.put_from_host(fd_->get(), sink.remaining(), static_cast<int64_t>(offset));
  }

  Result<size_t> write(Task&, IoSource& source, uint64_t offset, IoOptions options) override {
    if (options.append) offset = TRY(attributes()).size;
    size_t n = TRY(source.get_to_host(fd_->get(), source.remaining(), static_cast<int64_t>(offset)));
    inode_->note_size(offset + n);
    if (options.sync) TRY(cofferdam::host::sync_file(fd_->get(), true));
    return n;
  }

  Result<uint64_t> seek(Task& task, int64_t offset, int whence) override {
    if (whence != SEEK_DATA && whence != SEEK_HOLE) return File::seek(task, offset, whence);
    if (offset < 0) return fail(Errno::NxIo);
    uint64_t found = TRY(cofferdam::host::seek_file(fd_->get(), offset, whence));
    MutexLock lock(position_lock);
    return position = found;
  }

  Result<void> truncate(Task&, uint64_t size) override {
    TRY(cofferdam::host::truncate_file(fd_->get(), size));
    inode_->note_truncated(size);
    return {};
  }

  Result<void> allocate(Task&, int mode, uint64_t offset, uint64_t length) override {
    TRY(cofferdam::host::allocate_file(fd_->get(), mode, offset, length));
    auto s = TRY(cofferdam::host::stat_at(fd_->get(), ""));
    inode_->note_truncated(s.stx_size);
    return {};
  }

  Result<void> sync(Task&, bool data_only) override { return cofferdam::host::sync_file(fd_->get(), data_only); }
  Result<Attributes> attributes() override {
    if (inode() != inode_.get()) return File::attributes();  // opened through an overlay
    return inode_->attributes_by(fd_->get());
  }
  Ref<SharedFd> host_fd() override { return fd_; }

  Result<MapTarget> map(Task&, MapRequest const& request) override {
    if (request.shared && writable()) inode_->note_mapped_writable();
    MapTarget target;
    target.fd = fd_;
    target.offset = request.offset;
    target.keep_file = Ref<File>(this);
    return target;
  }

 private:
  Ref<HostInode> inode_;
  Ref<SharedFd> fd_;
};

class HostDirectory final : public File {
 public:
  HostDirectory(Path path, int flags, Ref<HostInode> inode, OwnedFd fd)
      : File(std::move(path), flags), inode_(std::move(inode)), fd_(std::move(fd)) {}

  bool seekable() const override { return true; }
  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override { return fail(Errno::IsDir); }
  Result<void> sync(Task&, bool) override { return cofferdam::host::sync_file(fd_.get(), false); }

  Result<void> iterate(Task&, uint64_t position_wanted, DirectorySink& sink) override {
    MutexLock lock(mutex_);
    if (position_wanted != position_ || position_wanted == 0) {
      TRY(cofferdam::host::seek_file(fd_.get(), static_cast<int64_t>(position_wanted), SEEK_SET));
      position_ = position_wanted;
      at_ = filled_ = 0;
    }
    if (!buffer_) buffer_ = std::make_unique<std::byte[]>(entry_buffer_size);
    for (;;) {
      if (at_ == filled_) {
        at_ = 0;
        filled_ = TRY(cofferdam::host::read_entries(fd_.get(), std::span(buffer_.get(), entry_buffer_size)));
        if (filled_ == 0) {
          buffer_.reset();
          return {};
        }
      }
      struct dirent64 entry = entry_at(buffer_.get() + at_, filled_ - at_);
      bool above_root = std::strcmp(entry.d_name, "..") == 0 && path().dentry == path().mount->root();
      uint64_t number = above_root ? inode_->host_inode() : entry.d_ino;
      if (!sink.add(entry.d_name, number, entry.d_type, static_cast<uint64_t>(entry.d_off))) return {};
      position_ = static_cast<uint64_t>(entry.d_off);
      at_ += entry.d_reclen;
    }
  }

 private:
  Ref<HostInode> inode_;
  OwnedFd fd_;
  Mutex mutex_;
  std::unique_ptr<std::byte[]> buffer_ GUARDED_BY(mutex_);
  size_t at_ GUARDED_BY(mutex_) = 0, filled_ GUARDED_BY(mutex_) = 0;
  uint64_t position_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

Result<size_t> HostInode::read_data(std::span<std::byte> to, uint64_t offset) {
  auto fd = TRY(data_fd(false));
  return cofferdam::host::read_at(fd->get(), to, offset);
}

Result<std::vector<kernel::Inode::DirectoryEntry>> HostInode::list_entries() {
  auto directory = TRY(directory_fd());
  auto fd = TRY(open_with_reserve(fs_, [&] { return cofferdam::host::open_self(directory->get()); }));
  auto buffer = std::make_unique<std::byte[]>(entry_buffer_size);
  std::vector<DirectoryEntry> found;
  for (;;) {
    size_t n = TRY(cofferdam::host::read_entries(fd.get(), std::span(buffer.get(), entry_buffer_size)));
    if (n == 0) return found;
    for (size_t at = 0; at < n;) {
      struct dirent64 entry = entry_at(buffer.get() + at, n - at);
      at += entry.d_reclen;
      std::string_view name = entry.d_name;
      if (name != "." && name != "..") found.push_back({std::string(name), entry.d_ino, entry.d_type});
    }
  }
}

Result<Ref<kernel::File>> HostInode::open(OpenRequest const& request, Path const& path) {
  if (type_ == S_IFDIR) {
    auto directory = TRY(directory_fd());
    auto fd = TRY(open_with_reserve(fs_, [&] { return cofferdam::host::open_self(directory->get()); }));
    return Ref<File>(make_ref<HostDirectory>(path, request.flags, Ref<HostInode>(this), std::move(fd)));
  }
  if (type_ != S_IFREG) return fail(Errno::NxIo);
  bool writes = (request.flags & O_ACCMODE) != O_RDONLY;
  auto fd = TRY(data_fd(writes));
  return Ref<File>(make_ref<HostFile>(path, request.flags & ~O_TRUNC, Ref<HostInode>(this), std::move(fd)));
}

}  // namespace cofferdam::fs::host

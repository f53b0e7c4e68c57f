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

constexpr size_t listing_limit = 32 << 10;

// One of the host's records: its own bytes, but of any length and alignment.
struct Record {
  uint64_t number, next;
  std::string_view name;
  unsigned char type;
  size_t length;
};

// Empty length at the end.
Record record_at(std::byte const* from, size_t room) {
  constexpr size_t header = offsetof(struct dirent64, d_name);
  Record r{};
  uint16_t length;
  if (room <= header) return r;
  std::memcpy(&r.number, from + offsetof(struct dirent64, d_ino), sizeof r.number);
  std::memcpy(&r.next, from + offsetof(struct dirent64, d_off), sizeof r.next);
  std::memcpy(&length, from + offsetof(struct dirent64, d_reclen), sizeof length);
  if (length <= header || length > room) return r;
  r.type = static_cast<unsigned char>(from[offsetof(struct dirent64, d_type)]);
  auto const* name = reinterpret_cast<char const*>(from) + header;
  r.name = std::string_view(name, ::strnlen(name, length - header));
  r.length = length;
  return r;
}

class HostFile final : public File {
 public:
  HostFile(Path path, int flags, Ref<HostInode> inode, Ref<SharedFd> fd)
      : File(std::move(path), flags), inode_(std::move(inode)), fd_(std::move(fd)) {
    if (inode_->host_fs().exclusive()) ask_for_service_after(kernel::reads_before_service);
  }

  bool seekable() const override { return true; }

  Result<size_t> read(Task&, IoSink& sink, uint64_t offset, IoOptions) override {
    constexpr size_t worth_a_view = 96 << 10;
    if (sink.remaining() >= worth_a_view)
      if (size_t const n = read_by_view(sink, offset); n != 0) return n;
    return sink.put_from_host(fd_->get(), sink.remaining(), static_cast<int64_t>(offset));
  }

  Result<size_t> write(Task&, IoSource& source, uint64_t offset, IoOptions options) override {
    size_t n;
    if (options.append) {
      MutexLock lock(inode_->host_fs().append_lock(*inode_));
      offset = TRY(cofferdam::host::stat_at(fd_->get(), "")).stx_size;
      n = TRY(source.get_to_host(fd_->get(), source.remaining(), static_cast<int64_t>(offset)));
      inode_->note_size(offset + n);
    } else {
      n = TRY(source.get_to_host(fd_->get(), source.remaining(), static_cast<int64_t>(offset)));
      inode_->note_size(offset + n);
    }
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
    inode_->stop_serving();
    TRY(cofferdam::host::truncate_file(fd_->get(), size));
    inode_->note_truncated(size);
    return {};
  }

  Result<void> allocate(Task&, int mode, uint64_t offset, uint64_t length) override {
    inode_->stop_serving();
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
    if (request.shared && writable() && !request.never_written) inode_->note_mapped_writable();
    MapTarget target;
    target.fd = fd_;
    target.offset = request.offset;
    target.keep_file = Ref<File>(this);
    return target;
  }

  std::optional<kernel::FileService> service(Task& task) override {
    auto const now = attributes();
    if (!now) return std::nullopt;
    return kernel::service_of_file(task, *this, now->size);
  }
  kernel::Inode* data_inode() const override { return inode_.get(); }

 private:
  // Up to the end of the file or of the window; 0: not to be done this way.
  size_t read_by_view(IoSink& sink, uint64_t offset) {
    auto const known = attributes();
    if (!known || offset >= known->size || !view_mutex_.try_lock()) return 0;
    size_t const n = read_by_view_locked(sink, offset, known->size - offset);
    view_mutex_.unlock();
    return n;
  }
  size_t read_by_view_locked(IoSink& sink, uint64_t offset, uint64_t left) REQUIRES(view_mutex_) {
    if (!view_) view_ = inode_->host_fs().make_view();
    if (!view_) return 0;
    auto const bytes = view_->view.at(fd_->get(), offset, std::min<uint64_t>(sink.remaining(), left));
    return bytes ? sink.put_view(*bytes) : 0;
  }

  Ref<HostInode> inode_;
  Ref<SharedFd> fd_;
  Mutex view_mutex_;
  Ref<CountedView> view_ GUARDED_BY(view_mutex_);
};

// Reads from the listing that the inode keeps, where there is one; else by a descriptor of its own. Either way an entry
// made or removed since reading began may be seen or not.
class HostDirectory final : public File {
 public:
  HostDirectory(Path path, int flags, Ref<HostInode> inode, Ref<SharedFd> fd)
      : File(std::move(path), flags), inode_(std::move(inode)), fd_(std::move(fd)) {}

  bool seekable() const override { return true; }
  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override { return fail(Errno::IsDir); }
  Result<void> sync(Task&, bool) override {
    MutexLock lock(mutex_);
    return cofferdam::host::sync_file(TRY(own_fd()), false);
  }

  Result<void> iterate(Task&, uint64_t wanted, DirectorySink& sink) override {
    MutexLock lock(mutex_);
    if (wanted == 0) {
      listing_ = TRY(inode_->listing());
      at_ = filled_ = 0;
    } else if (wanted != position_ && listing_ && !find_in_listing(wanted)) {
      listing_ = {};
      at_ = filled_ = 0;
    }
    if (listing_) {
      (void)add_records({listing_->records.get(), listing_->size}, sink);
      return {};
    }
    return stream(wanted, sink);
  }

 private:
  Result<int> own_fd() REQUIRES(mutex_) {
    if (!fd_) fd_ = TRY(inode_->open_directory());
    return fd_->get();
  }

  bool find_in_listing(uint64_t position) REQUIRES(mutex_) {
    for (size_t at = 0; at < listing_->size;) {
      Record const r = record_at(listing_->records.get() + at, listing_->size - at);
      if (r.length == 0) return false;
      at += r.length;
      if (r.next != position) continue;
      at_ = at;
      return true;
    }
    return false;
  }

  // From at_ on; false when the sink is full.
  bool add_records(std::span<std::byte const> records, DirectorySink& sink) REQUIRES(mutex_) {
    while (at_ < records.size()) {
      Record const r = record_at(records.data() + at_, records.size() - at_);
      if (r.length == 0) break;
      bool const above_root = r.name == ".." && path().dentry == path().mount->root();
      if (!sink.add(r.name, above_root ? inode_->host_inode() : r.number, r.type, r.next)) return false;
      position_ = r.next;
      at_ += r.length;
    }
    return true;
  }

  Result<void> stream(uint64_t wanted, DirectorySink& sink) REQUIRES(mutex_) {
    int const fd = TRY(own_fd());
    if (wanted != position_ || wanted == 0) {
      TRY(cofferdam::host::seek_file(fd, static_cast<int64_t>(wanted), SEEK_SET));
      position_ = wanted;
      at_ = filled_ = 0;
    }
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<std::byte[]>(entry_buffer_size);
    while (add_records({buffer_.get(), filled_}, sink)) {
      at_ = 0;
      filled_ = TRY(cofferdam::host::read_entries(fd, std::span(buffer_.get(), entry_buffer_size)));
      if (filled_ == 0) {
        buffer_.reset();
        return {};
      }
    }
    return {};
  }

  Ref<HostInode> inode_;
  Mutex mutex_;
  Ref<SharedFd> fd_ GUARDED_BY(mutex_);
  Ref<Listing> listing_ GUARDED_BY(mutex_);
  std::unique_ptr<std::byte[]> buffer_ GUARDED_BY(mutex_);
  // In the listing or the buffer.
  size_t at_ GUARDED_BY(mutex_) = 0, filled_ GUARDED_BY(mutex_) = 0;
  uint64_t position_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

Result<size_t> HostInode::read_data(std::span<std::byte> to, uint64_t offset) {
  auto fd = TRY(data_fd(false));
  return cofferdam::host::read_at(fd->get(), to, offset);
}

Result<size_t> HostInode::write_data(std::span<std::byte const> from, uint64_t offset) {
  auto fd = TRY(data_fd(true));
  size_t n = TRY(cofferdam::host::write_at(fd->get(), from, offset));
  note_size(offset + n);
  return n;
}

Result<Ref<SharedFd>> HostInode::open_directory() {
  auto directory = TRY(directory_fd());
  return make_ref<SharedFd>(
      TRY(open_with_reserve(host_fs(), [&] { return cofferdam::host::open_self(directory->get()); })));
}

Result<Ref<Listing>> HostInode::listing() {
  if (!host_fs().exclusive()) return Ref<Listing>();
  if (auto kept = host_fs().kept_listing(*this)) return kept;
  auto fd = TRY(directory_fd());
  if (!host_fs().kept_fd(*this, true) || TRY(attributes()).size > listing_limit) return Ref<Listing>();
  uint64_t const changes = host_fs().changes();
  auto const buffer = std::make_unique_for_overwrite<std::byte[]>(listing_limit);
  size_t size = 0;
  {
    MutexLock lock(host_fs().reading_mutex(number_));
    TRY(cofferdam::host::seek_file(fd->get(), 0, SEEK_SET));
    for (size_t n = 1; n != 0; size += n) {
      auto more = cofferdam::host::read_entries(fd->get(), std::span(buffer.get(), listing_limit).subspan(size));
      if (!more && more.error() == Errno::Inval) return Ref<Listing>();  // no room for the next
      n = TRY(std::move(more));
    }
  }
  auto records = std::make_unique_for_overwrite<std::byte[]>(size);
  std::memcpy(records.get(), buffer.get(), size);
  auto whole = make_ref<Listing>(std::move(records), size);
  host_fs().keep_listing(*this, whole, changes);
  return whole;
}

Result<std::vector<kernel::Inode::DirectoryEntry>> HostInode::list_entries() {
  std::vector<DirectoryEntry> found;
  auto add_all = [&](std::byte const* records, size_t size) {
    for (size_t at = 0; at < size;) {
      Record const r = record_at(records + at, size - at);
      if (r.length == 0) return;
      at += r.length;
      if (r.name != "." && r.name != "..") found.push_back({std::string(r.name), r.number, r.type});
    }
  };
  if (auto whole = TRY(listing())) {
    add_all(whole->records.get(), whole->size);
    return found;
  }
  auto fd = TRY(open_directory());
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(entry_buffer_size);
  for (;;) {
    size_t const n = TRY(cofferdam::host::read_entries(fd->get(), std::span(buffer.get(), entry_buffer_size)));
    if (n == 0) return found;
    add_all(buffer.get(), n);
  }
}

Result<Ref<kernel::File>> HostInode::open(OpenRequest const& request, Path const& path) {
  if (type() == S_IFDIR) {
    TRY(directory_fd());
    // By the kept descriptor, if it can be read.
    Ref<SharedFd> own;
    if (!host_fs().exclusive() || !host_fs().kept_fd(*this, true)) own = TRY(open_directory());
    return Ref<File>(make_ref<HostDirectory>(path, request.flags, Ref<HostInode>(this), std::move(own)));
  }
  if (type() != S_IFREG) return fail(Errno::NxIo);
  bool writes = (request.flags & O_ACCMODE) != O_RDONLY;
  auto fd = TRY(data_fd(writes));
  return Ref<File>(make_ref<HostFile>(path, request.flags & ~O_TRUNC, Ref<HostInode>(this), std::move(fd)));
}

}  // namespace cofferdam::fs::host

#include "kernel/vfs/memory_inode.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/mount.h"

namespace cofferdam::kernel {
namespace {

constexpr size_t max_xattr_bytes = 256 << 10;  // of one inode

timespec now() {
  timespec t;
  clock_gettime(CLOCK_REALTIME_COARSE, &t);
  return t;
}

bool earlier_or_same(timespec const& a, timespec const& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec <= b.tv_nsec;
}

class MemoryFileHandle final : public File {
 public:
  MemoryFileHandle(Path path, int flags, Ref<MemoryInode> inode)
      : File(std::move(path), flags), inode_(std::move(inode)) {
    ask_for_service_after(reads_before_service);
  }

  bool seekable() const override { return true; }

  Result<size_t> read(Task&, IoSink& sink, uint64_t offset, IoOptions) override {
    size_t n = TRY(inode_->data()->read(sink, offset));
    if (!(flags() & O_NOATIME)) inode_->note_accessed();
    return n;
  }

  Result<size_t> write(Task&, IoSource& source, uint64_t offset, IoOptions options) override {
    size_t n = TRY(inode_->data()->write(source, offset, options.append));
    if (n != 0) inode_->note_modified();
    return n;
  }

  Result<uint64_t> seek(Task& task, int64_t offset, int whence) override {
    if (whence != SEEK_DATA && whence != SEEK_HOLE) return File::seek(task, offset, whence);
    if (offset < 0) return fail(Errno::NxIo);
    uint64_t found = TRY(inode_->data()->seek(static_cast<uint64_t>(offset), whence == SEEK_DATA));
    MutexLock lock(position_lock);
    return position = found;
  }

  Result<void> truncate(Task&, uint64_t size) override {
    inode_->stop_serving();
    TRY(inode_->data()->truncate(size));
    inode_->note_modified();
    return {};
  }

  Result<void> allocate(Task&, int mode, uint64_t offset, uint64_t length) override {
    inode_->stop_serving();
    TRY(inode_->data()->allocate(mode, offset, length));
    inode_->note_modified();
    return {};
  }

  Result<void> sync(Task&, bool) override { return {}; }

  Result<MapTarget> map(Task&, MapRequest const& request) override {
    MapTarget target = TRY(inode_->data()->map(request, writable()));
    target.keep_file = Ref<File>(this);
    target.may_exec = !path().mount->noexec();
    return target;
  }

  // Without holes: reading one by a mapping would fill it.
  std::optional<FileService> service(Task& task) override {
    uint64_t const size = inode_->data()->size();
    if (inode_->data()->allocated_pages() < (size + 4095) / 4096) return std::nullopt;
    return service_of_file(task, *this, size);
  }
  Inode* data_inode() const override { return inode_.get(); }
  void note_served_reads() override {
    if (!(flags() & O_NOATIME)) inode_->note_accessed();
  }

  Result<uint64_t> seals() override { return inode_->data()->seals(); }
  Result<void> add_seals(Task&, uint32_t more) override {
    return writable() ? inode_->data()->add_seals(more) : fail(Errno::Perm);
  }

 private:
  Ref<MemoryInode> inode_;
};

}  // namespace

MemoryInode::MemoryInode(FileSystem& fs, uint64_t number, NewInode const& fresh)
    : Inode(fs),
      number_(number),
      type_(fresh.mode & S_IFMT),
      mode_(fresh.mode),
      uid_(fresh.uid),
      gid_(fresh.gid),
      special_device_(fresh.special_device) {
  MutexLock lock(mutex_);
  accessed_ = modified_ = changed_ = born_ = now();
  note_mode(fresh.mode);
}

Result<Attributes> MemoryInode::attributes() {
  Attributes a;
  a.device = file_system().device();
  a.inode = number_;
  if (data_) {
    a.size = data_->size();
    a.blocks = data_->allocated_pages() * 8;
  } else {
    a.size = link_text_.size();
  }
  MutexLock lock(mutex_);
  a.mode = mode_;
  a.link_count = static_cast<uint64_t>(std::max<int64_t>(links_, 0));
  a.uid = uid_;
  a.gid = gid_;
  a.special_device = special_device_;
  a.accessed = accessed_;
  a.modified = modified_;
  a.changed = changed_;
  a.born = born_;
  return a;
}

Result<void> MemoryInode::set_attributes(AttributeChange const& change, Task&) {
  if (change.size) {
    if (!data_) return fail(Errno::Inval);
    stop_serving();
    TRY(data_->truncate(*change.size));
  }
  MutexLock lock(mutex_);
  timespec at = now();
  auto time = [&](AttributeChange::Time const& t) { return t.now ? at : t.value; };
  if (change.mode) mode_ = type_ | (*change.mode & 07777);
  if (change.uid) uid_ = *change.uid;
  if (change.gid) gid_ = *change.gid;
  if (change.size) modified_ = at;
  if (change.accessed) accessed_ = time(*change.accessed);
  if (change.modified) modified_ = time(*change.modified);
  changed_ = at;
  note_mode(mode_);
  return {};
}

Result<void> MemoryInode::set_times(timespec accessed, timespec modified) {
  MutexLock lock(mutex_);
  accessed_ = accessed;
  modified_ = modified;
  return {};
}

void MemoryInode::set_link_text(std::string text) { link_text_ = std::move(text); }

Result<std::string> MemoryInode::link_text() {
  if (type_ != S_IFLNK) return fail(Errno::Inval);
  return link_text_;
}

int64_t MemoryInode::add_links(int n) {
  MutexLock lock(mutex_);
  links_ += n;
  changed_ = now();
  return links_;
}

int64_t MemoryInode::links() const {
  MutexLock lock(mutex_);
  return links_;
}

// As a relatime mount: when it was not read since the last change, or not for a day.
void MemoryInode::note_accessed() {
  MutexLock lock(mutex_);
  timespec at = now();
  constexpr time_t day = 24 * 60 * 60;
  if (earlier_or_same(accessed_, modified_) || earlier_or_same(accessed_, changed_) ||
      at.tv_sec - accessed_.tv_sec > day)
    accessed_ = at;
}

void MemoryInode::note_modified() {
  MutexLock lock(mutex_);
  modified_ = changed_ = now();
}

void MemoryInode::note_changed() {
  MutexLock lock(mutex_);
  changed_ = now();
}

Result<Ref<File>> MemoryInode::open(OpenRequest const& request, Path const& path) {
  if (!data_) return fail(Errno::NxIo);
  return Ref<File>(make_ref<MemoryFileHandle>(path, request.flags & ~O_TRUNC, Ref<MemoryInode>(this)));
}

Result<size_t> MemoryInode::read_data(std::span<std::byte> to, uint64_t offset) {
  if (!data_) return fail(Errno::Inval);
  KernelSink sink(to);
  return data_->read(sink, offset);
}

Result<size_t> MemoryInode::write_data(std::span<std::byte const> from, uint64_t offset) {
  if (!data_) return fail(Errno::Inval);
  KernelSource source(from);
  return data_->write(source, offset, false);
}

// ---- extended attributes

Result<std::string> MemoryInode::get_xattr(std::string_view name) {
  if (name.starts_with("system.")) return fail(Errno::OpNotSupp);
  MutexLock lock(mutex_);
  if (!xattrs_) return fail(Errno::NoData);
  auto it = xattrs_->find(name);
  if (it == xattrs_->end()) return fail(Errno::NoData);
  return it->second;
}

Result<void> MemoryInode::set_xattr(std::string_view name, std::string_view value, int flags) {
  if (!name.starts_with("user.") && !name.starts_with("trusted.") && !name.starts_with("security."))
    return fail(Errno::OpNotSupp);
  MutexLock lock(mutex_);
  if (!xattrs_) xattrs_ = std::make_unique<std::map<std::string, std::string, std::less<>>>();
  auto it = xattrs_->find(name);
  if (it == xattrs_->end() && (flags & XATTR_REPLACE)) return fail(Errno::NoData);
  if (it != xattrs_->end() && (flags & XATTR_CREATE)) return fail(Errno::Exist);
  size_t old = it == xattrs_->end() ? 0 : it->first.size() + it->second.size();
  size_t bytes = xattr_bytes_ - old + name.size() + value.size();
  if (bytes > max_xattr_bytes) return fail(Errno::NoSpc);
  if (it == xattrs_->end())
    xattrs_->emplace(name, value);
  else
    it->second = value;
  xattr_bytes_ = bytes;
  changed_ = now();
  return {};
}

Result<void> MemoryInode::remove_xattr(std::string_view name) {
  if (name.starts_with("system.")) return fail(Errno::OpNotSupp);
  MutexLock lock(mutex_);
  if (!xattrs_) return fail(Errno::NoData);
  auto it = xattrs_->find(name);
  if (it == xattrs_->end()) return fail(Errno::NoData);
  xattr_bytes_ -= it->first.size() + it->second.size();
  xattrs_->erase(it);
  changed_ = now();
  return {};
}

Result<std::vector<std::string>> MemoryInode::list_xattr() {
  std::vector<std::string> names;
  MutexLock lock(mutex_);
  if (xattrs_)
    for (auto const& [name, value] : *xattrs_) names.push_back(name);
  return names;
}

// ---- memfd

Result<Ref<File>> create_memfd(Kernel& kernel, Credentials const& who, std::string const& name, unsigned flags) {
  constexpr unsigned noexec_seal = 8;   // MFD_NOEXEC_SEAL
  constexpr uint32_t seal_exec = 0x20;  // F_SEAL_EXEC
  bool noexec = (flags & noexec_seal) != 0;
  uint32_t seals = flags & (MFD_ALLOW_SEALING | noexec_seal) ? 0 : static_cast<uint32_t>(F_SEAL_SEAL);
  if (noexec) seals |= seal_exec;
  Vfs& vfs = kernel.vfs();
  uint64_t number = vfs.allocate_inode_number();
  auto inode =
      make_ref<MemoryInode>(vfs.anonymous_file_system(), number,
                            NewInode{.mode = S_IFREG | (noexec ? 0666u : 0777u), .uid = who.fsuid, .gid = who.fsgid});
  inode->set_data(std::make_unique<MemoryData>(kernel.memory_file(), Ref<PageBudget>(), seals));
  Path path = vfs.detached_path(inode, "memfd:" + name);
  return Ref<File>(make_ref<MemoryFileHandle>(std::move(path), O_RDWR, std::move(inode)));
}

}  // namespace cofferdam::kernel

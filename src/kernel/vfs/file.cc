#include "kernel/vfs/file.h"

#include <sys/mman.h>
#include <unistd.h>

#include "kernel/vfs/dentry.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/locks.h"
#include "kernel/vfs/mount.h"

namespace cofferdam::kernel {

void File::note_service(Ref<platform::DescriptorServices> const& services) {
  for (Inode* of : {inode(), data_inode()})
    if (of != nullptr) of->note_service(services);
}
std::optional<FileService> service_of_file(Task& task, File& file, uint64_t size) {
  constexpr uint64_t least = 1, most = 512 << 20;
  if (size < least || size > most) return std::nullopt;
  auto target =
      file.map(task, {.offset = 0, .length = size, .protection = PROT_READ, .shared = true, .never_written = true});
  if (!target || !target->fd) return std::nullopt;
  return FileService{.what = {.size = size}, .target = std::move(*target)};
}

bool File::service_holds() const {
  auto const holds = [](Inode const* of) { return of == nullptr || of->is_served(); };
  return holds(inode()) && holds(data_inode());
}

namespace {

constexpr int settable_flags = O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK;

}  // namespace

File::File(Path path, int flags) : path_(std::move(path)), flags_(flags) {}

File::~File() {
  Inode* i = inode();
  if (i == nullptr) return;
  if (hold_ == Hold::Writer) i->release_write();
  if (hold_ == Hold::Executable) i->allow_write();
  if (auto locks = FileLocks::find(*i)) {
    locks->release(this);
    if (!locks->leases.empty()) (void)locks->leases.release(*this);
  }
}

Inode* File::inode() const { return path_.dentry ? path_.dentry->inode() : nullptr; }

void File::set_status_flags(int settable) {
  int old = flags_.load(std::memory_order_relaxed);
  while (!flags_.compare_exchange_weak(old, (old & ~settable_flags) | (settable & settable_flags))) {
  }
}

Result<Attributes> File::attributes() {
  Inode* i = inode();
  if (i == nullptr) return fail(Errno::BadF);
  return i->attributes();
}

Result<uint64_t> File::seek(Task&, int64_t offset, int whence) {
  if (!seekable()) return fail(Errno::SPipe);
  int64_t base = 0;
  uint64_t size = 0;
  if (whence == SEEK_END || whence == SEEK_DATA || whence == SEEK_HOLE) size = TRY(attributes()).size;
  MutexLock lock(position_lock);
  switch (whence) {
    case SEEK_SET:
      break;
    case SEEK_CUR:
      base = static_cast<int64_t>(position);
      break;
    case SEEK_END:
      base = static_cast<int64_t>(size);
      break;
    case SEEK_DATA:
    case SEEK_HOLE:
      if (offset < 0 || static_cast<uint64_t>(offset) >= size) return fail(Errno::NxIo);
      if (whence == SEEK_HOLE) offset = static_cast<int64_t>(size);
      break;
    default:
      return fail(Errno::Inval);
  }
  int64_t target;
  if (__builtin_add_overflow(base, offset, &target)) return fail(Errno::Overflow);
  if (target < 0) return fail(Errno::Inval);
  position = static_cast<uint64_t>(target);
  return position;
}

}  // namespace cofferdam::kernel

// /proc/PID/mem: the memory of a process as a file.
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "fs/proc/process/process_directory.h"
#include "kernel/kernel.h"
#include "kernel/vfs/pseudo_fs.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

constexpr size_t chunk_size = 64 << 10;

// Speaks of the memory that the process had when the file was opened; after execve it reads as empty.
class MemoryFile final : public File {
 public:
  MemoryFile(Path path, int flags, Ref<MemoryManager> mm) : File(std::move(path), flags), mm_(std::move(mm)) {}
  bool seekable() const override { return true; }

  Result<size_t> read(Task&, IoSink& sink, uint64_t offset, IoOptions) override {
    if (!mm_) return size_t{0};
    auto const chunk = std::make_unique_for_overwrite<std::byte[]>(std::min(chunk_size, sink.remaining()));
    size_t total = 0;
    while (sink.remaining() != 0) {
      std::span<std::byte> const part(chunk.get(), std::min(chunk_size, sink.remaining()));
      Result<size_t> const got = mm_->address_space().read(offset + total, part);
      if (!got || *got == 0) return total ? Result<size_t>(total) : fail(Errno::Io);
      size_t const put = TRY(sink.put(part.first(*got)));
      total += put;
      if (put < part.size()) break;
    }
    return total;
  }

  Result<size_t> write(Task&, IoSource& source, uint64_t offset, IoOptions) override {
    if (!mm_) return size_t{0};
    auto const chunk = std::make_unique_for_overwrite<std::byte[]>(std::min(chunk_size, source.remaining()));
    size_t total = 0;
    while (source.remaining() != 0) {
      std::span<std::byte> const part(chunk.get(), std::min(chunk_size, source.remaining()));
      size_t const got = TRY(source.get(part));
      if (got == 0) break;
      Result<size_t> const put = mm_->address_space().write(offset + total, part.first(got), true);
      if (!put || *put == 0) return total ? Result<size_t>(total) : fail(Errno::Io);
      total += *put;
      if (*put < got) break;
    }
    return total;
  }

  // Addresses are unsigned: any 64-bit position will do (mem_lseek of Linux).
  Result<uint64_t> seek(Task&, int64_t offset, int whence) override {
    MutexLock lock(position_lock);
    if (whence == SEEK_SET)
      position = static_cast<uint64_t>(offset);
    else if (whence == SEEK_CUR)
      position += static_cast<uint64_t>(offset);
    else
      return fail(Errno::Inval);
    return position;
  }

 private:
  Ref<MemoryManager> mm_;
};

class MemoryInode final : public TargetInode<PseudoInode> {
 public:
  MemoryInode(PseudoFileSystem& fs, Target const& target, uint64_t number)
      : TargetInode(fs, target, number, S_IFREG | 0600) {}
  Result<Ref<File>> open(OpenRequest const& request, Path const& path) override {
    Ref<Task> const task = TRY(find());
    TRY(check_may_inspect(request.task, *task));
    return Ref<File>(make_ref<MemoryFile>(path, request.flags, task->mm()));
  }
};

}  // namespace

Ref<Inode> make_memory_file(PseudoFileSystem& fs, Target const& target, uint64_t number, uint64_t) {
  return make_ref<MemoryInode>(fs, target, number);
}

}  // namespace cofferdam::fs::proc

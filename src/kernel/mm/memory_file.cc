#include "kernel/mm/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <iterator>

#include "base/log.h"
#include "host/memfd.h"
#include "kernel/mm/vma_tree.h"

namespace cofferdam::kernel {
namespace {

// The file has its whole size from the start and is sealed against any other: pages cost nothing until they are
// touched.
constexpr uint64_t file_size = uint64_t{1} << 62;
// A guest thread can pretend to have unmapped a range (architecture 4.1), so what was given back is not handed out
// again while there is fresh room: a mapping kept behind our back shows pages that nobody else uses.
constexpr uint64_t fresh_limit = file_size / 2;

constexpr uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) & ~(to - 1); }

}  // namespace

MemoryExtent::~MemoryExtent() { file_.release(offset_, length_); }

Result<std::unique_ptr<MemoryFile>> MemoryFile::create() {
  auto fd = TRY(host::create_memfd("cofferdam-memory"));
  TRY(host::set_file_size(fd.get(), file_size));
  TRY(host::add_seals(fd.get(), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  return std::unique_ptr<MemoryFile>(new MemoryFile(make_ref<host::SharedFd>(std::move(fd))));
}

Result<Ref<MemoryExtent>> MemoryFile::allocate(uint64_t length) {
  if (length == 0) return fail(Errno::Inval);
  if (length > file_size) return fail(Errno::NoMem);
  length = round_up(length, page_size);
  uint64_t alignment = length >= huge_page_size ? huge_page_size : page_size;
  MutexLock lock(mutex_);
  uint64_t start = round_up(end_, alignment);
  if (start + length <= fresh_limit) {
    if (start > end_) free_.emplace(end_, start - end_);
    end_ = start + length;
    allocated_ += length;
    return make_ref<MemoryExtent>(*this, start, length);
  }
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    auto [hole, room] = *it;
    start = round_up(hole, alignment);
    if (start + length > hole + room) continue;
    free_.erase(it);
    if (start > hole) free_.emplace(hole, start - hole);
    if (start + length < hole + room) free_.emplace(start + length, hole + room - start - length);
    allocated_ += length;
    return make_ref<MemoryExtent>(*this, start, length);
  }
  return fail(Errno::NoMem);
}

void MemoryFile::punch(uint64_t offset, uint64_t length) {
  if (length == 0) return;
  if (auto done = host::punch_hole(fd_->get(), offset, length); !done)
    log::error("memory file: freeing {} bytes at {:#x}: {}", length, offset, errno_name(done.error().code));
}

void MemoryFile::release(uint64_t offset, uint64_t length) {
  punch(offset, length);  // before it can be handed out again
  MutexLock lock(mutex_);
  allocated_ -= length;
  auto next = free_.lower_bound(offset);
  if (next != free_.begin()) {
    auto previous = std::prev(next);
    if (previous->first + previous->second == offset) {
      offset = previous->first;
      length += previous->second;
      free_.erase(previous);
    }
  }
  if (next != free_.end() && offset + length == next->first) {
    length += next->second;
    free_.erase(next);
  }
  free_.emplace(offset, length);
}

uint64_t MemoryFile::allocated_bytes() const {
  MutexLock lock(mutex_);
  return allocated_;
}

}  // namespace cofferdam::kernel

// The sentry-owned memory file: extents of one memfd back everything that guests share
// (MAP_SHARED anonymous memory, System V segments, tmpfs files, memfd_create).
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::kernel {

class MemoryFile;

// A page-aligned piece of the memory file; zero when fresh; punched out and freed with its last reference.
class MemoryExtent : public RefCounted {
 public:
  MemoryExtent(MemoryFile& file, uint64_t offset, uint64_t length) : file_(file), offset_(offset), length_(length) {}
  ~MemoryExtent() override;
  uint64_t offset() const { return offset_; }
  uint64_t length() const { return length_; }

 private:
  MemoryFile& file_;
  uint64_t offset_, length_;
};

class MemoryFile {
 public:
  static Result<std::unique_ptr<MemoryFile>> create();
  Ref<host::SharedFd> fd() const { return fd_; }
  Result<Ref<MemoryExtent>> allocate(uint64_t length);  // rounded up to pages; ENOMEM
  // Gives back the pages of a range (which read as zero then).
  void punch(uint64_t offset, uint64_t length);
  uint64_t allocated_bytes() const;

 private:
  friend class MemoryExtent;
  explicit MemoryFile(Ref<host::SharedFd> fd) : fd_(std::move(fd)) {}
  void release(uint64_t offset, uint64_t length);
  Ref<host::SharedFd> fd_;
  mutable Mutex mutex_;
  std::map<uint64_t, uint64_t> free_ GUARDED_BY(mutex_);  // offset -> length, coalesced
  uint64_t end_ GUARDED_BY(mutex_) = 0;
  uint64_t allocated_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cofferdam::kernel

// A window of a file of the host, mapped for reading: what the host's kernel copies from into guest memory without a
// stage in between. Never to be dereferenced: somebody may have shortened the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace cofferdam::host {

class FileView {
 public:
  static constexpr size_t window_size = 8 << 20;

  FileView() = default;
  ~FileView() { unmap(); }
  FileView(FileView const&) = delete;
  FileView& operator=(FileView const&) = delete;

  // The file's bytes from `offset` on, `most` at most, as far as the window reaches that begins at or before it. The
  // same file each time.
  Result<std::span<std::byte const>> at(int fd, uint64_t offset, size_t most);

 private:
  void unmap();
  std::byte* base_ = nullptr;
  uint64_t begin_ = 0;
};

}  // namespace cofferdam::host

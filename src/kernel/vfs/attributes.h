// What stat(2), statx(2), chmod(2) and their kin speak of.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "kernel/time/clock.h"

namespace cofferdam::kernel {

// What permission() is asked for.
inline constexpr int may_exec = 1, may_write = 2, may_read = 4;

struct Attributes {
  uint64_t device = 0;  // st_dev as the guest sees it (encoded by makedev)
  uint64_t inode = 0;
  mode_t mode = 0;  // type and permission bits
  uint64_t link_count = 1;
  uid_t uid = 0;
  gid_t gid = 0;
  uint64_t special_device = 0;  // st_rdev
  uint64_t size = 0;
  uint64_t blocks = 0;  // of 512 bytes
  uint32_t block_size = 4096;
  timespec accessed{}, modified{}, changed{};
  std::optional<timespec> born;
  uint64_t statx_attributes = 0;

  bool is_directory() const { return S_ISDIR(mode); }
  bool is_regular() const { return S_ISREG(mode); }
  bool is_symlink() const { return S_ISLNK(mode); }
};

// What is to change; absent fields stay. Permission has been checked by the VFS.
struct AttributeChange {
  std::optional<mode_t> mode;  // permission bits only
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<uint64_t> size;
  struct Time {
    bool now = false;
    timespec value{};
  };
  std::optional<Time> accessed, modified;
};

}  // namespace cofferdam::kernel

// tmpfs: files in memory (tmpfs(5)).
#pragma once

#include <string_view>

#include "base/ref.h"
#include "base/result.h"
#include "kernel/kernel.h"
#include "kernel/vfs/inode.h"

namespace cofferdam::fs::tmpfs {

struct Options {
  uint64_t size = 0;    // bytes; 0: half of the sandbox's memory
  uint64_t inodes = 0;  // 0: as many as half the memory has pages
  mode_t mode = 01777;
  uid_t uid = 0;
  gid_t gid = 0;
};

// "size=64m,nr_inodes=10k,mode=755,uid=…,gid=…": EINVAL for what is not known.
Result<Options> parse_options(kernel::Kernel&, std::string_view data, Options);

Result<Ref<kernel::FileSystem>> create(kernel::Kernel&, Options const&);

// For Kernel::register_file_system.
kernel::FileSystemType file_system_type();

}  // namespace cofferdam::fs::tmpfs

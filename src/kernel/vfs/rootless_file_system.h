// Where inodes live that no path leads to: nothing but a device number, a type and what statfs(2) says.
#pragma once

#include <string_view>

#include "kernel/vfs/inode.h"

namespace cofferdam::kernel {

class RootlessFileSystem final : public FileSystem {
 public:
  RootlessFileSystem(std::string_view type, uint32_t magic, uint64_t device)
      : type_(type), magic_(magic), device_(device) {}
  std::string_view type_name() const override { return type_; }
  Result<struct statfs> statfs() override {
    struct statfs s{};
    s.f_type = magic_;
    s.f_bsize = s.f_frsize = 4096;
    s.f_namelen = 255;
    return s;
  }
  Ref<Inode> root() override { return {}; }
  uint64_t device() const override { return device_; }

 private:
  std::string_view type_;  // a literal
  uint32_t magic_;
  uint64_t device_;
};

}  // namespace cofferdam::kernel

#include "kernel/vfs/file_capabilities.h"

#include <linux/capability.h>

#include <cstring>

#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {

std::optional<FileCapabilities> parse_file_capabilities(std::string_view value) {
  vfs_ns_cap_data data{};
  if (value.size() < sizeof data.magic_etc || value.size() > sizeof data) return std::nullopt;
  std::memcpy(&data, value.data(), value.size());
  uint32_t const revision = data.magic_etc & VFS_CAP_REVISION_MASK;
  size_t wanted = 0;
  if (revision == VFS_CAP_REVISION_1) wanted = XATTR_CAPS_SZ_1;
  if (revision == VFS_CAP_REVISION_2) wanted = XATTR_CAPS_SZ_2;
  if (revision == VFS_CAP_REVISION_3 && data.rootid == 0) wanted = XATTR_CAPS_SZ_3;  // the one user namespace there is
  if (value.size() != wanted) return std::nullopt;
  auto both = [](uint32_t low, uint32_t high) { return CapabilitySet(uint64_t{high} << 32 | low); };
  bool const wide = revision != VFS_CAP_REVISION_1;
  return FileCapabilities{.permitted = both(data.data[0].permitted, wide ? data.data[1].permitted : 0),
                          .inheritable = both(data.data[0].inheritable, wide ? data.data[1].inheritable : 0),
                          .effective = (data.magic_etc & VFS_CAP_FLAGS_EFFECTIVE) != 0};
}

std::optional<FileCapabilities> file_capabilities(Inode& inode) {
  auto value = inode.get_xattr(capability_xattr);
  if (!value) return std::nullopt;
  return parse_file_capabilities(*value);
}

void CapableFiles::note(Inode const& inode) {
  constexpr size_t enough = 1 << 16;
  inodes_.with([&](auto& all) {
    if (all.size() >= enough) all.clear();
    all.insert(&inode);
    count_.store(all.size(), std::memory_order_release);
  });
}

bool CapableFiles::take(Inode const& inode) {
  if (count_.load(std::memory_order_acquire) == 0) return false;
  return inodes_.with([&](auto& all) {
    bool const known = all.erase(&inode) != 0;
    count_.store(all.size(), std::memory_order_release);
    return known;
  });
}

void note_capable_file(Vfs& vfs, Inode const& inode) { vfs.state().capable_files.note(inode); }

}  // namespace cofferdam::kernel

#include "kernel/vfs/mount_text.h"

#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {

std::string root_in_file_system(Vfs& vfs, Mount const& mount) {
  ReadLock lock(vfs.state().dentries.lock());
  std::string text;
  for (Dentry const* d = mount.root().get(); d->parent() != nullptr && text.size() < max_path_length; d = d->parent())
    text.insert(0, d->name()).insert(0, 1, '/');
  if (!text.empty()) return text;
  std::string_view const own = mount.root()->name();  // "net:[4026531840]"
  return std::string(own.empty() ? "/" : own);
}

}  // namespace cofferdam::kernel

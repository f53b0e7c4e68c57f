#include "kernel/vfs/forget.h"

#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {

void forget_cached(Vfs& vfs, Ref<Dentry> const& top, std::vector<std::string> const& names) {
  if (!top) return;
  DentryCache& cache = vfs.state().dentries;
  Ref<Dentry> found;
  {
    ReadLock lock(cache.lock());
    Dentry* at = top.get();
    for (auto const& name : names) {
      at = cache.find(at, name);
      if (at == nullptr) return;
    }
    if (at->is_mountpoint()) return;
    found = Ref<Dentry>(at);
  }
  cache.remove(*found, false);
}

}  // namespace cofferdam::kernel

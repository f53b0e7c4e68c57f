#include "kernel/vfs/path.h"

#include <utility>

#include "kernel/vfs/dentry.h"
#include "kernel/vfs/mount.h"

namespace cofferdam::kernel {

Path::Path() = default;
Path::Path(Ref<Mount> m, Ref<Dentry> d) : mount(std::move(m)), dentry(std::move(d)) {}
Path::Path(Path const&) = default;
Path::Path(Path&&) noexcept = default;
Path& Path::operator=(Path const&) = default;
Path& Path::operator=(Path&&) noexcept = default;
Path::~Path() = default;

}  // namespace cofferdam::kernel

// A place in the guest's file tree: a dentry as seen through a mount.
#pragma once

#include "base/ref.h"

namespace cofferdam::kernel {

class Dentry;
class Mount;

struct Path {
  Path();
  Path(Ref<Mount> m, Ref<Dentry> d);
  Path(Path const&);
  Path(Path&&) noexcept;
  Path& operator=(Path const&);
  Path& operator=(Path&&) noexcept;
  ~Path();
  explicit operator bool() const { return static_cast<bool>(dentry); }
  friend bool operator==(Path const&, Path const&) = default;

  Ref<Mount> mount;
  Ref<Dentry> dentry;
};

}  // namespace cofferdam::kernel

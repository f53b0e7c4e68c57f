#include "kernel/cred/credentials.h"

#include <algorithm>

namespace cofferdam::kernel {

Credentials::Credentials(Credentials const& o)
    : RefCounted(),
      uid(o.uid),
      euid(o.euid),
      suid(o.suid),
      fsuid(o.fsuid),
      gid(o.gid),
      egid(o.egid),
      sgid(o.sgid),
      fsgid(o.fsgid),
      groups(o.groups),
      permitted(o.permitted),
      effective(o.effective),
      inheritable(o.inheritable),
      bounding(o.bounding),
      ambient(o.ambient),
      securebits(o.securebits) {}

bool Credentials::in_group(gid_t g) const { return g == fsgid || std::binary_search(groups.begin(), groups.end(), g); }

bool Credentials::in_group_effective(gid_t g) const {
  return g == egid || std::binary_search(groups.begin(), groups.end(), g);
}

}  // namespace cofferdam::kernel

#include <linux/capability.h>

#include "kernel/ipc/sysv.h"
#include "kernel/time/clock.h"

namespace cofferdam::kernel::sysv {

int64_t now() { return host_now(CLOCK_REALTIME) / ns_per_second; }

ipc_perm Object::permission() const {
  ipc_perm p{};
  p.__key = key;
  p.uid = uid;
  p.gid = gid;
  p.cuid = creator_uid;
  p.cgid = creator_gid;
  p.mode = mode;
  p.__seq = static_cast<unsigned short>(id / 32768);
  return p;
}

bool Object::owned_by(Credentials const& c) const {
  return c.euid == creator_uid || c.euid == uid || c.capable(CAP_SYS_ADMIN);
}

Result<void> Object::check(Credentials const& c, int wanted) const {
  int requested = ((wanted >> 6) | (wanted >> 3) | wanted) & 7, granted = mode;
  if (c.euid == creator_uid || c.euid == uid)
    granted >>= 6;
  else if (c.in_group_effective(creator_gid) || c.in_group_effective(gid))
    granted >>= 3;
  if ((requested & ~granted & 7) && !c.capable(CAP_IPC_OWNER)) return fail(Errno::Acces);
  return {};
}

void Object::created_by(Credentials const& c, key_t k, int flags) {
  key = k;
  uid = creator_uid = c.euid;
  gid = creator_gid = c.egid;
  mode = static_cast<uint16_t>(flags & 0777);
  changed = now();
}

void Object::set(ipc_perm const& p) {
  uid = p.uid;
  gid = p.gid;
  mode = static_cast<uint16_t>((mode & ~0777) | (p.mode & 0777));
  changed = now();
}

}  // namespace cofferdam::kernel::sysv

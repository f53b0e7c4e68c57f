#include "kernel/cred/exec_credentials.h"

#include <linux/securebits.h>

#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

// The set-user-ID and set-group-ID bits of the file (bprm_fill_uid of Linux).
void apply_set_id_bits(Credentials& c, Attributes const& file) {
  if (file.mode & S_ISUID) c.euid = file.uid;
  // Without group execute permission the bit means mandatory locking, not set-group-ID.
  if ((file.mode & S_ISGID) && (file.mode & S_IXGRP)) c.egid = file.gid;
}

}  // namespace

Ref<Credentials const> credentials_after_exec(Task& task, Attributes const& file, bool nosuid_mount, bool& secure) {
  auto old = task.credentials();
  auto c = make_ref<Credentials>(*old);
  if (!nosuid_mount && !task.no_new_privileges.load()) apply_set_id_bits(*c, file);
  bool set_id = c->euid != old->uid || c->egid != old->gid;

  // Files have no capabilities of their own here: only root gets any but the ambient ones.
  c->permitted = {};
  bool effective = false;
  if (!(c->securebits & issecure_mask(SECURE_NOROOT))) {
    if (c->uid == 0 || c->euid == 0) c->permitted = c->bounding | old->inheritable;
    effective = c->euid == 0;
  }
  if (set_id) c->ambient = {};
  c->permitted = c->permitted | c->ambient;
  c->effective = effective ? c->permitted : c->ambient;
  c->suid = c->fsuid = c->euid;
  c->sgid = c->fsgid = c->egid;
  c->securebits &= ~static_cast<uint32_t>(issecure_mask(SECURE_KEEP_CAPS));
  secure = set_id || (c->uid != 0 && (effective || !c->permitted.subset_of(c->ambient)));
  return c;
}

}  // namespace cofferdam::kernel

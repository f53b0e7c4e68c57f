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

Result<Ref<Credentials const>> credentials_after_exec(Task& task, Attributes const& file,
                                                      std::optional<FileCapabilities> capabilities, bool nosuid_mount,
                                                      bool& secure) {
  auto old = task.credentials();
  auto c = make_ref<Credentials>(*old);
  bool const no_new = task.no_new_privileges.load();
  if (!nosuid_mount && !no_new) apply_set_id_bits(*c, file);
  if (nosuid_mount) capabilities.reset();
  bool const set_id = c->euid != old->uid || c->egid != old->gid;

  // cap_bprm_creds_from_file of Linux: what the file gives, then what root gets.
  bool effective = false;
  c->permitted = {};
  if (capabilities) {
    c->permitted = (c->bounding & capabilities->permitted) | (old->inheritable & capabilities->inheritable);
    effective = capabilities->effective;
    if (effective && !capabilities->permitted.subset_of(c->permitted)) return fail(Errno::Perm);
  }
  bool const mixed = capabilities && c->uid != 0 && c->euid == 0;  // the file's capabilities win over set-user-ID root
  if (!(c->securebits & issecure_mask(SECURE_NOROOT)) && !mixed) {
    if (c->uid == 0 || c->euid == 0) c->permitted = c->bounding | old->inheritable;
    if (c->euid == 0) effective = true;
  }
  if (no_new && !c->permitted.subset_of(old->permitted)) c->permitted = c->permitted & old->permitted;
  if (set_id || capabilities) c->ambient = {};
  c->permitted = c->permitted | c->ambient;
  c->effective = effective ? c->permitted : c->ambient;
  c->suid = c->fsuid = c->euid;
  c->sgid = c->fsgid = c->egid;
  c->securebits &= ~static_cast<uint32_t>(issecure_mask(SECURE_KEEP_CAPS));
  secure = set_id || (c->uid != 0 && (effective || !c->permitted.subset_of(c->ambient)));
  return Ref<Credentials const>(std::move(c));
}

}  // namespace cofferdam::kernel

#include "kernel/cred/id_change.h"

#include <linux/securebits.h>

namespace cofferdam::kernel {
namespace {

constexpr uint64_t bit(int capability) { return uint64_t{1} << capability; }
// Follow fsuid (CAP_FS_SET of Linux).
constexpr CapabilitySet file_system_capabilities(bit(CAP_CHOWN) | bit(CAP_MKNOD) | bit(CAP_DAC_OVERRIDE) |
                                                 bit(CAP_DAC_READ_SEARCH) | bit(CAP_FOWNER) | bit(CAP_FSETID) |
                                                 bit(CAP_LINUX_IMMUTABLE) | bit(CAP_MAC_OVERRIDE));
constexpr CapabilitySet others(CapabilitySet s) { return CapabilitySet(CapabilitySet::full().bits() & ~s.bits()); }

bool fixes_up(Credentials const& c) { return !(c.securebits & issecure_mask(SECURE_NO_SETUID_FIXUP)); }

// cap_emulate_setxuid of Linux.
void follow_uids(Credentials& c, Credentials const& old) {
  if (!fixes_up(old)) return;
  bool was_root = old.uid == 0 || old.euid == 0 || old.suid == 0;
  bool is_root = c.uid == 0 || c.euid == 0 || c.suid == 0;
  if (was_root && !is_root) {
    if (!(old.securebits & issecure_mask(SECURE_KEEP_CAPS))) c.permitted = c.effective = {};
    c.ambient = {};
  }
  if (old.euid == 0 && c.euid != 0) c.effective = {};
  if (old.euid != 0 && c.euid == 0) c.effective = c.permitted;
}

bool among(uint32_t id, uint32_t a, uint32_t b, uint32_t c) { return id == a || id == b || id == c; }

}  // namespace

Result<Ref<Credentials>> with_uid(Credentials const& old, uid_t uid) {
  if (uid == no_id) return fail(Errno::Inval);
  auto c = make_ref<Credentials>(old);
  if (old.capable(CAP_SETUID))
    c->uid = c->suid = uid;
  else if (uid != old.uid && uid != old.suid)
    return fail(Errno::Perm);
  c->euid = c->fsuid = uid;
  follow_uids(*c, old);
  return c;
}

Result<Ref<Credentials>> with_gid(Credentials const& old, gid_t gid) {
  if (gid == no_id) return fail(Errno::Inval);
  auto c = make_ref<Credentials>(old);
  if (old.capable(CAP_SETGID))
    c->gid = c->sgid = gid;
  else if (gid != old.gid && gid != old.sgid)
    return fail(Errno::Perm);
  c->egid = c->fsgid = gid;
  return c;
}

Result<Ref<Credentials>> with_real_effective_uid(Credentials const& old, uid_t real, uid_t effective) {
  auto c = make_ref<Credentials>(old);
  bool may = old.capable(CAP_SETUID);
  if (real != no_id) {
    c->uid = real;
    if (real != old.uid && real != old.euid && !may) return fail(Errno::Perm);
  }
  if (effective != no_id) {
    c->euid = effective;
    if (!among(effective, old.uid, old.euid, old.suid) && !may) return fail(Errno::Perm);
  }
  if (real != no_id || (effective != no_id && effective != old.uid)) c->suid = c->euid;
  c->fsuid = c->euid;
  follow_uids(*c, old);
  return c;
}

Result<Ref<Credentials>> with_real_effective_gid(Credentials const& old, gid_t real, gid_t effective) {
  auto c = make_ref<Credentials>(old);
  bool may = old.capable(CAP_SETGID);
  if (real != no_id) {
    c->gid = real;
    if (real != old.gid && real != old.egid && !may) return fail(Errno::Perm);
  }
  if (effective != no_id) {
    c->egid = effective;
    if (!among(effective, old.gid, old.egid, old.sgid) && !may) return fail(Errno::Perm);
  }
  if (real != no_id || (effective != no_id && effective != old.gid)) c->sgid = c->egid;
  c->fsgid = c->egid;
  return c;
}

Result<Ref<Credentials>> with_all_uids(Credentials const& old, uid_t real, uid_t effective, uid_t saved) {
  auto is_new = [&](uid_t id) { return id != no_id && !among(id, old.uid, old.euid, old.suid); };
  if ((is_new(real) || is_new(effective) || is_new(saved)) && !old.capable(CAP_SETUID)) return fail(Errno::Perm);
  auto c = make_ref<Credentials>(old);
  if (real != no_id) c->uid = real;
  if (effective != no_id) c->euid = effective;
  if (saved != no_id) c->suid = saved;
  c->fsuid = c->euid;
  follow_uids(*c, old);
  return c;
}

Result<Ref<Credentials>> with_all_gids(Credentials const& old, gid_t real, gid_t effective, gid_t saved) {
  auto is_new = [&](gid_t id) { return id != no_id && !among(id, old.gid, old.egid, old.sgid); };
  if ((is_new(real) || is_new(effective) || is_new(saved)) && !old.capable(CAP_SETGID)) return fail(Errno::Perm);
  auto c = make_ref<Credentials>(old);
  if (real != no_id) c->gid = real;
  if (effective != no_id) c->egid = effective;
  if (saved != no_id) c->sgid = saved;
  c->fsgid = c->egid;
  return c;
}

Ref<Credentials> with_fsuid(Credentials const& old, uid_t uid) {
  if (uid == no_id) return {};
  if (!among(uid, old.uid, old.euid, old.suid) && uid != old.fsuid && !old.capable(CAP_SETUID)) return {};
  auto c = make_ref<Credentials>(old);
  c->fsuid = uid;
  if (fixes_up(old)) {
    if (old.fsuid == 0 && uid != 0) c->effective = c->effective & others(file_system_capabilities);
    if (old.fsuid != 0 && uid == 0) c->effective = c->effective | (c->permitted & file_system_capabilities);
  }
  return c;
}

Ref<Credentials> with_fsgid(Credentials const& old, gid_t gid) {
  if (gid == no_id) return {};
  if (!among(gid, old.gid, old.egid, old.sgid) && gid != old.fsgid && !old.capable(CAP_SETGID)) return {};
  auto c = make_ref<Credentials>(old);
  c->fsgid = gid;
  return c;
}

Result<Ref<Credentials>> with_capabilities(Credentials const& old, CapabilitySet effective, CapabilitySet permitted,
                                           CapabilitySet inheritable) {
  if (!old.capable(CAP_SETPCAP) && !inheritable.subset_of(old.inheritable | old.permitted)) return fail(Errno::Perm);
  if (!inheritable.subset_of(old.inheritable | old.bounding)) return fail(Errno::Perm);
  if (!permitted.subset_of(old.permitted)) return fail(Errno::Perm);
  if (!effective.subset_of(permitted)) return fail(Errno::Perm);
  auto c = make_ref<Credentials>(old);
  c->effective = effective;
  c->permitted = permitted;
  c->inheritable = inheritable;
  c->ambient = c->ambient & permitted & inheritable;
  return c;
}

}  // namespace cofferdam::kernel

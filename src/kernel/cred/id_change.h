// Changing user and group ids: setuid(2) and its kin, and what that does to capabilities (capabilities(7), "Effect of
// user ID changes on capabilities"). Pure functions from old to new credentials, so that the rules can be tested alone.
#pragma once

#include "base/result.h"
#include "kernel/cred/credentials.h"

namespace cofferdam::kernel {

inline constexpr uint32_t no_id = ~uint32_t{0};  // "leave it" in setre*id and setres*id

// EPERM, EINVAL.
Result<Ref<Credentials>> with_uid(Credentials const& old, uid_t);
Result<Ref<Credentials>> with_gid(Credentials const& old, gid_t);
Result<Ref<Credentials>> with_real_effective_uid(Credentials const& old, uid_t real, uid_t effective);
Result<Ref<Credentials>> with_real_effective_gid(Credentials const& old, gid_t real, gid_t effective);
Result<Ref<Credentials>> with_all_uids(Credentials const& old, uid_t real, uid_t effective, uid_t saved);
Result<Ref<Credentials>> with_all_gids(Credentials const& old, gid_t real, gid_t effective, gid_t saved);
// Null when not allowed: setfsuid(2) and setfsgid(2) have no errors.
Ref<Credentials> with_fsuid(Credentials const& old, uid_t);
Ref<Credentials> with_fsgid(Credentials const& old, gid_t);

// capset(2): EPERM.
Result<Ref<Credentials>> with_capabilities(Credentials const& old, CapabilitySet effective, CapabilitySet permitted,
                                           CapabilitySet inheritable);

}  // namespace cofferdam::kernel

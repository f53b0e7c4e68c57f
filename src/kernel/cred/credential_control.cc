#include "kernel/cred/credential_control.h"

#include <linux/prctl.h>
#include <linux/securebits.h>

#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

constexpr uint32_t keep_caps = issecure_mask(SECURE_KEEP_CAPS);

bool is_capability(uint64_t c) { return c <= CAP_LAST_CAP; }

Result<uint64_t> drop_bounding(Task& task, uint64_t capability) {
  auto old = task.credentials();
  if (!old->capable(CAP_SETPCAP)) return fail(Errno::Perm);
  if (!is_capability(capability)) return fail(Errno::Inval);
  auto c = make_ref<Credentials>(*old);
  c->bounding = c->bounding.without(static_cast<int>(capability));
  task.set_credentials(c);
  return 0;
}

Result<uint64_t> set_securebits(Task& task, uint64_t wanted) {
  auto old = task.credentials();
  uint64_t locks = old->securebits & SECURE_ALL_LOCKS;
  bool changes_locked = ((locks >> 1) & (old->securebits ^ wanted)) != 0;
  bool unlocks = (locks & ~wanted) != 0;
  bool unknown = (wanted & ~uint64_t{SECURE_ALL_LOCKS | SECURE_ALL_BITS}) != 0;
  if (changes_locked || unlocks || unknown || !old->capable(CAP_SETPCAP)) return fail(Errno::Perm);
  auto c = make_ref<Credentials>(*old);
  c->securebits = static_cast<uint32_t>(wanted);
  task.set_credentials(c);
  return 0;
}

Result<uint64_t> set_keep_capabilities(Task& task, uint64_t wanted) {
  if (wanted > 1) return fail(Errno::Inval);
  auto old = task.credentials();
  if (old->securebits & issecure_mask(SECURE_KEEP_CAPS_LOCKED)) return fail(Errno::Perm);
  auto c = make_ref<Credentials>(*old);
  c->securebits = wanted ? c->securebits | keep_caps : c->securebits & ~keep_caps;
  task.set_credentials(c);
  return 0;
}

Result<uint64_t> control_ambient(Task& task, uint64_t operation, uint64_t a3, uint64_t a4, uint64_t a5) {
  auto old = task.credentials();
  auto c = make_ref<Credentials>(*old);
  if (operation == PR_CAP_AMBIENT_CLEAR_ALL) {
    if (a3 || a4 || a5) return fail(Errno::Inval);
    c->ambient = {};
    task.set_credentials(c);
    return 0;
  }
  if (!is_capability(a3) || a4 || a5) return fail(Errno::Inval);
  int capability = static_cast<int>(a3);
  switch (operation) {
    case PR_CAP_AMBIENT_IS_SET:
      return old->ambient.has(capability) ? 1 : 0;
    case PR_CAP_AMBIENT_RAISE:
      if (!old->permitted.has(capability) || !old->inheritable.has(capability) ||
          (old->securebits & issecure_mask(SECURE_NO_CAP_AMBIENT_RAISE)))
        return fail(Errno::Perm);
      c->ambient = c->ambient.with(capability);
      break;
    case PR_CAP_AMBIENT_LOWER:
      c->ambient = c->ambient.without(capability);
      break;
    default:
      return fail(Errno::Inval);
  }
  task.set_credentials(c);
  return 0;
}

}  // namespace

Result<uint64_t> control_credentials(Task& task, int option, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5) {
  auto credentials = task.credentials();
  switch (option) {
    case PR_CAPBSET_READ:
      if (!is_capability(a2)) return fail(Errno::Inval);
      return credentials->bounding.has(static_cast<int>(a2)) ? 1 : 0;
    case PR_CAPBSET_DROP:
      return drop_bounding(task, a2);
    case PR_GET_SECUREBITS:
      return credentials->securebits;
    case PR_SET_SECUREBITS:
      return set_securebits(task, a2);
    case PR_GET_KEEPCAPS:
      return credentials->securebits & keep_caps ? 1 : 0;
    case PR_SET_KEEPCAPS:
      return set_keep_capabilities(task, a2);
    case PR_CAP_AMBIENT:
      return control_ambient(task, a2, a3, a4, a5);
    default:
      return fail(Errno::Inval);
  }
}

}  // namespace cofferdam::kernel

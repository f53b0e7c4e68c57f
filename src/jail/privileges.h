// What the jailed process may still do as far as ids, capabilities, limits and dumps go.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/outcome.h"

namespace cofferdam::jail {

struct KeptCapability {
  int number;
  std::string_view reason;
};

// Held in the sandbox's own user namespace only; on the host they are worth what the donated mounts show.
std::span<KeptCapability const> kept_capabilities();
uint64_t kept_capability_bits();

// Drops every other capability from the permitted, effective, inheritable, bounding and ambient sets, locks the secure
// bits, and sets no_new_privs. Call with one thread only.
Outcome<> drop_privileges();

// Descriptors: as many as the host lets us have. No core files: they would hold guests' secrets.
void set_limits();
// From here nobody of the same user may ptrace this process or read its memory through /proc.
Outcome<> forbid_dumps();

}  // namespace cofferdam::jail

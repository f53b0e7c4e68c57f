// Closing the jail around this process, in the order that matters. Every promise here is in docs/security.md.
#pragma once

#include <span>

#include "base/outcome.h"
#include "host/call_rule.h"
#include "jail/filter.h"

namespace cofferdam::jail {

// First half, before the platform is made: empty root, capabilities, no_new_privs, limits. One thread.
Outcome<> enter();
// Second half, after the platform has made its zygote (whose own filter must not stack on this one), before any guest
// instruction: no dumps, seccomp filter. `platform_rules`: the calls that the platform makes from this process.
// `network_rules`: with --network=host, what sockets of the host's need.
// `report_use`: each rule is logged when it is used for the first time; slow, for the test that each is needed.
Outcome<> close(std::span<host::CallRule const> platform_rules, std::span<host::CallRule const> network_rules,
                Violation violation, bool report_use = false);

}  // namespace cofferdam::jail

// Which rules of the allowlist a sandbox uses: for the test that each is needed (tools/check-jail-rules).
#pragma once

#include <span>

#include "base/outcome.h"
#include "jail/filter.h"

namespace cofferdam::jail {

// As install_filter, but a process of its own, not under the filter, hears of each call that is allowed and writes
// "jail: rule SET.INDEX is used" to the log when it is the first of its rule. It ends with the sandbox.
Outcome<> install_observed_filter(RuleSets rule_sets, std::span<host::CallRule const> absent, Violation violation);

// Does the rule allow a call with these arguments?
bool allows(host::CallRule const& rule, int number, std::span<uint64_t const, 6> arguments);

}  // namespace cofferdam::jail

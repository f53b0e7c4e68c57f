// The sentry's own seccomp filter, from rules that are data.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/outcome.h"
#include "host/call_rule.h"

namespace cofferdam::jail {

enum class Violation {
  Kill,    // the whole process dies with SIGSYS
  Report,  // a line in the log; the call gives ENOSYS. For development: --debug
};

// Allows what any of the rules allows, on every thread of this process and of those it starts. Calls in `absent` give
// ENOSYS.
Outcome<> install_filter(std::span<std::span<host::CallRule const> const> rule_sets,
                         std::span<host::CallRule const> absent, Violation violation);

// The instructions that install_filter would load, for tests.
Outcome<std::vector<uint64_t>> compile_filter(std::span<std::span<host::CallRule const> const> rule_sets,
                                              std::span<host::CallRule const> absent, Violation violation);

}  // namespace cofferdam::jail

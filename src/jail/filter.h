// The sentry's own seccomp filter, from rules that are data.
#pragma once

#include <atomic>
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

using RuleSets = std::span<std::span<host::CallRule const> const>;

struct FilterOptions {
  Violation violation = Violation::Kill;
  // Not null: calls that rules allow ask a listener first (SECCOMP_RET_USER_NOTIF), whose descriptor stands here as
  // soon as the filter is in force: used_rules_unsafe.cc.
  std::atomic<int>* listener = nullptr;
};

// The calls that are allowed without asking the listener: as many as all others together, and there is no sandbox
// without them.
bool is_unobserved(int number);

// Allows what any of the rules allows, on every thread of this process and of those it starts. Calls in `absent` give
// ENOSYS.
Outcome<> install_filter(RuleSets rule_sets, std::span<host::CallRule const> absent, FilterOptions options);

// The instructions that install_filter would load, for tests.
Outcome<std::vector<uint64_t>> compile_filter(RuleSets rule_sets, std::span<host::CallRule const> absent,
                                              FilterOptions options);

}  // namespace cofferdam::jail

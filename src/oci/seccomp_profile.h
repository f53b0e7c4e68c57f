// linux.seccomp of config.json: read as plain data, and compiled to a filter program.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/outcome.h"
#include "oci/reader.h"

namespace cofferdam::oci {

struct SeccompArgument {
  enum class Operator { NotEqual, Less, LessEqual, Equal, GreaterEqual, Greater, MaskedEqual };
  uint32_t index = 0;
  uint64_t value = 0, second = 0;  // MaskedEqual: (argument & value) == second
  Operator op = Operator::Equal;
};

struct SeccompRule {
  std::vector<std::string> names;
  uint32_t action = 0;
  std::vector<SeccompArgument> arguments;  // all of them must hold
};

struct SeccompProfile {
  uint32_t default_action = 0;  // SECCOMP_RET_* with its data
  std::vector<SeccompRule> rules;
};

// Complains about what is wrong, and about what this runtime does not do (SCMP_ACT_NOTIFY).
void read_seccomp(Reader const& at, SeccompProfile& to);

// As runc's: calls whose name no kernel of this architecture knows are passed over; calls newer than any that the
// profile names give ENOSYS unless its default lets them through; an unconditional rule for a call wins over
// conditional ones.
Outcome<std::vector<sock_filter>> compile_seccomp(SeccompProfile const& profile);

}  // namespace cofferdam::oci

// The stubs' seccomp filter: rules as data, and the BPF program made from them.
//
// A rule lets one host call pass from one instruction of the stub's text if its arguments meet every check. What no
// rule allows raises SIGSYS. libseccomp cannot match instruction addresses, hence the generator.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "stub/layout.h"

namespace cofferdam::platform::trap {

constexpr uint64_t bits(std::initializer_list<int> list) {
  uint64_t mask = 0;
  for (int bit : list) mask |= 1ull << bit;
  return mask;
}

// madvise: NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED FREE DONTFORK DOFORK HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP
// WIPEONFORK KEEPONFORK POPULATE_READ POPULATE_WRITE. Not: REMOVE (files), MERGEABLE, PAGEOUT and COLD (side channels),
// hardware poison.
inline constexpr uint64_t harmless_advice = bits({0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23});

struct ArgumentCheck {
  enum class Kind : uint8_t {
    Equals,        // all 64 bits equal value
    LowEquals,     // the low 32 bits equal value (the kernel takes an int)
    HighBelow,     // the high 32 bits are below value
    HighZero,      // the high 32 bits are zero
    LowBelow,      // the low 32 bits are below value
    LowInSet,      // the low 32 bits are below 32 and bit number `low` of value is set
    LowOneOfFutex  // a futex operation: low bits in the set value, with PRIVATE and CLOCK_REALTIME flags allowed
  };
  Kind kind;
  uint8_t argument;  // 0..5
  uint64_t value;
};

enum class FilterAction : uint8_t { Allow, Notify };

struct FilterRule {
  uint64_t instruction;  // address behind the syscall instruction
  uint32_t number;
  FilterAction action;
  std::vector<ArgumentCheck> checks;
  std::string_view reason;
};

std::vector<FilterRule> filter_rules(stub::ImageHeader const& image, bool approve_all_memory_calls);
std::vector<sock_filter> compile_filter(std::span<FilterRule const> rules);

}  // namespace cofferdam::platform::trap

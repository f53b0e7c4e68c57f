// One line of a seccomp allowlist, as data: which host call, with which arguments, and why.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

namespace cofferdam::host {

enum class Compare : uint8_t {
  Equal,        // argument == value
  MaskedEqual,  // (argument & mask) == value
  LessOrEqual,  // argument <= value, unsigned
};

struct ArgumentCheck {
  uint8_t index = 0;  // 0 to 5
  Compare compare = Compare::Equal;
  uint64_t value = 0;
  uint64_t mask = 0;
};

// Allowed when every check holds. Several rules may name one call: any of them allows it.
// A check of a 32-bit argument (int, unsigned) must mask off the high word, which the kernel ignores.
struct CallRule {
  int number = 0;  // SYS_*
  std::string_view reason;
  ArgumentCheck checks[3] = {};
  uint8_t check_count = 0;

  constexpr CallRule(int n, std::string_view why) : number(n), reason(why) {}
  constexpr CallRule(int n, std::initializer_list<ArgumentCheck> list, std::string_view why) : number(n), reason(why) {
    for (auto& c : list) checks[check_count++] = c;
  }
};

constexpr uint64_t low_word = 0xffff'ffff;
// Argument `index`, an int or unsigned, is `value`.
constexpr ArgumentCheck is(uint8_t index, uint32_t value) { return {index, Compare::MaskedEqual, value, low_word}; }
// None of `bits` is set in argument `index`.
constexpr ArgumentCheck without(uint8_t index, uint64_t bits) { return {index, Compare::MaskedEqual, 0, bits}; }
// All of `bits` are set in argument `index`.
constexpr ArgumentCheck with(uint8_t index, uint64_t bits) { return {index, Compare::MaskedEqual, bits, bits}; }

}  // namespace cofferdam::host

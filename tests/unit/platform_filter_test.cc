// The stubs' seccomp filter, by an interpreter of BPF: number x instruction address x arguments at their borders.
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include "bpf_interpreter.h"
#include "platform/trap/filter.h"

extern "C" {
extern std::byte const cofferdam_stub_image[], cofferdam_stub_image_end[];
}

namespace cofferdam::platform::trap {
namespace {

// What the rules say, without BPF.
bool holds(ArgumentCheck const& check, uint64_t value) {
  using Kind = ArgumentCheck::Kind;
  auto const low = static_cast<uint32_t>(value), high = static_cast<uint32_t>(value >> 32);
  switch (check.kind) {
    case Kind::Equals:
      return value == check.value;
    case Kind::LowEquals:
      return low == check.value;
    case Kind::HighBelow:
      return high < check.value;
    case Kind::HighZero:
      return high == 0;
    case Kind::LowBelow:
      return low < check.value;
    case Kind::LowInSet:
      return low < 32 && (check.value >> low & 1);
    case Kind::LowOneOfFutex:
      return (low & ~0x180u) < 32 && (check.value >> (low & ~0x180u) & 1);
  }
  return false;
}

uint32_t expected(std::vector<FilterRule> const& rules, seccomp_data const& data) {
  if (data.arch != AUDIT_ARCH_X86_64) return SECCOMP_RET_TRAP;
  for (auto const& rule : rules) {
    if (rule.instruction != data.instruction_pointer || rule.number != static_cast<uint32_t>(data.nr)) continue;
    bool all = true;
    for (auto const& check : rule.checks) all = all && holds(check, data.args[check.argument]);
    if (all) return rule.action == FilterAction::Allow ? SECCOMP_RET_ALLOW : SECCOMP_RET_USER_NOTIF;
  }
  return SECCOMP_RET_TRAP;
}

class FilterTest : public ::testing::TestWithParam<bool> {
 protected:
  FilterTest() {
    std::memcpy(&image_, cofferdam_stub_image, sizeof image_);
    rules_ = filter_rules(image_, GetParam());
    program_ = compile_filter(rules_);
  }
  seccomp_data call(uint64_t ip, long number, std::array<uint64_t, 6> args = {}) {
    seccomp_data d = {};
    d.nr = static_cast<int>(number);
    d.arch = AUDIT_ARCH_X86_64;
    d.instruction_pointer = ip;
    std::memcpy(d.args, args.data(), sizeof d.args);
    return d;
  }
  stub::ImageHeader image_;
  std::vector<FilterRule> rules_;
  std::vector<sock_filter> program_;
};

TEST_P(FilterTest, every_number_from_every_address_of_the_text) {
  // Arguments that pass the checks of each rule, so that what refuses is number and address.
  std::vector<std::array<uint64_t, 6>> benign = {{},
                                                 {1, 9},
                                                 {0, 1, 0, 0x32, 0xffffffff},
                                                 {0, 1, 0, 3, 0},
                                                 {0, 1, 0, 0, 0},
                                                 {0x10000, 0x1000, 3, 0x4032, ~0ull, 0}};
  uint64_t const end = image_.text_end + 64;
  size_t allowed = 0;
  for (uint64_t ip = stub::text_address; ip < end; ++ip) {
    for (long number = -2; number < 480; ++number) {
      // The common case first: no rule knows this pair.
      for (auto const& args : benign) {
        auto const d = call(ip, number, args);
        uint32_t const verdict = evaluate(program_, d);
        if (verdict != SECCOMP_RET_TRAP) ++allowed;
        ASSERT_EQ(verdict, expected(rules_, d)) << std::hex << ip << " " << std::dec << number;
        bool const rule_address =
            std::any_of(rules_.begin(), rules_.end(), [&](auto const& r) { return r.instruction == ip; });
        if (!rule_address) break;
      }
    }
  }
  EXPECT_GT(allowed, rules_.size());
  for (uint64_t ip :
       {uint64_t{0}, uint64_t{2}, uint64_t{0x400007}, stub::vdso_address + 0x50, stub::thunks_address + 17,
        stub::areas_address + 0x100, uint64_t{0xffffffffff600002}, image_.self_ip & 0xffffffff,
        image_.self_ip + (uint64_t{1} << 32), image_.self_ip ^ (uint64_t{1} << 47)})
    for (long number = 0; number < 480; ++number) ASSERT_EQ(evaluate(program_, call(ip, number)), SECCOMP_RET_TRAP);
}

TEST_P(FilterTest, other_architectures_are_trapped_everywhere) {
  for (auto const& rule : rules_) {
    for (uint32_t arch : {uint32_t{AUDIT_ARCH_I386}, uint32_t{AUDIT_ARCH_AARCH64}, 0u}) {
      auto d = call(rule.instruction, rule.number);
      d.arch = arch;
      EXPECT_EQ(evaluate(program_, d), SECCOMP_RET_TRAP);
    }
    // x32 numbers.
    EXPECT_EQ(evaluate(program_, call(rule.instruction, rule.number | 0x40000000)), SECCOMP_RET_TRAP);
  }
}

TEST_P(FilterTest, arguments_at_their_borders) {
  constexpr uint64_t values[] = {0,
                                 1,
                                 2,
                                 3,
                                 4,
                                 5,
                                 7,
                                 8,
                                 9,
                                 10,
                                 11,
                                 15,
                                 31,
                                 32,
                                 0x31,
                                 0x32,
                                 0x33,
                                 0x80,
                                 0x81,
                                 0x100,
                                 0x101,
                                 0x189,
                                 0x4032,
                                 0x1000,
                                 0x7fffffff,
                                 0x80000000,
                                 0xffffffff,
                                 0x100000000,
                                 0x1ffffffff,
                                 0x7ffdffffffff,
                                 0x7ffe00000000,
                                 0x7ffefffff000,
                                 0x7fff00000000,
                                 0x7fff40000000,
                                 0x7fffffffffff,
                                 0x800000000000,
                                 ~0ull,
                                 ~0ull << 32};
  for (auto const& rule : rules_) {
    // Pairs of arguments run over all values, the rest hold one value each.
    for (uint64_t rest : {uint64_t{0}, uint64_t{1}, uint64_t{0x32}, uint64_t{0xffffffff}})
      for (size_t i = 0; i < 6; ++i)
        for (size_t k = 0; k < 6; ++k)
          for (uint64_t v : values)
            for (uint64_t w : values) {
              std::array<uint64_t, 6> args;
              args.fill(rest);
              args[3] = rule.number == SYS_mmap ? 0x32 : args[3];
              args[4] = rule.number == SYS_mmap ? 0xffffffff : args[4];
              args[i] = v;
              args[k] = w;
              auto const d = call(rule.instruction, rule.number, args);
              ASSERT_EQ(evaluate(program_, d), expected(rules_, d));
            }
  }
}

TEST_P(FilterTest, nothing_unasked_reaches_the_stub_region) {
  uint64_t const ip = image_.self_ip;
  auto const verdict = [&](long number, std::array<uint64_t, 6> args) {
    return evaluate(program_, call(ip, number, args));
  };
  // Any range that ends above the guest's memory plus the gap of 4 GiB must be refused.
  for (uint64_t address : {0x7ffdfffff000ull, 0x7ffe00000000ull, 0x7ffefffff000ull, 0x7fff00000000ull,
                           0x7fff40000000ull, 0x7ffffffff000ull})
    for (uint64_t length :
         {0x1000ull, 0xf0000000ull, 0xfffff000ull, 0x100000000ull, 0x200000000ull, 0xfffffffffffff000ull})
      for (long number : {SYS_munmap, SYS_mprotect, SYS_madvise, SYS_mremap, SYS_mmap}) {
        if (address + length <= stub::text_address && address + length > address) continue;
        std::array<uint64_t, 6> args = {address, length, 0, number == SYS_mmap ? 0x32u : 0u, ~0ull, 0};
        EXPECT_EQ(verdict(number, args), SECCOMP_RET_TRAP) << std::hex << number << " " << address << " " << length;
      }
  // File mappings, growing stacks, shared memory, low addresses without MAP_FIXED.
  for (uint64_t flags :
       {0x1ull, 0x2ull, 0x22ull, 0x11ull, 0x12ull, 0x31ull, 0x21ull, 0x132ull, 0x40032ull, 0x100000032ull})
    EXPECT_EQ(verdict(SYS_mmap, {0x10000, 4096, 3, flags, 0xffffffff, 0}), SECCOMP_RET_TRAP);
  EXPECT_EQ(verdict(SYS_mmap, {0x10000, 4096, 3, 0x32, 3, 0}), SECCOMP_RET_TRAP);
  EXPECT_EQ(verdict(SYS_mprotect, {0x10000, 4096, 0x01000007}), SECCOMP_RET_TRAP);
  EXPECT_EQ(verdict(SYS_mremap, {0x10000, 4096, 4096, 3, 0x7fff00000000}), SECCOMP_RET_TRAP);
  EXPECT_EQ(verdict(SYS_mremap, {0x10000, 4096, 4096, 7, 0x10000}), SECCOMP_RET_TRAP);
  EXPECT_EQ(verdict(SYS_madvise, {0x10000, 4096, 9}), SECCOMP_RET_TRAP);
  EXPECT_EQ(verdict(SYS_madvise, {0x10000, 4096, 12}), SECCOMP_RET_TRAP);
  EXPECT_EQ(verdict(SYS_munmap, {0x10000, 4096}), GetParam() ? SECCOMP_RET_TRAP : SECCOMP_RET_ALLOW);
  // The guest's futexes: never PI, never on the areas.
  auto const futex = [&](std::array<uint64_t, 6> args) {
    return evaluate(program_, call(image_.guest_futex_ip, SYS_futex, args));
  };
  for (uint64_t operation : {2ull, 6ull, 7ull, 8ull, 11ull, 12ull, 13ull, 6ull | 128, 11ull | 128, 0x200ull, 32ull})
    EXPECT_EQ(futex({0x10000, operation}), SECCOMP_RET_TRAP) << operation;
  EXPECT_EQ(futex({0x10000, 128}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(futex({stub::areas_address, 3, 0, 0, 0x10000}), SECCOMP_RET_TRAP);
  EXPECT_EQ(futex({0x10000, 3, 0, 0, stub::areas_address}), SECCOMP_RET_TRAP);
}

INSTANTIATE_TEST_SUITE_P(Modes, FilterTest, ::testing::Bool());

}  // namespace
}  // namespace cofferdam::platform::trap

// The compiled profile of config.json decides as its rules say.
#include "oci/seccomp_profile.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <algorithm>
#include <random>

#include "kernel/seccomp/bpf.h"
#include "syscalls/table.h"

namespace cofferdam {
namespace {

using Operator = oci::SeccompArgument::Operator;
using kernel::seccomp::Program;

bool holds(oci::SeccompArgument const& a, seccomp_data const& call) {
  uint64_t const value = call.args[a.index];
  switch (a.op) {
    case Operator::NotEqual:
      return value != a.value;
    case Operator::Less:
      return value < a.value;
    case Operator::LessEqual:
      return value <= a.value;
    case Operator::Equal:
      return value == a.value;
    case Operator::GreaterEqual:
      return value >= a.value;
    case Operator::Greater:
      return value > a.value;
    case Operator::MaskedEqual:
      return (value & a.value) == a.second;
  }
  return false;
}

// What the rules say, read one by one (runtime-spec, config-linux, seccomp): all arguments of one rule have to match.
uint32_t by_the_rules(oci::SeccompProfile const& profile, seccomp_data const& call) {
  for (auto& rule : profile.rules)
    for (auto& name : rule.names)
      if (seccomp_syscall_resolve_name(name.c_str()) == call.nr &&
          std::ranges::all_of(rule.arguments, [&](auto const& a) { return holds(a, call); }))
        return rule.action;
  return profile.default_action;
}

Program checked(std::vector<sock_filter> code) {
  auto program = Program::check(std::move(code));
  EXPECT_TRUE(program);
  return std::move(*program);
}

class RandomProfile {
 public:
  explicit RandomProfile(unsigned seed) : random_(seed) {}
  uint64_t below(uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random_); }

  // Few values, so that comparisons meet their borders.
  uint64_t value() {
    constexpr uint64_t values[] = {0, 1, 5, 0xffffffff, 0x100000000, 0x100000005, 0x500000001, UINT64_MAX};
    return values[below(std::size(values))];
  }

  oci::SeccompProfile make() {
    oci::SeccompProfile profile;
    profile.default_action = SECCOMP_RET_ALLOW;
    uint32_t const action = SECCOMP_RET_ERRNO | 42;
    for (uint64_t n = 0, count = 1 + below(40); n < count; ++n) {
      auto& rule = profile.rules.emplace_back();
      rule.names = {name()};
      rule.action = action;
      uint32_t const first = static_cast<uint32_t>(below(6)), conditions = static_cast<uint32_t>(below(3));
      for (uint32_t i = 0; i < conditions; ++i) {
        oci::SeccompArgument a{.index = (first + i) % 6, .value = value(), .op = static_cast<Operator>(below(7))};
        // libseccomp masks the second value itself.
        if (a.op == Operator::MaskedEqual) a.second = value() & a.value;
        rule.arguments.push_back(a);
      }
    }
    return profile;
  }

 private:
  std::string name() {
    for (;;) {
      auto const& entry = syscalls::table()[below(330)];
      if (!entry.name.empty() && seccomp_syscall_resolve_name(std::string(entry.name).c_str()) >= 0)
        return std::string(entry.name);
    }
  }
  std::mt19937 random_;
};

TEST(SeccompProfileTest, decides_as_the_rules_say) {
  for (unsigned seed = 1; seed <= 150; ++seed) {
    RandomProfile random(seed);
    auto const profile = random.make();
    auto compiled = oci::compile_seccomp(profile);
    ASSERT_TRUE(compiled);
    Program const ours = checked(std::move(*compiled));
    for (int number = 0; number < 500; ++number)
      for (int round = 0; round < 6; ++round) {
        seccomp_data call{};
        call.nr = number;
        call.arch = AUDIT_ARCH_X86_64;
        for (auto& argument : call.args) argument = random.value();
        ASSERT_EQ(ours.run(call), by_the_rules(profile, call)) << "seed " << seed << ", call " << number;
      }
  }
}

TEST(SeccompProfileTest, calls_newer_than_the_profile_do_not_exist_when_it_denies) {
  oci::SeccompProfile profile;
  profile.default_action = SECCOMP_RET_ERRNO | EPERM;
  profile.rules.push_back({{"read", "getppid"}, SECCOMP_RET_ALLOW, {}});
  Program const program = checked(*oci::compile_seccomp(profile));
  seccomp_data call{};
  call.arch = AUDIT_ARCH_X86_64;
  for (auto [number, wanted] : {std::pair<int, uint32_t>{0, SECCOMP_RET_ALLOW},
                                {1, SECCOMP_RET_ERRNO | EPERM},
                                {109, SECCOMP_RET_ERRNO | EPERM},
                                {110, SECCOMP_RET_ALLOW},
                                {111, SECCOMP_RET_ERRNO | ENOSYS},
                                {450, SECCOMP_RET_ERRNO | ENOSYS}}) {
    call.nr = number;
    EXPECT_EQ(program.run(call), wanted) << number;
  }
}

TEST(SeccompProfileTest, every_call_at_once_fits) {
  oci::SeccompProfile profile;
  profile.default_action = SECCOMP_RET_ERRNO | EPERM;
  for (auto& entry : syscalls::table())
    if (!entry.name.empty())
      profile.rules.push_back({{std::string(entry.name)}, SECCOMP_RET_ALLOW, {{.index = 0, .value = 5}}});
  auto compiled = oci::compile_seccomp(profile);
  ASSERT_TRUE(compiled);
  EXPECT_TRUE(Program::check(*compiled));
}

TEST(SeccompBpfTest, knows_calls_that_always_pass) {
  oci::SeccompProfile profile;
  profile.default_action = SECCOMP_RET_ALLOW;
  profile.rules.push_back({{"getppid"}, SECCOMP_RET_ERRNO, {{.index = 0, .value = 5}}});
  profile.rules.push_back({{"getuid"}, SECCOMP_RET_ERRNO, {}});
  Program const program = checked(*oci::compile_seccomp(profile));
  EXPECT_TRUE(program.always_allows(39));
  EXPECT_FALSE(program.always_allows(110));
  EXPECT_FALSE(program.always_allows(102));
}

}  // namespace
}  // namespace cofferdam

#include "platform/trap/filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cstddef>

namespace cofferdam::platform::trap {
namespace {

using Kind = ArgumentCheck::Kind;

// High words of addresses that belong to the guest end below this. With lengths below 4 GiB nothing reaches the stub
// region.
constexpr uint64_t guest_high = stub::user_limit >> 32;
static_assert((guest_high << 32) == stub::user_limit);
static_assert(stub::user_limit + 0x100000000 <= stub::text_address);

std::vector<ArgumentCheck> guest_range(std::initializer_list<ArgumentCheck> more) {
  std::vector<ArgumentCheck> checks = {{Kind::HighBelow, 0, guest_high}, {Kind::HighZero, 1, 0}};
  checks.insert(checks.end(), more);
  return checks;
}

class Assembler {
 public:
  std::vector<sock_filter> code;

  void emit(uint16_t op, uint32_t k, uint8_t jt = 0, uint8_t jf = 0) { code.push_back({op, jt, jf, k}); }
  void load(size_t offset) { emit(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }
  // The next instruction runs if the comparison holds, else control goes to the end of the current alternative.
  void require(uint16_t op, uint32_t k) {
    emit(BPF_JMP | op | BPF_K, k, 0, 0);
    to_fail_if_false_.push_back(code.size() - 1);
  }
  void forbid(uint16_t op, uint32_t k) {
    emit(BPF_JMP | op | BPF_K, k, 0, 0);
    to_fail_if_true_.push_back(code.size() - 1);
  }
  void end_alternative() {
    for (size_t at : to_fail_if_false_) code[at].jf = static_cast<uint8_t>(code.size() - at - 1);
    for (size_t at : to_fail_if_true_) code[at].jt = static_cast<uint8_t>(code.size() - at - 1);
    to_fail_if_false_.clear();
    to_fail_if_true_.clear();
  }

 private:
  std::vector<size_t> to_fail_if_false_, to_fail_if_true_;
};

size_t low_word(int argument) { return offsetof(seccomp_data, args) + static_cast<size_t>(argument) * 8; }
size_t high_word(int argument) { return low_word(argument) + 4; }

void emit_check(Assembler& a, ArgumentCheck const& check) {
  auto const low = static_cast<uint32_t>(check.value);
  auto const high = static_cast<uint32_t>(check.value >> 32);
  switch (check.kind) {
    case Kind::Equals:
      a.load(low_word(check.argument));
      a.require(BPF_JEQ, low);
      a.load(high_word(check.argument));
      a.require(BPF_JEQ, high);
      break;
    case Kind::LowEquals:
      a.load(low_word(check.argument));
      a.require(BPF_JEQ, low);
      break;
    case Kind::HighBelow:
      a.load(high_word(check.argument));
      a.forbid(BPF_JGE, low);
      break;
    case Kind::HighZero:
      a.load(high_word(check.argument));
      a.require(BPF_JEQ, 0);
      break;
    case Kind::LowBelow:
      a.load(low_word(check.argument));
      a.forbid(BPF_JGE, low);
      break;
    case Kind::LowOneOfFutex:
    case Kind::LowInSet:
      a.load(low_word(check.argument));
      if (check.kind == Kind::LowOneOfFutex) a.emit(BPF_ALU | BPF_AND | BPF_K, ~0x180u);
      a.forbid(BPF_JGE, 32);
      a.emit(BPF_MISC | BPF_TAX, 0);
      a.emit(BPF_LD | BPF_IMM, low);
      a.emit(BPF_ALU | BPF_RSH | BPF_X, 0);
      a.require(BPF_JSET, 1);
      break;
  }
}

}  // namespace

std::vector<FilterRule> filter_rules(stub::ImageHeader const& image, bool approve_all_memory_calls) {
  using enum FilterAction;
  std::vector<FilterRule> rules = {
      {image.sigreturn_ip,
       SYS_rt_sigreturn,
       Allow,
       {},
       "ends every signal; a forged frame changes only the guest's own thread"},
      {image.handoff_futex_ip, SYS_futex, Allow, {{Kind::LowBelow, 1, 2}}, "WAIT and WAKE on the turn word"},
      {image.guest_futex_ip,
       SYS_futex,
       Allow,
       {{Kind::LowOneOfFutex, 1, bits({0, 1, 3, 4, 5, 9, 10})},
        {Kind::HighBelow, 0, guest_high},
        {Kind::HighBelow, 4, guest_high}},
       "the guest's futexes; never on the areas, where a requeue could carry the sentry's waiter away; never PI"},
      {image.yield_ip, SYS_sched_yield, Allow, {}, "the guest's sched_yield"},
      {image.sigmask_ip, SYS_rt_sigprocmask, Allow, {}, "opens a native futex wait to interruption"},
      {image.exit_ip, SYS_exit, Allow, {}, "ends the calling thread"},
      {image.sigaltstack_ip, SYS_sigaltstack, Allow, {}, "a new thread's signal stack"},
      {image.pdeathsig_ip, SYS_prctl, Allow, {{Kind::Equals, 0, 1}, {Kind::Equals, 1, 9}}, "die with the sentry"},
      {image.clone_process_ip, SYS_clone, Notify, {}, "fork, if the sentry asked for it"},
      {image.clone_thread_ip, SYS_clone, Notify, {}, "a new thread, if the sentry asked for it"},
      {image.remap_ip, SYS_mmap, Notify, {}, "a forked child's own window of the area file"},
  };
  for (uint32_t number :
       {SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise, SYS_mremap, SYS_pread64, SYS_pwrite64, SYS_read, SYS_write})
    rules.push_back(
        {image.notify_ip, number, Notify, {}, "a call that the sentry asked for, compared with its request"});
  if (approve_all_memory_calls) return rules;
  constexpr uint64_t fixed_private = 0x32, no_reserve = 0x4000;
  for (uint64_t flags : {fixed_private, fixed_private | no_reserve})
    rules.push_back({image.self_ip, SYS_mmap, Allow,
                     guest_range({{Kind::HighZero, 2, 0},
                                  {Kind::LowBelow, 2, 8},
                                  {Kind::Equals, 3, flags},
                                  {Kind::LowEquals, 4, 0xffffffff}}),
                     "private anonymous memory of the guest's own"});
  rules.push_back({image.self_ip, SYS_munmap, Allow, guest_range({}), "the guest's own memory"});
  rules.push_back({image.self_ip, SYS_mprotect, Allow, guest_range({{Kind::HighZero, 2, 0}, {Kind::LowBelow, 2, 8}}),
                   "the guest's own memory"});
  rules.push_back({image.self_ip, SYS_madvise, Allow, guest_range({{Kind::LowInSet, 2, harmless_advice}}),
                   "the guest's own memory"});
  rules.push_back({image.self_ip, SYS_mremap, Allow, guest_range({{Kind::HighZero, 2, 0}, {Kind::Equals, 3, 0}}),
                   "resize in place"});
  rules.push_back({image.self_ip, SYS_mremap, Allow,
                   guest_range({{Kind::HighZero, 2, 0}, {Kind::Equals, 3, 3}, {Kind::HighBelow, 4, guest_high}}),
                   "move within the guest's memory"});
  return rules;
}

std::vector<sock_filter> compile_filter(std::span<FilterRule const> rules) {
  Assembler a;
  a.load(offsetof(seccomp_data, arch));
  a.emit(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
  a.emit(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
  a.load(offsetof(seccomp_data, instruction_pointer) + 4);
  a.emit(BPF_JMP | BPF_JEQ | BPF_K, stub::text_address >> 32, 1, 0);
  a.emit(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
  for (size_t i = 0; i < rules.size();) {
    uint64_t const instruction = rules[i].instruction;
    a.load(offsetof(seccomp_data, instruction_pointer));
    a.emit(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(instruction), 1, 0);
    size_t const skip = a.code.size();
    a.emit(BPF_JMP | BPF_JA, 0);
    for (; i < rules.size() && rules[i].instruction == instruction; ++i) {
      a.load(offsetof(seccomp_data, nr));
      a.require(BPF_JEQ, rules[i].number);
      for (auto const& check : rules[i].checks) emit_check(a, check);
      a.emit(BPF_RET | BPF_K, rules[i].action == FilterAction::Allow ? SECCOMP_RET_ALLOW : SECCOMP_RET_USER_NOTIF);
      a.end_alternative();
    }
    a.emit(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    a.code[skip].k = static_cast<uint32_t>(a.code.size() - skip - 1);
  }
  a.emit(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
  return std::move(a.code);
}

}  // namespace cofferdam::platform::trap

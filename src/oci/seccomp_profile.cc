#include "oci/seccomp_profile.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "syscalls/table.h"

namespace cofferdam::oci {

namespace {

using Operator = SeccompArgument::Operator;

struct NamedAction {
  std::string_view name;
  uint32_t value;
};
constexpr NamedAction actions[] = {{"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD},
                                   {"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD},
                                   {"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
                                   {"SCMP_ACT_TRAP", SECCOMP_RET_TRAP},
                                   {"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO},
                                   {"SCMP_ACT_TRACE", SECCOMP_RET_TRACE},
                                   {"SCMP_ACT_LOG", SECCOMP_RET_LOG},
                                   {"SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW}};

struct NamedOperator {
  std::string_view name;
  Operator op;
};
constexpr NamedOperator operators[] = {{"SCMP_CMP_NE", Operator::NotEqual},          {"SCMP_CMP_LT", Operator::Less},
                                       {"SCMP_CMP_LE", Operator::LessEqual},         {"SCMP_CMP_EQ", Operator::Equal},
                                       {"SCMP_CMP_GE", Operator::GreaterEqual},      {"SCMP_CMP_GT", Operator::Greater},
                                       {"SCMP_CMP_MASKED_EQ", Operator::MaskedEqual}};

constexpr uint32_t largest_errno = 4095;

// The value that the filter returns; errno_ret stands beside `action` in the text.
uint32_t read_action(Reader const& at, Reader const& errno_ret) {
  std::string name;
  at.require(name);
  if (name == "SCMP_ACT_NOTIFY")
    at.complain("SCMP_ACT_NOTIFY is not supported: no agent can be asked; use SCMP_ACT_ERRNO");
  auto const* found = std::ranges::find(actions, std::string_view(name), &NamedAction::name);
  if (found == std::end(actions)) {
    at.complain(fmt::format("'{}' is no action; use a name like SCMP_ACT_ERRNO", name));
    return 0;
  }
  bool const carries = found->value == SECCOMP_RET_ERRNO || found->value == SECCOMP_RET_TRACE;
  uint32_t data = carries ? static_cast<uint32_t>(EPERM) : 0;
  if (carries) errno_ret.read(data);
  if (data > largest_errno) errno_ret.complain(fmt::format("{} is no error number", data));
  return found->value | (data & SECCOMP_RET_DATA);
}

SeccompArgument read_argument(Reader const& at) {
  SeccompArgument a;
  std::string op;
  at.at("index").require(a.index);
  at.at("value").require(a.value);
  at.at("valueTwo").read(a.second);
  at.at("op").require(op);
  if (a.index > 5) at.at("index").complain(fmt::format("{} is no argument of a system call; they are 0 to 5", a.index));
  auto const* found = std::ranges::find(operators, std::string_view(op), &NamedOperator::name);
  if (found == std::end(operators))
    at.at("op").complain(fmt::format("'{}' is no comparison; use a name like SCMP_CMP_EQ", op));
  else
    a.op = found->op;
  return a;
}

// What a program of another architecture may do is decided already: it cannot run.
void check_architectures(Reader const& list) {
  for (auto const& item : list.items()) {
    std::string name;
    item.read(name);
    if (!name.starts_with("SCMP_ARCH_"))
      item.complain(fmt::format("'{}' is no architecture; use a name like SCMP_ARCH_X86_64", name));
  }
}

void check_flags(Reader const& list) {
  constexpr std::string_view known[] = {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
                                        "SECCOMP_FILTER_FLAG_SPEC_ALLOW"};
  for (auto& item : list.items()) {
    std::string name;
    item.read(name);
    if (std::ranges::find(known, name) == std::end(known))
      item.complain(fmt::format("flag '{}' is not supported", name));
  }
}

// What becomes of one number.
struct Decision {
  std::optional<uint32_t> always;
  std::vector<SeccompRule> conditional;  // names not used
};

using Decisions = std::map<uint32_t, Decision>;

std::optional<uint32_t> number_of(std::string_view name) {
  auto const table = syscalls::table();
  for (uint32_t n = 0; n < table.size(); ++n)
    if (table[n].name == name) return n;
  return std::nullopt;
}

void add_conditional(Decision& d, SeccompRule const& rule) {
  uint32_t seen = 0;
  bool repeated = false;
  for (auto& a : rule.arguments) {
    repeated |= seen >> a.index & 1;
    seen |= 1u << a.index;
  }
  // As runc: several conditions on one argument are alternatives.
  if (!repeated) return d.conditional.push_back({{}, rule.action, rule.arguments});
  for (auto& a : rule.arguments) d.conditional.push_back({{}, rule.action, {a}});
}

Decisions decide(SeccompProfile const& profile) {
  Decisions out;
  for (auto& rule : profile.rules) {
    for (auto& name : rule.names) {
      auto number = number_of(name);
      if (!number) continue;
      Decision& d = out[*number];
      if (rule.action == profile.default_action) continue;
      if (!rule.arguments.empty())
        add_conditional(d, rule);
      else if (!d.always)
        d.always = rule.action;
    }
  }
  return out;
}

class Assembler {
 public:
  std::vector<sock_filter> code;

  void emit(uint16_t op, uint32_t k, uint8_t jt = 0, uint8_t jf = 0) { code.push_back({op, jt, jf, k}); }
  void load(size_t offset) { emit(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }
  void give(uint32_t value) { emit(BPF_RET | BPF_K, value); }

  // The rule's action if all its conditions hold; what follows runs otherwise.
  void rule(SeccompRule const& r) {
    for (auto& a : r.arguments) condition(a);
    give(r.action);
    for (size_t at : failing_true_) code[at].jt = distance(at);
    for (size_t at : failing_false_) code[at].jf = distance(at);
    failing_true_.clear();
    failing_false_.clear();
  }

 private:
  uint8_t distance(size_t from) const { return static_cast<uint8_t>(code.size() - from - 1); }
  void jump(uint16_t op, uint32_t k) { emit(BPF_JMP | op | BPF_K, k); }
  void fail_unless(uint16_t op, uint32_t k) {
    jump(op, k);
    failing_false_.push_back(code.size() - 1);
  }
  void fail_if(uint16_t op, uint32_t k) {
    jump(op, k);
    failing_true_.push_back(code.size() - 1);
  }
  void load_word(uint32_t index, bool high, uint32_t mask) {
    load(offsetof(seccomp_data, args) + index * 8 + (high ? 4 : 0));
    if (mask != UINT32_MAX) emit(BPF_ALU | BPF_AND | BPF_K, mask);
  }

  // Arguments are compared as unsigned 64-bit numbers, in two halves.
  void condition(SeccompArgument const& a) {
    auto const high = static_cast<uint32_t>(a.value >> 32), low = static_cast<uint32_t>(a.value);
    switch (a.op) {
      case Operator::Equal:
      case Operator::MaskedEqual: {
        bool const masked = a.op == Operator::MaskedEqual;
        uint64_t const mask = masked ? a.value : UINT64_MAX, wanted = masked ? a.second : a.value;
        load_word(a.index, true, static_cast<uint32_t>(mask >> 32));
        fail_unless(BPF_JEQ, static_cast<uint32_t>(wanted >> 32));
        load_word(a.index, false, static_cast<uint32_t>(mask));
        fail_unless(BPF_JEQ, static_cast<uint32_t>(wanted));
        return;
      }
      case Operator::NotEqual:
        load_word(a.index, true, UINT32_MAX);
        emit(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 2);  // the halves differ: it holds
        load_word(a.index, false, UINT32_MAX);
        fail_if(BPF_JEQ, low);
        return;
      case Operator::Greater:
      case Operator::GreaterEqual:
        load_word(a.index, true, UINT32_MAX);
        emit(BPF_JMP | BPF_JGT | BPF_K, high, 3, 0);
        fail_unless(BPF_JEQ, high);
        load_word(a.index, false, UINT32_MAX);
        fail_unless(a.op == Operator::Greater ? BPF_JGT : BPF_JGE, low);
        return;
      case Operator::Less:
      case Operator::LessEqual:
        load_word(a.index, true, UINT32_MAX);
        fail_if(BPF_JGT, high);
        emit(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 2);  // less in the upper half: it holds
        load_word(a.index, false, UINT32_MAX);
        fail_if(a.op == Operator::Less ? BPF_JGE : BPF_JGT, low);
        return;
    }
  }

  std::vector<size_t> failing_true_, failing_false_;
};

// Numbers from `first` up to the next segment's have this in common.
struct Segment {
  uint32_t first;
  uint32_t action;
  std::vector<SeccompRule> const* rules = nullptr;  // tried before the action
};

std::vector<Segment> segments(SeccompProfile const& profile, Decisions const& decisions) {
  std::vector<Segment> out;
  auto put = [&](Segment s) {
    bool same = !out.empty() && !s.rules && !out.back().rules && out.back().action == s.action;
    if (!same) out.push_back(s);
  };
  uint32_t next = 0;
  for (auto& [number, d] : decisions) {
    if (number > next) put({next, profile.default_action});
    put({number, d.always.value_or(profile.default_action),
         d.always || d.conditional.empty() ? nullptr : &d.conditional});
    next = number + 1;
  }
  uint32_t const action = profile.default_action & SECCOMP_RET_ACTION_FULL;
  bool const lets_through = action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
  put({next, lets_through || decisions.empty() ? profile.default_action : SECCOMP_RET_ERRNO | ENOSYS});
  return out;
}

// Binary search by number, which stands in the accumulator.
void emit_search(Assembler& a, std::vector<Segment> const& all, size_t begin, size_t end) {
  if (end - begin == 1) {
    Segment const& s = all[begin];
    if (s.rules)
      for (auto& rule : *s.rules) a.rule(rule);
    return a.give(s.action);
  }
  size_t const middle = begin + (end - begin) / 2;
  a.emit(BPF_JMP | BPF_JGE | BPF_K, all[middle].first, 0, 1);
  size_t const far = a.code.size();
  a.emit(BPF_JMP | BPF_JA, 0);
  emit_search(a, all, begin, middle);
  a.code[far].k = static_cast<uint32_t>(a.code.size() - far - 1);
  emit_search(a, all, middle, end);
}

}  // namespace

void read_seccomp(Reader const& at, SeccompProfile& to) {
  to.default_action = read_action(at.at("defaultAction"), at.at("defaultErrnoRet"));
  check_flags(at.at("flags"));
  check_architectures(at.at("architectures"));
  for (char const* key : {"listenerPath", "listenerMetadata"})
    if (at.at(key).present())
      at.at(key).complain("nobody is told of calls: SCMP_ACT_NOTIFY is not supported; remove it");
  for (auto& item : at.at("syscalls").items()) {
    auto& rule = to.rules.emplace_back();
    item.at("names").read(rule.names);
    if (rule.names.empty()) item.at("names").complain("is empty; name at least one system call");
    rule.action = read_action(item.at("action"), item.at("errnoRet"));
    for (auto& argument : item.at("args").items()) rule.arguments.push_back(read_argument(argument));
    if (rule.arguments.size() > 6) item.at("args").complain("holds more than six conditions");
  }
}

Outcome<std::vector<sock_filter>> compile_seccomp(SeccompProfile const& profile) {
  Decisions const decisions = decide(profile);
  Assembler a;
  a.load(offsetof(seccomp_data, arch));
  a.emit(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
  a.give(SECCOMP_RET_KILL_PROCESS);
  a.load(offsetof(seccomp_data, nr));
  auto const all = segments(profile, decisions);
  emit_search(a, all, 0, all.size());
  if (a.code.size() > BPF_MAXINSNS)
    return refuse(fmt::format("linux.seccomp: the profile needs {} instructions and {} are the most; make it shorter",
                              a.code.size(), BPF_MAXINSNS));
  return std::move(a.code);
}

}  // namespace cofferdam::oci

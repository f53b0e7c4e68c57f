#include "kernel/seccomp/bpf.h"

#include <linux/audit.h>
#include <stddef.h>

#include <array>
#include <cstring>

namespace cofferdam::kernel::seccomp {
namespace {

bool is_allowed_instruction(uint16_t code) {
  switch (code) {
    case BPF_LD | BPF_W | BPF_ABS:
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
    case BPF_ALU | BPF_NEG:
    case BPF_JMP | BPF_JA:
      return true;
    default:
      break;
  }
  uint16_t const operation = code & 0xf0, kind = code & 0x07;
  if ((code & ~0xffu) != 0) return false;
  if (kind == BPF_ALU)
    return operation == BPF_ADD || operation == BPF_SUB || operation == BPF_MUL || operation == BPF_DIV ||
           operation == BPF_AND || operation == BPF_OR || operation == BPF_XOR || operation == BPF_LSH ||
           operation == BPF_RSH;
  if (kind == BPF_JMP)
    return operation == BPF_JEQ || operation == BPF_JGT || operation == BPF_JGE || operation == BPF_JSET;
  return false;
}

bool operands_are_good(sock_filter const& i, size_t left) {
  switch (i.code) {
    case BPF_LD | BPF_W | BPF_ABS:
      return i.k < sizeof(seccomp_data) && i.k % 4 == 0;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
      return i.k < BPF_MEMWORDS;
    case BPF_ALU | BPF_DIV | BPF_K:
      return i.k != 0;
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_K:
      return i.k < 32;
    case BPF_JMP | BPF_JA:
      return i.k < left;
    default:
      return (i.code & 0x07) != BPF_JMP || (i.jt < left && i.jf < left);
  }
}

// Every word of the scratch memory is written on each path before it is read. A bit for each word.
bool memory_is_written_before_read(std::vector<sock_filter> const& code) {
  std::vector<uint16_t> written(code.size(), 0xffff);  // on every path that reaches the instruction
  uint16_t now = 0;
  for (size_t at = 0; at < code.size(); ++at) {
    now &= written[at];
    sock_filter const& i = code[at];
    auto reaches = [&](size_t to) { written[at + 1 + to] &= now; };
    switch (i.code) {
      case BPF_ST:
      case BPF_STX:
        now |= static_cast<uint16_t>(1u << i.k);
        break;
      case BPF_LD | BPF_MEM:
      case BPF_LDX | BPF_MEM:
        if (!(now >> i.k & 1)) return false;
        break;
      case BPF_JMP | BPF_JA:
        reaches(i.k);
        now = 0xffff;
        break;
      default:
        if ((i.code & 0x07) != BPF_JMP) break;
        reaches(i.jt);
        reaches(i.jf);
        now = 0xffff;
    }
  }
  return true;
}

uint32_t compute(uint16_t operation, uint32_t a, uint32_t b) {
  switch (operation) {
    case BPF_ADD:
      return a + b;
    case BPF_SUB:
      return a - b;
    case BPF_MUL:
      return a * b;
    case BPF_DIV:
      return a / b;  // b is not 0: the caller has seen to it
    case BPF_AND:
      return a & b;
    case BPF_OR:
      return a | b;
    case BPF_XOR:
      return a ^ b;
    case BPF_LSH:
      return a << (b & 31);
    case BPF_RSH:
      return a >> (b & 31);
    default:
      return 0u - a;  // BPF_NEG
  }
}

bool holds(uint16_t comparison, uint32_t a, uint32_t b) {
  switch (comparison) {
    case BPF_JEQ:
      return a == b;
    case BPF_JGT:
      return a > b;
    case BPF_JGE:
      return a >= b;
    default:
      return (a & b) != 0;  // BPF_JSET
  }
}

}  // namespace

Result<Program> Program::check(std::vector<sock_filter> code) {
  if (code.empty() || code.size() > BPF_MAXINSNS) return fail(Errno::Inval);
  for (size_t at = 0; at < code.size(); ++at)
    if (!is_allowed_instruction(code[at].code) || !operands_are_good(code[at], code.size() - at - 1))
      return fail(Errno::Inval);
  if ((code.back().code & 0x07) != BPF_RET) return fail(Errno::Inval);
  if (!memory_is_written_before_read(code)) return fail(Errno::Inval);
  return Program(std::move(code));
}

// Ends: every instruction goes forward, and the last one returns.
Program::Outcome Program::execute(seccomp_data const& call) const {
  uint32_t a = 0, x = 0;
  std::array<uint32_t, BPF_MEMWORDS> memory{};
  bool looked_further = false;
  for (size_t at = 0; at < code_.size(); ++at) {
    sock_filter const& i = code_[at];
    uint16_t const kind = i.code & 0x07;
    uint32_t const operand = i.code & BPF_X ? x : i.k;
    if (kind == BPF_JMP) {
      if (i.code == (BPF_JMP | BPF_JA))
        at += i.k;
      else
        at += holds(i.code & 0xf0, a, operand) ? i.jt : i.jf;
      continue;
    }
    if (kind == BPF_ALU) {
      if ((i.code & 0xf0) == BPF_DIV && operand == 0) return {0, looked_further};  // as Linux: the program returns 0
      a = compute(i.code & 0xf0, a, operand);
      continue;
    }
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&a, reinterpret_cast<char const*>(&call) + i.k, sizeof a);
        looked_further |= i.k >= offsetof(seccomp_data, instruction_pointer);
        break;
      case BPF_LD | BPF_W | BPF_LEN:
        a = sizeof(seccomp_data);
        break;
      case BPF_LDX | BPF_W | BPF_LEN:
        x = sizeof(seccomp_data);
        break;
      case BPF_LD | BPF_IMM:
        a = i.k;
        break;
      case BPF_LDX | BPF_IMM:
        x = i.k;
        break;
      case BPF_LD | BPF_MEM:
        a = memory[i.k];
        break;
      case BPF_LDX | BPF_MEM:
        x = memory[i.k];
        break;
      case BPF_ST:
        memory[i.k] = a;
        break;
      case BPF_STX:
        memory[i.k] = x;
        break;
      case BPF_MISC | BPF_TAX:
        x = a;
        break;
      case BPF_MISC | BPF_TXA:
        a = x;
        break;
      case BPF_RET | BPF_K:
        return {i.k, looked_further};
      default:
        return {a, looked_further};  // BPF_RET | BPF_A
    }
  }
  return {SECCOMP_RET_KILL_THREAD, looked_further};
}

uint32_t Program::run(seccomp_data const& call) const { return execute(call).value; }

bool Program::always_allows(int number) const {
  seccomp_data call{};
  call.nr = number;
  call.arch = AUDIT_ARCH_X86_64;
  Outcome const outcome = execute(call);
  return !outcome.looked_further && (outcome.value & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW;
}

}  // namespace cofferdam::kernel::seccomp

#include "kernel/bpf/classic.h"

#include <vector>

namespace cofferdam::kernel::bpf {
namespace {

bool is_data_load(uint16_t code) {
  uint16_t const kind = code & 0x07, mode = code & 0xe0;
  return (kind == BPF_LD || kind == BPF_LDX) && mode != BPF_IMM && mode != BPF_MEM;
}

bool is_instruction(uint16_t code) {
  switch (code) {
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
  if (kind == BPF_ALU) return operation < BPF_NEG || operation == BPF_MOD || operation == BPF_XOR;
  if (kind == BPF_JMP) return operation >= BPF_JEQ && operation <= BPF_JSET;
  return false;
}

bool operands_are_good(sock_filter const& i, size_t left) {
  switch (i.code) {
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
      return i.k < BPF_MEMWORDS;
    case BPF_ALU | BPF_DIV | BPF_K:
    case BPF_ALU | BPF_MOD | BPF_K:
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
bool memory_is_written_before_read(std::span<sock_filter const> code) {
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

}  // namespace

uint32_t compute(uint16_t operation, uint32_t a, uint32_t b) {
  switch (operation) {
    case BPF_ADD:
      return a + b;
    case BPF_SUB:
      return a - b;
    case BPF_MUL:
      return a * b;
    case BPF_DIV:
      return a / b;
    case BPF_MOD:
      return a % b;
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

bool compare(uint16_t comparison, uint32_t a, uint32_t b) {
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

Result<void> check(std::span<sock_filter const> code, bool (*is_good_load)(sock_filter const&)) {
  if (code.empty() || code.size() > BPF_MAXINSNS) return fail(Errno::Inval);
  for (size_t at = 0; at < code.size(); ++at) {
    sock_filter const& i = code[at];
    bool const good =
        is_data_load(i.code) ? is_good_load(i) : is_instruction(i.code) && operands_are_good(i, code.size() - at - 1);
    if (!good) return fail(Errno::Inval);
  }
  if ((code.back().code & 0x07) != BPF_RET) return fail(Errno::Inval);
  if (!memory_is_written_before_read(code)) return fail(Errno::Inval);
  return {};
}

}  // namespace cofferdam::kernel::bpf

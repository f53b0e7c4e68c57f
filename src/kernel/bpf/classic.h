// Classic BPF (the kernel's Documentation/networking/filter.rst): the checks that make a program end for every input
// and stay within its own memory, and an interpreter. What a program reads is the business of who runs it: seccomp(2)
// (kernel/seccomp/bpf.h) and sockets (socket_filter.h).
#pragma once

#include <linux/filter.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"

namespace cofferdam::kernel::bpf {

// Checks all but loads: length, instructions, jumps, shifts, divisions, scratch memory. is_good_load is asked about
// loads of data (BPF_LD and BPF_LDX in the modes ABS, IND, LEN and MSH). EINVAL.
Result<void> check(std::span<sock_filter const> code, bool (*is_good_load)(sock_filter const&));

uint32_t compute(uint16_t operation, uint32_t a, uint32_t b);  // b is not 0 for BPF_DIV and BPF_MOD
bool compare(uint16_t comparison, uint32_t a, uint32_t b);

// Runs a program that has passed the checks: every instruction goes forward and the last one returns, so it ends.
// load(instruction, a, x) gives the value that a load of data has; where it gives none the program ends with 0.
template <class Load>
uint32_t run(std::span<sock_filter const> code, Load&& load) {
  uint32_t a = 0, x = 0;
  std::array<uint32_t, BPF_MEMWORDS> memory{};
  for (size_t at = 0; at < code.size(); ++at) {
    sock_filter const& i = code[at];
    uint32_t const operand = i.code & BPF_X ? x : i.k;
    switch (i.code & 0x07) {
      case BPF_JMP:
        if (i.code == (BPF_JMP | BPF_JA))
          at += i.k;
        else
          at += compare(i.code & 0xf0, a, operand) ? i.jt : i.jf;
        break;
      case BPF_ALU: {
        uint16_t const operation = i.code & 0xf0;
        if ((operation == BPF_DIV || operation == BPF_MOD) && operand == 0) return 0;
        a = compute(operation, a, operand);
        break;
      }
      case BPF_RET:
        return (i.code & 0x18) == BPF_A ? a : i.k;
      case BPF_MISC:
        if ((i.code & 0xf8) == BPF_TXA)
          a = x;
        else
          x = a;
        break;
      case BPF_ST:
        memory[i.k] = a;
        break;
      case BPF_STX:
        memory[i.k] = x;
        break;
      default: {  // BPF_LD, BPF_LDX
        uint32_t& to = (i.code & 0x07) == BPF_LD ? a : x;
        uint16_t const mode = i.code & 0xe0;
        if (mode == BPF_IMM) {
          to = i.k;
        } else if (mode == BPF_MEM) {
          to = memory[i.k];
        } else {
          std::optional<uint32_t> const value = load(i, a, x);
          if (!value) return 0;
          to = *value;
        }
      }
    }
  }
  return 0;
}

}  // namespace cofferdam::kernel::bpf

#include "kernel/seccomp/bpf.h"

#include <linux/audit.h>
#include <stddef.h>

#include <algorithm>
#include <cstring>

#include "kernel/bpf/classic.h"

namespace cofferdam::kernel::seccomp {
namespace {

bool is_good_load(sock_filter const& i) {
  switch (i.code) {
    case BPF_LD | BPF_W | BPF_ABS:
      return i.k < sizeof(seccomp_data) && i.k % 4 == 0;
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
      return true;
    default:
      return false;
  }
}

// Linux's list for seccomp does not have it.
bool is_modulo(sock_filter const& i) { return (i.code & 0xf7) == (BPF_ALU | BPF_MOD); }

}  // namespace

Result<Program> Program::check(std::vector<sock_filter> code) {
  TRY(bpf::check(code, is_good_load));
  if (std::ranges::any_of(code, is_modulo)) return fail(Errno::Inval);
  return Program(std::move(code));
}

Program::Outcome Program::execute(seccomp_data const& call) const {
  bool looked_further = false;
  uint32_t const value = bpf::run(code_, [&](sock_filter const& i, uint32_t, uint32_t) -> std::optional<uint32_t> {
    if ((i.code & 0xe0) == BPF_LEN) return sizeof(seccomp_data);
    uint32_t word;
    std::memcpy(&word, reinterpret_cast<char const*>(&call) + i.k, sizeof word);
    looked_further |= i.k >= offsetof(seccomp_data, instruction_pointer);
    return word;
  });
  return {value, looked_further};
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

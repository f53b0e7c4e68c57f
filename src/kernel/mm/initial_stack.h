// What a program finds on its stack: arguments, environment, auxiliary vector (getauxval(3)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/cred/credentials.h"

namespace cofferdam::kernel {

struct ProgramFacts {
  uint64_t program_headers = 0;  // AT_PHDR
  uint16_t program_header_count = 0;
  uint64_t interpreter_base = 0, entry = 0, vdso = 0;
  bool secure = false;
  std::string path;  // AT_EXECFN
  Credentials const* credentials = nullptr;
  uint64_t stack_shift = 0;  // random bytes between strings and vectors
};

struct InitialStack {
  uint64_t pointer = 0;                                                      // of `bytes`, and rsp: 16-byte aligned
  std::vector<std::byte> bytes;                                              // [pointer, top)
  uint64_t arguments_start = 0, environment_start = 0, environment_end = 0;  // of the strings
  std::vector<std::byte> auxv;
};

// E2BIG: strings and pointers together exceed a quarter of the stack limit (at least 128 KiB, at most 6 MiB), or one
// string is longer than 128 KiB.
Result<void> check_argument_space(std::vector<std::string> const& arguments,
                                  std::vector<std::string> const& environment, uint64_t stack_limit);

// The arguments have passed check_argument_space.
InitialStack build_initial_stack(uint64_t top, std::vector<std::string> const& arguments,
                                 std::vector<std::string> const& environment, ProgramFacts const&);

}  // namespace cofferdam::kernel

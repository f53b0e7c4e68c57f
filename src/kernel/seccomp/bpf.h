// Classic BPF as seccomp(2) takes it: the checks of the kernel's seccomp_check_filter, and an interpreter.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace cofferdam::kernel::seccomp {

// A program that has passed the checks: it ends for every input, jumps forward only, and reads nothing but the call.
class Program {
 public:
  // EINVAL for what Linux refuses: length, instructions, jumps, shifts, divisions, memory that was not written.
  static Result<Program> check(std::vector<sock_filter> code);

  // What the program returns for this call: SECCOMP_RET_* with its data.
  uint32_t run(seccomp_data const& call) const;
  // Whether every call with this number (on x86-64) has the result SECCOMP_RET_ALLOW, whatever its arguments.
  bool always_allows(int number) const;
  size_t length() const { return code_.size(); }

 private:
  explicit Program(std::vector<sock_filter> code) : code_(std::move(code)) {}
  struct Outcome {
    uint32_t value;
    bool looked_further;  // than at number and architecture
  };
  Outcome execute(seccomp_data const& call) const;
  std::vector<sock_filter> code_;
};

}  // namespace cofferdam::kernel::seccomp

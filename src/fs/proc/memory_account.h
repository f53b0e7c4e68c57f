// How much memory the sandbox has and uses, for meminfo and its kin.
#pragma once

#include <cstdint>

#include "kernel/kernel.h"

namespace cofferdam::fs::proc {

struct MemoryAccount {
  uint64_t total = 0, free = 0, anonymous = 0, shared = 0;  // bytes
};

// total: the limit of the reader's container, else the host's memory. What others use is not told: all else is free.
// shared: of the whole sandbox.
MemoryAccount memory_account(kernel::Task& reader);

// CPU time used by all processes, those that have ended and were waited for by others that live included.
struct CpuAccount {
  kernel::Nanoseconds user_ns = 0, system_ns = 0;
  size_t running = 0, tasks = 0;
};
CpuAccount cpu_account(kernel::Kernel&);

}  // namespace cofferdam::fs::proc

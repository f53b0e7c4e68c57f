// What the host's kernel says of the machine (sysinfo(2)).
#pragma once

#include <cstdint>

namespace cofferdam::host {

struct MemoryFacts {
  uint64_t total_bytes = 0, free_bytes = 0;
};
MemoryFacts memory_facts();  // zeroes when the host does not tell

}  // namespace cofferdam::host

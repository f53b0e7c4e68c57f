// Clocks of the sandbox's own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/outcome.h"

namespace cofferdam::jail {

struct ClockOffset {
  std::string clock;  // "monotonic" or "boottime"
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
};

// Moves this process, which must have one thread only, into a new time namespace with these offsets; the stubs follow.
// Before enter(). Without offsets nothing is done.
Outcome<> enter_time_namespace(std::vector<ClockOffset> const& offsets);

}  // namespace cofferdam::jail

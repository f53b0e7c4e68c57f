// membarrier(2) of the host.
#pragma once

#include "base/result.h"

namespace cofferdam::host {

// Has the host MEMBARRIER_CMD_GLOBAL? (Not with nohz_full processors.)
bool has_global_barrier();
// A full memory barrier on every processor that runs a thread of anybody's. Takes milliseconds.
Result<void> global_barrier();

}  // namespace cofferdam::host

// The credential options of prctl(2).
#pragma once

#include <cstdint>

#include "base/result.h"

namespace cofferdam::kernel {

class Task;

// PR_GET/SET_KEEPCAPS, PR_CAPBSET_READ/DROP, PR_GET/SET_SECUREBITS, PR_CAP_AMBIENT: prctl's result or error.
Result<uint64_t> control_credentials(Task&, int option, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);

}  // namespace cofferdam::kernel

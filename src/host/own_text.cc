#include "host/own_text.h"

#include <sys/mman.h>

#include <cstdint>

// The linker's.
extern "C" {
extern char const __executable_start[], etext[];  // NOLINT(*-reserved-identifier, *-dcl37-c, *-dcl51-cpp)
}

namespace cofferdam::host {

void let_go_of_text() {
  constexpr uintptr_t page = 4096;
  uintptr_t const begin = reinterpret_cast<uintptr_t>(__executable_start) & ~(page - 1);
  uintptr_t const end = reinterpret_cast<uintptr_t>(etext) & ~(page - 1);
  // Clean pages of a file: nothing is lost. Failure costs memory, no more.
  (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace cofferdam::host

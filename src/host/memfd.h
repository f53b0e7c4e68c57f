// Memory files of the host (memfd_create(2)): the few calls that the sentry makes on them.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::host {

// A new close-on-exec memory file that may be sealed. EMFILE, ENFILE, ENOMEM.
Result<OwnedFd> create_memfd(char const* name);
// ftruncate(2).
Result<void> set_file_size(int fd, uint64_t size);
// F_SEAL_* of fcntl(2).
Result<void> add_seals(int fd, int seals);
// Frees the pages of a range, which reads as zero then; the size stays.
Result<void> punch_hole(int fd, uint64_t offset, uint64_t length);

}  // namespace cofferdam::host

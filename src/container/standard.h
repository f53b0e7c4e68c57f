// Descriptors on their way into a sandbox.
#pragma once

#include "host/fd.h"

namespace cofferdam::container {

// A descriptor for the same pipe, terminal, socket or file. Pipes and terminals get a description of their own,
// non-blocking, so that the sandbox never blocks in a host call on them and nobody else sees the flag; others, and
// those that cannot be opened anew, share the description. -1 with errno when fd is not open.
host::OwnedFd sandbox_copy(int fd);

// The terminal behind fd, opened anew for reading and writing, non-blocking.
host::OwnedFd terminal_copy(int fd);

}  // namespace cofferdam::container

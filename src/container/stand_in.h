// The host process that stands for a container in another's sandbox: engines watch it, its end is the container's, and
// its exit status the container's own. It donates the container's mounts, and speaks for the command that made it.
#pragma once

#include <vector>

#include "container/protocol.h"
#include "container/state.h"
#include "gofer/mounts.h"
#include "sentry/config.h"

namespace cofferdam::container {

// The life of that process, from the fork to its end. `sandbox`: a connection to the control socket of the sandbox's
// first container. `descriptors`: as for a sandbox of its own.
[[noreturn]] void run_stand_in(JoinRequest request, StateDirectory const& own, host::OwnedFd sandbox,
                               sentry::Descriptors descriptors, std::vector<gofer::MountRequest> const& mounts);

}  // namespace cofferdam::container

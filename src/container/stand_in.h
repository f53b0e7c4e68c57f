// The host process that stands for a container in another's sandbox: engines watch it, its end is the container's, and
// its exit status the container's own. It donates the container's mounts, and speaks for the command that made it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "container/protocol.h"
#include "container/state.h"
#include "gofer/mounts.h"
#include "sentry/config.h"

namespace cofferdam::container {

// Where its processes belong on the host.
struct HostPlace {
  pid_t sentry = 0;
  std::vector<std::string> cgroups;  // empty: those of the sandbox's first container
  std::optional<int> oom_score_adj;
};

// The life of that process, from the fork to its end. `sandbox`: a connection to the control socket of the sandbox's
// first container. `descriptors`: as for a sandbox of its own.
[[noreturn]] void run_stand_in(JoinRequest request, StateDirectory const& own, host::OwnedFd sandbox,
                               sentry::Descriptors descriptors, std::vector<gofer::MountRequest> const& mounts,
                               HostPlace const& place);
// Of a process and of those that it makes from then on.
Outcome<> set_oom_score(pid_t pid, int score);

}  // namespace cofferdam::container

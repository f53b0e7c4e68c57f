// The sandbox process: builds its jail, assembles the kernel, runs the container, and reports its end by its own.
#pragma once

#include <vector>

#include "gofer/mounts.h"
#include "sentry/config.h"

namespace cofferdam::sentry {

// The life of the sandbox process, from the fork to its end. `mounts`: the root, then the bind mounts. Exits with the
// status of the container's init: its exit code, or 128 + the signal that ended it; 1 when the sandbox could not be
// started.
[[noreturn]] void run_sandbox(Config const& config, Descriptors descriptors,
                              std::vector<gofer::MountRequest> const& mounts);

// On the host, what is missing of the mount points of a root that the container will see read-only; as runc makes them.
void make_mount_points(oci::Spec const&, Settings const&, std::vector<gofer::MountRequest> const& mounts);

}  // namespace cofferdam::sentry

// What the shim adds to the first container of a pod (the pause container): the way by which ports are forwarded into
// it.
#pragma once

#include <string>

#include "base/outcome.h"

namespace cofferdam::shim {

// Where the relay program stands in that container.
inline constexpr char relay_path[] = "/.cofferdam-relay";

// The network namespace of the pod whose first container this bundle is, after the relay has been added to its
// config.json and the place for it made in its root. Empty: the bundle is none, or its network is not its own.
Outcome<std::string> prepare_pod(std::string const& bundle);

}  // namespace cofferdam::shim

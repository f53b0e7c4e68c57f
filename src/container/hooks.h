// Hooks of config.json: programs on the host that are run at points of a container's life.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/outcome.h"
#include "oci/spec.h"

namespace cofferdam::container {

// Runs them in order with the container's state (JSON) on standard input. The first that fails, or outlives its
// timeout, stops it.
Outcome<> run_hooks(std::vector<oci::Hook> const& hooks, std::string_view point, std::string const& state);

}  // namespace cofferdam::container

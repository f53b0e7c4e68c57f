// The container's network namespace, as the engine has made it: what of it the sandbox's own stack takes over.
#pragma once

#include <string>

#include "base/outcome.h"
#include "sentry/network.h"

namespace cofferdam::container {

// Opens a packet socket on each Ethernet interface that is up and has addresses, reads addresses and routes, and takes
// the addresses away from the host's kernel, which would answer beside the sandbox otherwise. `path`: of the namespace.
// Nothing to take gives no links. Needs CAP_NET_ADMIN and CAP_NET_RAW there.
Outcome<sentry::NetworkSetup> take_network(std::string const& path);

}  // namespace cofferdam::container

// --network=host: what a sandbox needs of the host's network before its jail closes.
#pragma once

#include <vector>

#include "base/outcome.h"
#include "host/call_rule.h"
#include "sentry/config.h"

namespace cofferdam::sentry {

// For a network namespace that was made for the container: it has no address but the loopback's.
Outcome<> start_loopback();
// The host's /proc/sys/net, as far as this kernel has such settings. While the host's /proc is there.
void read_network_settings(Descriptors&);
// Opens the tables of /proc/net below `proc`; gives the calls that sockets of the host need.
Outcome<std::vector<host::CallRule>> open_host_network(Descriptors&, int proc);

}  // namespace cofferdam::sentry

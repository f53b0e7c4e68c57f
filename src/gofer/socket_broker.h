// A process beside a sandbox of --network=host that has the privileges over the network which the jailed sentry has
// not: it binds the sentry's sockets to reserved ports, and makes raw sockets, as far as the container's configuration
// gives CAP_NET_BIND_SERVICE and CAP_NET_RAW. It has nothing else: no files, a few system calls. It ends with the
// sandbox.
#pragma once

#include <sys/types.h>

#include "base/outcome.h"
#include "host/fd.h"

namespace cofferdam::gofer {

struct BrokerRights {
  bool reserved_ports = false, raw_sockets = false;
};

// Forks it, in the network namespace of process `sandbox`. `connection`: its end of a SOCK_SEQPACKET pair, whose other
// end the sandbox has. The caller has one thread only, and reaps it.
Outcome<pid_t> start_socket_broker(host::OwnedFd connection, pid_t sandbox, BrokerRights);

}  // namespace cofferdam::gofer

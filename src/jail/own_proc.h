// A procfs of the sandbox's own pid namespace, by descriptor: it shows the sentry and the stubs, and nothing of the
// host.
#pragma once

#include "base/outcome.h"
#include "host/fd.h"

namespace cofferdam::jail {

// Mounted detached, with subset=pid (no /proc/sys, no /proc/kcore). Before enter(): mounting needs the full
// capabilities.
Outcome<host::OwnedFd> open_own_proc();

}  // namespace cofferdam::jail

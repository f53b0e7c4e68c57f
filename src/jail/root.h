// What the jailed sentry sees of the host's files: nothing.
#pragma once

#include "base/outcome.h"

namespace cofferdam::jail {

// Makes an empty, read-only tmpfs the root of this mount namespace and lets go of everything else in it. Descriptors
// that are open stay good: those of the donated mounts are the sentry's only way to files.
Outcome<> enter_empty_root();

}  // namespace cofferdam::jail

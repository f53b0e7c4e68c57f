// The container's file tree inside the kernel.
#pragma once

#include "base/outcome.h"
#include "kernel/kernel.h"
#include "sentry/config.h"

namespace cofferdam::sentry {

// Names the file systems, devices and families of sockets that this kernel has. Takes what the network needs.
void register_modules(kernel::Kernel&, Settings const&, Descriptors&);

// The root, the mounts of the specification in its order, /dev with its standard devices, masked and read-only paths.
// In the empty mount namespace of the set. Takes the donated descriptors.
Outcome<> build_file_tree(kernel::Kernel&, kernel::NamespaceSet const&, Config const&, Descriptors&);

}  // namespace cofferdam::sentry

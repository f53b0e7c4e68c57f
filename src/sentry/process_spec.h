// From the specification's process to the kernel's.
#pragma once

#include <string>

#include "base/outcome.h"
#include "kernel/cred/credentials.h"
#include "kernel/kernel.h"
#include "kernel/terminal.h"
#include "oci/spec.h"

namespace cofferdam::sentry {

// What runc's init has after its execve: for uid 0 the bounding set (within the permitted set under no_new_privs), else
// the ambient set.
Ref<kernel::Credentials const> make_credentials(oci::Process const&);

// Without files and terminal. HOME is added when the environment has none, from the root's /etc/passwd.
kernel::ProcessSpec make_process_spec(oci::Process const&, int root_fd);

// One line why a program could not be started, in runc's words where engines look for them.
std::string start_failure(oci::Process const&, Error const&);

}  // namespace cofferdam::sentry

// What execve(2) does to credentials: capabilities(7), "Transformation of capabilities during execve()".
#pragma once

#include "kernel/cred/credentials.h"
#include "kernel/vfs/attributes.h"

namespace cofferdam::kernel {

class Task;

// `file`: of the program. nosuid_mount: its mount's MS_NOSUID. Sets `secure` for AT_SECURE.
Ref<Credentials const> credentials_after_exec(Task&, Attributes const& file, bool nosuid_mount, bool& secure);

}  // namespace cofferdam::kernel

// What execve(2) does to credentials: capabilities(7), "Transformation of capabilities during execve()".
#pragma once

#include <optional>

#include "base/result.h"
#include "kernel/cred/credentials.h"
#include "kernel/vfs/attributes.h"
#include "kernel/vfs/file_capabilities.h"

namespace cofferdam::kernel {

class Task;

// `file`: of the program, with its capabilities. nosuid_mount: its mount's MS_NOSUID. Sets `secure` for AT_SECURE.
// EPERM: the file's effective capabilities are not all to be had.
Result<Ref<Credentials const>> credentials_after_exec(Task&, Attributes const& file,
                                                      std::optional<FileCapabilities> capabilities, bool nosuid_mount,
                                                      bool& secure);

}  // namespace cofferdam::kernel

// The host's descriptions of itself in /proc and /sys: opened before the jail closes, read later.
#pragma once

#include <string>

#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::host {

Result<OwnedFd> open_fact(char const* path);
// The whole text, at most 4 MiB of it.
std::string read_fact(int fd);

}  // namespace cofferdam::host

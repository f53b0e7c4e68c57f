// The words of a mount's options that mean something to the runtime; all others are the file system's own.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "oci/reader.h"

namespace cofferdam::oci {

struct Mount;

struct MountOption {
  std::string_view name;
  unsigned long set = 0, clear = 0;  // MS_* flags of <sys/mount.h>
};
// All that are known, sorted by name.
std::span<MountOption const> mount_options();

struct ParsedOptions {
  unsigned long flags = 0;
  std::string data;  // what the file system itself is told
};
ParsedOptions parse_mount_options(Mount const&);

// Complains about options that ask for what a sandbox cannot give.
void check_mount_options(Reader const& list, Mount const&);

}  // namespace cofferdam::oci

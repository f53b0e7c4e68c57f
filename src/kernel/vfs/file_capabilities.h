// Capabilities on files: the extended attribute security.capability (capabilities(7), "File capabilities").
#pragma once

#include <atomic>
#include <optional>
#include <set>
#include <string_view>

#include "base/mutex.h"
#include "kernel/cred/credentials.h"

namespace cofferdam::kernel {

class Inode;
class Vfs;

inline constexpr std::string_view capability_xattr = "security.capability";

struct FileCapabilities {
  CapabilitySet permitted, inheritable;
  bool effective = false;
};

// EINVAL for what is no such attribute: nothing.
std::optional<FileCapabilities> parse_file_capabilities(std::string_view value);
std::optional<FileCapabilities> file_capabilities(Inode&);

// Which inodes have some: a write must take them off, and is not to ask each time. What was never opened for writing
// nor given capabilities in here is not known.
class CapableFiles {
 public:
  void note(Inode const&);
  bool take(Inode const&);  // was it known? it is no longer

 private:
  std::atomic<size_t> count_{0};
  Guarded<std::set<Inode const*>> inodes_;  // compared only: an inode's successor at its address is asked once
};

// The attribute was set, or the file is opened for writing and may have it.
void note_capable_file(Vfs&, Inode const&);

}  // namespace cofferdam::kernel

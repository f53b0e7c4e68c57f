// The sandbox's process: a fork of the command's own, without exec, in namespaces of its own.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/outcome.h"
#include "host/fd.h"

namespace cofferdam::jail {

struct SandboxProcess {
  pid_t pid = 0;  // 0 in the child
  host::OwnedFd pidfd;
};

enum class NetworkNamespace : uint8_t { New, Current };

// As fork(2), with new user, mount, pid, ipc, uts, cgroup and (unless it is to keep the caller's) network namespaces:
// the child is init of its pid namespace. The caller must have one thread only. The child has no ids until the parent
// has called write_id_maps.
Outcome<SandboxProcess> fork_into_namespaces(NetworkNamespace);

struct IdRange {
  uint32_t inside = 0, outside = 0, count = 0;
};
// Without ranges, root: every id of this user namespace, each to itself (directfs keeps files' owners). Others: their
// own id only.
Outcome<> write_id_maps(pid_t child, std::vector<IdRange> const& uids, std::vector<IdRange> const& gids);

// In the child, when ranges were given: takes the ids 0 of its namespace, so that what it makes on the host belongs to
// them. The caller has one thread only, and its death signal is cleared by this.
Outcome<> become_mapped_root();

}  // namespace cofferdam::jail

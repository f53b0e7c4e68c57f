// Which sandbox a container lives in: one of its own, or that of another container (of a pod, or whose network it
// shares).
#pragma once

#include <optional>
#include <string>

#include "base/outcome.h"
#include "container/state.h"
#include "oci/spec.h"

namespace cofferdam::container {

struct Pod {
  std::string sandbox;                 // the id of the container that the sandbox was made for
  StateDirectory record;               // its record, without the lock
  State state;                         // what that holds
  std::string ipc_of, uts_of, pid_of;  // whose namespaces are shared, by container id; empty: own ones
};

// By the annotations that containerd's CRI and CRI-O write, else by namespaces of the specification that are those of a
// container under the same state root. Nothing: a sandbox of its own. Refused: namespaces that cannot be shared.
Outcome<std::optional<Pod>> find_pod(std::string const& state_root, oci::Spec const&);

// Was it made to hold others (a pod's pause container)?
bool is_pod_sandbox(oci::Spec const&);

}  // namespace cofferdam::container

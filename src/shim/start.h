// The shim's own life: how containerd starts it, how it serves, and how it cleans up after one that died.
#pragma once

#include <string>

#include "base/outcome.h"

namespace cofferdam::shim {

struct Arguments {
  std::string name_space, id, address, bundle, publish_binary;
  bool debug = false;
};

// `start`: makes the socket and the process that serves it, or finds the one of the pod, and prints its address.
Outcome<> start_shim(Arguments const&);
// Without a command: serves the socket that is descriptor 3 until containerd says that it is done.
Outcome<> serve_shim(Arguments const&);
// `delete`: ends and removes what a shim that died has left of a container, and prints how that ended.
Outcome<> delete_after_shim(Arguments const&);
// `-info`: prints what the runtime can do.
Outcome<> print_info();

inline constexpr int socket_descriptor = 3;

}  // namespace cofferdam::shim

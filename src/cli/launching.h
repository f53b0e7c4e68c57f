// What create, run and restore have in common: their options, and the way from them to a launched sandbox.
#pragma once

#include "cli/command.h"
#include "cli/options.h"
#include "container/launch.h"

namespace cofferdam::cli {

struct LaunchArguments {
  std::string bundle, console_socket, pid_file;
  unsigned preserve_fds = 0;
  bool no_pivot = false, no_new_keyring = false;
};

void declare(Options&, LaunchArguments&);
// An absolute path with its links resolved.
Outcome<std::string> absolute(std::string const& path);
// `detached`: the command does not stay with the container.
Outcome<container::Sandbox> launch(Globals const&, LaunchArguments const&, std::string const& id, bool detached);

}  // namespace cofferdam::cli

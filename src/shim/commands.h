// Runs commands beside the loop: a child with the given standard descriptors, and word of how it ended.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/outcome.h"
#include "host/fd.h"
#include "shim/event_loop.h"

namespace cofferdam::shim {

struct Command {
  std::vector<std::string> words;
  int standard[3] = {-1, -1, -1};                // borrowed; -1: /dev/null
  bool take_output = false;                      // standard output, which `standard` does not name then
  std::vector<std::string> environment;          // NAME=VALUE, beside what the shim itself has
  std::vector<std::pair<int, int>> descriptors;  // further ones: ours (borrowed), the child's
  milliseconds limit{120'000};                   // then it is killed
};

struct CommandEnd {
  int wait_status = 0;
  bool timed_out = false;
  std::string output;
  bool succeeded() const { return wait_status == 0; }
};

using OnCommandEnd = std::function<void(CommandEnd)>;

// A command dies with the shim. Refused: nothing was started, and `end` is not called.
Outcome<pid_t> run_command(EventLoop& loop, Command const& command, OnCommandEnd end);

// Starts it and leaves it alone, in a session of its own. For what outlives the shim.
Outcome<pid_t> spawn(Command const& command);

}  // namespace cofferdam::shim

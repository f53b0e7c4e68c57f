// The runtime's commands, as the shim calls them for the containers of one containerd namespace.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/outcome.h"
#include "shim/commands.h"
#include "shim/event_loop.h"
#include "shim/options.h"
#include "shim/stdio.h"

namespace cofferdam::shim {

class Runtime {
 public:
  // One line why it failed, from the runtime's own log.
  using OnDone = std::function<void(Outcome<std::string> output)>;

  Runtime(EventLoop& loop, RuntimeOptions options, std::string const& name_space, std::string bundle);

  // `words`: the command, its options and operands. With `stdio` the command has these descriptors, else /dev/null and
  // a standard output that comes back.
  void call(std::vector<std::string> words, OnDone const& done, Stdio const* stdio = nullptr,
            milliseconds limit = milliseconds(120'000));
  // For `delete`, where nothing else happens. Waits.
  Outcome<std::string> call_and_wait(std::vector<std::string> words, milliseconds limit);

  std::string const& bundle() const { return bundle_; }
  std::string const& root() const { return root_; }

 private:
  std::string take_reason(std::string const& log, CommandEnd const& end) const;

  EventLoop& loop_;
  RuntimeOptions options_;
  std::string root_, bundle_, binary_;
  unsigned calls_ = 0;
};

}  // namespace cofferdam::shim

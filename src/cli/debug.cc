#include <fmt/format.h>

#include "cli/command.h"
#include "cli/options.h"
#include "container/state.h"

namespace cofferdam::cli {

Outcome<int> run_debug(Globals const& g, Words const& words) {
  bool tasks = false;
  std::string level;
  Options options("cofferdam debug", "ID", "Looks into a running sandbox, or changes what its kernel logs.");
  options.flag("--tasks", tasks, "list the threads inside: where each is, and what waits for it");
  options.text("--log-level", level, "debug, info, warning or error: for the log that --debug-log named");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  std::string id = ATTEMPT(single_id(rest, "debug"));
  if (!tasks && level.empty()) return refuse("debug: say what to do: --tasks or --log-level");
  auto record = ATTEMPT(container::StateDirectory::open(g.state_root, id));
  auto state = ATTEMPT(record.load());
  record.unlock();
  if (!container::alive(state)) return refuse(fmt::format("container '{}' is not running", id));
  if (!level.empty()) ATTEMPT(container::call(record, container::RequestKind::Debug, "log-level " + level, {}, 10));
  if (tasks) {
    auto reply = ATTEMPT(container::call(record, container::RequestKind::Debug, "tasks", {}, 10));
    ATTEMPT(print(reply.payload));
  }
  return 0;
}

}  // namespace cofferdam::cli

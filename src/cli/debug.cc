#include <fmt/format.h>

#include "cli/command.h"
#include "cli/options.h"
#include "container/state.h"

namespace cofferdam::cli {

Outcome<int> run_debug(Globals const& g, Words const& words) {
  bool tasks = false;
  std::string level, strace;
  Options options("cofferdam debug", "ID", "Looks into a running sandbox, or changes what its kernel logs.");
  options.flag("--tasks", tasks, "list the threads inside: where each is, and what waits for it");
  options.text("--log-level", level, "debug, info, warning or error: what the sandbox's kernel logs");
  options.text("--strace", strace, "on or off: log every system call of the container");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  std::string id = ATTEMPT(single_id(rest, "debug"));
  if (!tasks && level.empty() && strace.empty() && g.debug_log.empty())
    return refuse("debug: say what to do: --tasks, --log-level or --strace, or name a log with --debug-log");
  if (!strace.empty() && strace != "on" && strace != "off")
    return refuse(fmt::format("--strace: '{}' is not known; use on or off", strace));
  auto record = ATTEMPT(container::StateDirectory::open(g.state_root, id));
  auto state = ATTEMPT(record.load());
  record.unlock();
  if (!container::alive(state)) return refuse(fmt::format("container '{}' is not running", id));
  auto const wish = [&](std::string const& text, std::vector<int> const& fds = {}) {
    return container::call(record, container::RequestKind::Debug, text, fds, 10);
  };
  if (!g.debug_log.empty()) {
    auto const log = ATTEMPT(g.sentry_log());
    ATTEMPT(wish("log", {log.get()}));
  }
  if (!level.empty()) ATTEMPT(wish("log-level " + level));
  if (!strace.empty()) ATTEMPT(wish("strace " + strace));
  if (tasks) ATTEMPT(print(ATTEMPT(wish("tasks")).payload));
  return 0;
}

}  // namespace cofferdam::cli

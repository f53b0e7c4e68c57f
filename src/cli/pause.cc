#include <fmt/format.h>

#include "cli/command.h"
#include "cli/options.h"
#include "container/state.h"

namespace cofferdam::cli {

namespace {

Outcome<int> change(Globals const& g, Words const& words, std::string_view name, std::string_view what,
                    container::RequestKind kind) {
  Options options(fmt::format("cofferdam {}", name), "ID", what);
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  std::string id = ATTEMPT(single_id(rest, name));
  auto record = ATTEMPT(container::StateDirectory::open(g.state_root, id));
  auto state = ATTEMPT(record.load());
  if (!container::alive(state)) return refuse(fmt::format("cannot {} container '{}': it is stopped", name, id));
  auto done = container::call(record, kind, {}, {}, 10);
  if (!done) return refuse(fmt::format("cannot {} container '{}': {}", name, id, done.error()));
  return 0;
}

}  // namespace

Outcome<int> run_pause(Globals const& g, Words const& words) {
  return change(g, words, "pause", "Stops every process of a container until 'resume'.", container::RequestKind::Pause);
}

Outcome<int> run_resume(Globals const& g, Words const& words) {
  return change(g, words, "resume", "Lets the processes of a paused container run on.", container::RequestKind::Resume);
}

}  // namespace cofferdam::cli

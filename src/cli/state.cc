#include "container/state.h"

#include "cli/command.h"
#include "cli/options.h"

namespace cofferdam::cli {

Outcome<int> run_state(Globals const& g, Words const& words) {
  Options options("cofferdam state", "ID", "Prints the state of a container as JSON.");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  auto record = ATTEMPT(container::StateDirectory::open(g.state_root, ATTEMPT(single_id(rest, "state"))));
  auto state = ATTEMPT(record.load());
  auto json = container::state_json(state, container::phase_of(record, state));
  ATTEMPT(print(oci::print_json(json, oci::Layout::Indented) + "\n"));
  return 0;
}

}  // namespace cofferdam::cli

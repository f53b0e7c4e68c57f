#include <fmt/format.h>

#include "cli/command.h"
#include "cli/options.h"
#include "container/hooks.h"
#include "container/state.h"

namespace cofferdam::cli {

using container::RequestKind;
using container::StateDirectory;

Outcome<int> run_start(Globals const& g, Words const& words) {
  Options options("cofferdam start", "ID", "Starts a container that was created.");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  std::string id = ATTEMPT(single_id(rest, "start"));
  auto record = ATTEMPT(StateDirectory::open(g.state_root, id));
  auto state = ATTEMPT(record.load());
  auto phase = container::phase_of(record, state);
  if (phase != container::Phase::Created)
    return refuse(fmt::format("cannot start container '{}': it is {}", id, container::phase_name(phase)));
  ATTEMPT(container::call(record, RequestKind::Start, {}));
  // Hooks are read again from the bundle; poststart must not undo a start.
  if (auto spec = oci::load_bundle(state.bundle); spec && !spec->hooks.poststart.empty())
    ATTEMPT(container::run_hooks(spec->hooks.poststart, "poststart",
                                 oci::print_json(container::state_json(state, container::Phase::Running))));
  return 0;
}

}  // namespace cofferdam::cli

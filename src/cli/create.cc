#include "cli/launching.h"

namespace cofferdam::cli {

Outcome<int> run_create(Globals const& g, Words const& words) {
  LaunchArguments a;
  Options options("cofferdam create", "ID", "Creates a container from a bundle; 'start' then runs it.");
  declare(options, a);
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  std::string id = ATTEMPT(single_id(rest, "create"));
  auto sandbox = ATTEMPT(launch(g, a, id, true));
  ATTEMPT(sandbox.detach());
  return 0;
}

}  // namespace cofferdam::cli

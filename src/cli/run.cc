#include "cli/launching.h"

namespace cofferdam::cli {

Outcome<int> run_run(Globals const& g, Words const& words) {
  LaunchArguments a;
  bool detach = false, keep = false, no_subreaper = false;
  Options options("cofferdam run", "ID",
                  "Creates a container from a bundle, starts it, and ends with its exit status.");
  declare(options, a);
  options.flag("--detach,-d", detach, "leave the container running in the background");
  options.flag("--keep", keep, "do not delete the container when it has ended");
  options.flag("--no-subreaper", no_subreaper,
               "accepted for compatibility; the container's orphans are its own kernel's");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  std::string id = ATTEMPT(single_id(rest, "run"));
  auto sandbox = ATTEMPT(launch(g, a, id, detach));
  if (!detach) sandbox.keep_signals();
  ATTEMPT(sandbox.start());
  if (detach) {
    ATTEMPT(sandbox.detach());
    return 0;
  }
  if (keep) sandbox.keep_record();
  return sandbox.wait();
}

}  // namespace cofferdam::cli

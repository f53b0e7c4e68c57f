#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgroup/cgroup.h"
#include "cli/command.h"
#include "cli/options.h"
#include "container/hooks.h"
#include "container/launch.h"

namespace cofferdam::cli {

using container::StateDirectory;

namespace {

void end_sandbox(container::State const& state) {
  host::OwnedFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, state.pid, 0)));
  // Between the two the pid cannot have gone to another process: the descriptor was there first.
  if (pidfd && container::alive(state)) container::end_process(pidfd.get());
}

}  // namespace

Outcome<int> run_delete(Globals const& g, Words const& words) {
  bool force = false;
  Options options("cofferdam delete", "ID", "Removes a container that has stopped.");
  options.flag("--force,-f", force, "end it first if it runs; an id that does not exist is no error");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  std::erase_if(rest, [&](auto& word) {
    bool flag = word == "--force" || word == "-f";
    force |= flag;
    return flag;
  });
  std::string id = ATTEMPT(single_id(rest, "delete"));
  auto record = StateDirectory::open(g.state_root, id);
  if (!record && force && container::check_id(id)) return 0;
  if (!record) return std::unexpected(record.error());
  auto state = record->load();
  if (!state && !force) return std::unexpected(state.error());
  if (state) {
    auto phase = container::phase_of(*record, *state);
    // As runc: one that waits to be started may be deleted; one that runs needs --force.
    if (!force && (phase == container::Phase::Running || phase == container::Phase::Paused))
      return refuse(fmt::format("cannot delete container '{}': it is {}; stop it first, or use --force", id,
                                container::phase_name(phase)));
    end_sandbox(*state);
  }
  cgroup::remove(state ? state->cgroups : record->noted_cgroups());
  record->remove();
  if (state)
    if (auto spec = oci::load_bundle(state->bundle); spec && !spec->hooks.poststop.empty())
      if (auto run = container::run_hooks(spec->hooks.poststop, "poststop",
                                          oci::print_json(container::state_json(*state, container::Phase::Stopped)));
          !run)
        log::warning("{}", run.error());
  return 0;
}

}  // namespace cofferdam::cli

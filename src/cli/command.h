// A command of the command line, and what all of them are told.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/outcome.h"
#include "sentry/config.h"

namespace cofferdam::cli {

struct Globals {
  std::string state_root;
  bool debug = false;
  std::string log, log_format = "text";
  bool debug_jail = false;
  std::string debug_log;  // the sentry's own log
  std::string platform = "trap", overlay = "none", network = "sandbox", mm_approval = "rules", host_uds = "none";
  bool strace = false;
  // Accepted for engines that pass them; harmless here: docs/cli.md says why.
  bool systemd_cgroup = false;
  std::string rootless, criu;

  Outcome<sentry::Settings> settings() const;
  // The file that the sentry logs to, if any was asked for.
  Outcome<host::OwnedFd> sentry_log() const;
};

using Words = std::vector<std::string>;

struct Command {
  std::string_view name, summary;
  // The exit status, or one line why it failed (exit status 1).
  Outcome<int> (*run)(Globals const&, Words const& words);
};

std::span<Command const> commands();

Outcome<int> run_run(Globals const&, Words const&);
Outcome<int> run_create(Globals const&, Words const&);
Outcome<int> run_start(Globals const&, Words const&);
Outcome<int> run_state(Globals const&, Words const&);
Outcome<int> run_kill(Globals const&, Words const&);
Outcome<int> run_delete(Globals const&, Words const&);
Outcome<int> run_exec(Globals const&, Words const&);
Outcome<int> run_ps(Globals const&, Words const&);
Outcome<int> run_list(Globals const&, Words const&);
Outcome<int> run_spec(Globals const&, Words const&);
Outcome<int> run_do(Globals const&, Words const&);
Outcome<int> run_features(Globals const&, Words const&);
Outcome<int> run_pause(Globals const&, Words const&);
Outcome<int> run_resume(Globals const&, Words const&);
Outcome<int> run_update(Globals const&, Words const&);
Outcome<int> run_events(Globals const&, Words const&);
Outcome<int> run_wait(Globals const&, Words const&);
Outcome<int> run_completion(Globals const&, Words const&);
Outcome<int> run_debug(Globals const&, Words const&);
Outcome<int> run_install(Globals const&, Words const&);
Outcome<int> run_uninstall(Globals const&, Words const&);

// Parses a command's words; when this gives a status, the command is to end with it (help was shown).
class Options;
Outcome<std::optional<int>> parse(Options&, Words const& words, Words& rest);
// The container id that is the only operand.
Outcome<std::string> single_id(Words const& rest, std::string_view command);

Outcome<> print(std::string_view text);  // to standard output, whole

}  // namespace cofferdam::cli

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/options.h"
#include "sentry/platforms.h"

namespace cofferdam::cli {

namespace {

constexpr Command all[] = {
    {"completion", "print the completion script of a shell", run_completion},
    {"create", "create a container that waits to be started", run_create},
    {"debug", "look into a running sandbox", run_debug},
    {"delete", "remove a container that has stopped", run_delete},
    {"do", "run one command in a sandbox, without a bundle", run_do},
    {"events", "print what a container uses, again and again", run_events},
    {"exec", "run one more process in a running container", run_exec},
    {"features", "print what this runtime can do, as JSON", run_features},
    {"install", "make a container engine know this runtime", run_install},
    {"kill", "send a signal to a container", run_kill},
    {"list", "list containers", run_list},
    {"pause", "stop every process of a container", run_pause},
    {"ps", "list the processes of a container", run_ps},
    {"resume", "let a paused container run on", run_resume},
    {"run", "create a container, start it, and wait for it", run_run},
    {"spec", "write a config.json to start from", run_spec},
    {"start", "start a container that was created", run_start},
    {"state", "print the state of a container, as JSON", run_state},
    {"uninstall", "take this runtime out of a container engine's configuration", run_uninstall},
    {"update", "change the limits of a container", run_update},
    {"wait", "wait until a container has ended", run_wait},
};

}  // namespace

std::span<Command const> commands() { return all; }

Outcome<sentry::Settings> Globals::settings() const {
  sentry::Settings s;
  ATTEMPT(sentry::check_platform(platform));
  s.platform = platform;
  if (overlay == "memory" || overlay == "root:memory")
    s.overlay = sentry::Overlay::Memory;
  else if (overlay != "none")
    return refuse(fmt::format("--overlay: '{}' is not known; use none or memory", overlay));
  if (network == "none")
    s.network = sentry::Network::None;
  else if (network == "host")
    s.network = sentry::Network::Host;
  else if (network != "sandbox")
    return refuse(fmt::format("--network: '{}' is not known; use sandbox, host or none", network));
  if (mm_approval != "rules" && mm_approval != "all")
    return refuse(fmt::format("--mm-approval: '{}' is not known; use rules or all", mm_approval));
  if (host_uds != "none" && host_uds != "open")
    return refuse(fmt::format("--host-uds: '{}' is not known; use none or open", host_uds));
  s.host_sockets = host_uds == "open";
  s.approve_all_memory_calls = mm_approval == "all";
  s.strace = strace;
  s.report_violations = debug;
  s.report_jail_rules = debug_jail;
  s.log_level = debug ? log::Level::Debug : log::Level::Info;
  return s;
}

Outcome<host::OwnedFd> Globals::sentry_log() const {
  if (debug_log.empty()) return host::OwnedFd(debug || debug_jail || strace ? ::fcntl(2, F_DUPFD_CLOEXEC, 3) : -1);
  host::OwnedFd fd(::open(debug_log.c_str(), O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600));
  if (!fd) return refuse(fmt::format("--debug-log: cannot open {}: {}", debug_log, strerror(errno)));
  return fd;
}

Outcome<std::optional<int>> parse(Options& options, Words const& words, Words& rest) {
  std::string message;
  switch (options.parse(words, rest, message)) {
    case Options::Outcome::Shown:
      return 0;
    case Options::Outcome::Wrong:
      return refuse(message + "; --help lists the options");
    case Options::Outcome::Go:
      break;
  }
  return std::nullopt;
}

Outcome<std::string> single_id(Words const& rest, std::string_view command) {
  if (rest.empty()) return refuse(fmt::format("{}: the id of a container is missing", command));
  if (rest.size() > 1)
    return refuse(fmt::format("{}: '{}' is one word too many; give one container id", command, rest[1]));
  return rest[0];
}

Outcome<> print(std::string_view text) {
  while (!text.empty()) {
    ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return refuse(fmt::format("cannot write to standard output: {}", strerror(errno)));
    text.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

}  // namespace cofferdam::cli

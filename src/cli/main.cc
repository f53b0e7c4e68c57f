// cofferdam: the OCI runtime's command line.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "cli/command.h"
#include "cli/options.h"
#include "container/state.h"
#include "oci/spec.h"

#if !defined(COFFERDAM_VERSION)
#define COFFERDAM_VERSION "0.1.0"
#endif

namespace cofferdam::cli {
namespace {

std::string default_root() {
  char const* runtime = ::getenv("XDG_RUNTIME_DIR");
  if (::geteuid() != 0 && runtime && *runtime == '/') return std::string(runtime) + "/cofferdam";
  return std::string(container::default_state_root);
}

void declare(Options& o, Globals& g, bool& version) {
  o.flag("--debug", g.debug, "log everything; forbidden host calls are reported and refused, not fatal");
  o.text("--log", g.log, "file that errors and warnings of commands are appended to (default: standard error)");
  o.text("--log-format", g.log_format, "text or json");
  o.text("--root", g.state_root, "directory of the containers' records; best on a tmpfs");
  o.text("--debug-log", g.debug_log, "file that the sandbox's kernel logs to");
  o.flag("--debug-jail", g.debug_jail, "log each rule of the jail's allowlist when it is first used; slow");
  o.flag("--strace", g.strace, "log every system call of the container");
  o.text("--platform", g.platform, "what runs the container's code: trap");
  o.text("--overlay", g.overlay, "none, or memory: changes of the root live in memory and go with the container");
  o.text("--network", g.network, "sandbox, host or none");
  o.text("--host-uds", g.host_uds,
         "none, or open: the container may connect to the host's Unix sockets on bind mounts");
  o.text("--mm-approval", g.mm_approval,
         "rules: changes of private memory are checked by the filter; all: each is approved by the sandbox's kernel");
  o.flag("--systemd-cgroup", g.systemd_cgroup, "take cgroupsPath as SLICE:PREFIX:NAME (recognised without it, too)");
  o.text("--rootless", g.rootless, "accepted for compatibility; found out by itself");
  o.text("--criu", g.criu, "accepted for compatibility; not used");
  o.flag("--version,-v", version, "print the version");
}

std::string command_list() {
  std::string out = "\nCommands (each has --help):\n";
  for (auto& c : commands()) out += fmt::format("  {:<12}{}\n", c.name, c.summary);
  return out;
}

Outcome<> open_log(Globals const& g) {
  if (g.log_format != "text" && g.log_format != "json")
    return refuse(fmt::format("--log-format: '{}' is not known; use text or json", g.log_format));
  log::sink().format = g.log_format == "json" ? log::Format::Json : log::Format::Text;
  log::sink().level = g.debug ? log::Level::Debug : log::Level::Warning;
  if (g.log.empty()) return {};
  int fd = ::open(g.log.c_str(), O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) return refuse(fmt::format("--log: cannot open {}: {}", g.log, strerror(errno)));
  log::sink().fd = fd;
  return {};
}

// One line for people; and, when a log was asked for, one for the engine that reads it.
int report(Globals const& g, std::string message) {
  std::ranges::replace(message, '\n', ' ');
  if (!g.log.empty() && log::sink().fd != 2) log::error("{}", message);
  std::string line = "cofferdam: " + message + "\n";
  [[maybe_unused]] auto n = ::write(2, line.data(), line.size());
  return 1;
}

int run(Words const& words) {
  Globals globals{.state_root = default_root()};
  bool version = false;
  Options options("cofferdam", "COMMAND …",
                  "Runs OCI containers in a sandbox with a kernel of its own." + command_list());
  declare(options, globals, version);
  Words rest;
  std::string message;
  auto parsed = options.parse(words, rest, message);
  if (parsed == Options::Outcome::Shown) return 0;
  if (parsed == Options::Outcome::Wrong) return report(globals, message + "; --help lists the options");
  if (version) {
    auto text = fmt::format("cofferdam version {}\nspec: {}\n", COFFERDAM_VERSION, oci::spec_version);
    return print(text) ? 0 : 1;
  }
  if (auto opened = open_log(globals); !opened) return report(globals, opened.error());
  if (rest.empty()) return report(globals, "no command given; --help lists them");
  auto* command = std::ranges::find(commands(), rest[0], &Command::name).base();
  if (command == commands().data() + commands().size())
    return report(globals, fmt::format("'{}' is no command; --help lists them", rest[0]));
  if (!globals.state_root.starts_with('/')) {
    char* here = ::realpath(".", nullptr);
    globals.state_root = fmt::format("{}/{}", here ? here : "", globals.state_root);
    ::free(here);
  }
  auto status = command->run(globals, Words(rest.begin() + 1, rest.end()));
  return status ? *status : report(globals, status.error());
}

}  // namespace
}  // namespace cofferdam::cli

int main(int argc, char** argv) {
  // Descriptors 0 to 2 must be taken, or the first file that is opened becomes standard output.
  for (int fd = 0; fd < 3; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) ::open("/dev/null", O_RDWR);
  return cofferdam::cli::run({argv + 1, argv + argc});
}

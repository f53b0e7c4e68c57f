#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/options.h"
#include "container/launch.h"
#include "container/session.h"

namespace cofferdam::cli {

namespace {

struct ExecArguments {
  std::string console_socket, cwd, user, process_file, pid_file, process_label, apparmor, cgroup;
  Words environment, capabilities, additional_gids;
  bool terminal = false, detach = false, no_new_privileges = false, ignore_paused = false;
  unsigned preserve_fds = 0;
};

void declare(Options& o, ExecArguments& a) {
  o.text("--console-socket", a.console_socket, "AF_UNIX socket that receives the terminal's master");
  o.text("--cwd", a.cwd, "working directory in the container");
  o.list("--env,-e", a.environment, "NAME=VALUE for the process's environment");
  o.flag("--tty,-t", a.terminal, "give the process a terminal");
  o.text("--user,-u", a.user, "UID[:GID]");
  o.list("--additional-gids,-g", a.additional_gids, "additional group ids");
  o.text("--process,-p", a.process_file, "a process.json that says it all");
  o.flag("--detach,-d", a.detach, "do not wait for the process");
  o.text("--pid-file", a.pid_file, "file to write the process id of the host process that stands for it to");
  o.flag("--no-new-privs", a.no_new_privileges, "set no_new_privs");
  o.list("--cap,-c", a.capabilities, "add a capability");
  o.number("--preserve-fds", a.preserve_fds, "pass this many descriptors from 3 up");
  o.text("--process-label", a.process_label, "SELinux label: refused, there are no labels inside");
  o.text("--apparmor", a.apparmor, "AppArmor profile: refused, there are no profiles inside");
  o.text("--cgroup", a.cgroup, "accepted for compatibility; all of a sandbox is in one cgroup");
  o.flag("--ignore-paused", a.ignore_paused, "start it in a paused container, too; it runs when that is resumed");
}

Outcome<uint32_t> id_number(std::string_view text, std::string_view option) {
  uint64_t n = 0;
  bool good = !text.empty() && text.size() <= 10;
  for (char c : text) {
    good = good && c >= '0' && c <= '9';
    n = n * 10 + static_cast<uint64_t>(c - '0');
  }
  if (!good || n >= UINT32_MAX) return refuse(fmt::format("{}: '{}' is no id; give a number", option, text));
  return static_cast<uint32_t>(n);
}

Outcome<> apply(ExecArguments const& a, Words const& command, oci::Process& p) {
  p.args = command;
  p.terminal = a.terminal;
  p.console_size.reset();
  if (!a.cwd.empty()) p.cwd = a.cwd;
  if (!p.cwd.starts_with('/')) return refuse(fmt::format("--cwd '{}': give an absolute path", p.cwd));
  for (auto& e : a.environment) {
    if (e.find('=') == std::string::npos) return refuse(fmt::format("--env '{}': give NAME=VALUE", e));
    p.env.push_back(e);
  }
  if (!a.user.empty()) {
    size_t colon = a.user.find(':');
    p.user.uid = ATTEMPT(id_number(std::string_view(a.user).substr(0, colon), "--user"));
    if (colon != std::string::npos)
      p.user.gid = ATTEMPT(id_number(std::string_view(a.user).substr(colon + 1), "--user"));
  }
  for (auto& gid : a.additional_gids) p.user.additional_gids.push_back(ATTEMPT(id_number(gid, "--additional-gids")));
  for (auto& name : a.capabilities) {
    auto number = oci::capability_number(name);
    if (!number) return refuse(fmt::format("--cap: no capability is called '{}'", name));
    if (!p.capabilities) p.capabilities.emplace();
    for (uint64_t* set : {&p.capabilities->bounding, &p.capabilities->effective, &p.capabilities->permitted})
      *set |= uint64_t{1} << *number;
  }
  p.no_new_privileges |= a.no_new_privileges;
  return {};
}

Outcome<oci::Process> make_process(ExecArguments const& a, Words const& rest, container::State const& state) {
  if (!a.process_file.empty()) {
    if (rest.size() > 1) return refuse("exec: give a command or --process, not both");
    return oci::load_process(a.process_file);
  }
  if (rest.size() < 2) return refuse("exec: the command to run is missing");
  auto spec = ATTEMPT(oci::load_bundle(state.bundle));
  ATTEMPT(apply(a, Words(rest.begin() + 1, rest.end()), spec.process));
  return std::move(spec.process);
}

// The host process that stands for a detached one: engines watch it, and its exit status is the process's.
Outcome<int> stand_in(container::ExecSession& session, std::string const& pid_file) {
  pid_t pid = ::fork();
  if (pid < 0) return refuse(fmt::format("cannot fork: {}", strerror(errno)));
  if (pid == 0) {
    ::setsid();
    // Engines wait until the command's output is closed by everybody.
    if (int null = ::open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0)
      for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
    auto status = session.wait();
    ::_exit(status ? *status : 255);
  }
  if (!pid_file.empty()) ATTEMPT(container::write_pid_file(pid_file, pid));
  return 0;
}

}  // namespace

Outcome<int> run_exec(Globals const& g, Words const& words) {
  ExecArguments a;
  Options options("cofferdam exec", "ID COMMAND [ARGUMENT]…", "Runs one more process in a running container.");
  declare(options, a);
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  if (rest.empty()) return refuse("exec: the id of a container is missing");
  if (rest.size() > 1 && rest[1] == "--") rest.erase(rest.begin() + 1);
  if (!a.process_label.empty() || !a.apparmor.empty())
    return refuse("exec: --process-label and --apparmor are not supported; the sandbox has no labels or profiles");
  auto record = ATTEMPT(container::StateDirectory::open(g.state_root, rest[0]));
  auto state = ATTEMPT(record.load());
  record.unlock();
  if (!container::alive(state)) return refuse(fmt::format("cannot exec in container '{}': it is stopped", rest[0]));
  container::ExecOptions o{.process = ATTEMPT(make_process(a, rest, state)),
                           .console_socket = a.console_socket,
                           .preserve_fds = a.preserve_fds,
                           .detached = a.detach,
                           .ignore_paused = a.ignore_paused};
  if (o.process.terminal && a.detach && a.console_socket.empty())
    return refuse("exec: a terminal is asked for and nobody stays to serve it; give --console-socket");
  if (!o.process.terminal && !a.console_socket.empty())
    return refuse("exec: --console-socket is given without a terminal; add --tty");
  auto session = ATTEMPT(container::ExecSession::start(record, std::move(o)));
  if (a.detach) return stand_in(session, a.pid_file);
  if (!a.pid_file.empty()) ATTEMPT(container::write_pid_file(a.pid_file, ::getpid()));
  return session.wait();
}

}  // namespace cofferdam::cli

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/launching.h"

namespace cofferdam::cli {

namespace {

struct DoArguments {
  std::string root = "/", cwd;
  Words environment, volumes;
  bool terminal = false;
};

constexpr char default_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// "SRC:DST" or "SRC:DST:ro".
Outcome<oci::Mount> volume(std::string const& text) {
  size_t first = text.find(':'), second = first == std::string::npos ? first : text.find(':', first + 1);
  std::string options = second == std::string::npos ? "rw" : text.substr(second + 1);
  if (first == std::string::npos || first == 0 || first + 1 >= text.size() || text[first + 1] != '/' ||
      (options != "ro" && options != "rw"))
    return refuse(fmt::format("--volume '{}': give SRC:DST or SRC:DST:ro, DST absolute", text));
  oci::Mount m;
  m.source = ATTEMPT(absolute(text.substr(0, first)));
  m.destination = text.substr(first + 1, second == std::string::npos ? second : second - first - 1);
  m.type = "bind";
  m.options = {"rbind", options};
  return m;
}

std::vector<oci::Mount> standard_mounts() {
  return {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777"}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}},
  };
}

Outcome<oci::Spec> build_spec(DoArguments const& a, Words const& command) {
  oci::Spec spec;
  spec.oci_version = oci::spec_version;
  spec.hostname = "cofferdam";
  spec.root = {.path = ATTEMPT(absolute(a.root)), .readonly = false};
  auto& p = spec.process;
  p.args = command;
  p.terminal = a.terminal;
  p.env = {default_path};
  if (char const* term = ::getenv("TERM")) p.env.push_back(fmt::format("TERM={}", term));
  for (auto& e : a.environment) {
    if (e.find('=') == std::string::npos || e[0] == '=') return refuse(fmt::format("--env '{}': give NAME=VALUE", e));
    // A variable given twice has its last value.
    std::string name = e.substr(0, e.find('=') + 1);
    std::erase_if(p.env, [&](auto& earlier) { return earlier.starts_with(name); });
    p.env.push_back(e);
  }
  char here[PATH_MAX];
  if (!a.cwd.empty())
    p.cwd = a.cwd;
  else if (spec.root.path == "/" && ::getcwd(here, sizeof here) && here[0] == '/')
    p.cwd = here;
  if (!p.cwd.starts_with('/')) return refuse(fmt::format("--cwd '{}': give an absolute path", p.cwd));
  // Root of a kernel of its own, and of that kernel alone.
  constexpr uint64_t every = (uint64_t{1} << oci::capability_count) - 1;
  p.user = {.uid = ::geteuid(), .gid = ::getegid()};
  p.capabilities = oci::Capabilities{.bounding = every, .effective = every, .permitted = every};
  spec.mounts = standard_mounts();
  for (auto& v : a.volumes) spec.mounts.push_back(ATTEMPT(volume(v)));
  return spec;
}

}  // namespace

Outcome<int> run_do(Globals const& g, Words const& words) {
  DoArguments a;
  Options options(
      "cofferdam do", "[--] PROGRAM [ARGUMENT]…",
      "Runs one command in a sandbox whose root is a directory of the host, which it cannot change: what it "
      "writes is in memory and goes with it.");
  options.text("--root", a.root, "directory that is the sandbox's root");
  options.text("--cwd", a.cwd, "working directory inside (default: the current one when the root is /, else /)");
  options.list("--env,-e", a.environment, "NAME=VALUE for the program's environment");
  options.list("--volume", a.volumes, "SRC:DST[:ro]: a directory or file of the host that is shared with the sandbox");
  options.flag("--tty,-t", a.terminal, "give the program a terminal");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  if (rest.empty()) return refuse("do: the program to run is missing");
  container::LaunchOptions o;
  o.settings = ATTEMPT(g.settings());
  o.settings.overlay = sentry::Overlay::Memory;
  o.spec = ATTEMPT(build_spec(a, rest));
  o.bundle = "/";
  o.log = ATTEMPT(g.sentry_log());
  auto sandbox = ATTEMPT(container::Sandbox::launch(std::move(o)));
  sandbox.keep_signals();
  ATTEMPT(sandbox.start());
  return sandbox.wait();
}

}  // namespace cofferdam::cli

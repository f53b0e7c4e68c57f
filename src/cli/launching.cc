#include "cli/launching.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fmt/format.h>

namespace cofferdam::cli {

void declare(Options& o, LaunchArguments& a) {
  o.text("--bundle,-b", a.bundle, "directory of config.json and the root file system (default: the current one)");
  o.text("--console-socket", a.console_socket, "AF_UNIX socket that receives the terminal's master");
  o.text("--pid-file", a.pid_file, "file to write the sandbox's process id to");
  o.number("--preserve-fds", a.preserve_fds, "pass this many descriptors from 3 up to the container");
  o.flag("--no-pivot", a.no_pivot, "accepted for compatibility; the jail copes with a ramdisk by itself");
  o.flag("--no-new-keyring", a.no_new_keyring, "accepted for compatibility; containers see no host keyring");
}

Outcome<std::string> absolute(std::string const& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  if (!real) return refuse(fmt::format("cannot use {}: {}", path, strerror(errno)));
  std::string out(real);
  ::free(real);
  return out;
}

namespace {

unsigned listen_fds() {
  // Socket activation: systemd's descriptors stand first among those that are preserved.
  char const* count = ::getenv("LISTEN_FDS");
  return count ? static_cast<unsigned>(std::min(::strtoul(count, nullptr, 10), 60ul)) : 0;
}

Outcome<> check_terminal(oci::Spec const& spec, LaunchArguments const& a, bool detached) {
  if (spec.process.terminal && detached && a.console_socket.empty())
    return refuse("process.terminal is true and nobody stays to serve it; give --console-socket, or set it to false");
  if (!spec.process.terminal && !a.console_socket.empty())
    return refuse("--console-socket is given and process.terminal is false; set it to true or leave the option out");
  return {};
}

}  // namespace

Outcome<container::Sandbox> launch(Globals const& g, LaunchArguments const& a, std::string const& id, bool detached) {
  ATTEMPT(container::check_id(id));
  container::LaunchOptions o;
  o.settings = ATTEMPT(g.settings());
  o.bundle = ATTEMPT(absolute(a.bundle.empty() ? "." : a.bundle));
  o.spec = ATTEMPT(oci::load_bundle(o.bundle));
  ATTEMPT(check_terminal(o.spec, a, detached));
  unsigned listening = listen_fds();
  if (listening) {
    o.spec.process.env.push_back(fmt::format("LISTEN_FDS={}", listening));
    o.spec.process.env.push_back("LISTEN_PID=1");
  }
  o.preserve_fds = a.preserve_fds + listening;
  if (o.preserve_fds > 60)
    return refuse(fmt::format("--preserve-fds {}: more than 60 are not supported", a.preserve_fds));
  o.id = id;
  o.state_root = g.state_root;
  o.console_socket = a.console_socket;
  o.pid_file = a.pid_file;
  o.log = ATTEMPT(g.sentry_log());
  o.detached = detached;
  return container::Sandbox::launch(std::move(o));
}

}  // namespace cofferdam::cli

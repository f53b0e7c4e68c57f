#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "host/close_others.h"
#include "host/own_text.h"
#include "jail/jail.h"
#include "jail/namespaces.h"
#include "jail/own_proc.h"
#include "jail/security_labels.h"
#include "jail/sentry_rules.h"
#include "jail/time_namespace.h"
#include "sentry/control.h"
#include "sentry/guest.h"
#include "sentry/host_network.h"
#include "sentry/platforms.h"
#include "sentry/sentry.h"

namespace cofferdam::sentry {

namespace {

// Closes every descriptor that was not meant for the sandbox: the command's own files and sockets.
void close_others(Descriptors const& d) {
  std::vector<int> keep = {0, 1, 2, d.startup.get(), d.control.get(), d.keeper.get(), d.log.get(), d.broker.get()};
  for (auto& fd : d.standard) keep.push_back(fd.get());
  for (auto& fd : d.preserved) keep.push_back(fd.get());
  host::close_others(std::move(keep));
}

// The sentry's own 0, 1 and 2: nothing to read or write, and messages of a crash where people see them.
void own_standard_descriptors(Descriptors const& d) {
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) {
    ::dup2(null, 0);
    ::dup2(null, 1);
    if (null > 2) ::close(null);
  }
  if (d.log) ::dup2(d.log.get(), 2);
}

void own_signals() {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // Broken pipes are errors of calls. The terminal's signals are for guests, by way of their own terminal.
  for (int ignored : {SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR2})
    ::signal(ignored, SIG_IGN);
}

Outcome<> bind_to_command(Descriptors const& d) {
  // After the user namespace was entered: changes of credentials clear it.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return refuse("cannot bind the sandbox to its command");
  pollfd gone{.fd = d.startup.get(), .events = 0};
  if (::poll(&gone, 1, 0) > 0 && (gone.revents & POLLHUP)) ::_exit(1);  // it died before the call above
  return {};
}

Outcome<> enter_clocks(oci::Linux const& linux_config) {
  std::vector<jail::ClockOffset> offsets;
  offsets.reserve(linux_config.time_offsets.size());
  for (auto& o : linux_config.time_offsets) offsets.push_back({o.clock, o.seconds, o.nanoseconds});
  return jail::enter_time_namespace(offsets);
}

struct Jailed {
  std::unique_ptr<Guest> guest;
  host::OwnedFd proc;
};

Outcome<Jailed> build(Config const& config, Descriptors& d, std::vector<gofer::MountRequest> const& mounts) {
  auto message = ATTEMPT(hear(d.startup.get()));
  if (message.word != Word::Go) return refuse("unexpected word on the startup channel");
  ATTEMPT(bind_to_command(d));
  make_mount_points(config.spec, config.settings, mounts);
  if (config.settings.network == Network::Host && config.new_network) ATTEMPT(start_loopback());
  if (config.settings.network == Network::Host) read_network_settings(d);
  kernel::HostFacts facts = kernel::open_host_facts();  // donating may take the host's /proc and /sys out of sight
  ATTEMPT(enter_clocks(config.spec.linux_config));
  auto labels =
      ATTEMPT(jail::SecurityLabels::prepare(config.spec.process.apparmor_profile, config.spec.process.selinux_label));
  auto donated = ATTEMPT(gofer::donate_mounts(mounts));
  d.root = std::move(donated.front().fd);
  for (size_t n = 1; n < donated.size(); ++n) d.binds.push_back(std::move(donated[n]));
  Jailed jailed;
  jailed.proc = ATTEMPT(jail::open_own_proc());
  if (!config.spec.linux_config.uid_mappings.empty()) {
    ATTEMPT(jail::become_mapped_root());
    ATTEMPT(bind_to_command(d));
  }
  ATTEMPT(jail::enter());
  ATTEMPT(labels.apply());
  auto built = ATTEMPT(build_platform(config.settings, jailed.proc.get()));
  std::vector<host::CallRule> network_rules;
  if (config.settings.network == Network::Host) network_rules = ATTEMPT(open_host_network(d, jailed.proc.get()));
  if (config.settings.host_sockets) {
    // connect(2) knows paths alone: by this procfs they lead to descriptors.
    if (::fchdir(jailed.proc.get()) != 0) return refuse("--host-uds: cannot change to the sandbox's procfs");
    built.host_calls.insert(built.host_calls.end(), std::begin(jail::host_socket_rules),
                            std::end(jail::host_socket_rules));
  }
  ATTEMPT(jail::close(built.host_calls, network_rules,
                      config.settings.report_violations ? jail::Violation::Report : jail::Violation::Kill,
                      config.settings.report_jail_rules));
  jailed.guest = ATTEMPT(Guest::create(config, d, std::move(built.platform), std::move(facts)));
  if (!config.host_hooks) ATTEMPT(jailed.guest->check_init());
  return jailed;
}

}  // namespace

void make_mount_points(oci::Spec const& spec, Settings const& settings,
                       std::vector<gofer::MountRequest> const& mounts) {
  if (!spec.root.readonly || settings.overlay != Overlay::None) return;
  std::vector<gofer::MountPoint> points;
  size_t bind = 0;
  for (auto& m : spec.mounts) {
    struct stat st{};
    bool directory = !is_bind(m) || ::stat(mounts[++bind].source.c_str(), &st) != 0 || S_ISDIR(st.st_mode);
    // What lies below another mount is made in that one.
    bool below = std::ranges::any_of(points, [&](auto& p) { return m.destination.starts_with(p.path + "/"); });
    if (!below) points.push_back({m.destination, directory});
  }
  gofer::make_mount_points(spec.root.path, points);
}

void run_sandbox(Config const& config, Descriptors d, std::vector<gofer::MountRequest> const& mounts) {
  ::setsid();
  ::prctl(PR_SET_NAME, "cofferdam-sentry", 0, 0, 0);
  close_others(d);
  own_standard_descriptors(d);
  own_signals();
  log::sink().fd = 2;
  log::sink().level = d.log ? config.settings.log_level : log::Level::Error;
  int const startup = d.startup.get();
  auto jailed = build(config, d, mounts);
  if (!jailed) {
    (void)say(startup, Word::Failed, jailed.error());
    ::_exit(1);
  }
  (void)say(startup, Word::Ready);
  host::let_go_of_text();  // of what made the sandbox
  Control control(*jailed->guest, std::move(d.startup), std::move(d.control));
  int status = control.serve();
  // At once: the kernel of the host ends every stub with this process, and there is nothing to give back in order.
  ::_exit(status);
}

}  // namespace cofferdam::sentry

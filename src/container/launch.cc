#include "container/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgroup/cgroup.h"
#include "container/hooks.h"
#include "container/host_network.h"
#include "container/network.h"
#include "container/pod.h"
#include "container/stand_in.h"
#include "container/standard.h"
#include "jail/namespaces.h"
#include "oci/seccomp_profile.h"
#include "sentry/sentry.h"

namespace cofferdam::container {

namespace {

using sentry::Word;

std::string now_text() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char text[40];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:09}Z", text, now.tv_nsec);
}

std::string owner_name() {
  if (::geteuid() == 0) return "root";  // without reading the user database
  passwd* entry = ::getpwuid(::geteuid());
  return entry ? entry->pw_name : fmt::format("{}", ::geteuid());
}

// The descriptors of the guest's standard input, output and error; a closed one becomes /dev/null.
Outcome<> donate_standard(sentry::Descriptors& d) {
  for (int n = 0; n < 3; ++n) {
    d.standard[n] = sandbox_copy(n);
    if (!d.standard[n]) d.standard[n] = host::OwnedFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!d.standard[n]) return refuse(fmt::format("cannot pass on standard descriptor {}: {}", n, strerror(errno)));
  }
  return {};
}

Outcome<> donate_preserved(sentry::Descriptors& d, unsigned count) {
  for (unsigned n = 0; n < count; ++n) {
    host::OwnedFd fd(::fcntl(static_cast<int>(3 + n), F_DUPFD_CLOEXEC, 3));
    if (!fd) return refuse(fmt::format("--preserve-fds {}: descriptor {} is not open", count, 3 + n));
    d.preserved.push_back(std::move(fd));
  }
  return {};
}

std::vector<gofer::MountRequest> mount_requests(LaunchOptions const& o) {
  bool const read_only_root = o.spec.root.readonly || o.settings.overlay == sentry::Overlay::Memory;
  std::vector<gofer::MountRequest> requests{{.source = o.spec.root.path, .readonly = read_only_root}};
  for (auto& m : o.spec.mounts) {
    if (!sentry::is_bind(m)) continue;
    std::string source = m.source.starts_with('/') ? m.source : o.bundle + "/" + m.source;
    requests.push_back({.source = std::move(source),
                        .readonly = sentry::has_option(m, "ro") || sentry::has_option(m, "rro"),
                        .recursive = sentry::has_option(m, "rbind")});
  }
  return requests;
}

bool changes_root(oci::Hooks const& hooks) {
  return !hooks.prestart.empty() || !hooks.create_runtime.empty() || !hooks.create_container.empty();
}

// All but the specification itself, which follows when the sandbox has been forked.
Outcome<sentry::Config> make_config(LaunchOptions const& o) {
  sentry::Config config{.settings = o.settings};
  auto& linux_config = o.spec.linux_config;
  if (linux_config.seccomp) config.seccomp = ATTEMPT(oci::compile_seccomp(*linux_config.seccomp));
  config.id = o.id;
  config.outlives_init = is_pod_sandbox(o.spec);
  config.host_hooks = changes_root(o.spec.hooks);
  if (!o.spec.hooks.start_container.empty()) {
    State inside;  // init is process 1 of its namespace
    inside.oci_version = o.spec.oci_version;
    inside.id = o.id;
    inside.pid = 1;
    inside.bundle = o.bundle;
    inside.rootfs = o.spec.root.path;
    inside.annotations = o.spec.annotations;
    config.hook_state = oci::print_json(state_json(inside, Phase::Created));
  }
  return config;
}

using IdRanges = std::vector<jail::IdRange>;

std::pair<IdRanges, IdRanges> id_ranges(oci::Linux const& linux_config) {
  auto convert = [](std::vector<oci::IdMapping> const& mappings) {
    IdRanges out;
    for (auto& m : mappings) out.push_back({m.container_id, m.host_id, m.size});
    return out;
  };
  return {convert(linux_config.uid_mappings), convert(linux_config.gid_mappings)};
}

}  // namespace

void end_process(int pidfd) {
  ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
  pollfd wait{.fd = pidfd, .events = POLLIN};
  for (int attempt = 0; attempt < 10 && ::poll(&wait, 1, 1000) < 0 && errno == EINTR; ++attempt) {
  }
}

Outcome<> write_pid_file(std::string const& path, pid_t pid) {
  std::string temporary = path + ".new", text = fmt::format("{}", pid);
  host::OwnedFd fd(::open(temporary.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644));
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::rename(temporary.c_str(), path.c_str()) != 0) {
    std::string why = strerror(errno);
    ::unlink(temporary.c_str());
    return refuse(fmt::format("cannot write pid file {}: {}", path, why));
  }
  return {};
}

Outcome<Sandbox> Sandbox::launch(LaunchOptions options) {
  Sandbox self;  // its destructor undoes what was done when a step fails
  self.hooks_ = options.spec.hooks;
  for (auto const& space : options.spec.linux_config.namespaces)
    if (space.type == oci::NamespaceType::Network) self.network_path_ = space.path;
  self.pod_ = ATTEMPT(find_pod(options.state_root, options.spec));
  ATTEMPT(self.prepare_host(options));
  if (self.pod_)
    ATTEMPT(self.join(options));
  else
    ATTEMPT(self.boot(options));
  ATTEMPT(self.publish(options));
  return self;
}

Outcome<> Sandbox::prepare_host(LaunchOptions& o) {
  std::string const& cgroups_path = o.spec.linux_config.cgroups_path;
  if (!o.id.empty()) ATTEMPT(check_id(o.id));
  state_.cgroups = ATTEMPT(cgroup::plan(cgroups_path, o.id, o.spec.linux_config.resources));
  // Before anything is made: at whatever moment this process dies, somebody knows what to remove.
  std::string const token = o.id.empty() ? std::string() : new_record_token();
  if (!o.id.empty() || !state_.cgroups.empty())
    keeper_ = ATTEMPT(
        gofer::Keeper::start([root = o.state_root, id = o.id, token, cgroups = state_.cgroups, pid_file = o.pid_file] {
          cgroup::remove(cgroups);
          if (!id.empty()) remove_record(root, id, token);
          if (!pid_file.empty()) ::unlink(pid_file.c_str());
        }));
  auto refused = [&](auto const& outcome) {
    state_.cgroups.clear();  // nothing was made there
    return std::unexpected(outcome.error());
  };
  if (!o.id.empty()) {
    auto record = StateDirectory::create(o.state_root, o.id, token);
    if (!record) return refused(record);
    record_ = std::move(*record);
    if (auto noted = record_->note_cgroups(state_.cgroups); !noted) return refused(noted);
  }
  if (auto made = cgroup::create(cgroups_path, o.id, o.spec.linux_config.resources); !made) return refused(made);
  return {};
}

// The channel to whoever will hold the container, and the descriptors that it gets.
Outcome<> Sandbox::donate(LaunchOptions& o, sentry::Descriptors& d) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return refuse(fmt::format("cannot make a socket pair: {}", strerror(errno)));
  startup_ = host::OwnedFd(pair[0]);
  d.startup = host::OwnedFd(pair[1]);
  if (record_) d.control = ATTEMPT(record_->listen());
  if (keeper_.sandbox_end() >= 0) d.keeper = host::OwnedFd(::fcntl(keeper_.sandbox_end(), F_DUPFD_CLOEXEC, 3));
  ATTEMPT(donate_preserved(d, o.preserve_fds));
  ATTEMPT(donate_standard(d));
  if (o.log) d.log = host::OwnedFd(::fcntl(o.log.get(), F_DUPFD_CLOEXEC, 3));
  if (o.spec.process.terminal && !o.console_socket.empty()) {
    Pseudoterminal terminal = ATTEMPT(open_pseudoterminal(o.spec.process.console_size));
    ATTEMPT(send_console(o.console_socket, terminal));
    d.standard[0] = terminal_copy(terminal.slave.get());
  } else if (o.spec.process.terminal) {
    raw_.emplace(ATTEMPT(RawTerminal::enter(0)));
    d.standard[0] = terminal_copy(0);
    if (!o.spec.process.console_size) o.spec.process.console_size = window_size(0);
  }
  if (o.spec.process.terminal) {
    // The terminal is all three. Engines wait until the command's own output is closed by everybody.
    d.standard[1].reset();
    d.standard[2].reset();
    if (!o.console_socket.empty() && !d.log) d.log = host::OwnedFd(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  }
  return {};
}

Outcome<> Sandbox::boot(LaunchOptions& o) {
  sentry::Descriptors d;
  ATTEMPT(donate(o, d));
  std::vector<gofer::MountRequest> requests = mount_requests(o);
  sentry::Config config = ATTEMPT(make_config(o));
  auto const [uids, gids] = id_ranges(o.spec.linux_config);
  if (o.settings.network == sentry::Network::Host) {
    host_network_.emplace(network_path_);
    d.broker = ATTEMPT(host_network_->make_connection(o.spec.process));
    config.new_network = host_network_->is_new();
  }
  jail::SandboxProcess process =
      ATTEMPT(host_network_ ? host_network_->fork() : jail::fork_into_namespaces(jail::NetworkNamespace::New));
  if (process.pid == 0) {
    config.spec = std::move(o.spec);
    sentry::run_sandbox(config, std::move(d), requests);
  }
  pid_ = process.pid;
  pidfd_ = std::move(process.pidfd);
  keeper_.sandbox_started();
  if (host_network_) ATTEMPT(host_network_->start_broker(pid_));
  ATTEMPT(jail::write_id_maps(pid_, uids, gids));
  d = {};  // our copies: so that the end of the sandbox shows on each
  return settle(o);
}

// Into a sandbox that runs: a process that donates the mounts, then stands for the container.
Outcome<> Sandbox::join(LaunchOptions& o) {
  if (!record_) return refuse("a container without an id cannot join a sandbox");
  state_.sandbox = pod_->sandbox;
  o.settings.overlay = pod_->state.memory_overlay ? sentry::Overlay::Memory : sentry::Overlay::None;
  sentry::Descriptors d;
  ATTEMPT(donate(o, d));
  std::vector<gofer::MountRequest> const requests = mount_requests(o);
  sentry::Config config = ATTEMPT(make_config(o));
  sentry::make_mount_points(o.spec, o.settings, requests);
  JoinRequest request{.id = o.id,
                      .config = ATTEMPT(oci::read_text_file(o.bundle + "/config.json")),
                      .root_path = o.spec.root.path,
                      .process = o.spec.process,
                      .ipc_of = pod_->ipc_of,
                      .uts_of = pod_->uts_of,
                      .pid_of = pod_->pid_of,
                      .seccomp = std::move(config.seccomp),
                      .hook_state = std::move(config.hook_state),
                      .host_hooks = config.host_hooks,
                      .own_control_group = !state_.cgroups.empty()};
  HostPlace const place{
      .sentry = pod_->state.pid, .cgroups = state_.cgroups, .oom_score_adj = o.spec.process.oom_score_adj};
  host::OwnedFd sandbox = ATTEMPT(pod_->record.connect());
  pid_ = ::fork();
  if (pid_ < 0) return refuse(fmt::format("cannot fork: {}", strerror(errno)));
  if (pid_ == 0) run_stand_in(std::move(request), *record_, std::move(sandbox), std::move(d), requests, place);
  pidfd_ = host::OwnedFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd_) return refuse(fmt::format("cannot watch the container's process: {}", strerror(errno)));
  keeper_.sandbox_started();
  d = {};
  return settle(o);
}

// Into its cgroup, then lets it build what it has to.
Outcome<> Sandbox::settle(LaunchOptions const& o) {
  state_.pid = pid_;
  if (o.spec.process.oom_score_adj) ATTEMPT(set_oom_score(pid_, *o.spec.process.oom_score_adj));
  ATTEMPT(cgroup::add_process(state_.cgroups, pid_));
  ATTEMPT(sentry::say(startup_.get(), Word::Go));
  return expect(Word::Ready);
}

Outcome<> Sandbox::publish(LaunchOptions const& o) {
  state_.start_time = process_start_time(pid_);
  state_.oci_version = o.spec.oci_version.empty() ? std::string(oci::spec_version) : o.spec.oci_version;
  state_.id = o.id;
  state_.bundle = o.bundle;
  state_.rootfs = o.spec.root.path;
  state_.terminal = o.spec.process.terminal;
  state_.memory_overlay = o.settings.overlay == sentry::Overlay::Memory;
  state_.annotations = o.spec.annotations;
  state_.created = now_text();
  state_.owner = owner_name();
  if (record_) ATTEMPT(record_->save(state_));
  if (changes_root(hooks_)) {
    std::string state = oci::print_json(state_json(state_, Phase::Created, "creating"));
    ATTEMPT(run_hooks(hooks_.prestart, "prestart", state));
    ATTEMPT(run_hooks(hooks_.create_runtime, "createRuntime", state));
    ATTEMPT(run_hooks(hooks_.create_container, "createContainer", state));
  }
  ATTEMPT(give_network(o));
  if (changes_root(hooks_)) {
    ATTEMPT(sentry::say(startup_.get(), Word::Check));
    ATTEMPT(expect(Word::Done));
  }
  if (!o.pid_file.empty()) ATTEMPT(write_pid_file(o.pid_file, pid_));
  return {};
}

// The engine has made the network by now: in a namespace that the specification names, or by hooks in the sandbox's
// own. One that nobody could have put anything into is not looked at.
Outcome<> Sandbox::give_network(LaunchOptions const& o) {
  if (o.settings.network != sentry::Network::Sandbox || !network_path_ || pod_) return {};
  if (network_path_->empty() && !changes_root(hooks_)) return {};
  auto setup = ATTEMPT(take_network(network_path_->empty() ? fmt::format("/proc/{}/ns/net", pid_) : *network_path_));
  if (setup.links.empty()) return {};
  std::vector<int> sockets;
  sockets.reserve(setup.links.size());
  for (auto const& link : setup.links) sockets.push_back(link.socket.get());
  ATTEMPT(sentry::say(startup_.get(), Word::Network, sentry::print(setup), sockets));
  return expect(Word::Done);
}

Outcome<> Sandbox::expect(Word word) {
  auto message = sentry::hear(startup_.get());
  if (message && message->word == word) return {};
  if (message && message->word == Word::Failed) return refuse(message->text);
  int status = 0;
  bool known = ::waitpid(pid_, &status, 0) == pid_;
  reaped_ = known;
  if (known && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
    return refuse("the sandbox made a host call that its jail forbids; run with --debug to see which");
  if (known && WIFSIGNALED(status))
    return refuse(
        fmt::format("the sandbox ended by signal {} while it started; run with --debug for more", WTERMSIG(status)));
  return refuse("the sandbox ended while it started; run with --debug for more");
}

Outcome<> Sandbox::start() {
  ATTEMPT(sentry::say(startup_.get(), Word::Start));
  ATTEMPT(expect(Word::Done));
  started_ = true;
  if (record_) record_->unlock();
  if (!hooks_.poststart.empty())
    ATTEMPT(run_hooks(hooks_.poststart, "poststart", oci::print_json(state_json(state_, Phase::Running))));
  return {};
}

Outcome<> Sandbox::detach() {
  auto detached = sentry::say(startup_.get(), Word::Detached);
  if (detached) detached = expect(Word::Done);
  // A container that has run already may also have ended already.
  if (!detached && !started_) return detached;
  owned_ = false;
  keeper_.release();
  if (host_network_) host_network_->release();
  return {};
}

void Sandbox::clean_up() {
  if (!hooks_.poststop.empty())
    (void)run_hooks(hooks_.poststop, "poststop", oci::print_json(state_json(state_, Phase::Stopped)));
  cgroup::remove(state_.cgroups);
  state_.cgroups.clear();
  if (record_ && !keep_record_) record_->remove();
  record_.reset();
  keeper_.release();
  owned_ = false;
}

void Sandbox::abandon() {
  if (pid_ > 0 && !reaped_) {
    end_process(pidfd_.get());
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
  }
  clean_up();
}

Sandbox::Sandbox(Sandbox&& o) noexcept
    : state_(std::move(o.state_)),
      pod_(std::move(o.pod_)),
      record_(std::move(o.record_)),
      keeper_(std::move(o.keeper_)),
      pidfd_(std::move(o.pidfd_)),
      startup_(std::move(o.startup_)),
      signals_(std::move(o.signals_)),
      raw_(std::move(o.raw_)),
      hooks_(std::move(o.hooks_)),
      host_network_(std::exchange(o.host_network_, std::nullopt)),
      network_path_(std::move(o.network_path_)),
      pid_(o.pid_),
      owned_(std::exchange(o.owned_, false)),
      reaped_(o.reaped_),
      started_(o.started_),
      keep_record_(o.keep_record_) {}

Sandbox::~Sandbox() {
  if (owned_) abandon();
}

}  // namespace cofferdam::container

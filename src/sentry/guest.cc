#include "sentry/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <map>

#include <fmt/format.h>

#include "base/log.h"
#include "dev/host_stream.h"
#include "kernel/kernel.h"
#include "kernel/namespace/namespace_set.h"
#include "kernel/task/control_group.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task.h"
#include "kernel/task/task_access.h"
#include "kernel/task/task_internal.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/memory_inode.h"
#include "sentry/guest_parts.h"
#include "sentry/mounts.h"
#include "sentry/network.h"
#include "sentry/process_spec.h"
#include "sentry/terminal.h"
#include "syscalls/table.h"

namespace cofferdam::sentry {

namespace {

using container::init_pid;
using kernel::Kernel;
using kernel::ProcessLocked;
using kernel::SignalInfo;
using kernel::ThreadGroup;

constexpr size_t max_remembered_exits = 4096;
constexpr uint64_t descriptor_limit = 1 << 20;

// Tells the control loop that a group has exited.
class ExitWatch final : public kernel::Waiter {
 public:
  explicit ExitWatch(int event) : event_(event) {}
  void on_event(kernel::PollMask) override {
    uint64_t one = 1;
    [[maybe_unused]] auto n = ::write(event_, &one, sizeof one);
  }

 private:
  int event_;
};

struct Started {
  Ref<ThreadGroup> group;
  std::unique_ptr<ExitWatch> watch;
  std::unique_ptr<Terminal> terminal;
};

}  // namespace

struct Guest::State {
  std::unique_ptr<Config const> own_config;  // of one that joined
  Config const& config;
  std::unique_ptr<Kernel> own_kernel;  // of the first
  Kernel* kernel = nullptr;
  Ref<kernel::NamespaceSet const> namespaces;
  Ref<kernel::ControlGroup> control_group;
  bool shares_pids = false;
  Ref<ThreadGroup> init;  // once it runs
  host::OwnedFd event, root_fd;
  std::vector<host::OwnedFd> init_files;
  bool init_started = false;
  Ref<kernel::seccomp::Filter> seccomp;
  std::map<int32_t, Started> running;
  std::map<int32_t, int> exited;  // pid -> wait status

  Outcome<> prepare(Descriptors&);
  kernel::PidNamespace& pids() { return *namespaces->pids_for_children; }
  Outcome<int32_t> launch(oci::Process const& process, std::vector<host::OwnedFd> fds, bool as_init);
  std::vector<Ref<ThreadGroup>> targets(container::SignalRequest const&, ProcessLocked const&);
  kernel::ProcessSpec process_spec(oci::Process const& process);
  Outcome<> run_start_hooks();
  Outcome<> run_start_hook(oci::Hook const& hook);
  Outcome<> add_files(kernel::ProcessSpec&, oci::Process const&, std::vector<host::OwnedFd>& fds,
                      std::unique_ptr<Terminal>& terminal);
  void collect();
};

namespace {

// The user namespace's map as /proc shows it.
std::string map_text(std::vector<oci::IdMapping> const& mappings) {
  std::string text;
  for (auto& m : mappings) text += fmt::format("{:>10} {:>10} {:>10}\n", m.container_id, m.host_id, m.size);
  return text;
}

kernel::Sysctls& sysctls_of(Kernel& kernel, kernel::NamespaceSet const& namespaces, std::string_view path) {
  bool const of_ipc = kernel::Sysctls::scope_of(path) == kernel::Sysctls::Scope::Ipc;
  return of_ipc ? namespaces.ipc->sysctls : kernel.sysctls();
}

Outcome<> apply_sysctls(Kernel& kernel, kernel::NamespaceSet const& namespaces, oci::Linux const& linux_config) {
  for (auto& [path, value] : linux_config.sysctl) {
    if (path == "kernel/domainname") {
      namespaces.uts->names.with([&](kernel::UtsNames& names) { names.domain_name = value.substr(0, 64); });
    } else if (auto set = sysctls_of(kernel, namespaces, path).set(path, value); !set) {
      return refuse(
          fmt::format("linux.sysctl: '{}' cannot be set to '{}': {}", path, value, errno_text(set.error().code)));
    }
  }
  return {};
}

}  // namespace

Guest::Guest(std::unique_ptr<State> state) : state_(std::move(state)) {}

Guest::~Guest() {
  for (auto& [pid, started] : state_->running) started.group->exit_queue.remove(*started.watch);
}

std::string const& Guest::id() const { return state_->config.id; }

Config const& Guest::config() const { return state_->config; }

Outcome<std::unique_ptr<Guest>> Guest::create(Config const& config, Descriptors& d,
                                              std::unique_ptr<platform::Platform> platform, kernel::HostFacts facts) {
  std::unique_ptr<State> state(new State{.config = config});
  auto kernel = Kernel::create({.platform = std::move(platform),
                                .dispatcher = syscalls::dispatcher(),
                                .kernel_release = "6.12.0-cofferdam",
                                .host_facts = std::move(facts),
                                .control_group = control_group_options(config),
                                .uid_map = map_text(config.spec.linux_config.uid_mappings),
                                .gid_map = map_text(config.spec.linux_config.gid_mappings)});
  if (!kernel) return refuse(fmt::format("cannot start the kernel: {}", errno_text(kernel.error().code)));
  state->own_kernel = std::move(*kernel);
  state->kernel = state->own_kernel.get();
  state->namespaces = state->kernel->root_namespaces();
  state->control_group = Ref<kernel::ControlGroup>(&state->kernel->root_control_group());
  register_modules(*state->kernel, config.settings, d);
  ATTEMPT(state->prepare(d));
  for (auto& [path, text] : d.network_settings) state->kernel->sysctls().adopt(path, std::move(text));
  return std::unique_ptr<Guest>(new Guest(std::move(state)));
}

// What each container has: names, settings, mounts and the descriptors of its init.
Outcome<> Guest::State::prepare(Descriptors& d) {
  event = host::OwnedFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  root_fd = host::OwnedFd(::fcntl(d.root.get(), F_DUPFD_CLOEXEC, 3));
  if (!event || !root_fd) return refuse(fmt::format("cannot start the kernel: {}", strerror(errno)));
  namespaces->uts->names.with([&](kernel::UtsNames& names) {
    if (!config.spec.hostname.empty()) names.hostname = config.spec.hostname;
    if (!config.spec.domainname.empty()) names.domain_name = config.spec.domainname;
  });
  ATTEMPT(apply_sysctls(*kernel, *namespaces, config.spec.linux_config));
  if (!config.seccomp.empty()) {
    auto program = kernel::seccomp::Program::check(config.seccomp);
    auto filter = program ? kernel::seccomp::Filter::create(std::move(*program), {})
                          : Result<Ref<kernel::seccomp::Filter>>(std::unexpected(program.error()));
    if (!filter) return refuse("linux.seccomp: the profile does not make a valid filter");
    seccomp = std::move(*filter);
  }
  ATTEMPT(build_file_tree(*kernel, *namespaces, config, d));
  for (auto& fd : d.standard) init_files.push_back(std::move(fd));
  for (auto& fd : d.preserved) init_files.push_back(std::move(fd));
  return {};
}

Outcome<std::unique_ptr<Guest>> Guest::join(Guest& first, std::vector<Guest*> const& others,
                                            container::JoinRequest request, Descriptors& d) {
  Kernel& kernel = *first.state_->kernel;
  auto const find = [&](std::string const& id) -> Outcome<Ref<kernel::NamespaceSet const>> {
    for (Guest* guest : others)
      if (guest->id() == id) return guest->state_->namespaces;
    return refuse(fmt::format("container '{}', of which namespaces are to be shared, is gone", id));
  };
  auto namespaces = ATTEMPT(namespaces_of(kernel, request, find));
  auto config = ATTEMPT(config_of(request, first.state_->config.settings));
  auto const binds = std::ranges::count_if(config->spec.mounts, is_bind);
  if (d.binds.size() != static_cast<size_t>(binds)) return refuse("join: the wrong number of mounts");
  auto control_group = control_group_options(*config);
  if (request.own_control_group) {
    auto source = kernel.platform().new_source();
    if (!source)
      return refuse(fmt::format("cannot make a host process for the container's: {}", errno_text(source.error().code)));
    control_group.processes = std::move(*source);
  }
  auto const& kept = *config;
  std::unique_ptr<State> state(new State{.own_config = std::move(config), .config = kept});
  state->kernel = &kernel;
  state->namespaces = std::move(namespaces);
  state->control_group = make_ref<kernel::ControlGroup>(std::move(control_group));
  state->shares_pids = !request.pid_of.empty();
  ATTEMPT(state->prepare(d));
  return std::unique_ptr<Guest>(new Guest(std::move(state)));
}

int32_t Guest::source_process() const {
  auto const* source = state_->control_group->processes();
  return source ? source->host_process() : 0;
}

Outcome<> Guest::State::add_files(kernel::ProcessSpec& spec, oci::Process const& process,
                                  std::vector<host::OwnedFd>& fds, std::unique_ptr<Terminal>& terminal) {
  spec.files = make_ref<kernel::FdTable>();
  size_t next = 0;
  if (process.terminal) {
    terminal = ATTEMPT(
        Terminal::create(*kernel, *namespaces->mounts, std::move(fds[0]), process.user.uid, process.console_size));
    spec.controlling_terminal = terminal->pty();
    for (; next < 3; ++next)
      if (auto installed = spec.files->install(terminal->slave(), false, descriptor_limit); !installed)
        return refuse("cannot open the terminal in the sandbox");
  }
  for (; next < fds.size(); ++next) {
    auto file = dev::make_host_stream(*kernel, std::move(fds[next]));
    if (!file) return refuse(fmt::format("descriptor {} cannot be passed on: {}", next, errno_text(file.error().code)));
    if (auto installed = spec.files->install(std::move(*file), false, descriptor_limit); !installed)
      return refuse(fmt::format("descriptor {} cannot be passed on: {}", next, errno_text(installed.error().code)));
  }
  return {};
}

Outcome<int32_t> Guest::State::launch(oci::Process const& process, std::vector<host::OwnedFd> fds, bool as_init) {
  kernel::ProcessSpec spec = process_spec(process);
  Started started;
  ATTEMPT(add_files(spec, process, fds, started.terminal));
  started.watch = std::make_unique<ExitWatch>(event.get());
  auto group = kernel->start_process(spec);
  if (!group) return refuse(start_failure(process, group.error()));
  started.group = *group;
  if (started.terminal) started.terminal->forget_slave();
  // It may have exited before it is watched: the control loop is told to look in any case.
  started.group->exit_queue.add(*started.watch, EPOLLIN);
  started.watch->on_event(EPOLLIN);
  int32_t const pid = as_init ? init_pid : started.group->tgid();
  if (as_init) {
    init = started.group;
    if (!shares_pids && init->tgid() != 1) return refuse("the container's init is not process 1");
  }
  exited.erase(pid);
  running[pid] = std::move(started);
  return pid;
}

kernel::ProcessSpec Guest::State::process_spec(oci::Process const& process) {
  kernel::ProcessSpec spec = make_process_spec(process, root_fd.get());
  spec.namespaces = namespaces;
  spec.control_group = control_group;
  spec.seccomp = seccomp;
  if (config.spec.linux_config.linux32) spec.personality = PER_LINUX32;
  return spec;
}

Outcome<> Guest::take_network(StartupMessage& message) {
  auto setup = ATTEMPT(parse_network(message.text, std::move(message.descriptors)));
  inet::add_links(*state_->kernel, std::move(setup.links), setup.routes);
  return {};
}

Outcome<> Guest::check_init() {
  auto& process = state_->config.spec.process;
  auto checked = state_->kernel->check_process(state_->process_spec(process));
  if (!checked) return refuse(start_failure(process, checked.error()));
  return {};
}

Outcome<> Guest::State::run_start_hooks() {
  for (auto& hook : config.spec.hooks.start_container) ATTEMPT(run_start_hook(hook));
  return {};
}

// A process beside init, with init's credentials, before init runs.
Outcome<> Guest::State::run_start_hook(oci::Hook const& hook) {
  auto failed = [&](std::string_view why) { return refuse(fmt::format("startContainer hook {}: {}", hook.path, why)); };
  oci::Process process = config.spec.process;
  process.args = hook.args.empty() ? std::vector{hook.path} : hook.args;
  process.env = hook.env;
  kernel::ProcessSpec spec = process_spec(process);
  spec.program = hook.path;
  spec.before_init = true;
  spec.files = make_ref<kernel::FdTable>();
  auto input = kernel::create_memfd(*kernel, *spec.credentials, "state", 0);
  if (!input) return failed(errno_text(input.error().code));
  auto written = (*input)->path().dentry->inode()->write_data(std::as_bytes(std::span(config.hook_state)), 0);
  if (!written || *written != config.hook_state.size()) return failed("its standard input cannot be made");
  (void)spec.files->install(*input, false, descriptor_limit);
  for (int n = 0; n < 2; ++n) {
    auto output = kernel::create_memfd(*kernel, *spec.credentials, "output", 0);
    if (!output) return failed(errno_text(output.error().code));
    (void)spec.files->install(*output, false, descriptor_limit);
  }
  auto group = kernel->start_process(spec);
  if (!group) return failed(errno_text(group.error().code));
  auto const deadline = hook.timeout_seconds ? kernel::Deadline::after(*hook.timeout_seconds * kernel::ns_per_second)
                                             : kernel::Deadline::never();
  auto status = kernel->wait_for_exit(**group, deadline);
  if (!status) {
    ProcessLocked lock(*kernel);
    kernel::run_loop::request_group_kill(**group, SIGKILL, lock);
    return failed(fmt::format("not done after {} seconds", *hook.timeout_seconds));
  }
  if (WIFSIGNALED(*status)) return failed(fmt::format("ended by signal {}", WTERMSIG(*status)));
  if (WEXITSTATUS(*status) != 0) return failed(fmt::format("exited with status {}", WEXITSTATUS(*status)));
  return {};
}

Outcome<> Guest::pause(bool paused) {
  if (!state_->init_started) return refuse("the container does not run yet; start it first");
  if (this->paused() == paused)
    return refuse(paused ? "the container is paused already" : "the container is not paused");
  state_->kernel->set_frozen(*state_->control_group, paused);
  return {};
}

void Guest::trace(bool on) { state_->kernel->set_traced(*state_->control_group, on); }

bool Guest::paused() const { return state_->control_group->frozen(); }

Outcome<> Guest::start_init() {
  ATTEMPT(state_->run_start_hooks());
  state_->init_started = true;
  ATTEMPT(state_->launch(state_->config.spec.process, std::move(state_->init_files), true));
  return {};
}

bool Guest::started() const { return state_->init_started; }

Outcome<int32_t> Guest::exec(oci::Process const& process, std::vector<host::OwnedFd> files) {
  return state_->launch(process, std::move(files), false);
}

std::vector<Ref<ThreadGroup>> Guest::State::targets(container::SignalRequest const& request,
                                                    ProcessLocked const& lock) {
  if (request.all) return kernel->groups_of(*control_group, lock);
  std::vector<Ref<ThreadGroup>> found;
  auto group = request.pid == init_pid ? init : pids().group(request.pid, lock);
  if (group && &group->control_group() == control_group.get()) found.push_back(std::move(group));
  return found;
}

Outcome<> Guest::signal(container::SignalRequest const& request) {
  ProcessLocked lock(*state_->kernel);
  auto const targets = state_->targets(request, lock);
  if (targets.empty()) return refuse("there is no such process in the container");
  for (auto& group : targets) {
    if (request.signal == 0 || group->exited(lock)) continue;
    // From outside nothing shields init from SIGKILL.
    if (request.signal == SIGKILL)
      kernel::run_loop::request_group_kill(*group, SIGKILL, lock);
    else
      (void)group->send_signal(SignalInfo::from_user(request.signal, SI_USER, 0, 0), lock);
  }
  return {};
}

Outcome<> Guest::resize(int32_t pid, uint16_t rows, uint16_t columns) {
  auto found = state_->running.find(pid);
  if (found == state_->running.end() || !found->second.terminal) return refuse("that process has no terminal");
  found->second.terminal->resize(rows, columns);
  return {};
}

std::vector<container::ProcessInfo> Guest::processes() {
  std::vector<container::ProcessInfo> list;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  kernel::Nanoseconds const monotonic = kernel::host_now(CLOCK_MONOTONIC);
  ProcessLocked lock(*state_->kernel);
  auto const& pids = state_->pids();
  for (auto const& group : state_->kernel->groups_of(*state_->control_group, lock)) {
    auto leader = group->leader(lock);
    if (!leader) continue;
    auto& own = group->implementation();
    own.settle_usage();
    container::ProcessInfo info;
    info.pid = pids.number_of(*group);
    if (auto parent = group->parent(lock)) info.parent = pids.number_of(*parent);
    info.uid = leader->credentials()->euid;
    info.threads = static_cast<uint32_t>(own.tasks.size());
    info.start_seconds = static_cast<uint64_t>(now.tv_sec - (monotonic - own.start_time_ns) / kernel::ns_per_second);
    info.cpu_milliseconds = static_cast<uint64_t>((own.own.user_ns + own.own.system_ns) / 1'000'000);
    info.command = leader->name();
    list.push_back(std::move(info));
  }
  return list;
}

std::string Guest::task_table() {
  std::string text = fmt::format("{:>7} {:>7} {:<5} {:<8} {:<7} {:>16} {:>16} {}\n", "PID", "TID", "STATE", "IN",
                                 "WORK", "PENDING", "BLOCKED", "NAME");
  ProcessLocked lock(*state_->kernel);
  for (auto& group : state_->pids().groups(lock))
    for (auto& task : group->tasks(lock)) {
      auto& own = task->implementation();
      bool const in_guest = kernel::TaskAccess::in_guest(*task).load(std::memory_order_relaxed);
      text += fmt::format("{:>7} {:>7} {:<5} {:<8} {:<7x} {:016x} {:016x} {}\n", group->tgid(), task->tid(),
                          static_cast<char>(kernel::TaskAccess::state(*task)), in_guest ? "guest" : "sentry",
                          task->pending_work(), own.pending.set().bits(), task->blocked_signals().bits(),
                          log::escape(task->name()));
    }
  return text;
}

int Guest::exit_event() const { return state_->event.get(); }

void Guest::clear_exit_event() {
  uint64_t count = 0;
  [[maybe_unused]] auto n = ::read(state_->event.get(), &count, sizeof count);
  state_->collect();
}

void Guest::State::collect() {
  for (auto it = running.begin(); it != running.end();) {
    auto& [pid, started] = *it;
    int status = 0;
    {
      ProcessLocked lock(*kernel);
      auto& own = started.group->implementation();
      if (!own.zombie) {
        ++it;
        continue;
      }
      status = own.exit_status;
    }
    started.group->exit_queue.remove(*started.watch);
    exited[pid] = status;
    if (exited.size() > max_remembered_exits)
      exited.erase(exited.begin()->first == init_pid ? std::next(exited.begin()) : exited.begin());
    it = running.erase(it);
  }
}

Outcome<std::optional<int>> Guest::exit_status(int32_t pid) {
  if (auto done = state_->exited.find(pid); done != state_->exited.end()) return done->second;
  if (state_->running.contains(pid)) return std::optional<int>();
  return refuse("that process was not started from outside");
}

void Guest::kill() {
  ProcessLocked lock(*state_->kernel);
  for (auto const& group : state_->kernel->groups_of(*state_->control_group, lock))
    if (!group->exited(lock)) kernel::run_loop::request_group_kill(*group, SIGKILL, lock);
}

void Guest::shut_down() {
  state_->collect();
  for (auto& [pid, started] : state_->running) started.terminal.reset();  // passes the rest of its output on
  if (auto* source = state_->control_group->processes()) source->close();
}

}  // namespace cofferdam::sentry

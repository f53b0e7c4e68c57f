#include "sentry/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <map>

#include <fmt/format.h>

#include "base/log.h"
#include "dev/host_stream.h"
#include "kernel/kernel.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task.h"
#include "kernel/task/task_internal.h"
#include "sentry/mounts.h"
#include "sentry/process_spec.h"
#include "sentry/terminal.h"
#include "syscalls/table.h"

namespace cofferdam::sentry {

namespace {

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
  Config const& config;
  std::unique_ptr<Kernel> kernel;
  host::OwnedFd event, root_fd;
  std::vector<host::OwnedFd> init_files;
  bool init_started = false;
  std::map<int32_t, Started> running;
  std::map<int32_t, int> exited;  // pid -> wait status

  Outcome<int32_t> launch(oci::Process const& process, std::vector<host::OwnedFd> fds);
  Outcome<> add_files(kernel::ProcessSpec&, oci::Process const&, std::vector<host::OwnedFd>& fds,
                      std::unique_ptr<Terminal>& terminal);
  void collect();
};

Guest::Guest(std::unique_ptr<State> state) : state_(std::move(state)) {}
Guest::~Guest() = default;

Outcome<std::unique_ptr<Guest>> Guest::create(Config const& config, Descriptors& d,
                                              std::unique_ptr<platform::Platform> platform, kernel::HostFacts facts) {
  std::unique_ptr<State> state(new State{.config = config});
  state->event = host::OwnedFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  state->root_fd = host::OwnedFd(::fcntl(d.root.get(), F_DUPFD_CLOEXEC, 3));
  if (!state->event || !state->root_fd) return refuse(fmt::format("cannot start the kernel: {}", strerror(errno)));
  auto kernel = Kernel::create({.platform = std::move(platform),
                                .dispatcher = syscalls::dispatcher(),
                                .kernel_release = "6.12.0-cofferdam",
                                .strace = config.settings.strace,
                                .memory_limit = static_cast<uint64_t>(
                                    std::max<int64_t>(0, config.spec.linux_config.resources.memory_limit.value_or(0))),
                                .host_facts = std::move(facts)});
  if (!kernel) return refuse(fmt::format("cannot start the kernel: {}", errno_text(kernel.error().code)));
  state->kernel = std::move(*kernel);
  state->kernel->uts().with([&](kernel::UtsNames& names) {
    if (!config.spec.hostname.empty()) names.hostname = config.spec.hostname;
    if (!config.spec.domainname.empty()) names.domain_name = config.spec.domainname;
  });
  register_modules(*state->kernel);
  ATTEMPT(build_file_tree(*state->kernel, config, d));
  for (auto& fd : d.standard) state->init_files.push_back(std::move(fd));
  for (auto& fd : d.preserved) state->init_files.push_back(std::move(fd));
  return std::unique_ptr<Guest>(new Guest(std::move(state)));
}

Outcome<> Guest::State::add_files(kernel::ProcessSpec& spec, oci::Process const& process,
                                  std::vector<host::OwnedFd>& fds, std::unique_ptr<Terminal>& terminal) {
  spec.files = make_ref<kernel::FdTable>();
  size_t next = 0;
  if (process.terminal) {
    terminal = ATTEMPT(Terminal::create(*kernel, std::move(fds[0]), process.user.uid, process.console_size));
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

Outcome<int32_t> Guest::State::launch(oci::Process const& process, std::vector<host::OwnedFd> fds) {
  kernel::ProcessSpec spec = make_process_spec(process, root_fd.get());
  Started started;
  ATTEMPT(add_files(spec, process, fds, started.terminal));
  started.watch = std::make_unique<ExitWatch>(event.get());
  auto group = kernel->start_process(spec);
  if (!group) return refuse(start_failure(process, group.error()));
  started.group = *group;
  if (started.terminal) started.terminal->forget_slave();
  if (process.oom_score_adj) {
    ProcessLocked lock(*kernel);
    started.group->implementation().oom_score_adj = *process.oom_score_adj;
  }
  // It may have exited before it is watched: the control loop is told to look in any case.
  started.group->exit_queue.add(*started.watch, EPOLLIN);
  started.watch->on_event(EPOLLIN);
  int32_t pid = started.group->tgid();
  exited.erase(pid);
  running[pid] = std::move(started);
  return pid;
}

Outcome<> Guest::start_init() {
  state_->init_started = true;
  auto pid = ATTEMPT(state_->launch(state_->config.spec.process, std::move(state_->init_files)));
  if (pid != init_pid) return refuse("the container's init is not process 1");
  return {};
}

bool Guest::started() const { return state_->init_started; }

Outcome<int32_t> Guest::exec(oci::Process const& process, std::vector<host::OwnedFd> files) {
  return state_->launch(process, std::move(files));
}

Outcome<> Guest::signal(container::SignalRequest const& request) {
  ProcessLocked lock(*state_->kernel);
  std::vector<Ref<ThreadGroup>> targets;
  if (request.all)
    targets = state_->kernel->pids().groups(lock);
  else if (auto group = state_->kernel->pids().group(request.pid, lock))
    targets.push_back(std::move(group));
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
  for (auto& group : state_->kernel->pids().groups(lock)) {
    auto leader = group->leader(lock);
    if (!leader) continue;
    auto& own = group->implementation();
    own.settle_usage();
    container::ProcessInfo info;
    info.pid = group->tgid();
    if (auto parent = group->parent(lock)) info.parent = parent->tgid();
    info.uid = leader->credentials()->euid;
    info.threads = static_cast<uint32_t>(own.tasks.size());
    info.start_seconds = static_cast<uint64_t>(now.tv_sec - (monotonic - own.start_time_ns) / kernel::ns_per_second);
    info.cpu_milliseconds = static_cast<uint64_t>((own.own.user_ns + own.own.system_ns) / 1'000'000);
    info.command = leader->name();
    list.push_back(std::move(info));
  }
  return list;
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

void Guest::shut_down() {
  state_->collect();
  for (auto& [pid, started] : state_->running) started.terminal.reset();  // passes the rest of its output on
}

}  // namespace cofferdam::sentry

// The part of the task service in which processes begin and end.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "host/wait_status.h"
#include "oci/json.h"
#include "oci/spec.h"
#include "shim/pod.h"
#include "shim/rootfs.h"
#include "shim/service.h"

namespace cofferdam::shim {

namespace {

constexpr milliseconds execs_end_within{2000};
constexpr milliseconds drain_step{20};
constexpr int drain_steps = 100;

std::string pid_file_of(Container const& c, Process const& p) {
  return fmt::format("{}/{}.pid", c.runtime->bundle(), p.exec_id.empty() ? "init" : p.exec_id);
}

// Ids become parts of file names.
bool good_name(std::string_view id) {
  return !id.empty() && id.size() <= 200 && !id.starts_with('.') && id.find('/') == std::string_view::npos &&
         id.find('\0') == std::string_view::npos;
}

Outcome<std::optional<ConsoleSocket>> console_socket_for(Container const& c, Process const& p) {
  if (!p.paths.terminal) return std::nullopt;
  return ATTEMPT(ConsoleSocket::listen(
      fmt::format("{}/console{}.sock", c.runtime->bundle(), p.exec_id.empty() ? "" : "-" + p.exec_id)));
}

// A process has been made: its terminal is there, and its standard files are its own now.
Outcome<> take_over(EventLoop& loop, Process& p, std::optional<ConsoleSocket> const& socket) {
  if (socket) p.console = std::make_unique<Console>(loop, ATTEMPT(socket->take_master()), *p.stdio);
  p.stdio->given_away();
  return {};
}

std::vector<RootMount> root_mounts(wire::CreateTaskRequest const& r) {
  std::vector<RootMount> out;
  out.reserve(static_cast<size_t>(r.rootfs_size()));
  for (auto const& m : r.rootfs())
    out.push_back({.type = m.type(),
                   .source = m.source(),
                   .target = m.target(),
                   .options = {m.options().begin(), m.options().end()}});
  return out;
}

}  // namespace

ExitTime time_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return {.seconds = now.tv_sec, .nanoseconds = static_cast<int32_t>(now.tv_nsec)};
}

bool Container::has_running_execs() const {
  return std::ranges::any_of(execs, [](auto const& e) {
    return e.second->state == ProcessState::Running || e.second->state == ProcessState::Starting;
  });
}

Outcome<pid_t> read_pid_file(std::string const& path) {
  std::string const text = ATTEMPT(oci::read_text_file(path));
  pid_t const pid = ::atoi(text.c_str());
  if (pid <= 0) return refuse(fmt::format("{} holds no process id", path));
  return pid;
}

Outcome<> write_file(std::string const& path, std::string_view text) {
  host::OwnedFd const fd(::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
  if (fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) return {};
  return refuse(fmt::format("cannot write {}: {}", path, strerror(errno)));
}

// ---- Create ----

Outcome<TaskService::ContainerPtr> TaskService::prepare(wire::CreateTaskRequest const& r) {
  if (!r.checkpoint().empty()) return refuse("this runtime restores no checkpoints");
  auto options = ATTEMPT(decode_options(r.options().type_url(), r.options().value()));
  ATTEMPT(save_options(r.bundle(), options));
  auto container =
      std::make_shared<Container>(r.id(), std::make_unique<Runtime>(loop_, std::move(options), namespace_, r.bundle()));
  auto& p = *container->init;
  p.paths = {.in = r.stdin(), .out = r.stdout(), .err = r.stderr(), .terminal = r.terminal()};
  p.stdio = ATTEMPT(Stdio::open(p.paths, {.container_id = r.id(), .name_space = namespace_}));
  if (r.rootfs_size() > 0) {
    ATTEMPT(mount_root(root_mounts(r), container->root_directory()));
    container->root_mounted = true;
  }
  // A pod works without it, too.
  auto network = prepare_pod(r.bundle());
  if (!network) log::warning("ports of the pod {} will not be forwarded: {}", r.id(), network.error());
  if (network && !network->empty()) forward_ports(container, *network);
  return container;
}

void TaskService::forward_ports(ContainerPtr const& c, std::string const& network) {
  auto forward = PortForward::start(loop_, network, [weak = std::weak_ptr(c)](host::OwnedFd connection, uint16_t port) {
    auto const pod = weak.lock();
    if (!pod || pod->init->state != ProcessState::Running) return;
    constexpr milliseconds a_day{24L * 3600 * 1000};
    Stdio const stdio = Stdio::of_connection(std::move(connection));
    pod->runtime->call(
        {"exec", pod->id, relay_path, "-relay", fmt::format("{}", port)}, [](Outcome<std::string> const&) {}, &stdio,
        a_day);
  });
  if (forward)
    c->forward = std::move(*forward);
  else
    log::warning("ports of the pod {} will not be forwarded: {}", c->id, forward.error());
}

void TaskService::create(wire::CreateTaskRequest const& r, Responder const& respond) {
  if (!good_name(r.id()) || !r.bundle().starts_with('/'))
    return respond(fail_call(RpcCode::InvalidArgument, "the id or the bundle of the container cannot be used"));
  if (containers_.contains(r.id()))
    return respond(fail_call(RpcCode::AlreadyExists, fmt::format("container {} already exists", r.id())));
  auto container = prepare(r);
  if (!container) return respond(fail_call(RpcCode::Unknown, container.error()));
  containers_[r.id()] = *container;
  run_create(*container, r, respond);
}

void TaskService::run_create(ContainerPtr const& c, wire::CreateTaskRequest const& r, Responder const& respond) {
  auto made = console_socket_for(*c, *c->init);
  if (!made) return discard(c, [respond, why = made.error()] { respond(fail_call(RpcCode::Unknown, why)); });
  auto socket = std::make_shared<std::optional<ConsoleSocket>>(std::move(*made));
  std::vector<std::string> words{"create", "--bundle", r.bundle(), "--pid-file", pid_file_of(*c, *c->init)};
  if (*socket) words.insert(words.end(), {"--console-socket", (*socket)->path()});
  words.push_back(r.id());
  // With a terminal, the descriptors are not the command's: the console reads and writes them.
  Stdio const none;
  Stdio const* stdio = *socket ? &none : &*c->init->stdio;
  c->runtime->call(
      std::move(words),
      [this, c, socket, r, respond](Outcome<std::string> const& done) {
        auto failed = [&](std::string const& why) {
          discard(c, [respond, why] { respond(fail_call(RpcCode::Unknown, "OCI runtime create failed: " + why)); });
        };
        if (!done) return failed(done.error());
        auto const pid = read_pid_file(pid_file_of(*c, *c->init));
        if (!pid) return failed(pid.error());
        c->init->pid = *pid;
        if (auto taken = take_over(loop_, *c->init, *socket); !taken) return failed(taken.error());
        created(c, r, respond);
      },
      stdio);
}

void TaskService::created(ContainerPtr const& c, wire::CreateTaskRequest const& r, Responder const& respond) {
  c->init->state = ProcessState::Created;
  c->ready = true;
  loop_.on_exit(c->init->pid, [this, c](int status) { on_exit(c, c->init, status); });
  c->oom = OomWatch::start(loop_, fmt::format("{}/{}", c->runtime->root(), c->id), [this, id = c->id] {
    wire::TaskOOM event;
    event.set_container_id(id);
    publish("/tasks/oom", "containerd.events.TaskOOM", event);
  });
  wire::TaskCreate event;
  event.set_container_id(c->id);
  event.set_bundle(r.bundle());
  *event.mutable_rootfs() = r.rootfs();
  event.mutable_io()->set_stdin(r.stdin());
  event.mutable_io()->set_stdout(r.stdout());
  event.mutable_io()->set_stderr(r.stderr());
  event.mutable_io()->set_terminal(r.terminal());
  event.set_pid(static_cast<uint32_t>(c->init->pid));
  publish("/tasks/create", "containerd.events.TaskCreate", event);
  wire::CreateTaskResponse out;
  out.set_pid(static_cast<uint32_t>(c->init->pid));
  respond(out.SerializeAsString());
}

// A container that could not be made. The runtime has removed what it made itself; a terminal that never came, and the
// like, leave a container behind. The answer comes when it is gone: containerd asks the shim to end then.
void TaskService::discard(ContainerPtr const& c, EventLoop::Task const& then) {
  c->runtime->call({"delete", "--force", c->id}, [this, c, then](Outcome<std::string> const&) {
    if (c->root_mounted) unmount_root(c->root_directory());
    containers_.erase(c->id);
    then();
  });
}

// ---- Start ----

void TaskService::start(wire::StartRequest const& r, Responder const& respond) {
  auto process = find(r.id(), r.exec_id());
  if (!process) return respond(std::unexpected(process.error()));
  auto const& c = containers_.at(r.id());
  auto const wanted = r.exec_id().empty() ? ProcessState::Created : ProcessState::Made;
  if ((*process)->state != wanted)
    return respond(fail_call(RpcCode::FailedPrecondition, "the process has been started already"));
  (*process)->state = ProcessState::Starting;
  if (r.exec_id().empty())
    start_init(c, respond);
  else
    start_exec(c, *process, respond);
}

void TaskService::start_init(ContainerPtr const& c, Responder const& respond) {
  c->runtime->call({"start", c->id}, [this, c, respond](Outcome<std::string> const& done) {
    auto const& p = c->init;
    if (!done) {
      p->state = ProcessState::Created;
      respond(fail_call(RpcCode::Unknown, "OCI runtime start failed: " + done.error()));
    } else {
      p->state = ProcessState::Running;
      wire::TaskStart event;
      event.set_container_id(c->id);
      event.set_pid(static_cast<uint32_t>(p->pid));
      publish("/tasks/start", "containerd.events.TaskStart", event);
      wire::StartResponse out;
      out.set_pid(static_cast<uint32_t>(p->pid));
      respond(out.SerializeAsString());
    }
    if (p->early_status) on_exit(c, p, *p->early_status);
  });
}

void TaskService::exec(wire::ExecProcessRequest const& r, Responder const& respond) {
  auto container = find(r.id());
  if (!container) return respond(std::unexpected(container.error()));
  auto const& c = *container;
  if (!good_name(r.exec_id()))
    return respond(fail_call(RpcCode::InvalidArgument, "the id of the process cannot be used"));
  if (c->execs.contains(r.exec_id()))
    return respond(fail_call(RpcCode::AlreadyExists, fmt::format("process {} already exists", r.exec_id())));
  if (c->init->state == ProcessState::Stopped)
    return respond(fail_call(RpcCode::FailedPrecondition, "the container has ended: nothing can be run in it"));
  auto p = std::make_shared<Process>();
  p->exec_id = r.exec_id();
  p->spec = r.spec().value();
  p->paths = {.in = r.stdin(), .out = r.stdout(), .err = r.stderr(), .terminal = r.terminal()};
  c->execs[r.exec_id()] = std::move(p);
  wire::TaskExecAdded event;
  event.set_container_id(r.id());
  event.set_exec_id(r.exec_id());
  publish("/tasks/exec-added", "containerd.events.TaskExecAdded", event);
  respond(std::string());
}

void TaskService::start_exec(ContainerPtr const& c, ProcessPtr const& p, Responder const& respond) {
  std::string const file = fmt::format("{}/{}-process.json", c->runtime->bundle(), p->exec_id);
  auto failed = [this, c, p, respond](std::string const& why) {
    if (p->pid == 0) {  // as one that has ended without a word
      p->exit = Exit{.status = 255, .at = time_now()};
      p->state = ProcessState::Stopped;
      p->stdio.reset();
      for (auto const& waiter : std::exchange(p->waiters, {})) waiter(*p->exit);
    }
    respond(fail_call(RpcCode::Unknown, "OCI runtime exec failed: " + why));
    if (c->init_status && !c->has_running_execs()) init_ended(c);
  };
  auto stdio = Stdio::open(p->paths, {.container_id = c->id, .name_space = namespace_});
  auto written = stdio ? write_file(file, p->spec) : refuse(stdio.error());
  auto made = written ? console_socket_for(*c, *p) : std::unexpected(written.error());
  if (!made) return failed(made.error());
  p->stdio = std::move(*stdio);
  auto socket = std::make_shared<std::optional<ConsoleSocket>>(std::move(*made));
  std::vector<std::string> words{"exec", "--detach", "--process", file, "--pid-file", pid_file_of(*c, *p)};
  if (*socket) words.insert(words.end(), {"--console-socket", (*socket)->path()});
  words.push_back(c->id);
  Stdio const none;
  c->runtime->call(
      std::move(words),
      [this, c, p, socket, file, failed, respond](Outcome<std::string> const& done) {
        ::unlink(file.c_str());
        if (!done) return failed(done.error());
        auto const pid = read_pid_file(pid_file_of(*c, *p));
        ::unlink(pid_file_of(*c, *p).c_str());
        if (!pid) return failed(pid.error());
        p->pid = *pid;
        p->state = ProcessState::Running;
        if (auto taken = take_over(loop_, *p, *socket); !taken) log::error("exec {}: {}", p->exec_id, taken.error());
        wire::TaskExecStarted event;
        event.set_container_id(c->id);
        event.set_exec_id(p->exec_id);
        event.set_pid(static_cast<uint32_t>(*pid));
        publish("/tasks/exec-started", "containerd.events.TaskExecStarted", event);
        wire::StartResponse out;
        out.set_pid(static_cast<uint32_t>(*pid));
        respond(out.SerializeAsString());
        loop_.on_exit(*pid, [this, c, p](int status) { on_exit(c, p, status); });
      },
      *socket ? &none : &*p->stdio);
}

// ---- Ends ----

void TaskService::on_exit(ContainerPtr const& c, ProcessPtr const& p, int wait_status) {
  // Whoever started it hears of the start first.
  if (p->state == ProcessState::Starting) {
    p->early_status = wait_status;
    return;
  }
  if (p != c->init) {
    ended(c, p, wait_status);
    if (c->init_status && !c->has_running_execs()) init_ended(c);
    return;
  }
  // The container's end is the last word: what else ran in it ends with it, and is told of first.
  c->init_status = wait_status;
  if (!c->has_running_execs()) return init_ended(c);
  loop_.after(execs_end_within, [this, c] { init_ended(c); });
}

void TaskService::init_ended(ContainerPtr const& c) {
  if (c->init->exit) return;
  c->oom.reset();
  c->forward.reset();
  ended(c, c->init, *c->init_status);
}

void TaskService::ended(ContainerPtr const& c, ProcessPtr const& p, int wait_status) {
  p->state = ProcessState::Stopped;
  p->exit = Exit{.status = static_cast<uint32_t>(host::shell_status(wait_status)), .at = time_now()};
  wire::TaskExit event;
  event.set_container_id(c->id);
  event.set_id(p->exec_id.empty() ? c->id : p->exec_id);
  event.set_pid(static_cast<uint32_t>(p->pid));
  event.set_exit_status(p->exit->status);
  event.mutable_exited_at()->set_seconds(p->exit->at.seconds);
  event.mutable_exited_at()->set_nanos(p->exit->at.nanoseconds);
  publish("/tasks/exit", "containerd.events.TaskExit", event);
  for (auto const& waiter : std::exchange(p->waiters, {})) waiter(*p->exit);
}

// ---- Delete ----

void TaskService::remove(wire::DeleteRequest const& r, Responder const& respond) {
  auto process = find(r.id(), r.exec_id());
  if (!process) return respond(std::unexpected(process.error()));
  auto const& p = *process;
  auto const& c = containers_.at(r.id());
  if (p->state == ProcessState::Running || p->state == ProcessState::Starting)
    return respond(fail_call(RpcCode::FailedPrecondition,
                             c->paused ? "cannot delete a paused process" : "cannot delete a running process"));
  if (p->deleting) return respond(fail_call(RpcCode::NotFound, "it is being deleted: not found"));
  p->deleting = true;
  after_drain(
      p,
      [this, c, p, respond] {
        if (p == c->init)
          remove_init(c, respond);
        else
          remove_exec(c, p, respond);
      },
      0);
}

// What a terminal said last is on its way to whoever reads it.
void TaskService::after_drain(ProcessPtr const& p, EventLoop::Task task, int attempts) {
  if (!p->console || p->console->drained() || attempts >= drain_steps) return task();
  loop_.after(drain_step, [this, p, task = std::move(task), attempts] { after_drain(p, task, attempts + 1); });
}

namespace {

std::string delete_response(Process const& p) {
  wire::DeleteResponse out;
  out.set_pid(static_cast<uint32_t>(p.pid));
  if (p.exit) {
    out.set_exit_status(p.exit->status);
    out.mutable_exited_at()->set_seconds(p.exit->at.seconds);
    out.mutable_exited_at()->set_nanos(p.exit->at.nanoseconds);
  }
  return out.SerializeAsString();
}

}  // namespace

void TaskService::remove_exec(ContainerPtr const& c, ProcessPtr const& p, Responder const& respond) {
  p->console.reset();
  p->stdio.reset();
  c->execs.erase(p->exec_id);
  respond(delete_response(*p));
}

void TaskService::remove_init(ContainerPtr const& c, Responder const& respond) {
  c->runtime->call({"delete", "--force", c->id}, [this, c, respond](Outcome<std::string> const& done) {
    auto const& p = c->init;
    if (!done) {
      p->deleting = false;
      return respond(fail_call(RpcCode::Unknown, "OCI runtime delete failed: " + done.error()));
    }
    // One that was never started ends by this: its end is told before its deletion.
    if (!p->exit) ended(c, p, c->init_status.value_or(SIGKILL));
    p->console.reset();
    p->stdio.reset();
    c->oom.reset();
    if (c->root_mounted && !unmount_root(c->root_directory()))
      log::error("cannot unmount {}: {}", c->root_directory(), strerror(errno));
    ::unlink(pid_file_of(*c, *p).c_str());
    containers_.erase(c->id);
    wire::TaskDelete event;
    event.set_container_id(c->id);
    event.set_pid(static_cast<uint32_t>(p->pid));
    event.set_exit_status(p->exit->status);
    event.mutable_exited_at()->set_seconds(p->exit->at.seconds);
    event.mutable_exited_at()->set_nanos(p->exit->at.nanoseconds);
    publish("/tasks/delete", "containerd.events.TaskDelete", event);
    respond(delete_response(*p));
  });
}

}  // namespace cofferdam::shim

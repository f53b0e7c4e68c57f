#include "shim/service.h"

#include <signal.h>
#include <unistd.h>

#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "oci/json.h"
#include "oci/spec.h"
#include "shim/metrics.h"

namespace cofferdam::shim {

namespace {

std::string not_found_text(std::string const& id, std::string const& exec_id) {
  return exec_id.empty() ? fmt::format("container {}", id) : fmt::format("process {} of container {}", exec_id, id);
}

// An error of the runtime, as its kind.
RpcCode code_of(std::string_view reason) {
  bool const gone =
      reason.contains("container not running") || reason.contains("does not exist") || reason.contains("is stopped");
  return gone ? RpcCode::NotFound : RpcCode::Unknown;
}

wire::Status status_of(Container const& c, Process const& p) {
  switch (p.state) {
    case ProcessState::Made:
    case ProcessState::Created:
    case ProcessState::Starting:
      return wire::CREATED;
    case ProcessState::Running:
      return c.paused ? wire::PAUSED : wire::RUNNING;
    case ProcessState::Stopped:
      break;
  }
  return wire::STOPPED;
}

}  // namespace

TaskService::TaskService(EventLoop& loop, EventPublisher& events, std::string name_space)
    : loop_(loop), events_(events), namespace_(std::move(name_space)) {}

template <class Request>
CallHandler TaskService::handler(void (TaskService::*method)(Request const&, Responder const&)) {
  return [this, method](std::string_view payload, Responder const& respond) {
    Request request;
    if (!request.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
      return respond(fail_call(RpcCode::InvalidArgument, "the request cannot be decoded"));
    (this->*method)(request, respond);
  };
}

void TaskService::serve_on(TtrpcServer& server) {
  for (std::string_view service : {"containerd.task.v2.Task", "containerd.task.v3.Task"}) {
    server.handle(service, "Create", handler(&TaskService::create));
    server.handle(service, "Start", handler(&TaskService::start));
    server.handle(service, "Delete", handler(&TaskService::remove));
    server.handle(service, "State", handler(&TaskService::state));
    server.handle(service, "Pids", handler(&TaskService::pids));
    server.handle(service, "Pause", handler(&TaskService::pause));
    server.handle(service, "Resume", handler(&TaskService::resume));
    server.handle(service, "Checkpoint", handler(&TaskService::checkpoint));
    server.handle(service, "Kill", handler(&TaskService::kill));
    server.handle(service, "Exec", handler(&TaskService::exec));
    server.handle(service, "ResizePty", handler(&TaskService::resize_pty));
    server.handle(service, "CloseIO", handler(&TaskService::close_io));
    server.handle(service, "Update", handler(&TaskService::update));
    server.handle(service, "Wait", handler(&TaskService::wait));
    server.handle(service, "Stats", handler(&TaskService::stats));
    server.handle(service, "Connect", handler(&TaskService::connect));
    server.handle(service, "Shutdown", handler(&TaskService::shutdown));
  }
}

Answer<TaskService::ContainerPtr> TaskService::find(std::string const& id) const {
  auto const found = containers_.find(id);
  if (found == containers_.end() || !found->second->ready)
    return fail_call(RpcCode::NotFound, fmt::format("{}: not found", not_found_text(id, {})));
  return found->second;
}

Answer<TaskService::ProcessPtr> TaskService::find(std::string const& id, std::string const& exec_id) const {
  auto container = find(id);
  if (!container) return std::unexpected(container.error());
  if (exec_id.empty()) return (*container)->init;
  auto const found = (*container)->execs.find(exec_id);
  if (found == (*container)->execs.end())
    return fail_call(RpcCode::NotFound, fmt::format("{}: not found", not_found_text(id, exec_id)));
  return found->second;
}

void TaskService::publish(std::string_view topic, std::string_view type, google::protobuf::MessageLite const& event) {
  events_.publish(topic, type, event.SerializeAsString());
}

void TaskService::state(wire::StateRequest const& r, Responder const& respond) {
  auto process = find(r.id(), r.exec_id());
  if (!process) return respond(std::unexpected(process.error()));
  auto const& container = *containers_.at(r.id());
  auto const& p = **process;
  wire::StateResponse out;
  out.set_id(r.exec_id().empty() ? r.id() : r.exec_id());
  out.set_bundle(container.runtime->bundle());
  out.set_pid(static_cast<uint32_t>(p.pid));
  out.set_status(status_of(container, p));
  out.set_stdin(p.paths.in);
  out.set_stdout(p.paths.out);
  out.set_stderr(p.paths.err);
  out.set_terminal(p.paths.terminal);
  out.set_exec_id(r.exec_id());
  if (p.exit) {
    out.set_exit_status(p.exit->status);
    out.mutable_exited_at()->set_seconds(p.exit->at.seconds);
    out.mutable_exited_at()->set_nanos(p.exit->at.nanoseconds);
  }
  respond(out.SerializeAsString());
}

void TaskService::pids(wire::PidsRequest const& r, Responder const& respond) {
  auto container = find(r.id());
  if (!container) return respond(std::unexpected(container.error()));
  (*container)->runtime->call({"ps", "--format", "json", r.id()}, [respond](Outcome<std::string> output) {
    if (!output) return respond(fail_call(code_of(output.error()), output.error()));
    auto const json = oci::parse_json(*output);
    auto const* list = json ? json->as<oci::JsonArray>() : nullptr;
    if (list == nullptr) return respond(fail_call(RpcCode::Unknown, "the runtime's list of processes cannot be read"));
    wire::PidsResponse out;
    for (auto const& item : *list) {
      auto const* signed_pid = item.as<int64_t>();
      auto const* pid = item.as<uint64_t>();
      if (pid != nullptr || signed_pid != nullptr)
        out.add_processes()->set_pid(static_cast<uint32_t>(pid != nullptr ? *pid : static_cast<uint64_t>(*signed_pid)));
    }
    respond(out.SerializeAsString());
  });
}

void TaskService::change_pause(std::string const& id, bool paused, Responder const& respond) {
  auto container = find(id);
  if (!container) return respond(std::unexpected(container.error()));
  std::string const word = paused ? "pause" : "resume";
  (*container)->runtime->call({word, id}, [this, c = *container, paused, respond](Outcome<std::string> const& done) {
    if (!done) return respond(fail_call(code_of(done.error()), done.error()));
    c->paused = paused;
    wire::TaskPaused event;  // TaskResumed has the same field
    event.set_container_id(c->id);
    if (paused)
      publish("/tasks/paused", "containerd.events.TaskPaused", event);
    else
      publish("/tasks/resumed", "containerd.events.TaskResumed", event);
    respond(std::string());
  });
}

void TaskService::pause(wire::PauseRequest const& r, Responder const& respond) { change_pause(r.id(), true, respond); }

void TaskService::resume(wire::ResumeRequest const& r, Responder const& respond) {
  change_pause(r.id(), false, respond);
}

void TaskService::checkpoint(wire::CheckpointTaskRequest const&, Responder const& respond) {
  respond(fail_call(RpcCode::Unimplemented, "this runtime makes no checkpoints"));
}

void TaskService::kill(wire::KillRequest const& r, Responder const& respond) {
  auto process = find(r.id(), r.exec_id());
  if (!process) return respond(std::unexpected(process.error()));
  auto const& p = **process;
  if (p.state == ProcessState::Stopped || (p.state == ProcessState::Made && !r.exec_id().empty()))
    return respond(fail_call(RpcCode::NotFound,
                             p.exit ? "process already finished: not found" : "process not created: not found"));
  if (!r.exec_id().empty()) {
    // The host process that stands for it passes signals on, and takes it along when it is killed. It is our child: its
    // id is nobody else's until its end has been seen.
    if (p.pid > 0) ::kill(p.pid, static_cast<int>(r.signal()));
    return respond(std::string());
  }
  std::vector<std::string> words{"kill"};
  if (r.all()) words.emplace_back("--all");
  words.insert(words.end(), {r.id(), fmt::format("{}", r.signal())});
  containers_.at(r.id())->runtime->call(std::move(words), [respond](Outcome<std::string> const& done) {
    if (done) return respond(std::string());
    bool const gone = code_of(done.error()) == RpcCode::NotFound;
    respond(gone ? fail_call(RpcCode::NotFound, "process already finished: not found")
                 : fail_call(RpcCode::Unknown, done.error()));
  });
}

void TaskService::resize_pty(wire::ResizePtyRequest const& r, Responder const& respond) {
  auto process = find(r.id(), r.exec_id());
  if (!process) return respond(std::unexpected(process.error()));
  auto const& p = **process;
  if (!p.paths.terminal) return respond(fail_call(RpcCode::InvalidArgument, "the process has no terminal"));
  // Before there is one, and when it has gone, there is nothing to do.
  if (p.console)
    if (auto done = p.console->resize(static_cast<uint16_t>(r.width()), static_cast<uint16_t>(r.height())); !done)
      return respond(fail_call(RpcCode::Unknown, done.error()));
  respond(std::string());
}

void TaskService::close_io(wire::CloseIORequest const& r, Responder const& respond) {
  auto process = find(r.id(), r.exec_id());
  if (!process) return respond(std::unexpected(process.error()));
  if (r.stdin() && (*process)->stdio) (*process)->stdio->close_input();
  respond(std::string());
}

void TaskService::update(wire::UpdateTaskRequest const& r, Responder const& respond) {
  auto container = find(r.id());
  if (!container) return respond(std::unexpected(container.error()));
  auto const& runtime = (*container)->runtime;
  std::string path = runtime->bundle() + "/resources.json";
  if (auto done = write_file(path, r.resources().value()); !done)
    return respond(fail_call(RpcCode::Unknown, done.error()));
  runtime->call({"update", "--resources", path, r.id()}, [respond, path](Outcome<std::string> const& done) {
    ::unlink(path.c_str());
    if (done) return respond(std::string());
    respond(fail_call(code_of(done.error()), done.error()));
  });
}

void TaskService::wait(wire::WaitRequest const& r, Responder const& respond) {
  auto process = find(r.id(), r.exec_id());
  if (!process) return respond(std::unexpected(process.error()));
  auto answer = [respond](Exit const& exit) {
    wire::WaitResponse out;
    out.set_exit_status(exit.status);
    out.mutable_exited_at()->set_seconds(exit.at.seconds);
    out.mutable_exited_at()->set_nanos(exit.at.nanoseconds);
    respond(out.SerializeAsString());
  };
  if ((*process)->exit) return answer(*(*process)->exit);
  (*process)->waiters.emplace_back(std::move(answer));
}

void TaskService::stats(wire::StatsRequest const& r, Responder const& respond) {
  auto container = find(r.id());
  if (!container) return respond(std::unexpected(container.error()));
  if ((*container)->init->state == ProcessState::Stopped)
    return respond(fail_call(RpcCode::NotFound, "the container has ended: not found"));
  (*container)->runtime->call({"events", "--stats", r.id()}, [respond](Outcome<std::string> output) {
    if (!output) return respond(fail_call(code_of(output.error()), output.error()));
    auto const metrics = encode_metrics(*output, host_cgroup_version());
    if (!metrics) return respond(fail_call(RpcCode::Unknown, metrics.error()));
    wire::StatsResponse out;
    out.mutable_stats()->set_type_url(metrics->type);
    out.mutable_stats()->set_value(metrics->value);
    respond(out.SerializeAsString());
  });
}

void TaskService::connect(wire::ConnectRequest const& r, Responder const& respond) {
  wire::ConnectResponse out;
  out.set_shim_pid(static_cast<uint32_t>(::getpid()));
  if (auto container = find(r.id())) out.set_task_pid(static_cast<uint32_t>((*container)->init->pid));
  respond(out.SerializeAsString());
}

void TaskService::shutdown(wire::ShutdownRequest const&, Responder const& respond) {
  // Other containers of the pod may live on.
  ending_ = containers_.empty();
  respond(std::string());
  if (ending_) when_done_();
}

}  // namespace cofferdam::shim

// The task service of a shim (containerd.task.v2.Task and containerd.task.v3.Task): the remote calls of containerd, one
// method each. docs/engines.md says what the service does differently from the shim of runc.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/outcome.h"
#include "shim/event_loop.h"
#include "shim/events.h"
#include "shim/proto/task.pb.h"
#include "shim/rpc.h"
#include "shim/task.h"
#include "shim/ttrpc_server.h"

namespace cofferdam::shim {

class TaskService {
 public:
  TaskService(EventLoop& loop, EventPublisher& events, std::string name_space);
  // Both versions of the service.
  void serve_on(TtrpcServer& server);
  // Asked to end, and nothing is left to look after.
  bool wants_to_end() const { return ending_ && containers_.empty(); }
  // Called whenever that may have become so.
  void when_done(EventLoop::Task task) { when_done_ = std::move(task); }

 private:
  using ContainerPtr = std::shared_ptr<Container>;
  using ProcessPtr = std::shared_ptr<Process>;

  void create(wire::CreateTaskRequest const&, Responder const&);
  void start(wire::StartRequest const&, Responder const&);
  void remove(wire::DeleteRequest const&, Responder const&);
  void state(wire::StateRequest const&, Responder const&);
  void pids(wire::PidsRequest const&, Responder const&);
  void pause(wire::PauseRequest const&, Responder const&);
  void resume(wire::ResumeRequest const&, Responder const&);
  void checkpoint(wire::CheckpointTaskRequest const&, Responder const&);
  void kill(wire::KillRequest const&, Responder const&);
  void exec(wire::ExecProcessRequest const&, Responder const&);
  void resize_pty(wire::ResizePtyRequest const&, Responder const&);
  void close_io(wire::CloseIORequest const&, Responder const&);
  void update(wire::UpdateTaskRequest const&, Responder const&);
  void wait(wire::WaitRequest const&, Responder const&);
  void stats(wire::StatsRequest const&, Responder const&);
  void connect(wire::ConnectRequest const&, Responder const&);
  void shutdown(wire::ShutdownRequest const&, Responder const&);

  template <class Request>
  CallHandler handler(void (TaskService::*method)(Request const&, Responder const&));
  Answer<ContainerPtr> find(std::string const& id) const;
  Answer<ProcessPtr> find(std::string const& id, std::string const& exec_id) const;
  void publish(std::string_view topic, std::string_view type, google::protobuf::MessageLite const& event);

  Outcome<ContainerPtr> prepare(wire::CreateTaskRequest const&);
  void run_create(ContainerPtr const&, wire::CreateTaskRequest const&, Responder const&);
  void created(ContainerPtr const&, wire::CreateTaskRequest const&, Responder const&);
  void forward_ports(ContainerPtr const&, std::string const& network);
  void discard(ContainerPtr const&, EventLoop::Task const& then);
  void start_init(ContainerPtr const&, Responder const&);
  void start_exec(ContainerPtr const&, ProcessPtr const&, Responder const&);
  void remove_init(ContainerPtr const&, Responder const&);
  void remove_exec(ContainerPtr const&, ProcessPtr const&, Responder const&);
  void change_pause(std::string const& id, bool paused, Responder const&);

  void on_exit(ContainerPtr const&, ProcessPtr const&, int wait_status);
  void init_ended(ContainerPtr const&);
  void ended(ContainerPtr const&, ProcessPtr const&, int wait_status);
  void after_drain(ProcessPtr const&, EventLoop::Task, int attempts);

  EventLoop& loop_;
  EventPublisher& events_;
  std::string namespace_;
  std::map<std::string, ContainerPtr> containers_;
  EventLoop::Task when_done_;
  bool ending_ = false;
};

Outcome<> write_file(std::string const& path, std::string_view text);
// What the pid file says. The runtime has just written it.
Outcome<pid_t> read_pid_file(std::string const& path);

}  // namespace cofferdam::shim

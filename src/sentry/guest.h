// The container inside the kernel: its mounts, its init, and the processes that exec adds.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/outcome.h"
#include "container/protocol.h"
#include "host/fd.h"
#include "kernel/host_facts.h"
#include "platform/platform.h"
#include "sentry/config.h"
#include "sentry/startup.h"

namespace cofferdam::sentry {

class Guest {
 public:
  // The kernel with the container's file tree; no process yet. Takes the mounts and standard descriptors out of
  // `descriptors`.
  static Outcome<std::unique_ptr<Guest>> create(Config const& config, Descriptors& descriptors,
                                                std::unique_ptr<platform::Platform> platform, kernel::HostFacts facts);
  // One more container in the kernel of `first`, with mounts, processes and, but for what it shares with the others,
  // IPC and host name of its own.
  static Outcome<std::unique_ptr<Guest>> join(Guest& first, std::vector<Guest*> const& others,
                                              container::JoinRequest request, Descriptors& descriptors);
  ~Guest();
  std::string const& id() const;
  Config const& config() const;

  // The links, addresses and routes of Word::Network. Before the first process.
  Outcome<> take_network(StartupMessage&);
  // What start_init would find wrong with program and working directory now.
  Outcome<> check_init();
  // Runs the startContainer hooks, then the specification's process as init.
  Outcome<> start_init();
  // The host process, as the sentry knows it, that the container's processes come from; 0: the sandbox's first.
  int32_t source_process() const;
  // While paused no process of the container runs.
  Outcome<> pause(bool paused);
  bool paused() const;
  // Whether its calls are logged.
  void trace(bool on);
  bool started() const;
  // Runs one more process; gives its pid. files: standard input, output, error (one terminal for all three if
  // process.terminal), then the preserved ones.
  Outcome<int32_t> exec(oci::Process const& process, std::vector<host::OwnedFd> files);
  // A pid of container::init_pid means init in what follows, whatever its number.
  Outcome<> signal(container::SignalRequest const&);
  Outcome<> resize(int32_t pid, uint16_t rows, uint16_t columns);
  std::vector<container::ProcessInfo> processes();
  // A line for each thread: ids, state, what it waits for. For people.
  std::string task_table();

  // Becomes readable when a process that was started here has exited.
  int exit_event() const;
  void clear_exit_event();
  // The wait(2) status of such a process once it has exited. Refused for a pid that was not started here.
  Outcome<std::optional<int>> exit_status(int32_t pid);
  // SIGKILL to every process of the container.
  void kill();
  // Passes the last output of terminals on; nothing more can be started. For when init has ended.
  void shut_down();

 private:
  struct State;
  explicit Guest(std::unique_ptr<State>);
  std::unique_ptr<State> state_;
};

}  // namespace cofferdam::sentry

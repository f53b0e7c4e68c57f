// The tasks that a shim looks after: containers, and the processes in them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shim/console.h"
#include "shim/oom_watch.h"
#include "shim/port_forward.h"
#include "shim/runtime.h"
#include "shim/stdio.h"

namespace cofferdam::shim {

struct ExitTime {
  int64_t seconds = 0;
  int32_t nanoseconds = 0;
};
ExitTime time_now();

struct Exit {
  uint32_t status = 0;  // as a shell has it: 128 + the signal
  ExitTime at;
};

enum class ProcessState {
  Made,      // exec was called; nothing runs yet
  Created,   // the container waits to be started
  Starting,  // the command that starts it is under way
  Running,
  Stopped,
};

struct Process {
  std::string exec_id;  // empty: the container's init
  std::string spec;     // of an exec: its process.json
  StdioPaths paths;
  ProcessState state = ProcessState::Made;
  pid_t pid = 0;  // of the host process that ends when it ends, with its status
  std::optional<Stdio> stdio;
  std::unique_ptr<Console> console;
  std::optional<Exit> exit;
  std::optional<int> early_status;  // it ended while it was being started
  std::vector<std::function<void(Exit)>> waiters;
  bool deleting = false;
};

struct Container {
  Container(std::string container_id, std::unique_ptr<Runtime> how)
      : id(std::move(container_id)), runtime(std::move(how)), init(std::make_shared<Process>()) {}

  std::string id;
  std::unique_ptr<Runtime> runtime;
  std::shared_ptr<Process> init;
  std::map<std::string, std::shared_ptr<Process>> execs;
  std::unique_ptr<OomWatch> oom;
  std::unique_ptr<PortForward> forward;  // of the container that a pod's sandbox begins with
  bool ready = false;                    // created: others may see it
  bool paused = false;
  bool root_mounted = false;
  std::optional<int> init_status;  // init has ended; its word waits for those of the other processes

  std::string root_directory() const { return runtime->bundle() + "/rootfs"; }
  bool has_running_execs() const;
};

}  // namespace cofferdam::shim

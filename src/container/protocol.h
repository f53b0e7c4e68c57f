// What the commands and the sentry say to each other over the sandbox's control socket (AF_UNIX, SOCK_STREAM, one
// request at a time per connection). A frame is: u32 length of what follows, u32 kind, payload. Descriptors travel with
// the first byte of a frame.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/outcome.h"
#include "host/fd.h"
#include "oci/spec.h"

namespace cofferdam::container {

inline constexpr uint32_t max_frame_bytes = 4 << 20;  // arguments and environment of an exec fit (ARG_MAX is 2 MiB)
inline constexpr size_t max_frame_fds = 250;          // SCM_MAX_FD of Linux is 253

enum class RequestKind : uint32_t {
  Start = 1,      // let init run; reply when its program is loaded
  Signal = 2,     // SignalRequest
  Status = 3,     // reply: StatusReply
  Exec = 4,       // ExecRequest + descriptors; reply: pid
  Wait = 5,       // pid; the reply (wait status) comes when it has exited
  Processes = 6,  // reply: ProcessReply list
  Resize = 7,     // ResizeRequest: the window of a process's terminal
  Pause = 8,      // no process of the container runs from here
  Resume = 9,
  Debug = 10,  // text: "tasks", "log-level LEVEL", "strace on", "strace off", or "log" with a descriptor; reply: text
               // for people
  Check = 11,  // can init be run? for when hooks have changed the root
  Join = 12,  // JoinRequest + descriptors, to the sandbox's first container; reply: the process that its processes will
              // come from, as the sentry's pid namespace numbers it (0: that of the first's); then its wait status
  Hold = 20,  // as Wait; the process is killed when the connection ends before it
};

// What a request calls the container's init; that has another number where the pid namespace is another's.
inline constexpr int32_t init_pid = 1;

struct Frame {
  uint32_t kind = 0;  // of a reply: 0, or the errno of a refusal with its text as payload
  std::string payload;
  std::vector<host::OwnedFd> fds;
};

struct SignalRequest {
  int32_t signal = 0;
  bool all = false;  // every process of the container, else pid
  int32_t pid = init_pid;
  std::string encode() const;
  static Outcome<SignalRequest> decode(std::string_view);
};

enum class Phase : uint32_t { Created = 0, Running = 1, Stopped = 2, Paused = 3 };

struct ExecRequest {
  oci::Process process;
  bool ignore_paused = false;
  uint32_t preserved_fds = 0;  // descriptors 3 … 3+n-1 of the new process follow standard input, output and error
  std::string encode() const;
  static Outcome<ExecRequest> decode(std::string_view);
};

// One more container for a sandbox that runs. The descriptors: its listening control socket, the root, one for each
// bind mount in the order of the specification, the standard ones (one terminal for all three if process.terminal),
// then the preserved ones. While the connection that brought it is open the container lives.
struct JoinRequest {
  std::string id, config, root_path;  // config: the text of config.json
  oci::Process process;
  std::string ipc_of, uts_of, pid_of;  // whose namespace it shares, by container id; empty: one of its own
  std::vector<sock_filter> seccomp;
  std::string hook_state;
  bool host_hooks = false;
  bool own_control_group = false;        // on the host: its processes come from a host process of their own
  std::vector<uint8_t> binds_directory;  // of each bind mount: is it a directory?
  uint32_t preserved_fds = 0;
  std::string encode() const;
  static Outcome<JoinRequest> decode(std::string_view);
};

struct ResizeRequest {
  int32_t pid = init_pid;
  uint16_t rows = 0, columns = 0;
  std::string encode() const;
  static Outcome<ResizeRequest> decode(std::string_view);
};

struct ProcessInfo {
  int32_t pid = 0, parent = 0;
  uint32_t uid = 0, threads = 0;
  uint64_t start_seconds = 0;  // since the epoch
  uint64_t cpu_milliseconds = 0;
  std::string command;
};
std::string encode_processes(std::vector<ProcessInfo> const&);
Outcome<std::vector<ProcessInfo>> decode_processes(std::string_view);

std::string encode_number(uint32_t);
Outcome<uint32_t> decode_number(std::string_view);

// One frame, whole. fds are borrowed.
Outcome<> send_frame(int socket, uint32_t kind, std::string_view payload, std::vector<int> const& fds = {});
// Blocks for one frame; a closed connection is an error.
Outcome<Frame> receive_frame(int socket);

}  // namespace cofferdam::container

// The runtime's record of a container: a directory STATE_ROOT/ID with state.json, a lock and the control socket.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/outcome.h"
#include "container/protocol.h"
#include "host/fd.h"

namespace cofferdam::container {

inline constexpr std::string_view default_state_root = "/run/cofferdam";

// What state.json keeps. The status is not in it: it is asked for.
struct State {
  std::string id, bundle, rootfs, created, owner, oci_version;
  pid_t pid = 0;            // on the host: the sentry, or what stands for a container in another's sandbox
  uint64_t start_time = 0;  // field 22 of /proc/PID/stat: a pid that was reused is told apart
  bool terminal = false;
  std::vector<std::pair<std::string, std::string>> annotations;
  std::vector<std::string> cgroups;  // directories to remove
  std::string sandbox;               // whose sandbox it lives in, by container id; empty: its own
  bool memory_overlay = false;       // --overlay=memory: the host's files of its root are read-only
};

// "creating", "created", "running", "paused", "stopped".
std::string_view phase_name(Phase);

// One line why an id cannot be used, if it cannot.
Outcome<> check_id(std::string_view id);

// The directory of one container, held under its lock (flock) for as long as the object lives.
class StateDirectory {
 public:
  // Makes it: refused when the id is taken. `token` is from new_record_token().
  static Outcome<StateDirectory> create(std::string const& root, std::string const& id, std::string const& token);
  // Opens an existing one and waits for its lock: refused when there is no such container.
  static Outcome<StateDirectory> open(std::string const& root, std::string const& id);
  // What a record holds just now, without its lock: it is written by one rename.
  static Outcome<State> peek(std::string const& root, std::string const& id);

  std::string const& path() const { return path_; }
  int directory_fd() const { return directory_.get(); }
  Outcome<State> load() const;  // refused while the container is still being created
  Outcome<> save(State const&) const;
  // What is about to be made on the host, for whoever finds a record without a state: its command was killed, and the
  // gofer, too.
  Outcome<> note_cgroups(std::vector<std::string> const& directories) const;
  std::vector<std::string> noted_cgroups() const;
  // Removes everything in it, and it.
  void remove();
  void unlock() { lock_.reset(); }

  // A listening socket at PATH/control.sock; a connection to it.
  Outcome<host::OwnedFd> listen() const;
  Outcome<host::OwnedFd> connect() const;

 private:
  std::string path_, id_;
  host::OwnedFd directory_, lock_;
};

// What tells one record from another of the same id.
std::string new_record_token();
// Removes what create() with this token has made, wherever it was cut short, and nothing of anybody else's; without the
// lock: for the gofer, when the command has died.
void remove_record(std::string const& root, std::string const& id, std::string const& token);

// Is the process of the record still there (not a zombie either)?
bool alive(State const&);
// Asks the sandbox.
Phase phase_of(StateDirectory const&, State const&);
// The host processes of a container: what stands for it (of a sandbox's first the sentry), then its stubs, one for each
// address space inside. Of one that lives in another's sandbox without control groups of its own: the first alone.
std::vector<pid_t> host_processes(State const&);
// The child of the sentry that has this number in the sentry's pid namespace; 0: there is none.
pid_t stub_of(pid_t sentry, pid_t number_inside);
uint64_t process_start_time(pid_t pid);  // 0: no such process or a zombie

// One request, one reply, on a connection of its own. timeout 0: for ever.
Outcome<Frame> call(StateDirectory const&, RequestKind, std::string_view payload, std::vector<int> const& fds = {},
                    int timeout_seconds = 0);

// All ids under a state root, sorted.
std::vector<std::string> list_ids(std::string const& root);

// The JSON that `state` and `list` print for one container, members as runc's. `status`: another word than the phase's.
oci::Json state_json(State const&, Phase, std::string_view status = {});

}  // namespace cofferdam::container

// A process that exec has started in a running container, as the command that started it sees it.
#pragma once

#include <optional>
#include <string>

#include "base/outcome.h"
#include "container/console.h"
#include "container/state.h"
#include "oci/spec.h"

namespace cofferdam::container {

struct ExecOptions {
  oci::Process process;
  std::string console_socket;
  unsigned preserve_fds = 0;
  bool detached = false, ignore_paused = false;
};

class ExecSession {
 public:
  static Outcome<ExecSession> start(StateDirectory const&, ExecOptions);
  int32_t pid() const { return pid_; }  // inside
  // Waits for its end, passing signals and window changes on. Gives the exit status to end with. A detached one has
  // this host process in its stead: if that is killed, it is killed too.
  Outcome<int> wait();

 private:
  ExecSession() = default;
  void pass_on(int signals);
  Outcome<> tell(RequestKind kind, std::string const& payload);

  StateDirectory const* record_ = nullptr;
  host::OwnedFd socket_, signals_;
  std::optional<RawTerminal> raw_;
  int32_t pid_ = 0;
};

// Blocks every signal but those of faults; they come by the descriptor (signalfd) from then on.
host::OwnedFd take_signals();
// Signals that are about the command itself rather than the container.
bool stays_here(int signal);

}  // namespace cofferdam::container

// The container's terminal joined to one of the host's (the caller's own, or the slave of a console socket's pair): a
// thread copies between it and the master of a pty of ours. The host's side is made raw, so that line editing, echo and
// signals are the guest's own; its window size is followed.
#pragma once

#include <memory>

#include "base/result.h"
#include "host/fd.h"
#include "kernel/terminal/pty.h"

namespace cofferdam::kernel {

class HostTerminal {
 public:
  // Takes the master over; starts the thread. ENOTTY when the descriptor is no terminal.
  static Result<std::unique_ptr<HostTerminal>> attach(Ref<Pty>, Ref<File> master, host::OwnedFd host_side);
  // Writes out what the guest has written, and ends the thread. The guest sees a hang-up.
  ~HostTerminal();

 private:
  struct State;
  explicit HostTerminal(std::unique_ptr<State>);
  std::unique_ptr<State> state_;
};

}  // namespace cofferdam::kernel

// The container's terminal joined to one of the host's (the caller's own, or the slave of a console socket's pair): a
// thread copies between it and the master of a pty of ours. Line editing, echo and signals are the guest's own; the
// window size is followed.
#pragma once

#include <memory>

#include "base/result.h"
#include "host/fd.h"
#include "kernel/terminal/pty.h"

namespace cofferdam::kernel {

class HostTerminal {
 public:
  // What comes from `in` is typed, what the guest shows goes to `out`; each may be a terminal (which is made raw), a
  // pipe or a socket. `out` without a number: the same as `in`. Takes the master over; starts the thread.
  static Result<std::unique_ptr<HostTerminal>> attach(Ref<Pty>, Ref<File> master, host::OwnedFd in,
                                                      host::OwnedFd out = {});
  // Ends the thread, once what the guest has written is out or `out` takes no more for a second. The guest sees a
  // hang-up.
  ~HostTerminal();

 private:
  struct State;
  explicit HostTerminal(std::unique_ptr<State>);
  std::unique_ptr<State> state_;
};

}  // namespace cofferdam::kernel

// The sentry's own loop: what the command that started it says, what other commands ask over the control socket, and
// what becomes of the container's processes. One thread, the sandbox's first.
#pragma once

#include <vector>

#include "container/protocol.h"
#include "host/fd.h"
#include "sentry/guest.h"
#include "sentry/startup.h"

namespace cofferdam::sentry {

class Control {
 public:
  Control(Guest& guest, host::OwnedFd startup, host::OwnedFd listener);
  // Serves until init has exited, or the command that this sandbox is bound to is gone. Gives the exit status.
  int serve();

 private:
  struct Connection {
    host::OwnedFd socket;
    int32_t waits_for = 0;  // a pid; 0: none
    bool holds = false;     // that process is killed when the connection ends
    bool closed = false;
  };
  void on_startup();
  void on_listener();
  void on_connection(Connection&);
  void on_exits();
  void answer(Connection&, Outcome<std::string> const& result);
  Outcome<std::string> serve_request(Connection&, container::Frame&);
  Outcome<> start();
  Outcome<std::string> debug(std::string const& wish);
  container::Phase phase() const;

  Guest& guest_;
  host::OwnedFd startup_, listener_;
  std::vector<Connection> connections_;
  bool attached_ = true;
  bool init_exited_ = false;
  bool orphaned_ = false;
};

// What a shell would show for a wait(2) status.
int shell_status(int wait_status);

}  // namespace cofferdam::sentry

// The sentry's own loop: what the command that started it says, what other commands ask over the control socket, and
// what becomes of the container's processes. One thread, the sandbox's first.
#pragma once

#include <poll.h>

#include <memory>
#include <span>
#include <string>
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
  // A container that joined.
  struct Member {
    std::unique_ptr<Guest> guest;
    host::OwnedFd listener;
    host::OwnedFd holder;  // its end is the container's; hears of the end of init
    bool over = false;
  };
  struct Connection {
    host::OwnedFd socket;
    Guest* guest = nullptr;
    int32_t waits_for = 0;  // a pid; 0: none
    bool holds = false;     // that process is killed when the connection ends
    bool closed = false;
  };
  void on_startup();
  void accept(int listener, Guest&);
  void on_members(std::span<pollfd const> waits);
  void on_holder(Member&);
  void on_member_exits(Member&);
  void end_member(Member&);
  void answer_waiting(Guest&);
  void add_waits(std::vector<pollfd>&) const;
  bool over() const;
  void on_connection(Connection&);
  void on_exits();
  void answer(Connection&, Outcome<std::string> const& result);
  Outcome<std::string> serve_request(Connection&, container::Frame&);
  Outcome<> start(Guest&);
  Outcome<> join(Connection&, container::Frame&);
  Outcome<std::string> debug(Guest&, container::Frame&);
  Outcome<> change_log(container::Frame&);
  static container::Phase phase(Guest&);

  Guest& guest_;
  host::OwnedFd startup_, listener_;
  std::vector<Connection> connections_;
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<host::OwnedFd> logs_;  // since the start
  bool attached_ = true;
  bool init_exited_ = false;
  bool orphaned_ = false;
};

}  // namespace cofferdam::sentry

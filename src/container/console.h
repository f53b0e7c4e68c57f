// Host terminals: pseudoterminals for engines, and the terminal that a command runs on.
#pragma once

#include <termios.h>

#include <optional>
#include <string>

#include "base/outcome.h"
#include "host/fd.h"
#include "oci/spec.h"

namespace cofferdam::container {

// A new host pseudoterminal in raw mode: line editing, echo and job control are the guest terminal's.
struct Pseudoterminal {
  host::OwnedFd master, slave;
  std::string name;
};
Outcome<Pseudoterminal> open_pseudoterminal(std::optional<oci::ConsoleSize> size);

// Hands the master to whoever listens on an engine's console socket, as runc does.
Outcome<> send_console(std::string const& socket_path, Pseudoterminal const& terminal);

// Puts the terminal behind a descriptor into raw mode for as long as it lives.
class RawTerminal {
 public:
  static Outcome<RawTerminal> enter(int fd);
  RawTerminal(RawTerminal&& o) noexcept : fd_(std::exchange(o.fd_, -1)), saved_(o.saved_) {}
  RawTerminal& operator=(RawTerminal&&) = delete;
  ~RawTerminal();

 private:
  RawTerminal(int fd, termios saved) : fd_(fd), saved_(saved) {}
  int fd_;
  termios saved_;
};

std::optional<oci::ConsoleSize> window_size(int fd);

}  // namespace cofferdam::container

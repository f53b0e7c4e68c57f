// The terminal of a process: the runtime makes it and hands its master over by a socket; the shim carries bytes between
// it and the process's standard input and output.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "base/outcome.h"
#include "host/fd.h"
#include "shim/event_loop.h"
#include "shim/stdio.h"

namespace cofferdam::shim {

// Where the runtime sends the master.
class ConsoleSocket {
 public:
  static Outcome<ConsoleSocket> listen(std::string path);
  ConsoleSocket(ConsoleSocket&& o) noexcept = default;
  ConsoleSocket& operator=(ConsoleSocket&&) = delete;
  ~ConsoleSocket();
  std::string const& path() const { return path_; }
  // What was sent. The runtime sends it before it reports success, so it is there by then.
  Outcome<host::OwnedFd> take_master() const;

 private:
  ConsoleSocket() = default;
  std::string path_;
  host::OwnedFd listener_;
};

class Console {
 public:
  Console(EventLoop& loop, host::OwnedFd master, Stdio& stdio);
  ~Console();
  Console(Console const&) = delete;
  Console& operator=(Console const&) = delete;

  Outcome<> resize(uint16_t columns, uint16_t rows);
  // Everything that the terminal said has been passed on, or cannot be.
  bool drained() const { return drained_; }

 private:
  // Bytes that were read from one side and not yet written to the other.
  struct Flow {
    int from = -1, to = -1;
    std::array<char, 8192> bytes{};
    size_t start = 0, end = 0;
    bool ended = false;
    bool empty() const { return start == end; }
  };
  void pump(Flow& flow);
  void rearm();
  void arm(int fd, uint32_t events);
  void end_output();

  EventLoop& loop_;
  host::OwnedFd master_;
  Stream input_, output_;
  Flow in_, out_;
  bool drained_ = false;
};

}  // namespace cofferdam::shim

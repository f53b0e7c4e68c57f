// Serves calls that come over ttrpc on a listening socket.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/fd.h"
#include "shim/event_loop.h"
#include "shim/rpc.h"
#include "shim/ttrpc_frame.h"

namespace cofferdam::shim {

class TtrpcServer {
 public:
  TtrpcServer(EventLoop& loop, host::OwnedFd listener);
  ~TtrpcServer();
  TtrpcServer(TtrpcServer const&) = delete;
  TtrpcServer& operator=(TtrpcServer const&) = delete;

  void handle(std::string_view service, std::string_view method, CallHandler handler);
  // True while an answer waits to be taken by its asker.
  bool has_unsent() const;

 private:
  struct Connection {
    host::OwnedFd socket;
    FrameReader reader;
    std::string unsent;
    unsigned calls = 0;  // not answered yet
  };
  void on_listener();
  void on_ready(std::shared_ptr<Connection> const& connection, uint32_t events);
  bool read_frames(std::shared_ptr<Connection> const& connection);
  void serve(std::shared_ptr<Connection> const& connection, TtrpcFrame const& frame);
  void send(Connection& connection, uint32_t stream, Answer<std::string> const& answer);
  void flush(Connection& connection);
  void close(std::shared_ptr<Connection> const& connection);

  EventLoop& loop_;
  host::OwnedFd listener_;
  std::vector<std::shared_ptr<Connection>> connections_;
  std::map<std::pair<std::string, std::string>, CallHandler, std::less<>> handlers_;
};

}  // namespace cofferdam::shim

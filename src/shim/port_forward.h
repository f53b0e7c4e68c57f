// kubectl port-forward: containerd connects to localhost inside a pod's network namespace on the host, where the pod's
// own loopback, which is the sandbox's, is not. Whatever connects to 127.0.0.0/8 there, to any port, is taken here (a
// program at the socket lookup of that namespace, BPF_PROG_TYPE_SK_LOOKUP, leads it to one listener) and handed to a
// process inside the sandbox that connects to that port there.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/outcome.h"
#include "host/fd.h"
#include "shim/event_loop.h"

namespace cofferdam::shim {

class PortForward {
 public:
  using OnConnection = std::function<void(host::OwnedFd connection, uint16_t port)>;

  // `network`: path of the namespace. Refused where the host's kernel (before 5.9) or its settings do not let it be.
  static Outcome<std::unique_ptr<PortForward>> start(EventLoop& loop, std::string const& network, OnConnection);
  ~PortForward();
  PortForward(PortForward const&) = delete;
  PortForward& operator=(PortForward const&) = delete;

 private:
  explicit PortForward(EventLoop& loop) : loop_(loop) {}
  Outcome<> steer(int network);

  EventLoop& loop_;
  OnConnection on_connection_;
  host::OwnedFd listener_, map_, program_, link_;
};

// In the sandbox: connects standard input and output to a port of its loopback, until one of them ends. An exit status.
int relay(uint16_t port);

}  // namespace cofferdam::shim

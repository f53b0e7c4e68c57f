// The other end of a connection to a socket of the host (--host-uds open): bytes and messages go to and fro, files and
// credentials do not.
#pragma once

#include <memory>

#include "host/fd.h"
#include "kernel/ipc/socket.h"
#include "kernel/wait_queue.h"

namespace cofferdam::kernel {
class Kernel;
}

namespace cofferdam::unix_sockets {

class HostPeer {
 public:
  // `queue` is woken on every change. `name`: the address that the guest connected to.
  static Result<std::unique_ptr<HostPeer>> create(kernel::Kernel&, host::OwnedFd, int type, kernel::WaitQueue& queue,
                                                  kernel::SocketAddress name);
  ~HostPeer();
  HostPeer(HostPeer const&) = delete;
  HostPeer& operator=(HostPeer const&) = delete;

  // EAGAIN when nothing can be moved now. EOPNOTSUPP: files or credentials; EMSGSIZE.
  Result<size_t> send(kernel::IoSource&, kernel::SendRequest&, size_t most);
  Result<kernel::ReceiveResult> receive(kernel::IoSink&, int flags);
  bool ready(uint32_t events) const;
  kernel::PollMask poll() const;
  Result<void> shutdown(kernel::ShutdownHow);
  kernel::SocketAddress const& name() const { return name_; }

 private:
  HostPeer(kernel::Kernel& kernel, host::OwnedFd fd, int type, kernel::SocketAddress name)
      : kernel_(kernel), fd_(std::move(fd)), type_(type), name_(name) {}
  kernel::Kernel& kernel_;
  host::OwnedFd const fd_;
  int const type_;
  kernel::SocketAddress const name_;
};

}  // namespace cofferdam::unix_sockets

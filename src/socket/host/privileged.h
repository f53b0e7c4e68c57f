// What a socket of the host's may need a privilege for that the jailed sentry does not have: another process does it
// (gofer/socket_broker.h), if the container's configuration lets it.
#pragma once

#include "base/mutex.h"
#include "host/fd.h"
#include "host/internet_socket.h"

namespace cofferdam::host_sockets {

class Privileged {
 public:
  // `broker`: a SOCK_SEQPACKET connection; none: nobody to ask.
  explicit Privileged(host::OwnedFd broker) : broker_(std::move(broker)) {}
  // bind(2) to a reserved port. EACCES when there is nobody to ask.
  Result<void> bind(int socket, host::SocketName const&);
  // A raw socket. EPERM when there is nobody to ask.
  Result<host::OwnedFd> open_raw(int domain, int protocol);

 private:
  Mutex mutex_;  // one question at a time
  host::OwnedFd const broker_ GUARDED_BY(mutex_);
};

}  // namespace cofferdam::host_sockets

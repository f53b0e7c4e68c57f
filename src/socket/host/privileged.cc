#include "socket/host/privileged.h"

#include "host/socket_broker.h"

namespace cofferdam::host_sockets {

Result<void> Privileged::bind(int socket, host::SocketName const& name) {
  MutexLock lock(mutex_);
  if (!broker_) return fail(Errno::Acces);
  return host::ask_to_bind(broker_.get(), socket, name);
}

Result<host::OwnedFd> Privileged::open_raw(int domain, int protocol) {
  MutexLock lock(mutex_);
  if (!broker_) return fail(Errno::Perm);
  return host::ask_for_raw_socket(broker_.get(), domain, protocol);
}

}  // namespace cofferdam::host_sockets

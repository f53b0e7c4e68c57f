// Sockets of the host in directories that are shared with it.
#include "fs/host/host_socket.h"

#include <fcntl.h>

#include "fs/host/host_inode.h"
#include "host/unix_socket.h"

namespace cofferdam::fs::host {

Result<OwnedFd> connect_socket(Inode& inode, int type) {
  auto* socket = dynamic_cast<HostInode*>(&inode);
  if (socket == nullptr || socket->host_fs().exclusive()) return fail(Errno::ConnRefused);
  auto place = TRY(socket->place_fd());
  return cofferdam::host::connect_unix(place->get(), type);
}

Result<Ref<SharedFd>> HostInode::place_fd() {
  auto where = place();
  if (!where) return fail(Errno::ConnRefused);
  return open_below(*where->parent, where->name, O_PATH);
}

}  // namespace cofferdam::fs::host

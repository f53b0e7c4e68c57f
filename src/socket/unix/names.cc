// Names of AF_UNIX sockets: giving and finding them.
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/vfs.h"
#include "socket/unix/family.h"
#include "socket/unix/socket.h"

namespace cofferdam::unix_sockets {

using kernel::SocketAddress;
using kernel::Task;

Result<void> UnixSocket::bind(Task& task, SocketAddress const& address) {
  auto bytes = TRY(parse(address, AddressUse::Bind));
  if (bytes.empty()) return autobind();
  MutexLock binding(bind_mutex_);
  {
    MutexLock lock(endpoint_->mutex);
    if (endpoint_->name) return fail(Errno::Inval);
  }
  if (bytes.front() != '\0') return bind_path(task, bytes);
  auto name = make_ref<Name const>(std::move(bytes));
  TRY(endpoint_->family().register_name(name, endpoint_));
  MutexLock lock(endpoint_->mutex);
  endpoint_->name = name;
  return {};
}

Result<void> UnixSocket::bind_path(Task& task, std::string const& text) {
  auto& vfs = task.kernel().vfs();
  auto cwd = TRY(vfs.start_of(task, AT_FDCWD, text));
  auto made = vfs.mknod(task, cwd, text, S_IFSOCK | 0777, 0);
  if (!made) return fail(made.error() == Errno::Exist ? Errno::AddrInUse : made.error().code);
  auto path = TRY(vfs.lookup(task, cwd, text, {.follow_last = false}));
  auto* inode = path.dentry->inode();
  if (!inode || !S_ISSOCK(inode->type())) return fail(Errno::AddrInUse);  // replaced meanwhile
  inode->with_attachment(kernel::Attachment::BoundSocket, [&](Ref<RefCounted>& slot) { slot = endpoint_; });
  MutexLock lock(endpoint_->mutex);
  endpoint_->bound_path = std::move(path);
  endpoint_->name = make_ref<Name const>(text);
  return {};
}

Result<void> UnixSocket::autobind() {
  MutexLock binding(bind_mutex_);
  {
    MutexLock lock(endpoint_->mutex);
    if (endpoint_->name) return {};
  }
  auto name = TRY(endpoint_->family().register_free_name(endpoint_));
  MutexLock lock(endpoint_->mutex);
  endpoint_->name = std::move(name);
  return {};
}

Result<void> UnixSocket::autobind_for_credentials() {
  if (!pass_credentials_.load(std::memory_order_relaxed)) return {};
  return autobind();
}

// ECONNREFUSED when nobody listens at the name, EPROTOTYPE for a socket of another type; what path lookup says.
Result<Ref<Endpoint>> UnixSocket::find(Task& task, SocketAddress const& address) {
  auto bytes = TRY(parse(address, AddressUse::Connect));
  Ref<Endpoint> found;
  if (bytes.empty() || bytes.front() == '\0') {
    found = endpoint_->family().find_name(bytes);
  } else {
    auto& vfs = task.kernel().vfs();
    auto path = TRY(vfs.lookup(task, TRY(vfs.start_of(task, AT_FDCWD, bytes)), bytes, {}));
    auto* inode = path.dentry->inode();
    TRY(inode->permission(*task.credentials(), kernel::may_write));
    if (!S_ISSOCK(inode->type())) return fail(Errno::ConnRefused);
    found = inode->with_attachment(kernel::Attachment::BoundSocket,
                                   [](Ref<RefCounted>& slot) { return ref_cast<Endpoint>(slot); });
  }
  if (!found) return fail(Errno::ConnRefused);
  if (found->type() != endpoint_->type()) return fail(Errno::Prototype);
  return found;
}

Result<SocketAddress> UnixSocket::local_address() {
  MutexLock lock(endpoint_->mutex);
  return address_of(endpoint_->name);
}

Result<SocketAddress> UnixSocket::peer_address() {
  if (HostPeer* peer = host()) return peer->name();
  Ref<Endpoint> peer;
  {
    MutexLock lock(endpoint_->mutex);
    peer = endpoint_->peer;
  }
  if (!peer) return fail(Errno::NotConn);
  MutexLock lock(peer->mutex);
  return address_of(peer->name);
}

}  // namespace cofferdam::unix_sockets

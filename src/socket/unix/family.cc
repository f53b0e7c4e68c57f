#include "socket/unix/family.h"

#include <fmt/core.h>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "socket/unix/register.h"
#include "socket/unix/socket.h"

namespace cofferdam::unix_sockets {

using kernel::Socket;
using kernel::Task;

namespace {

constexpr int default_buffer = 212992;

Result<int> check_type(int type, int protocol) {
  if (protocol != 0 && protocol != PF_UNIX) return fail(Errno::ProtoNoSupport);
  if (type == SOCK_RAW) return SOCK_DGRAM;  // as Linux does
  if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET) return fail(Errno::SockTNoSupport);
  return type;
}

}  // namespace

Result<Ref<Socket>> Family::create(Task& task, int type, int protocol, int flags) {
  auto endpoint = make_ref<Endpoint>(*this, TRY(check_type(type, protocol)), default_buffer);
  return make_ref<UnixSocket>(task, std::move(endpoint), flags);
}

Result<std::pair<Ref<Socket>, Ref<Socket>>> Family::create_pair(Task& task, int type, int protocol, int flags) {
  type = TRY(check_type(type, protocol));
  auto a = make_ref<Endpoint>(*this, type, default_buffer);
  auto b = make_ref<Endpoint>(*this, type, default_buffer);
  auto credentials = kernel::SocketIdentity::of(task);
  {
    PairLock lock(*a, *b);
    a->assert_locked();
    b->assert_locked();
    a->peer = b;
    b->peer = a;
    a->state = b->state = State::Connected;
    a->own_credentials = b->own_credentials = a->peer_credentials = b->peer_credentials = credentials;
  }
  return std::pair<Ref<Socket>, Ref<Socket>>(make_ref<UnixSocket>(task, std::move(a), flags),
                                             make_ref<UnixSocket>(task, std::move(b), flags));
}

Result<void> Family::register_name(Ref<Name const> const& name, Ref<Endpoint> endpoint) {
  MutexLock lock(names_mutex_);
  if (!names_.emplace(name->bytes(), std::move(endpoint)).second) return fail(Errno::AddrInUse);
  return {};
}

Result<Ref<Name const>> Family::register_free_name(Ref<Endpoint> endpoint) {
  constexpr uint32_t count = 1 << 20;
  MutexLock lock(names_mutex_);
  for (uint32_t tries = 0; tries < count; ++tries) {
    std::string bytes(1, '\0');
    bytes += fmt::format("{:05x}", next_name_++ % count);
    if (!names_.emplace(bytes, endpoint).second) continue;
    return make_ref<Name const>(std::move(bytes));
  }
  return fail(Errno::NoSpc);
}

void Family::unregister_name(Name const& name, Endpoint const& endpoint) {
  Ref<Endpoint> removed;
  MutexLock lock(names_mutex_);
  auto it = names_.find(name.bytes());
  if (it == names_.end() || it->second != &endpoint) return;
  removed = std::move(it->second);
  names_.erase(it);
}

Ref<Endpoint> Family::find_name(std::string const& bytes) {
  MutexLock lock(names_mutex_);
  auto it = names_.find(bytes);
  return it == names_.end() ? Ref<Endpoint>() : it->second;
}

void register_family(kernel::Kernel& kernel, HostConnector connector) {
  kernel.ipc().sockets.add(AF_UNIX, std::make_unique<Family>(std::move(connector)));
}

}  // namespace cofferdam::unix_sockets

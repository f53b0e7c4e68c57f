#include "socket/unix/socket.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "socket/unix/family.h"

namespace cofferdam::unix_sockets {

using kernel::PeerCredentials;
using kernel::PollMask;
using kernel::ShutdownHow;
using kernel::Task;
using kernel::UserPtr;

namespace {
constexpr PollMask shutdown_events = EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM | EPOLLRDHUP | EPOLLHUP;
}  // namespace

UnixSocket::UnixSocket(Task& creator, Ref<Endpoint> endpoint, int flags)
    : Socket(creator.kernel().ipc().allocate_inode(), AF_UNIX, endpoint->type(), 0, flags, *creator.credentials()),
      endpoint_(std::move(endpoint)) {
  {
    MutexLock lock(endpoint_->mutex);
    endpoint_->socket = this;
  }
  endpoint_->family().opened(*this);
}

UnixSocket::~UnixSocket() {
  endpoint_->family().closed(*this);
  endpoint_->close(false);
  endpoint_->family().collect_after_close();
}

Result<void> UnixSocket::shutdown(ShutdownHow how) {
  if (HostPeer* peer = host()) return peer->shutdown(how);
  bool read = how != ShutdownHow::Write, write = how != ShutdownHow::Read;
  Ref<Endpoint> peer;
  {
    MutexLock lock(endpoint_->mutex);
    endpoint_->shut_read |= read;
    endpoint_->shut_write |= write;
    if (!endpoint_->is_datagram()) peer = endpoint_->peer;
  }
  if (peer) {
    {
      MutexLock lock(peer->mutex);
      peer->shut_read |= write;
      peer->shut_write |= read;
    }
    peer->queue.wake(shutdown_events, everybody);
  }
  endpoint_->queue.wake(shutdown_events, everybody);
  endpoint_->room.wake(shutdown_events, everybody);
  return {};
}

int UnixSocket::take_error() {
  MutexLock lock(endpoint_->mutex);
  return std::exchange(endpoint_->pending_error, 0);
}

bool UnixSocket::listening() const {
  MutexLock lock(endpoint_->mutex);
  return endpoint_->state == State::Listening;
}

void UnixSocket::buffer_size_changed() {
  endpoint_->set_send_buffer(send_buffer_.load(std::memory_order_relaxed));
  endpoint_->queue.wake(EPOLLOUT | EPOLLWRNORM, everybody);
}

Result<std::vector<std::byte>> UnixSocket::get_option(Task& task, int level, int name, size_t room) {
  if (level != SOL_SOCKET || name != SO_PEERCRED) return Socket::get_option(task, level, name, room);
  kernel::SocketIdentity peer;
  {
    MutexLock lock(endpoint_->mutex);
    peer = endpoint_->peer_credentials;
  }
  PeerCredentials const credentials = peer.seen_by(task);
  auto bytes = std::as_bytes(std::span(&credentials, 1));
  bytes = bytes.first(std::min(room, bytes.size()));
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

Result<uint64_t> UnixSocket::ioctl(Task& task, uint32_t request, uint64_t argument) {
  int32_t value;
  switch (request) {
    case SIOCINQ: {
      MutexLock lock(endpoint_->mutex);
      if (endpoint_->state == State::Listening) return fail(Errno::Inval);
      auto& messages = endpoint_->messages;
      if (endpoint_->is_stream())
        value = static_cast<int32_t>(messages.bytes());
      else
        value = messages.empty() ? 0 : static_cast<int32_t>(messages.front()->size);
      break;
    }
    case SIOCOUTQ:
      value = static_cast<int32_t>(endpoint_->charged());
      break;
    default:
      if (auto* inet = task.kernel().ipc().sockets.find(AF_INET)) return inet->interface_ioctl(task, request, argument);
      return fail(Errno::NoTty);
  }
  TRY(task.write(UserPtr<int32_t>(argument), value));
  return 0;
}

PollMask UnixSocket::poll() {
  if (HostPeer* peer = host()) return peer->poll();
  PollMask ready = 0;
  Ref<Endpoint> full_candidate;
  {
    Endpoint& e = *endpoint_;
    MutexLock lock(e.mutex);
    if (e.pending_error != 0) ready |= EPOLLERR;
    if (e.shut_read && e.shut_write) ready |= EPOLLHUP;
    if (e.shut_read) ready |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
    if (!e.messages.empty() || !e.waiting_clients.empty()) ready |= EPOLLIN | EPOLLRDNORM;
    if (!e.is_datagram() && e.state == State::Unconnected) ready |= EPOLLHUP;
    if (e.state != State::Listening && e.writable()) ready |= EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
    if (e.is_datagram() && e.peer != &e) full_candidate = e.peer;
  }
  if (full_candidate && (ready & EPOLLOUT)) {
    MutexLock lock(full_candidate->mutex);
    if (!full_candidate->closed && full_candidate->peer != endpoint_ && full_candidate->queue_full()) {
      ready &= ~PollMask{EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND};
      auto& blocked = full_candidate->blocked_senders;
      if (std::find(blocked.begin(), blocked.end(), endpoint_) == blocked.end()) blocked.push_back(endpoint_);
    }
  }
  return ready;
}

}  // namespace cofferdam::unix_sockets

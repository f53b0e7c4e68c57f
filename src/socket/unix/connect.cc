// listen, connect and accept of AF_UNIX sockets.
#include "kernel/task/task.h"
#include "socket/unix/family.h"
#include "socket/unix/socket.h"

namespace cofferdam::unix_sockets {

using kernel::SocketAddress;
using kernel::Task;

namespace {
constexpr kernel::PollMask connect_events = EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM;
}

Result<void> UnixSocket::listen(Task& task, int backlog) {
  if (endpoint_->is_datagram()) return fail(Errno::OpNotSupp);
  {
    MutexLock lock(endpoint_->mutex);
    if (!endpoint_->name || endpoint_->state == State::Connected) return fail(Errno::Inval);
    endpoint_->state = State::Listening;
    endpoint_->backlog = static_cast<size_t>(backlog);
    endpoint_->own_credentials = endpoint_->peer_credentials = kernel::SocketIdentity::of(task);
  }
  endpoint_->room.wake(EPOLLOUT, everybody);
  return {};
}

Result<void> UnixSocket::connect(Task& task, SocketAddress const& address) {
  if (host() != nullptr) return fail(Errno::IsConn);
  auto done = endpoint_->is_datagram() ? connect_datagram(task, address) : connect_stream(task, address);
  if (done || done.error() != Errno::ConnRefused || !endpoint_->family().host_connector()) return done;
  return connect_host(task, address);
}

// false: the listener has no room for another client.
Result<bool> UnixSocket::try_connect(Task& task, Ref<Endpoint> const& listener) {
  auto server = make_ref<Endpoint>(endpoint_->family(), endpoint_->type(), 212992);
  auto credentials = kernel::SocketIdentity::of(task);
  {
    PairLock lock(*endpoint_, *listener);
    endpoint_->assert_locked();
    listener->assert_locked();
    if (listener->closed || listener->state != State::Listening || listener->shut_read) return fail(Errno::ConnRefused);
    if (endpoint_->state == State::Connected) return fail(Errno::IsConn);
    if (endpoint_->state == State::Listening) return fail(Errno::Inval);
    if (listener->backlog_full()) return false;
    MutexLock server_lock(server->mutex);  // nobody else knows it yet
    server->state = State::Connected;
    server->peer = endpoint_;
    server->name = listener->name;
    server->own_credentials = listener->own_credentials;
    server->peer_credentials = credentials;
    endpoint_->state = State::Connected;
    endpoint_->peer = server;
    endpoint_->own_credentials = credentials;
    endpoint_->peer_credentials = listener->own_credentials;
    listener->waiting_clients.push_back(server);
  }
  listener->queue.wake(EPOLLIN | EPOLLRDNORM);
  return true;
}

Result<void> UnixSocket::connect_stream(Task& task, SocketAddress const& address) {
  TRY(autobind_for_credentials());
  auto deadline = send_deadline();
  for (;;) {
    auto listener = TRY(find(task, address));
    if (TRY(try_connect(task, listener))) break;
    if (nonblocking()) return fail(Errno::Again);
    auto waited = task.wait_until(listener->room, EPOLLOUT, deadline, [&] {
      MutexLock lock(listener->mutex);
      return !listener->backlog_full() || listener->closed || listener->shut_read;
    });
    if (!waited) return std::unexpected(interrupted(waited.error(), send_has_timeout()));
  }
  endpoint_->queue.wake(connect_events, everybody);
  return {};
}

Result<void> UnixSocket::connect_datagram(Task& task, SocketAddress const& address) {
  Ref<Endpoint> target, old;
  if (address.family() != AF_UNSPEC) {
    TRY(autobind_for_credentials());
    target = TRY(find(task, address));
  }
  MessageQueue unread;
  {
    PairLock lock(*endpoint_, target ? *target : *endpoint_);
    endpoint_->assert_locked();
    if (target) {
      target->assert_locked();
      if (target->closed) return fail(Errno::ConnRefused);
      if (target->peer && target->peer != endpoint_) return fail(Errno::Perm);
    }
    old = std::exchange(endpoint_->peer, target);
    endpoint_->state = target ? State::Connected : State::Unconnected;
    // What the old peer sent is not for us any more.
    if (old && old != target) unread.swap(endpoint_->messages);
  }
  if (old && old != target && !unread.empty()) part(*endpoint_, *old, true);
  endpoint_->queue.wake(connect_events, everybody);
  return {};
}

Result<Ref<kernel::Socket>> UnixSocket::accept(Task& task, int flags, SocketAddress& peer_name) {
  if (endpoint_->is_datagram()) return fail(Errno::OpNotSupp);
  auto deadline = receive_deadline();
  Ref<Endpoint> server;
  bool more = false;
  for (;;) {
    {
      MutexLock lock(endpoint_->mutex);
      if (endpoint_->state != State::Listening) return fail(Errno::Inval);
      auto& clients = endpoint_->waiting_clients;
      if (!clients.empty()) {
        server = std::move(clients.front());
        clients.pop_front();
        more = !clients.empty();
        break;
      }
      if (endpoint_->shut_read) return fail(Errno::Inval);
    }
    if (nonblocking()) return fail(Errno::Again);
    auto client_or_end = [&] {
      MutexLock lock(endpoint_->mutex);
      return !endpoint_->waiting_clients.empty() || endpoint_->shut_read;
    };
    auto waited = task.wait_until(endpoint_->queue, EPOLLIN, deadline, client_or_end, true);
    if (waited) continue;
    if (client_or_end()) endpoint_->queue.wake(EPOLLIN);  // the wake was perhaps meant for us
    return std::unexpected(interrupted(waited.error(), receive_has_timeout()));
  }
  if (more) endpoint_->queue.wake(EPOLLIN | EPOLLRDNORM);
  endpoint_->room.wake(EPOLLOUT);
  auto socket = make_ref<UnixSocket>(task, std::move(server), flags);
  auto name = socket->peer_address();
  peer_name = name ? *name : nameless_address();
  return socket;
}

}  // namespace cofferdam::unix_sockets

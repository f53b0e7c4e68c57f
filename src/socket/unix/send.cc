// Sending on AF_UNIX sockets.
#include <algorithm>
#include <limits>

#include "kernel/ipc/anonymous_file.h"
#include "kernel/task/task.h"
#include "kernel/task/thread_group.h"
#include "socket/unix/family.h"
#include "socket/unix/socket.h"

namespace cofferdam::unix_sockets {

using kernel::IoSource;
using kernel::PeerCredentials;
using kernel::SendRequest;
using kernel::SocketIdentity;
using kernel::Task;

namespace {

constexpr size_t max_stream_message = 65536;
constexpr uint64_t max_files_in_flight = 1 << 20;

// SCM_CREDENTIALS may claim what the sender is or could become (unix(7)): EPERM.
Result<SocketIdentity> checked(Task& task, PeerCredentials claimed) {
  auto c = task.credentials();
  bool const own = claimed.pid == task.tgid();
  bool pid_ok = own || c->capable(CAP_SYS_ADMIN);
  bool uid_ok = claimed.uid == c->uid || claimed.uid == c->euid || claimed.uid == c->suid || c->capable(CAP_SETUID);
  bool gid_ok = claimed.gid == c->gid || claimed.gid == c->egid || claimed.gid == c->sgid || c->capable(CAP_SETGID);
  if (!pid_ok || !uid_ok || !gid_ok) return fail(Errno::Perm);
  auto pid = own ? Ref<kernel::Pid>(&task.thread_group().pid()) : task.pids().find(claimed.pid);
  if (!pid) return fail(Errno::Srch);
  return SocketIdentity{std::move(pid), claimed.uid, claimed.gid};
}

}  // namespace

struct UnixSocket::Sending {
  SocketIdentity credentials;
  FlyingFiles files;  // they go with the first message
  Ref<Name const> from;
  bool nowait = false;
};

Result<UnixSocket::Sending> UnixSocket::prepare(Task& task, SendRequest& request) {
  if (request.flags & MSG_OOB) return fail(Errno::OpNotSupp);
  Sending sending;
  sending.nowait = (request.flags & MSG_DONTWAIT) || nonblocking();
  if (request.control.credentials) {
    sending.credentials = TRY(checked(task, *request.control.credentials));
  } else {
    auto c = task.credentials();
    sending.credentials = {Ref<kernel::Pid>(&task.thread_group().pid()), c->uid, c->gid};
  }
  if (!request.control.rights.empty()) {
    auto& family = endpoint_->family();
    uint64_t limit = task.thread_group().limits.current(RLIMIT_NOFILE);
    if (task.capable(CAP_SYS_RESOURCE) || task.capable(CAP_SYS_ADMIN)) limit = max_files_in_flight;
    if (family.files_in_flight() + request.control.rights.size() > std::min(limit, max_files_in_flight))
      return fail_host(ETOOMANYREFS);
    sending.files = FlyingFiles(family, std::move(request.control.rights));
  }
  MutexLock lock(endpoint_->mutex);
  sending.from = endpoint_->name;
  return sending;
}

// Copies from the guest before any lock is taken.
Result<std::unique_ptr<Message>> UnixSocket::make_message(IoSource& from, size_t size, Sending& sending) {
  auto message = std::make_unique<Message>();
  if (size != 0) {
    message->data = std::make_unique_for_overwrite<std::byte[]>(size);
    size_t got = 0;
    while (got < size) {
      auto part = from.get(std::span(message->data.get(), size).subspan(got));
      if (part && *part != 0) {
        got += *part;
        continue;
      }
      if (got == 0 || !endpoint_->is_stream()) return fail(Errno::Fault);
      break;
    }
    message->size = got;
  }
  message->credentials = sending.credentials;
  message->from = sending.from;
  message->files = std::move(sending.files);
  message->charge = charge_of(message->size);
  message->sender = endpoint_;
  endpoint_->charge(message->charge);
  return message;
}

Result<void> UnixSocket::wait_for_send_room(Task& task, bool nowait) {
  if (endpoint_->may_charge()) return {};
  if (nowait) return fail(Errno::Again);
  auto waited = task.wait_until(endpoint_->queue, EPOLLOUT, send_deadline(), [&] {
    if (endpoint_->may_charge()) return true;
    MutexLock lock(endpoint_->mutex);
    return endpoint_->shut_write || endpoint_->pending_error != 0;
  });
  if (!waited) return std::unexpected(interrupted(waited.error(), send_has_timeout()));
  return {};
}

Result<size_t> UnixSocket::send(Task& task, IoSource& from, SendRequest& request) {
  if (HostPeer* peer = host()) {
    auto sent = send_to_host(task, *peer, from, request);
    if (!sent && sent.error() == Errno::Pipe && endpoint_->is_stream() && !(request.flags & MSG_NOSIGNAL))
      return std::unexpected(kernel::broken_pipe(task));
    return sent;
  }
  if (endpoint_->is_stream()) return send_stream(task, from, request);
  return send_datagram(task, from, request);
}

// --- streams ---

Result<Ref<Endpoint>> UnixSocket::stream_peer() {
  MutexLock lock(endpoint_->mutex);
  if (!endpoint_->peer) return fail(Errno::NotConn);
  if (endpoint_->shut_write) return fail(Errno::Pipe);
  return endpoint_->peer;
}

Result<size_t> UnixSocket::send_stream(Task& task, IoSource& from, SendRequest& request) {
  auto sending = TRY(prepare(task, request));
  if (request.address.length != 0) {
    MutexLock lock(endpoint_->mutex);
    return fail(endpoint_->state == State::Connected ? Errno::IsConn : Errno::OpNotSupp);
  }
  size_t total = 0;
  auto end_with = [&](Error e) -> Result<size_t> {
    if (total != 0) return total;
    if (e == Errno::Pipe && !(request.flags & MSG_NOSIGNAL)) return std::unexpected(kernel::broken_pipe(task));
    return std::unexpected(e);
  };
  do {
    auto peer = stream_peer();
    if (!peer) return end_with(peer.error());
    if (from.remaining() == 0) return total;
    if (auto room = wait_for_send_room(task, sending.nowait); !room) return end_with(room.error());
    size_t at_most = std::min<size_t>(static_cast<size_t>(endpoint_->send_buffer()) / 2 - 64, max_stream_message);
    auto message = make_message(from, std::min(from.remaining(), at_most), sending);
    if (!message) return end_with(message.error());
    size_t size = (*message)->size;
    {
      MutexLock lock((*peer)->mutex);
      if ((*peer)->closed || (*peer)->shut_read) {
        lock.unlock();
        return end_with(Errno::Pipe);
      }
      (*peer)->messages.push(std::move(*message));
    }
    (*peer)->queue.wake(EPOLLIN | EPOLLRDNORM);
    total += size;
  } while (from.remaining() != 0);
  return total;
}

// --- datagrams and sequenced packets ---

Result<Ref<Endpoint>> UnixSocket::datagram_target(Task& task, SendRequest const& request) {
  if (endpoint_->is_datagram() && request.address.length != 0) return find(task, request.address);
  MutexLock lock(endpoint_->mutex);
  if (!endpoint_->peer || endpoint_->state != State::Connected) return fail(Errno::NotConn);
  return endpoint_->peer;
}

void UnixSocket::forget_peer(Endpoint const& gone) {
  Ref<Endpoint> dropped;
  MutexLock lock(endpoint_->mutex);
  if (endpoint_->peer != &gone) return;
  dropped = std::move(endpoint_->peer);
  endpoint_->state = State::Unconnected;
}

// EPERM, EPIPE, ECONNREFUSED.
Result<UnixSocket::Delivery> UnixSocket::deliver_datagram(Endpoint& to, std::unique_ptr<Message>& message) {
  {
    MutexLock lock(to.mutex);
    if (to.closed) return Delivery::Gone;
    bool mutual = to.peer == endpoint_;
    if (to.peer && !mutual) return fail(Errno::Perm);
    if (to.shut_read) return fail(Errno::Pipe);
    if (&to != endpoint_.get() && !mutual && to.queue_full()) return Delivery::Full;
    to.messages.push(std::move(message));
  }
  to.queue.wake(EPOLLIN | EPOLLRDNORM);
  return Delivery::Done;
}

Result<size_t> UnixSocket::send_datagram(Task& task, IoSource& from, SendRequest& request) {
  size_t size = from.remaining();
  if (size > static_cast<size_t>(endpoint_->send_buffer()) - 32) return fail(Errno::MsgSize);
  if (endpoint_->is_datagram()) TRY(autobind_for_credentials());
  auto sending = TRY(prepare(task, request));
  bool nowait = sending.nowait;
  auto target = TRY(datagram_target(task, request));
  {
    MutexLock lock(endpoint_->mutex);
    if (endpoint_->shut_write) return fail(Errno::Pipe);
  }
  TRY(wait_for_send_room(task, nowait));
  auto message = TRY(make_message(from, size, sending));
  for (;;) {
    switch (TRY(deliver_datagram(*target, message))) {
      case Delivery::Done:
        return size;
      case Delivery::Gone:
        forget_peer(*target);
        return fail(endpoint_->is_datagram() ? Errno::ConnRefused : Errno::Pipe);
      case Delivery::Full:
        break;
    }
    if (nowait) return fail(Errno::Again);
    auto waited = task.wait_until(target->room, EPOLLOUT, send_deadline(), [&] {
      MutexLock lock(target->mutex);
      return !target->queue_full() || target->closed || target->shut_read;
    });
    if (!waited) return std::unexpected(interrupted(waited.error(), send_has_timeout()));
  }
}

}  // namespace cofferdam::unix_sockets

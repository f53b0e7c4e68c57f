#include "socket/unix/host_peer.h"

#include <poll.h>

#include <algorithm>

#include "host/readiness.h"
#include "host/unix_socket.h"
#include "kernel/host_notifier.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/vfs/dentry.h"
#include "socket/unix/family.h"
#include "socket/unix/socket.h"

namespace cofferdam::unix_sockets {

using kernel::IoSink;
using kernel::IoSource;
using kernel::PollMask;
using kernel::ReceiveResult;
using kernel::SendRequest;
using kernel::ShutdownHow;
using kernel::SocketAddress;
using kernel::Task;

namespace {

constexpr size_t chunk = 64 << 10;

}  // namespace

Result<std::unique_ptr<HostPeer>> HostPeer::create(kernel::Kernel& kernel, host::OwnedFd fd, int type,
                                                   kernel::WaitQueue& queue, SocketAddress name) {
  int const number = fd.get();
  std::unique_ptr<HostPeer> peer(new HostPeer(kernel, std::move(fd), type, name));
  TRY(kernel.host_notifier().add(number, queue));
  return peer;
}

HostPeer::~HostPeer() { kernel_.host_notifier().remove(fd_.get()); }

Result<size_t> HostPeer::send(IoSource& from, SendRequest& request, size_t most) {
  if (!request.control.empty()) return fail(Errno::OpNotSupp);
  size_t const size = from.remaining();
  if (type_ != SOCK_STREAM && size > most) return fail(Errno::MsgSize);
  size_t const room = type_ == SOCK_STREAM ? std::min(size, chunk) : size;
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(std::max<size_t>(room, 1));
  size_t const got = room == 0 ? 0 : TRY(from.get(std::span(buffer.get(), room)));
  if (type_ != SOCK_STREAM && got != size) return fail(Errno::Fault);
  auto sent = host::send_bytes(fd_.get(), std::span(buffer.get(), got));
  if (size_t const left = got - sent.value_or(0); left != 0) from.unget(left);
  return sent;
}

Result<ReceiveResult> HostPeer::receive(IoSink& to, int flags) {
  size_t const room = std::min(to.remaining(), type_ == SOCK_STREAM ? chunk : size_t{1} << 20);
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(std::max<size_t>(room, 1));
  auto got = TRY(host::receive_bytes(fd_.get(), std::span(buffer.get(), room), (flags & MSG_PEEK) != 0));
  ReceiveResult result;
  if (got.stored != 0 && TRY(to.put(std::span(buffer.get(), got.stored))) != got.stored) return fail(Errno::Fault);
  bool const cut = type_ != SOCK_STREAM && got.whole > got.stored;
  if (cut) result.flags |= MSG_TRUNC;
  result.bytes = cut && (flags & MSG_TRUNC) ? got.whole : got.stored;
  if (type_ == SOCK_SEQPACKET && got.whole != 0) result.flags |= MSG_EOR;
  return result;
}

bool HostPeer::ready(uint32_t events) const { return host::ready_now(fd_.get(), events) != 0; }

PollMask HostPeer::poll() const {
  uint32_t const now = host::ready_now(fd_.get(), POLLIN | POLLOUT | POLLPRI | POLLRDHUP);
  PollMask ready = now & (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLERR | EPOLLHUP | EPOLLRDHUP);
  if (ready & EPOLLIN) ready |= EPOLLRDNORM;
  if (ready & EPOLLOUT) ready |= EPOLLWRNORM | EPOLLWRBAND;
  return ready;
}

Result<void> HostPeer::shutdown(ShutdownHow how) { return host::shut_down(fd_.get(), static_cast<int>(how)); }

// --- the socket's side ---

// A socket of the host, where no socket of the guest's own is bound: a connection, or why not.
Result<void> UnixSocket::connect_host(Task& task, SocketAddress const& address) {
  auto const& connector = endpoint_->family().host_connector();
  auto bytes = TRY(parse(address, AddressUse::Connect));
  if (!connector || bytes.empty() || bytes.front() == '\0') return fail(Errno::ConnRefused);
  auto& vfs = task.kernel().vfs();
  auto path = TRY(vfs.lookup(task, TRY(vfs.start_of(task, AT_FDCWD, bytes)), bytes, {}));
  auto* inode = path.dentry->inode();
  constexpr int may_write = 2;
  TRY(inode->permission(*task.credentials(), may_write));
  bool const own = inode->with_attachment(kernel::Attachment::BoundSocket,
                                          [](Ref<RefCounted>& slot) { return static_cast<bool>(slot); });
  if (!S_ISSOCK(inode->type()) || own) return fail(Errno::ConnRefused);
  host::OwnedFd fd;
  for (;;) {
    auto connected = connector(*inode, endpoint_->type());
    if (connected) {
      fd = std::move(*connected);
      break;
    }
    if (connected.error() != Errno::Again || nonblocking()) return std::unexpected(connected.error());
    // The host tells nobody when its listener has room again.
    constexpr kernel::Nanoseconds pause = 10 * 1'000'000;
    auto waited = task.wait_until(endpoint_->room, 0, kernel::Deadline::after(pause), [] { return false; });
    if (!waited && waited.error() != Errno::TimedOut) return std::unexpected(waited.error());
  }
  auto peer = TRY(HostPeer::create(task.kernel(), std::move(fd), endpoint_->type(), endpoint_->queue, address));
  {
    MutexLock lock(endpoint_->mutex);
    if (endpoint_->state != State::Unconnected || host_peer_) return fail(Errno::IsConn);
    endpoint_->state = State::Connected;
    host_peer_ = std::move(peer);
    host_.store(host_peer_.get(), std::memory_order_release);
  }
  endpoint_->queue.wake(EPOLLIN | EPOLLOUT, SIZE_MAX);
  return {};
}

Result<size_t> UnixSocket::send_to_host(Task& task, HostPeer& host, IoSource& from, SendRequest& request) {
  bool const nowait = (request.flags & MSG_DONTWAIT) || nonblocking();
  size_t done = 0;
  do {
    auto sent = host.send(from, request, static_cast<size_t>(endpoint_->send_buffer()));
    if (sent) {
      done += *sent;
      continue;
    }
    if (done != 0 && (sent.error() != Errno::Again || nowait)) return done;
    if (sent.error() != Errno::Again || nowait) return sent;
    auto waited = task.wait_until(endpoint_->queue, EPOLLOUT, send_deadline(), [&] { return host.ready(POLLOUT); });
    if (!waited) {
      if (done != 0) return done;
      return std::unexpected(interrupted(waited.error(), send_has_timeout()));
    }
  } while (from.remaining() != 0);
  return done;
}

Result<ReceiveResult> UnixSocket::receive_from_host(Task& task, HostPeer& host, IoSink& to, int flags) {
  bool const all = endpoint_->is_stream() && (flags & MSG_WAITALL) && !(flags & MSG_PEEK);
  ReceiveResult whole;
  for (;;) {
    auto got = host.receive(to, flags);
    if (got) {
      size_t const n = got->bytes;
      whole.bytes += n;
      whole.flags = got->flags;
      if (!all || n == 0 || to.remaining() == 0) return whole;
      continue;
    }
    if (got.error() != Errno::Again) return whole.bytes != 0 ? Result<ReceiveResult>(whole) : got;
    if ((flags & MSG_DONTWAIT) || nonblocking()) return whole.bytes != 0 ? Result<ReceiveResult>(whole) : got;
    auto waited = task.wait_until(endpoint_->queue, EPOLLIN, receive_deadline(), [&] { return host.ready(POLLIN); });
    if (!waited) {
      if (whole.bytes != 0) return whole;
      return std::unexpected(interrupted(waited.error(), receive_has_timeout()));
    }
  }
}

}  // namespace cofferdam::unix_sockets

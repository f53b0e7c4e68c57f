#include "socket/inet/tcp_socket.h"

#include <asm/sockios.h>
#include <netinet/in.h>

#include <algorithm>

#include "kernel/ipc/anonymous_file.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"

namespace cofferdam::inet {

using kernel::IoSink;
using kernel::IoSource;
using kernel::ReceiveResult;
using kernel::SendRequest;
using kernel::ShutdownHow;
using kernel::SocketAddress;
using kernel::Task;
using netstack::Chain;
using netstack::Chunk;
using netstack::Events;
using netstack::Peer;
using netstack::TcpEndpoint;
using netstack::TcpState;
using netstack::View;

namespace {

constexpr size_t send_step = 65483;  // the payload of a loopback segment: chunk and segment go together
constexpr size_t small_send = 1024;  // copied into the queue's last chunk
constexpr size_t receive_step = 256 << 10;
constexpr size_t large_view = 16 << 10;  // written to the guest at once: a second copy would cost more than the call
constexpr Events done_events = netstack::event_out | netstack::event_error | netstack::event_hang_up;

}  // namespace

TcpSocket::TcpSocket(Task& creator, std::shared_ptr<Network> network, int domain, int flags)
    : InetSocket(creator, std::move(network), domain, SOCK_STREAM, IPPROTO_TCP, flags),
      endpoint_(make_ref<TcpEndpoint>(stack(), domain == AF_INET, notifier_)) {
  endpoint_->owner.inode = inode_number();
  endpoint_->owner.uid = creator.credentials()->fsuid;
  auto [send_size, receive_size] = endpoint_->buffer_sizes();
  send_buffer_ = static_cast<int>(send_size);
  receive_buffer_ = static_cast<int>(receive_size);
}

TcpSocket::TcpSocket(Task& creator, TcpSocket& listener, Ref<TcpEndpoint> endpoint, int flags)
    : InetSocket(creator, listener.network_, listener.domain(), SOCK_STREAM, IPPROTO_TCP, flags),
      endpoint_(std::move(endpoint)) {
  endpoint_->owner.inode = inode_number();
  endpoint_->owner.uid = creator.credentials()->fsuid;
  endpoint_->set_observer(notifier_);
  if (listener.options_touched_) inherit(creator, listener);
}

TcpSocket::~TcpSocket() { endpoint_->close(linger_zero_); }

// An accepted socket has its listener's options (as sk_clone of Linux leaves them).
void TcpSocket::inherit(Task& task, TcpSocket& listener) {
  for (int name : {SO_KEEPALIVE, SO_REUSEADDR, SO_REUSEPORT, SO_OOBINLINE, SO_PRIORITY, SO_LINGER, SO_RCVLOWAT}) {
    auto value = listener.get_option(task, SOL_SOCKET, name, sizeof(linger));
    if (value) static_cast<void>(InetSocket::set_option(task, SOL_SOCKET, name, *value));
  }
  send_buffer_ = listener.send_buffer_.load();
  receive_buffer_ = listener.receive_buffer_.load();
  linger_zero_ = listener.linger_zero_.load();
  linger_seconds_ = listener.linger_seconds_.load();
  options_touched_ = true;
  ip_.inherit(listener.ip_);
  timestamps_.copy_from(listener.timestamps_);
  reuse_address_ = listener.reuse_address_.load();
  reuse_port_ = listener.reuse_port_.load();
  zero_copy_ = listener.zero_copy_.load();
  tells_waiting_ = listener.tells_waiting_.load();
}

// SO_LINGER (socket(7)): the last close waits until all is sent and acknowledged, or the time is over.
Result<void> TcpSocket::on_descriptor_close(Task& task) {
  int const seconds = linger_seconds_;
  auto const state = endpoint_->state();
  bool const open = state == TcpState::Established || state == TcpState::CloseWait || state == TcpState::FinWait1 ||
                    state == TcpState::Closing || state == TcpState::LastAck;
  if (seconds <= 0 || ref_count() > 1 || !open || endpoint_->readable_bytes() != 0) return {};
  static_cast<void>(endpoint_->shutdown(true, true));
  auto const deadline = kernel::Deadline::after(seconds * kernel::ns_per_second);
  static_cast<void>(
      task.wait_until(notifier_->queue, EPOLLOUT, deadline, [&] { return endpoint_->closed_for_good(); }));
  return {};
}

// --- opening ---

Result<void> TcpSocket::bind(Task& task, SocketAddress const& address) {
  auto peer = TRY(parse(address, AddressUse::Bind));
  return endpoint_->bind(TRY(bind_request(task, peer)));
}

Result<void> TcpSocket::listen(Task& task, int backlog) {
  Peer any{netstack::Address::any(is_v4()), 0, 0};
  TRY(endpoint_->listen(static_cast<size_t>(backlog), TRY(bind_request(task, any))));
  return {};
}

Result<void> TcpSocket::wait_connected(Task& task) {
  if (nonblocking()) return fail(Errno::InProgress);
  auto waited = task.wait_until(notifier_->queue, EPOLLOUT, send_deadline(),
                                [&] { return (endpoint_->ready() & done_events) != 0; });
  if (!waited) {
    if (waited.error() == Errno::TimedOut) return fail(Errno::InProgress);
    return std::unexpected(interrupted(waited.error(), send_has_timeout()));
  }
  connecting_ = false;
  if (int error = endpoint_->take_error(); error != 0) return fail_host(error);
  if (endpoint_->state() == TcpState::Closed) return fail(Errno::ConnAborted);
  return {};
}

Result<void> TcpSocket::connect(Task& task, SocketAddress const& address) {
  if (address.length >= sizeof(sa_family_t) && address.family() == AF_UNSPEC) {
    connecting_ = false;
    endpoint_->disconnect();
    return {};
  }
  auto state = endpoint_->state();
  if (connecting_) {
    if (state == TcpState::SynSent || state == TcpState::SynReceived) {
      if (nonblocking()) return fail(Errno::Already);
      return wait_connected(task);
    }
    connecting_ = false;
    if (int error = endpoint_->take_error(); error != 0) return fail_host(error);
    if (state != TcpState::Closed) return {};
  }
  TRY(begin_connect(task, address));
  return wait_connected(task);  // EINPROGRESS for who does not block, also where the answer is here already
}

Result<void> TcpSocket::begin_connect(Task& task, SocketAddress const& address) {
  auto peer = TRY(parse(address, AddressUse::Connect));
  if (endpoint_->state() == TcpState::Listen) return fail(Errno::IsConn);
  TRY(endpoint_->connect(peer, TRY(bind_request(task, {netstack::Address::any(peer.address.is_v4()), 0, 0}))));
  connecting_ = true;
  return {};
}

Result<Ref<kernel::Socket>> TcpSocket::accept(Task& task, int flags, SocketAddress& peer) {
  auto deadline = receive_deadline();
  for (;;) {
    auto got = endpoint_->accept();
    if (got) {
      if (endpoint_->accept_queue_length() != 0) notifier_->on_events(netstack::event_in);
      auto remote = (*got)->remote();
      peer = to_sockaddr(remote.value_or(Peer{}), domain());
      return make_ref<TcpSocket>(task, *this, std::move(*got), flags);
    }
    if (got.error() != Errno::Again || nonblocking()) return std::unexpected(got.error());
    auto waited = task.wait_until(
        notifier_->queue, EPOLLIN, deadline,
        [&] { return endpoint_->accept_queue_length() != 0 || endpoint_->state() != TcpState::Listen; }, true);
    if (waited) continue;
    if (endpoint_->accept_queue_length() != 0) notifier_->on_events(netstack::event_in);
    return std::unexpected(interrupted(waited.error(), receive_has_timeout()));
  }
}

Result<SocketAddress> TcpSocket::local_address() { return to_sockaddr(endpoint_->local(), domain()); }

Result<SocketAddress> TcpSocket::peer_address() {
  auto remote = endpoint_->remote();
  if (!remote) return fail(Errno::NotConn);
  return to_sockaddr(*remote, domain());
}

Result<void> TcpSocket::shutdown(ShutdownHow how) {
  return endpoint_->shutdown(how != ShutdownHow::Write, how != ShutdownHow::Read);
}

// --- data ---

// MSG_FASTOPEN (tcp(7)): connects first. No peer is known to take data with the SYN, so they follow the handshake.
Result<void> TcpSocket::connect_to_send(Task& task, SendRequest const& request) {
  constexpr uint64_t by_clients = 1;  // TFO_CLIENT_ENABLE
  bool const allowed = task.kernel().sysctls().number("net/ipv4/tcp_fastopen") & by_clients;
  bool const disconnects = request.address.length >= sizeof(sa_family_t) && request.address.family() == AF_UNSPEC;
  if (!allowed || disconnects) return fail(Errno::OpNotSupp);
  auto const state = endpoint_->state();
  if (state == TcpState::SynSent || state == TcpState::SynReceived) return fail(Errno::Already);
  if (state != TcpState::Closed) return fail(Errno::IsConn);
  if (request.address.length < sizeof(sa_family_t)) return fail(Errno::Inval);
  if ((request.flags & MSG_DONTWAIT) == 0 || nonblocking()) return connect(task, request.address);
  TRY(begin_connect(task, request.address));
  return fail(Errno::InProgress);
}

// How much a piece of the stream is, and what becomes of it: the last byte of an urgent send is urgent.
Result<void> TcpSocket::send_piece(IoSource& from, size_t n, bool more, bool urgent) {
  if (n <= small_send) {
    std::byte buffer[small_send];
    auto taken = from.get(std::span(buffer).first(n));
    if (!taken || *taken < n) return fail(Errno::Fault);  // of this piece nothing is sent
    auto const bytes = std::span(buffer).first(n);
    return urgent && !more ? endpoint_->send_urgent(bytes) : endpoint_->send_copy(bytes, more);
  }
  Chunk* chunk = Chunk::create(static_cast<uint32_t>(n), &stack().buffers());
  View view = View::adopt(chunk, 0, static_cast<uint32_t>(n));
  auto taken = from.get(std::span(chunk->data(), n));
  if (!taken || *taken < n) return fail(Errno::Fault);
  chunk->set_used(static_cast<uint32_t>(n));
  Chain chain;
  chain.append(std::move(view));
  return endpoint_->send(std::move(chain), more);
}

Result<size_t> TcpSocket::send(Task& task, IoSource& from, SendRequest& request) {
  if (request.flags & MSG_FASTOPEN) TRY(connect_to_send(task, request));
  bool const tells = (request.flags & MSG_ZEROCOPY) && from.remaining() != 0;
  auto const sent = send_stream(task, from, request.flags);
  if (tells && sent) note_zero_copy();
  return sent;
}

Result<size_t> TcpSocket::send_stream(Task& task, IoSource& from, int flags) {
  bool const urgent = flags & MSG_OOB;
  bool nowait = (flags & MSG_DONTWAIT) || nonblocking(), more_flag = flags & MSG_MORE;
  size_t total = 0;
  auto end_with = [&](Error e) -> Result<size_t> {
    if (total != 0) return total;
    if (e == Errno::Pipe && !(flags & MSG_NOSIGNAL)) return std::unexpected(kernel::broken_pipe(task));
    return std::unexpected(e);
  };
  do {
    auto room = endpoint_->send_room();
    if (!room) return end_with(room.error());
    if (from.remaining() == 0) return total;
    if (*room == 0) {
      if (nowait) return end_with(Errno::Again);
      auto waited = task.wait_until(notifier_->queue, EPOLLOUT, send_deadline(),
                                    [&] { return (endpoint_->ready() & done_events) != 0; });
      if (!waited) return end_with(interrupted(waited.error(), send_has_timeout()));
      continue;
    }
    size_t n = std::min({from.remaining(), *room, urgent ? small_send : send_step});
    bool more = (more_flag && !urgent) || from.remaining() > n;
    auto const sent = send_piece(from, n, more, urgent);
    if (!sent) return end_with(sent.error());
    total += n;
  } while (from.remaining() != 0);
  return total;
}

// Copies what is there to the guest; it leaves the queue only when it has arrived.
Result<TcpSocket::Copied> TcpSocket::copy_available(IoSink& to, size_t offset, size_t length, int flags,
                                                    bool keep_error) {
  MutexLock receiving(receive_mutex_);
  Copied copied;
  to.need_exact_counts();
  auto chain = endpoint_->peek(offset, std::min(length, receive_step), keep_error);
  if (!chain) {
    if (chain.error() != Errno::Again) return std::unexpected(chain.error());
    copied.empty = true;
    return copied;
  }
  copied.end = chain->empty();
  if (flags & MSG_TRUNC) {
    copied.bytes = chain->size();
  } else {
    for (size_t i = 0; i < chain->view_count(); ++i) {
      auto bytes = chain->view(i).bytes();
      size_t const at_once = bytes.size() >= large_view ? to.put_view(bytes) : 0;
      if (at_once == bytes.size()) {
        copied.bytes += at_once;
        continue;
      }
      copied.bytes += at_once;
      bytes = bytes.subspan(at_once);
      auto put = to.put(bytes);
      if (!put) {
        if (copied.bytes == 0) return std::unexpected(put.error());
        break;
      }
      copied.bytes += *put;
      if (*put < bytes.size()) break;
    }
  }
  if (!(flags & MSG_PEEK) && copied.bytes != 0) endpoint_->consume(copied.bytes);
  return copied;
}

// tcp_recv_urg of Linux.
Result<ReceiveResult> TcpSocket::receive_urgent(IoSink& to, int flags) {
  if (listening()) return fail(Errno::NotConn);
  auto const byte = TRY(endpoint_->take_urgent(flags & MSG_PEEK));
  ReceiveResult result;
  if (!byte) return result;
  result.flags = MSG_OOB;
  if (to.remaining() == 0) {
    result.flags |= MSG_TRUNC;
    return result;
  }
  if (!(flags & MSG_TRUNC)) TRY(to.put(std::span(&*byte, 1)));
  result.bytes = 1;
  return result;
}

// TCP_INQ: how many bytes are left; 1 at the end of the stream, which is something to read too.
void TcpSocket::add_waiting(ReceiveResult& result) const {
  size_t const left = endpoint_->readable_bytes();
  bool const end = left == 0 && (endpoint_->ready() & netstack::event_read_hang_up);
  int const told = end ? 1 : static_cast<int>(std::min<size_t>(left, INT32_MAX));
  result.control.others.push_back({IPPROTO_TCP, tcp_inq, option_bytes(told, sizeof told)});
}

// SO_PEEK_OFF (socket(7)): peeking begins there and moves on; what is read brings it back.
Result<ReceiveResult> TcpSocket::receive(Task& task, IoSink& to, int flags) {
  if (flags & MSG_ERRQUEUE) {
    auto const done = zero_copies_.take();
    if (!done) return fail(Errno::Again);
    return tell_error(*done, to, domain());
  }
  if (flags & MSG_OOB) return receive_urgent(to, flags);
  int const offset = peek_offset_;
  bool const peeks = flags & MSG_PEEK;
  auto received = receive_from(task, to, flags, peeks && offset > 0 ? static_cast<size_t>(offset) : 0);
  if (received && tells_waiting_) add_waiting(*received);
  if (offset < 0 || !received) return received;
  auto const n = static_cast<int>(std::min<size_t>(received->bytes, INT32_MAX / 2));
  peek_offset_ = peeks ? static_cast<int>(std::min<int64_t>(int64_t{offset} + n, INT32_MAX)) : std::max(0, offset - n);
  return received;
}

// skip: how many bytes of the queue to pass over, when peeking.
Result<ReceiveResult> TcpSocket::receive_from(Task& task, IoSink& to, int flags, size_t skip) {
  bool nowait = (flags & MSG_DONTWAIT) || nonblocking();
  size_t wanted = to.remaining();
  size_t target = flags & MSG_WAITALL ? wanted : std::min<size_t>(wanted, endpoint_->receive_low_water);
  auto deadline = receive_deadline();
  ReceiveResult result;
  for (;;) {
    // Nothing wanted: it only waits until there is something.
    size_t const from = flags & MSG_PEEK ? skip + result.bytes : 0;
    auto copied = wanted == 0 ? copy_available(to, skip, 1, MSG_PEEK | MSG_TRUNC)
                              : copy_available(to, from, wanted - result.bytes, flags, result.bytes != 0);
    if (!copied) {
      if (result.bytes != 0) return result;
      return std::unexpected(copied.error());
    }
    if (copied->end || (wanted == 0 && !copied->empty)) return result;
    result.bytes += copied->bytes;
    if (result.bytes >= wanted && wanted != 0) return result;
    if (!copied->empty) {
      // As far as the mark in one call (tcp(7)).
      if (endpoint_->at_mark(flags & MSG_PEEK ? skip + result.bytes : 0)) return result;
      continue;
    }
    if (result.bytes >= target && result.bytes != 0) return result;
    if (nowait) {
      if (result.bytes != 0) return result;
      return fail(Errno::Again);
    }
    size_t before = flags & MSG_PEEK ? skip + result.bytes : 0;
    constexpr Events ends = netstack::event_error | netstack::event_hang_up | netstack::event_read_hang_up;
    auto waited = task.wait_until(notifier_->queue, EPOLLIN | EPOLLRDHUP, deadline, [&] {
      return endpoint_->readable_bytes() > before || (endpoint_->ready() & ends) != 0;
    });
    if (!waited) {
      if (result.bytes != 0) return result;
      return std::unexpected(interrupted(waited.error(), receive_has_timeout()));
    }
  }
}

kernel::PollMask TcpSocket::poll() {
  auto const m = poll_mask(endpoint_->ready());
  if (zero_copies_.empty()) return m;
  return m | EPOLLERR | (select_error_queue_ ? kernel::PollMask{EPOLLPRI} : 0);
}

// SIOCATMARK (tcp(7), sockatmark(3)).
Result<uint64_t> TcpSocket::ioctl(Task& task, uint32_t request, uint64_t argument) {
  if (request != SIOCATMARK) return InetSocket::ioctl(task, request, argument);
  TRY(task.write(kernel::UserPtr<int32_t>(argument), int32_t{endpoint_->at_mark() ? 1 : 0}));
  return 0;
}

Result<int> TcpSocket::input_queue() {
  if (listening()) return fail(Errno::Inval);
  return static_cast<int>(std::min<size_t>(endpoint_->readable_bytes(), INT32_MAX));
}
Result<int> TcpSocket::output_queue() {
  if (listening()) return fail(Errno::Inval);
  return static_cast<int>(std::min<size_t>(endpoint_->unacked_bytes(), INT32_MAX));
}

}  // namespace cofferdam::inet

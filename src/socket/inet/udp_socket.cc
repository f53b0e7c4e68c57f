#include "socket/inet/udp_socket.h"

#include <netinet/in.h>

#include <algorithm>

#include "kernel/task/task.h"

namespace cofferdam::inet {

using kernel::IoSink;
using kernel::IoSource;
using kernel::ReceiveResult;
using kernel::SendRequest;
using kernel::ShutdownHow;
using kernel::SocketAddress;
using kernel::Task;
using netstack::Address;
using netstack::Chain;
using netstack::Chunk;
using netstack::Datagram;
using netstack::Peer;
using netstack::UdpEndpoint;
using netstack::View;

UdpSocket::UdpSocket(Task& creator, std::shared_ptr<Network> network, int domain, int flags)
    : InetSocket(creator, std::move(network), domain, SOCK_DGRAM, IPPROTO_UDP, flags),
      endpoint_(make_ref<UdpEndpoint>(stack(), domain == AF_INET, notifier_)) {
  endpoint_->owner.inode = inode_number();
  endpoint_->owner.uid = creator.credentials()->fsuid;
}

UdpSocket::~UdpSocket() { endpoint_->close(); }

Result<void> UdpSocket::bind(Task& task, SocketAddress const& address) {
  auto peer = TRY(parse(address, AddressUse::Bind));
  return endpoint_->bind(TRY(bind_request(task, peer)));
}

Result<void> UdpSocket::connect(Task& task, SocketAddress const& address) {
  if (address.length >= sizeof(sa_family_t) && address.family() == AF_UNSPEC) {
    endpoint_->disconnect();
    return {};
  }
  auto peer = TRY(parse(address, AddressUse::Connect));
  return endpoint_->connect(peer, TRY(bind_request(task, {peer.address, 0, 0})));
}

Result<SocketAddress> UdpSocket::local_address() { return to_sockaddr(endpoint_->local(), domain()); }

Result<SocketAddress> UdpSocket::peer_address() {
  auto remote = endpoint_->remote();
  if (!remote) return fail(Errno::NotConn);
  return to_sockaddr(*remote, domain());
}

Result<void> UdpSocket::shutdown(ShutdownHow how) {
  if (!endpoint_->remote()) return fail(Errno::NotConn);
  endpoint_->shutdown(how != ShutdownHow::Write, how != ShutdownHow::Read);
  return {};
}

// Ancillary data of one datagram (ip(7), ipv6(7)); what is not known is EINVAL.
Result<netstack::SendOptions> UdpSocket::send_options(SendRequest const& request, bool multicast) const {
  if (!request.control.rights.empty() || request.control.credentials) return fail(Errno::Inval);
  netstack::SendOptions o;
  o.ttl = multicast ? multicast_ttl_ : is_v4() ? ttl_ : hop_limit_;
  o.tos = is_v4() ? tos_ : traffic_class_;
  o.path_mtu = static_cast<netstack::PathMtuMode>((is_v4() ? mtu_discover_ : mtu_discover6_).load());
  o.host_only = multicast && multicast_ttl_ == 0;
  o.loop = multicast_loop_;
  for (auto const& c : request.control.others) {
    bool ttl = (c.level == IPPROTO_IP && c.type == IP_TTL) || (c.level == IPPROTO_IPV6 && c.type == IPV6_HOPLIMIT);
    bool tos = (c.level == IPPROTO_IP && c.type == IP_TOS) || (c.level == IPPROTO_IPV6 && c.type == IPV6_TCLASS);
    if (!ttl && !tos) return fail(Errno::Inval);
    int value = tos && c.bytes.size() == 1 ? static_cast<int>(c.bytes[0]) : TRY(option_value<int>(c.bytes));
    if (value < (ttl ? 1 : 0) || value > 255) return fail(Errno::Inval);
    (ttl ? o.ttl : o.tos) = static_cast<uint8_t>(value);
  }
  return o;
}

Result<size_t> UdpSocket::send(Task& task, IoSource& from, SendRequest& request) {
  if (request.flags & MSG_OOB) return fail(Errno::OpNotSupp);
  size_t size = from.remaining();
  if (size > UdpEndpoint::max_payload) return fail(Errno::MsgSize);
  std::optional<Peer> to;
  if (request.address.length != 0) {
    to = TRY(parse(request.address, AddressUse::Connect));
    if (to->port == 0) return fail(Errno::Inval);
  }
  auto options = TRY(send_options(request, to && to->address.is_multicast()));
  Chain payload;
  if (size != 0) {
    Chunk* chunk = Chunk::create(static_cast<uint32_t>(size), &stack().buffers());
    View view = View::adopt(chunk, 0, static_cast<uint32_t>(size));
    size_t got = TRY(from.get(std::span(chunk->data(), size)));
    if (got < size) return fail(Errno::Fault);
    chunk->set_used(static_cast<uint32_t>(size));
    payload.append(std::move(view));
  }
  auto defaults = TRY(bind_request(task, {Address::any(is_v4()), 0, 0}));
  auto sent = endpoint_->send(std::move(payload), to, options, defaults);
  return sent;
}

void UdpSocket::add_control(Datagram const& d, ReceiveResult& result) const {
  auto add = [&](int level, int type, auto const& value) {
    auto b = std::as_bytes(std::span(&value, 1));
    result.control.others.push_back({level, type, {b.begin(), b.end()}});
  };
  if (timestamp_ns_ || timestamp_) {
    auto arrived = kernel::host_now(CLOCK_REALTIME) - (kernel::host_now(CLOCK_MONOTONIC) - d.arrival);
    if (timestamp_ns_)
      add(SOL_SOCKET, SO_TIMESTAMPNS, kernel::to_timespec(arrived));
    else
      add(SOL_SOCKET, SO_TIMESTAMP, kernel::to_timeval(arrived));
  }
  bool four = d.destination.address.is_v4();
  if (receive_info_ && four) {
    in_pktinfo info{};
    info.ipi_ifindex = static_cast<int>(d.interface);
    info.ipi_addr.s_addr = info.ipi_spec_dst.s_addr = htonl(d.destination.address.v4());
    add(IPPROTO_IP, IP_PKTINFO, info);
  }
  if (receive_ttl_ && four) add(IPPROTO_IP, IP_TTL, int{d.ttl});
  if (receive_tos_ && four) add(IPPROTO_IP, IP_TOS, d.tos);
  if (is_v4()) return;
  if (receive_info6_) {
    in6_pktinfo info{};
    info.ipi6_ifindex = d.interface;
    std::memcpy(&info.ipi6_addr, d.destination.address.bytes().data(), sizeof info.ipi6_addr);
    add(IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
  if (receive_ttl6_) add(IPPROTO_IPV6, IPV6_HOPLIMIT, int{d.ttl});
  if (receive_tos6_) add(IPPROTO_IPV6, IPV6_TCLASS, int{d.tos});
}

Result<ReceiveResult> UdpSocket::receive(Task& task, IoSink& to, int flags) {
  if (flags & MSG_OOB) return fail(Errno::OpNotSupp);
  if (flags & MSG_ERRQUEUE) return fail(Errno::Again);
  bool nowait = (flags & MSG_DONTWAIT) || nonblocking();
  auto deadline = receive_deadline();
  for (;;) {
    auto d = endpoint_->receive(flags & MSG_PEEK);
    if (d) {
      ReceiveResult result;
      size_t whole = d->payload.size(), n = std::min(whole, to.remaining()), left = n;
      for (size_t i = 0; i < d->payload.view_count() && left != 0; ++i) {
        auto bytes = d->payload.view(i).bytes();
        bytes = bytes.first(std::min(bytes.size(), left));
        if (TRY(to.put(bytes)) < bytes.size()) return fail(Errno::Fault);
        left -= bytes.size();
      }
      result.bytes = flags & MSG_TRUNC ? whole : n;
      if (n < whole) result.flags |= MSG_TRUNC;
      if (d->source.port != 0) result.address = to_sockaddr(d->source, domain());
      add_control(*d, result);
      return result;
    }
    if (d.error() != Errno::Again || nowait) return std::unexpected(d.error());
    constexpr auto ends = netstack::event_in | netstack::event_error | netstack::event_read_hang_up;
    auto waited =
        task.wait_until(notifier_->queue, EPOLLIN, deadline, [&] { return (endpoint_->ready() & ends) != 0; }, true);
    if (!waited) return std::unexpected(interrupted(waited.error(), receive_has_timeout()));
  }
}

kernel::PollMask UdpSocket::poll() {
  auto m = poll_mask(endpoint_->ready());
  return m & EPOLLOUT ? m | EPOLLWRBAND : m;
}

Result<bool> UdpSocket::set_own_option(Task&, int level, int, std::span<std::byte const>) {
  if (level == IPPROTO_UDP) return fail(Errno::NoProtoOpt);  // no segments, no corking yet
  return false;
}

void UdpSocket::socket_option_changed(int name, int value) {
  switch (name) {
    case SO_BROADCAST:
      endpoint_->allow_broadcast = value != 0;
      return;
    case SO_TIMESTAMP:
      timestamp_ = value != 0;
      return;
    case SO_TIMESTAMPNS:
      timestamp_ns_ = value != 0;
      return;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
      return endpoint_->set_receive_limit(static_cast<size_t>(receive_buffer_.load()));
    case SO_REUSEADDR:
    case SO_REUSEPORT:
      if (auto b = endpoint_->binding()) {
        b->reuse_address = reuse_address_.load();
        b->reuse_port = reuse_port_.load();
      }
      return;
    default:
      return;
  }
}

}  // namespace cofferdam::inet

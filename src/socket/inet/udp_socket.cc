#include "socket/inet/udp_socket.h"

#include <linux/udp.h>
#include <netinet/in.h>

#include <algorithm>

#include "kernel/task/task.h"

namespace cofferdam::inet {

using kernel::SocketAddress;
using kernel::Task;
using netstack::Address;
using netstack::Chain;
using netstack::Peer;
using netstack::UdpEndpoint;
using netstack::View;

namespace {

constexpr size_t most_segments = 64;

}  // namespace

UdpSocket::UdpSocket(Task& creator, std::shared_ptr<Network> network, int domain, int flags)
    : DatagramSocket(creator, std::move(network), domain, SOCK_DGRAM, IPPROTO_UDP, flags),
      endpoint_(make_ref<UdpEndpoint>(stack(), domain == AF_INET, notifier_)) {
  endpoint_->owner.inode = inode_number();
  endpoint_->owner.uid = creator.credentials()->fsuid;
}

UdpSocket::~UdpSocket() {
  endpoint_->close();
  MutexLock lock(cork_mutex_);
  drop_corked();
}

void UdpSocket::drop_corked() {
  stack().charge(-static_cast<int64_t>(corked_.payload.size()));
  corked_ = {};
}

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

// An unspecified family is AF_INET for a socket of that, and no address at all for one of AF_INET6.
Result<std::optional<Peer>> UdpSocket::parse_destination(SocketAddress const& address) const {
  SocketAddress a = address;
  if (a.length >= sizeof(sockaddr_in) && a.family() == AF_UNSPEC) {
    if (!is_v4()) return std::nullopt;
    a.storage.ss_family = AF_INET;
  }
  auto const to = TRY(parse(a, AddressUse::Connect));
  if (to.port == 0) return fail(Errno::Inval);
  return to;
}

// --- sending ---

Result<size_t> UdpSocket::send_now(Task& task, Chain payload, std::optional<Peer> const& to,
                                   SendParameters const& parameters) {
  auto options = parameters.options;
  options.ip_options = parameters.header_options;
  netstack::BindRequest defaults;  // looked at by who is not bound
  if (!bound()) defaults = TRY(bind_request(task, {Address::any(is_v4()), 0, 0}));
  size_t const whole = payload.size();
  size_t const segment = parameters.segment_size != 0 ? parameters.segment_size : segment_size_.load();
  if (segment == 0 || whole <= segment) return endpoint_->send(std::move(payload), to, options, defaults);
  if (whole > segment * most_segments) return fail(Errno::Inval);
  for (size_t at = 0; at < whole; at += segment) {
    Chain piece;
    payload.for_range(at, std::min(segment, whole - at), [&](View v) { piece.append(std::move(v)); });
    auto sent = endpoint_->send(std::move(piece), to, options, defaults);
    if (!sent && at == 0) return sent;
    if (!sent) break;  // what follows is lost, as on the way
  }
  return whole;
}

Result<void> UdpSocket::push_corked(Task& task) {
  if (!corked_.active) return {};
  Corked whole = std::exchange(corked_, Corked());
  stack().charge(-static_cast<int64_t>(whole.payload.size()));
  TRY(send_now(task, std::move(whole.payload), whole.to, whole.parameters));
  return {};
}

Result<size_t> UdpSocket::transmit(Task& task, Chain payload, std::optional<Peer> to, SendParameters const& parameters,
                                   int flags) {
  size_t const size = payload.size();
  bool const more = cork_ || (flags & MSG_MORE);
  MutexLock lock(cork_mutex_);
  if (!more && !corked_.active) {
    lock.unlock();
    return send_now(task, std::move(payload), to, parameters);
  }
  if (!corked_.active) {
    if (!to && !endpoint_->remote()) return fail(Errno::DestAddrReq);
    corked_.active = true;
    corked_.to = to;
    corked_.parameters = parameters;
  }
  if (corked_.payload.size() + size > UdpEndpoint::max_payload) {
    drop_corked();
    return fail(Errno::MsgSize);
  }
  // What is small is joined: many parts cost no more than their bytes, and those count.
  for (size_t i = 0; i < payload.view_count(); ++i) corked_.payload.append_or_copy(payload.view(i));
  stack().charge(static_cast<int64_t>(size));
  if (!more) TRY(push_corked(task));
  return size;
}

// udp(7): UDP_SEGMENT.
Result<bool> UdpSocket::own_control(kernel::ControlData::Other const& c, SendParameters& to) const {
  if (c.level != IPPROTO_UDP) return false;
  if (c.type != UDP_SEGMENT || c.bytes.size() != sizeof(uint16_t)) return fail(Errno::Inval);
  to.segment_size = TRY(option_value<uint16_t>(c.bytes));
  return true;
}

void UdpSocket::add_own_control(netstack::Datagram const& d, kernel::ReceiveResult& result) const {
  if (d.segment_size == 0) return;
  auto const b = option_bytes(static_cast<int>(d.segment_size), sizeof(int));
  result.control.others.push_back({IPPROTO_UDP, UDP_GRO, b});
}

// --- options ---

Result<std::optional<std::vector<std::byte>>> UdpSocket::get_own_option(int level, int name, size_t room) {
  if (level != IPPROTO_UDP) return std::nullopt;
  switch (name) {
    case UDP_CORK:
      return option_bytes(cork_ ? 1 : 0, room);
    case UDP_SEGMENT:
      return option_bytes(int{segment_size_}, room);
    case UDP_GRO:
      return option_bytes(endpoint_->gathers ? 1 : 0, room);
    default:
      return fail(Errno::NoProtoOpt);
  }
}

Result<bool> UdpSocket::set_own_option(Task& task, int level, int name, OptionValue value) {
  if (level != IPPROTO_UDP) return false;
  int const number = TRY(option_value<int>(value));
  switch (name) {
    case UDP_CORK: {
      cork_ = number != 0;
      if (number != 0) return true;
      MutexLock lock(cork_mutex_);
      static_cast<void>(push_corked(task));  // its error is lost with it
      return true;
    }
    case UDP_SEGMENT:
      if (number < 0 || number > 65535) return fail(Errno::Inval);
      segment_size_ = static_cast<uint16_t>(number);
      return true;
    case UDP_GRO:
      endpoint_->gathers = number != 0;
      return true;
    default:
      return fail(Errno::NoProtoOpt);
  }
}

void UdpSocket::socket_option_changed(int name, int value) {
  switch (name) {
    case SO_NO_CHECK:
      endpoint_->no_checksum = value != 0;
      return;
    case SO_REUSEADDR:
    case SO_REUSEPORT:
      if (auto b = endpoint_->binding()) {
        b->reuse_address = reuse_address_.load();
        b->reuse_port = reuse_port_.load();
      }
      return;
    default:
      return DatagramSocket::socket_option_changed(name, value);
  }
}

}  // namespace cofferdam::inet

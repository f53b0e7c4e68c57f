#include "socket/inet/raw_socket.h"

#include <netinet/in.h>

#include <algorithm>

#include "kernel/task/task.h"

namespace cofferdam::inet {

using kernel::SocketAddress;
using kernel::Task;
using netstack::Address;
using netstack::Chain;
using netstack::Peer;
using netstack::RawEndpoint;

namespace {

constexpr int icmp_filter = 1, icmpv6_filter = 1, ipv6_header_included = 36;

}  // namespace

RawSocket::RawSocket(Task& creator, std::shared_ptr<Network> network, int domain, int protocol, int flags)
    : DatagramSocket(creator, std::move(network), domain, SOCK_RAW, protocol, flags),
      endpoint_(make_ref<RawEndpoint>(stack(), domain == AF_INET, static_cast<uint8_t>(protocol), notifier_)) {
  endpoint_->owner.inode = inode_number();
  endpoint_->owner.uid = creator.credentials()->fsuid;
}

RawSocket::~RawSocket() { endpoint_->close(); }

bool RawSocket::is_icmp() const {
  return protocol() == (is_v4() ? int{netstack::protocol_icmp} : int{netstack::protocol_icmpv6});
}

// raw_bind of Linux looks at no family; rawv6_bind does, and takes no IPv4-mapped address.
Result<Peer> RawSocket::parse_bind(SocketAddress const& address) const {
  SocketAddress a = address;
  if (is_v4() && a.length >= sizeof(sockaddr_in)) a.storage.ss_family = AF_INET;
  if (!is_v4() && a.length >= sizeof(sa_family_t) && a.family() != AF_INET6) return fail(Errno::Inval);
  auto const peer = TRY(parse(a, AddressUse::Bind));
  if (!is_v4() && peer.address.is_v4()) return fail(Errno::AddrNotAvail);
  return peer;
}

Result<void> RawSocket::bind(Task& task, SocketAddress const& address) {
  auto const peer = TRY(parse_bind(address));
  auto request = TRY(bind_request(task, {peer.address, 0, 0}));
  return endpoint_->bind(peer.address, request.any_address);
}

Result<void> RawSocket::connect(Task&, SocketAddress const& address) {
  if (address.length >= sizeof(sa_family_t) && address.family() == AF_UNSPEC) {
    endpoint_->disconnect();
    return {};
  }
  return endpoint_->connect(TRY(parse(address, AddressUse::Connect)));
}

// For IPv6 the port is the protocol, or nothing.
Result<std::optional<Peer>> RawSocket::parse_destination(SocketAddress const& address) const {
  SocketAddress a = address;
  if (is_v4() && a.length >= sizeof(sockaddr_in) && a.family() == AF_UNSPEC) a.storage.ss_family = AF_INET;
  auto to = TRY(parse(a, AddressUse::Connect));
  if (!is_v4() && to.port != 0 && to.port != protocol()) return fail(Errno::Inval);
  to.port = 0;
  return to;
}

Result<size_t> RawSocket::transmit(Task&, Chain payload, std::optional<Peer> to, SendParameters const& parameters,
                                   int flags) {
  if (flags & MSG_MORE) return fail(Errno::OpNotSupp);
  return endpoint_->send(std::move(payload), to, parameters.options);
}

Result<std::optional<std::vector<std::byte>>> RawSocket::get_own_option(int level, int name, size_t room) {
  if (level == SOL_RAW && is_v4()) {
    if (name != icmp_filter) return fail(Errno::NoProtoOpt);
    if (!is_icmp()) return fail(Errno::OpNotSupp);
    return option_bytes(endpoint_->icmp_filter()[0], room);
  }
  if (level == IPPROTO_ICMPV6 && !is_v4()) {
    if (!is_icmp()) return fail(Errno::OpNotSupp);
    if (name != icmpv6_filter) return fail(Errno::NoProtoOpt);
    return option_bytes(endpoint_->icmp_filter(), room);
  }
  if (level == IPPROTO_IP && is_v4() && name == IP_HDRINCL)
    return option_bytes(endpoint_->header_included ? 1 : 0, room);
  bool const raw6 = !is_v4() && (level == IPPROTO_IPV6 || level == SOL_RAW);
  if (raw6 && name == IPV6_CHECKSUM) return option_bytes(endpoint_->checksum_offset.load(), room);
  if (raw6 && name == ipv6_header_included) return option_bytes(endpoint_->header_included ? 1 : 0, room);
  if (level == SOL_RAW) return fail(Errno::NoProtoOpt);
  return std::nullopt;
}

Result<bool> RawSocket::set_own_option(Task&, int level, int name, OptionValue value) {
  bool const filter4 = level == SOL_RAW && is_v4(), filter6 = level == IPPROTO_ICMPV6 && !is_v4();
  if (filter4 || filter6) {
    if (filter4 && name != icmp_filter) return fail(Errno::NoProtoOpt);
    if (!is_icmp()) return fail(Errno::OpNotSupp);
    if (name != icmpv6_filter) return fail(Errno::NoProtoOpt);
    auto filter = endpoint_->icmp_filter();
    auto const bytes = std::as_writable_bytes(std::span(filter).first(filter4 ? 1 : filter.size()));
    std::ranges::copy(value.first(std::min(value.size(), bytes.size())), bytes.begin());
    endpoint_->set_icmp_filter(filter);
    return true;
  }
  bool const raw6 = !is_v4() && (level == IPPROTO_IPV6 || level == SOL_RAW);
  if ((level == IPPROTO_IP && is_v4() && name == IP_HDRINCL) || (raw6 && name == ipv6_header_included)) {
    endpoint_->header_included = TRY(small_value(value)) != 0;
    return true;
  }
  if (raw6 && name == IPV6_CHECKSUM) {
    int const offset = TRY(option_value<int>(value));
    if (level == IPPROTO_IPV6 && is_icmp()) return fail(Errno::Inval);  // RFC 3542 3.1
    if (offset > 0 && offset % 2 != 0) return fail(Errno::Inval);
    endpoint_->checksum_offset = offset < 0 ? -1 : offset;
    return true;
  }
  if (level == SOL_RAW) return fail(Errno::NoProtoOpt);
  return false;
}

// Whoever may open a raw socket may write any header.
void RawSocket::ip_options_changed() {
  DatagramSocket::ip_options_changed();
  if (endpoint_->header_included) endpoint_->any_source = true;
}

}  // namespace cofferdam::inet

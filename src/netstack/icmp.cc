// ICMP (RFC 792, RFC 1122 3.2.2) and what ICMPv6 (RFC 4443) has in common with it.
#include <cerrno>

#include <algorithm>

#include "netstack/echo_endpoint.h"
#include "netstack/raw_endpoint.h"
#include "netstack/stack.h"
#include "netstack/tcp_endpoint.h"
#include "netstack/udp_endpoint.h"

namespace cofferdam::netstack {
namespace {

constexpr Time error_interval = millisecond;    // a thousand errors a second …
constexpr Time error_burst = 50 * millisecond;  // … and fifty at once
constexpr size_t quoted_v4 = 576 - 20 - 8;      // RFC 1812 4.3.2.3
constexpr size_t quoted_v6 = 1280 - 40 - 8;     // RFC 4443 2.4
constexpr uint32_t minimum_mtu_v4 = 552;        // net.ipv4.route.min_pmtu
constexpr uint32_t minimum_mtu_v6 = 1280;

// icmp_err_convert of Linux: code of "destination unreachable" -> errno and whether nothing will come of it.
IcmpError unreachable_error(uint8_t code) {
  static constexpr struct {
    int error;
    bool hard;
  } table[] = {{ENETUNREACH, false},  {EHOSTUNREACH, false}, {ENOPROTOOPT, true},  {ECONNREFUSED, true},
               {EMSGSIZE, false},     {EOPNOTSUPP, false},   {ENETUNREACH, true},  {EHOSTDOWN, true},
               {ENONET, true},        {ENETUNREACH, true},   {EHOSTUNREACH, true}, {ENETUNREACH, false},
               {EHOSTUNREACH, false}, {EHOSTUNREACH, true},  {EHOSTUNREACH, true}, {EHOSTUNREACH, true}};
  if (code >= std::size(table)) return {};
  IcmpError e;
  e.error = table[code].error;
  e.hard = table[code].hard;
  return e;
}

// What stands behind the first n bytes, as much as an error is worth.
std::vector<std::byte> behind(Packet& p, size_t n) {
  constexpr size_t most = 1500;
  p.pull(n);
  std::vector<std::byte> bytes(std::min(p.size(), most));
  p.copy_to(bytes);
  return bytes;
}

// What an IPv4 packet quoted in an error was; the bytes behind its header in `transport`.
std::optional<IpInfo> quoted_ipv4(Packet& p, std::vector<std::byte>& transport) {
  size_t length = Ipv4Header::length_of(p.peek(1));
  if (length == 0) return std::nullopt;
  Bytes b = p.peek(std::min(p.size(), length + 8));
  auto h = Ipv4Header::parse(b, false);
  if (!h || b.size() < length + 8 || h->fragment_offset != 0) return std::nullopt;
  IpInfo info;
  info.source = h->source;
  info.destination = h->destination;
  info.protocol = h->protocol;
  transport = behind(p, length);
  return info;
}

}  // namespace

bool Stack::may_send_error() {
  Time t = now();
  MutexLock lock(error_mutex_);
  error_credit_at_ = std::max(error_credit_at_, t - error_burst);
  if (error_credit_at_ > t) return false;
  error_credit_at_ += error_interval;
  return true;
}

void Stack::send_icmp(Address const& source, Address const& destination, uint32_t interface_index, IcmpHeader h,
                      PacketPtr p, uint8_t ttl) {
  uint32_t scope = destination.is_link_local() && !destination.is_v4() ? interface_index : 0;
  auto path = find_path(destination, source, scope);
  if (!path) return;
  bool four = destination.is_v4();
  Checksum sum;
  if (!four) sum = pseudo_header(path->source, destination, protocol_icmpv6, p->size() + IcmpHeader::size);
  auto b = p->push(IcmpHeader::size);
  h.checksum = 0;
  h.write(b);
  sum.add_rest(*p);
  store16(b, 2, sum.value());
  ++statistics_.icmp_sent;
  SendOptions options;
  options.ttl = ttl;
  static_cast<void>(
      send(*path, path->source, destination, four ? protocol_icmp : protocol_icmpv6, options, std::move(p)));
}

// RFC 1122 3.2.2: never about an error, a fragment that is not the first, or a packet that was not for one host.
void Stack::send_error(IpInfo const& info, uint8_t type, uint8_t code, uint32_t rest, Packet& about) {
  if (!info.to_one || !info.source.is_unicast()) return;
  bool four = info.destination.is_v4();
  if (info.protocol == (four ? protocol_icmp : protocol_icmpv6)) return;
  if (!may_send_error()) return;
  size_t const most = four ? quoted_v4 : quoted_v6;
  std::vector<std::byte> start(std::min(about.size(), most));
  about.copy_to(start);
  Packet quote;
  quote.append(View::copy_of(start));
  push_ip_header(info, quote);
  std::vector<std::byte> quoted(std::min(quote.size(), most));
  quote.copy_to(quoted);
  // How long it was stands in its header, also where less is quoted.
  size_t const header = quote.size() - start.size();
  if (four)
    store16(quoted, 2, static_cast<uint16_t>(std::min<size_t>(header + about.size(), 65535)));
  else
    store16(quoted, 4, static_cast<uint16_t>(std::min<size_t>(about.size(), 65535)));
  if (four) {
    store16(quoted, 10, 0);
    store16(quoted, 10, checksum_of(Bytes(quoted).first(header)));
  }
  auto p = std::make_unique<Packet>();
  p->append(View::copy_of(quoted));
  send_icmp(info.destination, info.source, info.interface->index(), {type, code, 0, rest}, std::move(p));
}

void Stack::receive_icmp(IpInfo const& info, PacketPtr p) {
  ++statistics_.icmp_received;
  Checksum sum;
  if (!p->checksum_verified) sum.add_rest(*p);
  auto h = IcmpHeader::parse(p->peek(IcmpHeader::size));
  if (!h || (!p->checksum_verified && sum.value() != 0)) {
    ++statistics_.icmp_errors;
    return;
  }
  p->pull(IcmpHeader::size);
  constexpr uint8_t echo_reply = 0, unreachable_type = 3, echo = 8, time_exceeded = 11, parameter_problem = 12;
  if (h->type == echo && info.to_one) {
    p->checksum_verified = false;
    return send_icmp(info.destination, info.source, info.interface->index(), {echo_reply, 0, 0, h->rest}, std::move(p));
  }
  if (h->type == echo_reply) return deliver_echo(info, *h, *p);
  IcmpError error;
  if (h->type == unreachable_type)
    error = unreachable_error(h->code);
  else if (h->type == time_exceeded)
    error.error = EHOSTUNREACH;
  else if (h->type == parameter_problem)
    error.error = EPROTO, error.hard = true;
  if (error.error == 0) return;
  std::vector<std::byte> transport;
  auto quoted = quoted_ipv4(*p, transport);
  if (!quoted) return;
  if (h->type == unreachable_type && h->code == 4) {
    // RFC 1191: 0 from routers of before.
    uint32_t mtu = h->rest & 0xffff;
    error.next_mtu = std::max(mtu == 0 ? 576 : mtu, minimum_mtu_v4);
  }
  error.type = h->type;
  error.code = h->code;
  error.reporter = info.source;
  error.interface = info.interface->index();
  report_error(*quoted, transport, error);
}

// An answer to a program's echo request.
void Stack::deliver_echo(IpInfo const& info, IcmpHeader const& h, Packet const& body) {
  auto const identifier = static_cast<uint16_t>(h.rest >> 16);
  Peer const local{info.destination, identifier, 0}, remote{info.source, identifier, 0};
  auto endpoint = ref_cast<EchoEndpoint>(echo_ports_.find(local, remote, info.interface->index(), 0));
  if (!endpoint || endpoint->is_v4_socket() != info.destination.is_v4()) return;
  auto whole = body.clone();
  h.write(whole->push(IcmpHeader::size));
  endpoint->deliver(info, identifier, *whole);
}

// To the endpoint that sent the packet. `quoted` and `transport` are hostile: the endpoint must exist for them to
// count, and TCP looks at the sequence number (RFC 5927).
void Stack::report_error(IpInfo const& quoted, Bytes transport, IcmpError const& error) {
  if (transport.size() < 8 || !owns(quoted.source)) return;
  Peer local{quoted.source, load16(transport, 0), 0}, remote{quoted.destination, load16(transport, 2), 0};
  if (quoted.protocol == protocol_udp) {
    if (error.next_mtu != 0) routes_.learn_path_mtu(remote.address, error.next_mtu, now());
    auto endpoint = ref_cast<UdpEndpoint>(udp_ports_.find(local, remote, error.interface, 0));
    if (endpoint) endpoint->on_icmp(remote, error, transport);
  } else if (quoted.protocol == protocol_tcp) {
    auto endpoint = ref_cast<TcpEndpoint>(tcp_.find({local, remote}));
    if (endpoint) endpoint->on_icmp(SeqNum(load32(transport, 4)), error);
  } else if (quoted.protocol == (quoted.source.is_v4() ? protocol_icmp : protocol_icmpv6)) {
    uint16_t const identifier = load16(transport, 4);
    auto found =
        echo_ports_.find({quoted.source, identifier, 0}, {quoted.destination, identifier, 0}, error.interface, 0);
    if (auto endpoint = ref_cast<EchoEndpoint>(found)) endpoint->on_icmp(quoted.destination, error, transport);
  }
  for (auto const& e : raw_.find(quoted.protocol))
    if (e->is_v4_socket() == quoted.source.is_v4()) e->on_icmp(quoted.destination, error, transport);
}

// No neighbour answered for the packet's next hop: as if a router had said "host unreachable".
void Stack::unreachable(PacketPtr p) {
  Visit visit(*this);
  Bytes first = p->peek(1);
  if (first.empty()) return;
  IcmpError error;
  error.error = EHOSTUNREACH;
  IpInfo quoted;
  std::vector<std::byte> transport;
  if (load8(first, 0) >> 4 == 4) {
    auto q = quoted_ipv4(*p, transport);
    if (!q) return;
    quoted = *q;
    error.type = 3;
    error.code = 1;
  } else {
    auto h = Ipv6Header::parse(p->peek(Ipv6Header::size));
    if (!h || p->size() < Ipv6Header::size + 8) return;
    transport = behind(*p, Ipv6Header::size);
    quoted.source = h->source;
    quoted.destination = h->destination;
    quoted.protocol = h->next_header;
    error.type = 1;
    error.code = 3;
  }
  error.reporter = quoted.source;
  error.interface = p->interface ? p->interface->index() : 0;
  report_error(quoted, transport, error);
}

void Stack::receive_icmpv6(IpInfo const& info, PacketPtr p) {
  ++statistics_.icmp_received;
  Checksum sum = pseudo_header(info.source, info.destination, protocol_icmpv6, p->size());
  if (!p->checksum_verified) sum.add_rest(*p);
  auto h = IcmpHeader::parse(p->peek(IcmpHeader::size));
  if (!h || (!p->checksum_verified && sum.value() != 0)) {
    ++statistics_.icmp_errors;
    return;
  }
  constexpr uint8_t unreachable_type = 1, too_big = 2, time_exceeded = 3, parameter_problem = 4, echo = 128,
                    echo_reply = 129, neighbour_solicitation = 135, neighbour_advertisement = 136;
  if (h->type == neighbour_solicitation || h->type == neighbour_advertisement)
    return receive_neighbour_message(info, *h, *p);
  if (h->type == mld_query || h->type == mld_report_v1) return receive_mld(info, h->type, *p);
  p->pull(IcmpHeader::size);
  if (h->type == echo) {
    if (!info.source.is_unicast()) return;
    p->checksum_verified = false;
    Address source = info.to_one ? info.destination : Address::any_v6();
    return send_icmp(source, info.source, info.interface->index(), {echo_reply, 0, 0, h->rest}, std::move(p));
  }
  if (h->type == echo_reply) return deliver_echo(info, *h, *p);
  IcmpError error;
  error.type = h->type;
  error.code = h->code;
  error.reporter = info.source;
  error.interface = info.interface->index();
  if (h->type == unreachable_type) {
    static constexpr int errors[] = {ENETUNREACH, EACCES, EHOSTUNREACH, EHOSTUNREACH, ECONNREFUSED, EACCES, EACCES};
    if (h->code >= std::size(errors)) return;
    error.error = errors[h->code];
    error.hard = h->code == 1 || h->code == 4 || h->code >= 5;
  } else if (h->type == too_big) {
    error.error = EMSGSIZE;
    error.next_mtu = std::max(h->rest, minimum_mtu_v6);
  } else if (h->type == time_exceeded) {
    error.error = EHOSTUNREACH;
  } else if (h->type == parameter_problem) {
    error.error = EPROTO;
    error.hard = true;
  } else {
    return;
  }
  auto q = Ipv6Header::parse(p->peek(Ipv6Header::size));
  if (!q || p->size() < Ipv6Header::size + 8) return;
  auto const transport = behind(*p, Ipv6Header::size);
  IpInfo quoted;
  quoted.source = q->source;
  quoted.destination = q->destination;
  quoted.protocol = q->next_header;
  report_error(quoted, transport, error);
}

// RFC 3810 5.1.14, 6.2: from this link, with a router alert.
void Stack::receive_mld(IpInfo const& info, uint8_t type, Packet& p) {
  if (!info.source.is_link_local() || info.ttl != 1 || !info.router_alert) return;
  std::vector<std::byte> message(p.size());
  p.copy_to(message);
  if (auto joined = groups(info.interface->index())) joined->receive_mld(type, message);
}

// RFC 4861 7.1, 7.2: who has an address, and the answer.
void Stack::receive_neighbour_message(IpInfo const& info, IcmpHeader const& h, Packet& p) {
  constexpr uint8_t solicitation = 135, source_link_address = 1, target_link_address = 2;
  constexpr size_t fixed = IcmpHeader::size + 16;
  if (info.ttl != 255 || h.code != 0 || p.size() < fixed) return;
  auto* known = neighbours(*info.interface);
  if (!known) return;
  Bytes b = p.peek(std::min(p.size(), Packet::header_room));
  Address target = Address::v6(b.subspan(8, 16));
  if (target.is_multicast()) return;
  std::optional<HardwareAddress> hardware;
  uint8_t wanted = h.type == solicitation ? source_link_address : target_link_address;
  for (size_t at = fixed; at + 8 <= b.size();) {
    size_t length = load8(b, at + 1) * 8u;
    if (length == 0 || at + length > b.size()) return;
    if (load8(b, at) == wanted && length == 8 && !(load8(b, at + 2) & 1)) {
      hardware.emplace();
      std::memcpy(hardware->data(), b.data() + at + 2, hardware->size());
    }
    at += length;
  }
  if (h.type != solicitation) {
    bool solicited = h.rest & 0x40000000, override_known = h.rest & 0x20000000;
    if (solicited && !info.to_one) return;
    if (hardware && !owns(target)) known->learn(target, *hardware, false, solicited, override_known);
    return;
  }
  if (!info.interface->has_address(target)) return;
  bool probe = info.source == Address::any_v6();  // duplicate address detection
  if (probe && hardware) return;
  if (!probe && hardware) known->learn(info.source, *hardware, true, false);
  auto answer = std::make_unique<Packet>();
  auto body = answer->push(16 + 8);
  std::memcpy(body.data(), target.bytes().data(), 16);
  store8(body, 16, target_link_address);
  store8(body, 17, 1);
  std::memcpy(body.data() + 18, info.interface->facts().hardware.data(), 6);
  std::array<std::byte, 16> all_nodes{std::byte{0xff}, std::byte{2}};
  all_nodes[15] = std::byte{1};
  send_icmp(target, probe ? Address::v6(all_nodes) : info.source, info.interface->index(),
            {136, 0, 0, probe ? 0x20000000u : 0x60000000u}, std::move(answer), 255);
}

}  // namespace cofferdam::netstack

// What ICMP and ICMPv6 say about packets of this host's, and who is told.
#include <algorithm>
#include <cerrno>

#include "netstack/echo_endpoint.h"
#include "netstack/raw_endpoint.h"
#include "netstack/stack.h"
#include "netstack/tcp_endpoint.h"
#include "netstack/udp_endpoint.h"

namespace cofferdam::netstack {
namespace {

constexpr uint32_t minimum_mtu_v4 = 552;  // net.ipv4.route.min_pmtu
constexpr uint32_t minimum_mtu_v6 = 1280;
constexpr size_t most_quoted = 1500;
constexpr uint8_t unreachable_v4 = 3, time_exceeded_v4 = 11, parameter_problem_v4 = 12;
constexpr uint8_t unreachable_v6 = 1, too_big_v6 = 2, time_exceeded_v6 = 3, parameter_problem_v6 = 4;

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

IcmpError unreachable_error_v6(uint8_t code) {
  static constexpr int errors[] = {ENETUNREACH, EACCES, EHOSTUNREACH, EHOSTUNREACH, ECONNREFUSED, EACCES, EACCES};
  if (code >= std::size(errors)) return {};
  IcmpError e;
  e.error = errors[code];
  e.hard = code == 1 || code == 4 || code >= 5;
  return e;
}

IcmpError meaning_v4(IcmpHeader const& h) {
  constexpr uint8_t fragmentation_needed = 4;
  constexpr uint32_t mtu_of_old_routers = 576;
  IcmpError error;
  if (h.type == unreachable_v4) error = unreachable_error(h.code);
  if (h.type == time_exceeded_v4) error.error = EHOSTUNREACH;
  if (h.type == parameter_problem_v4) error.error = EPROTO, error.hard = true;
  if (h.type == unreachable_v4 && h.code == fragmentation_needed) {
    uint32_t const mtu = h.rest & 0xffff;  // RFC 1191: 0 from routers of before
    error.next_mtu = std::max(mtu == 0 ? mtu_of_old_routers : mtu, minimum_mtu_v4);
  }
  return error;
}

IcmpError meaning_v6(IcmpHeader const& h) {
  IcmpError error;
  if (h.type == unreachable_v6) error = unreachable_error_v6(h.code);
  if (h.type == time_exceeded_v6) error.error = EHOSTUNREACH;
  if (h.type == parameter_problem_v6) error.error = EPROTO, error.hard = true;
  if (h.type == too_big_v6 && h.rest >= minimum_mtu_v6) {  // less is nobody's to ask (RFC 8201 4)
    error.error = EMSGSIZE;
    error.next_mtu = h.rest;
  }
  return error;
}

// The packet that an error is about, and the bytes behind its IP header.
std::optional<IpInfo> quoted_packet(Bytes quote, bool v4, Bytes& transport) {
  constexpr size_t ports = 8;
  IpInfo info;
  if (v4) {
    size_t const length = Ipv4Header::length_of(quote);
    auto const h = length == 0 ? std::nullopt : Ipv4Header::parse(quote, false);
    if (!h || quote.size() < length + ports || h->fragment_offset != 0) return std::nullopt;
    transport = quote.subspan(length);
    info.source = h->source;
    info.destination = h->destination;
    info.protocol = h->protocol;
    return info;
  }
  auto const h = Ipv6Header::parse(quote);
  if (!h || quote.size() < Ipv6Header::size + ports) return std::nullopt;
  transport = quote.subspan(Ipv6Header::size);
  info.source = h->source;
  info.destination = h->destination;
  info.protocol = h->next_header;
  return info;
}

}  // namespace

// Does the packet (behind its IP header) begin with an ICMP error?
bool is_error_message(Packet const& p, bool v4) {
  std::array<std::byte, 1> type{};
  if (p.copy_to(type) == 0) return true;
  uint8_t const t = load8(type, 0);
  return v4 ? t == 3 || t == 4 || t == 5 || t == 11 || t == 12 : t < 128;
}

// What is left of the packet is the quote.
void Stack::receive_icmp_error(IpInfo const& info, IcmpHeader const& h, Packet& p) {
  bool const four = info.destination.is_v4();
  IcmpError error = four ? meaning_v4(h) : meaning_v6(h);
  if (error.error == 0) return;
  std::vector<std::byte> quote(std::min(p.size(), most_quoted));
  p.copy_to(quote);
  Bytes transport;
  auto const quoted = quoted_packet(quote, four, transport);
  if (!quoted) return;
  error.type = h.type;
  error.code = h.code;
  error.reporter = info.source;
  error.interface = info.interface->index();
  report_error(*quoted, transport, error);
}

// To the endpoint that sent the packet. `quoted` and `transport` are hostile: the endpoint must exist for them to
// count, and TCP looks at the sequence number (RFC 5927).
void Stack::report_error(IpInfo const& quoted, Bytes transport, IcmpError const& error) {
  if (transport.size() < 8 || !owns(quoted.source)) return;
  bool const four = quoted.source.is_v4();
  Peer local{quoted.source, load16(transport, 0), 0}, remote{quoted.destination, load16(transport, 2), 0};
  auto learn = [&] {
    if (error.next_mtu != 0) routes_.learn_path_mtu(remote.address, error.next_mtu, now());
  };
  if (quoted.protocol == protocol_udp) {
    if (auto endpoint = ref_cast<UdpEndpoint>(udp_ports_.find(local, remote, error.interface, 0))) {
      learn();
      endpoint->on_icmp(remote, error, transport);
    }
  } else if (quoted.protocol == protocol_tcp) {
    auto endpoint = ref_cast<TcpEndpoint>(tcp_.find({local, remote}));
    if (endpoint) endpoint->on_icmp(SeqNum(load32(transport, 4)), error);
  } else if (quoted.protocol == (four ? protocol_icmp : protocol_icmpv6)) {
    uint16_t const identifier = load16(transport, 4);
    auto found =
        echo_ports_.find({quoted.source, identifier, 0}, {quoted.destination, identifier, 0}, error.interface, 0);
    if (auto endpoint = ref_cast<EchoEndpoint>(found)) {
      learn();
      endpoint->on_icmp(quoted.destination, error, transport);
    }
  }
  for (auto const& e : raw_.find(quoted.protocol)) {
    if (e->is_v4_socket() != four) continue;
    if (quoted.protocol != protocol_tcp) learn();
    e->on_icmp(quoted.destination, error, transport);
  }
}

// No neighbour answered for the packet's next hop: as if a router had said "host unreachable".
void Stack::unreachable(PacketPtr p) {
  Visit visit(*this);
  std::vector<std::byte> quote(std::min(p->size(), most_quoted));
  p->copy_to(quote);
  if (quote.empty()) return;
  bool const four = load8(quote, 0) >> 4 == 4;
  Bytes transport;
  auto const quoted = quoted_packet(quote, four, transport);
  if (!quoted) return;
  IcmpError error;
  error.error = EHOSTUNREACH;
  error.type = four ? unreachable_v4 : unreachable_v6;
  error.code = four ? 1 : 3;
  error.reporter = quoted->source;
  error.interface = p->interface ? p->interface->index() : 0;
  report_error(*quoted, transport, error);
}

}  // namespace cofferdam::netstack

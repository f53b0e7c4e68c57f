// IPv4 (RFC 791, RFC 1122 3.2) and IPv6 (RFC 8200) packets that arrive.
#include <algorithm>

#include "netstack/stack.h"

namespace cofferdam::netstack {
namespace {

constexpr unsigned max_extension_headers = 8;
constexpr uint8_t hop_by_hop = 0, routing = 43, fragment = 44, no_next_header = 59, destination_options = 60;

}  // namespace

// Is it for this host? Fills in whether it is for this host alone.
bool Stack::accepts(Interface& from, Address const& destination, IpInfo& info) const {
  if (destination.is_multicast() || destination.is_limited_broadcast() || from.is_broadcast(destination)) {
    info.to_one = false;
    return true;
  }
  return owns(destination);
}

void Stack::receive_ipv4(Interface& from, PacketPtr p) {
  ++statistics_.ip_received;
  size_t length = Ipv4Header::length_of(p->peek(1));
  auto header = length == 0 ? std::nullopt : Ipv4Header::parse(p->peek(length), !from.is_loopback());
  if (!header || header->total_length > p->size()) {
    ++statistics_.ip_header_errors;
    return;
  }
  // Addresses that no packet from a wire may have (RFC 1122 3.2.1.3).
  bool martian = header->source.is_multicast() || header->source.is_limited_broadcast() ||
                 from.is_broadcast(header->source) ||
                 (!from.is_loopback() && (header->source.is_loopback() || header->destination.is_loopback()));
  IpInfo info{header->source, header->destination, header->protocol, header->ttl, header->tos, &from};
  if (martian || !accepts(from, header->destination, info)) {
    ++statistics_.ip_address_errors;
    return;
  }
  p->truncate(header->total_length);
  p->pull(header->header_length);
  if (header->is_fragment()) {
    ++statistics_.ip_reassembly_needed;
    FragmentKey key{header->source, header->destination, header->id, header->protocol};
    p = reassembly_.add(key, header->fragment_offset, header->more_fragments, std::move(p), now());
    if (!p) return;
    ++statistics_.ip_reassembled;
  }
  deliver_transport(info, std::move(p));
}

// What to do about an option that is not known: its two highest bits say it (RFC 8200 4.2).
static bool options_acceptable(Bytes options) {
  size_t at = 2;
  while (at < options.size()) {
    uint8_t type = load8(options, at);
    if (type == 0) {
      ++at;
      continue;
    }
    if (at + 2 > options.size()) return false;
    size_t length = 2u + load8(options, at + 1);
    if (at + length > options.size()) return false;
    if (type != 1 && type != 5 && type >> 6 != 0) return false;  // PadN, router alert
    at += length;
  }
  return true;
}

// False: the packet is not to be looked at any further.
bool Stack::skip_extension_headers(IpInfo& info, PacketPtr& p) {
  for (unsigned n = 0; n < max_extension_headers; ++n) {
    switch (info.protocol) {
      case hop_by_hop:
        if (n != 0) return false;  // only directly behind the IPv6 header
        [[fallthrough]];
      case destination_options: {
        Bytes start = p->peek(2);
        if (start.empty()) return false;
        size_t length = (load8(start, 1) + 1u) * 8;
        Bytes whole = p->peek(length);
        if (whole.empty() || !options_acceptable(whole)) return false;
        info.protocol = load8(whole, 0);
        p->pull(length);
        break;
      }
      case routing: {
        Bytes start = p->peek(4);
        if (start.empty() || load8(start, 3) != 0) return false;  // segments left: this host forwards nothing
        size_t length = (load8(start, 1) + 1u) * 8;
        if (length > p->size()) return false;
        info.protocol = load8(start, 0);
        p->pull(length);
        break;
      }
      case fragment: {
        Bytes b = p->peek(Ipv6FragmentHeader::size);
        if (b.empty()) return false;
        auto f = Ipv6FragmentHeader::parse(b);
        p->pull(Ipv6FragmentHeader::size);
        info.protocol = f.next_header;
        if (f.offset == 0 && !f.more) break;  // an atomic fragment (RFC 6946)
        ++statistics_.ip_reassembly_needed;
        FragmentKey key{info.source, info.destination, f.id, 0};
        p = reassembly_.add(key, f.offset, f.more, std::move(p), now());
        if (!p) return false;
        ++statistics_.ip_reassembled;
        break;
      }
      case no_next_header:
        return false;
      default:
        return true;
    }
  }
  return false;
}

void Stack::receive_ipv6(Interface& from, PacketPtr p) {
  ++statistics_.ip_received;
  auto header = Ipv6Header::parse(p->peek(Ipv6Header::size));
  if (!header || header->payload_length + Ipv6Header::size > p->size()) {
    ++statistics_.ip_header_errors;
    return;
  }
  bool martian = header->source.is_multicast() || header->source.is_v4() || header->destination.is_v4() ||
                 header->destination == Address::any_v6() ||
                 (!from.is_loopback() && (header->source.is_loopback() || header->destination.is_loopback()));
  IpInfo info{header->source,    header->destination,   header->next_header,
              header->hop_limit, header->traffic_class, &from};
  if (martian || !accepts(from, header->destination, info)) {
    ++statistics_.ip_address_errors;
    return;
  }
  // A jumbogram, or this host's own large segment, has length 0 only with a payload of its own.
  p->truncate(Ipv6Header::size + header->payload_length);
  p->pull(Ipv6Header::size);
  if (!skip_extension_headers(info, p)) return;
  deliver_transport(info, std::move(p));
}

void Stack::deliver_transport(IpInfo& info, PacketPtr p) {
  ++statistics_.ip_delivered;
  bool four = info.destination.is_v4();
  switch (info.protocol) {
    case protocol_tcp:
      return receive_tcp(info, std::move(p));
    case protocol_udp:
      return receive_udp(info, std::move(p));
    case protocol_icmp:
      if (four) return receive_icmp(info, std::move(p));
      break;
    case protocol_icmpv6:
      if (!four) return receive_icmpv6(info, std::move(p));
      break;
    default:
      break;
  }
  ++statistics_.ip_unknown_protocols;
  if (four)
    send_error(info, 3, 2, 0, *p);  // protocol unreachable (RFC 1122 3.2.2.1)
  else
    send_error(info, 4, 1, 6, *p);  // unrecognized next header
}

}  // namespace cofferdam::netstack

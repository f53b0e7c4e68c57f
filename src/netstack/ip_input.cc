// IPv4 (RFC 791, RFC 1122 3.2) and IPv6 (RFC 8200) packets that arrive.
#include <algorithm>

#include "netstack/ip_options.h"
#include "netstack/stack.h"

namespace cofferdam::netstack {
// Is it for this host? Fills in whether it is for this host alone.
bool Stack::accepts(Interface& from, IpInfo& info) const {
  Address const& to = info.destination;
  if (to.is_multicast()) {
    info.to_one = false;
    auto joined = groups(from.index());
    return joined && joined->accepts(to, info.source);
  }
  if (to.is_limited_broadcast() || from.is_broadcast(to)) {
    info.to_one = false;
    return true;
  }
  info.to_one = true;
  return owns(to);
}

namespace {

IpInfo info_of(Ipv4Header const& h, Bytes whole, Interface& from) {
  IpInfo info{h.source, h.destination, h.protocol, h.ttl, h.tos, &from};
  info.id = h.id;
  info.dont_fragment = h.dont_fragment;
  Bytes const options = whole.subspan(Ipv4Header::minimum, h.header_length - Ipv4Header::minimum);
  info.ip_options.assign(options.begin(), options.end());
  return info;
}

IpInfo info_of(Ipv6Header const& h, Interface& from) {
  IpInfo info{h.source, h.destination, h.next_header, h.hop_limit, h.traffic_class, &from};
  info.flow_label = h.flow_label;
  info.first_header = h.next_header;
  return info;
}

// Puts the header that a packet came with before it again.
void push_ipv4(IpInfo const& info, Packet& p) {
  Ipv4Header h;
  h.header_length = Ipv4Header::minimum + info.ip_options.size();
  h.total_length = static_cast<uint16_t>(std::min<size_t>(p.size() + h.header_length, 65535));
  h.id = info.id;
  h.tos = info.tos;
  h.ttl = info.ttl;
  h.protocol = info.protocol;
  h.dont_fragment = info.dont_fragment;
  h.source = info.source;
  h.destination = info.destination;
  auto b = p.push(h.header_length);
  std::ranges::copy(info.ip_options, b.begin() + Ipv4Header::minimum);
  h.write(b);
}

void push_ipv6(IpInfo const& info, Packet& p) {
  Ipv6Header h;
  h.traffic_class = info.tos;
  h.flow_label = info.flow_label;
  h.payload_length = static_cast<uint16_t>(std::min<size_t>(p.size(), 65535));
  h.next_header = info.protocol;
  h.hop_limit = info.ttl;
  h.source = info.source;
  h.destination = info.destination;
  h.write(p.push(Ipv6Header::size));
}

}  // namespace

void Stack::push_ip_header(IpInfo const& info, Packet& p) {
  if (info.destination.is_v4())
    push_ipv4(info, p);
  else
    push_ipv6(info, p);
}

// A packet whose headers are taken off, through one of the filter's hooks. False: it is dropped.
bool Stack::input_passes(FilterHook hook, IpInfo& info, Packet& p) {
  bool const four = info.destination.is_v4();
  push_ip_header(info, p);
  if (filter_->filter(hook, info.interface, nullptr, p) == Verdict::Drop) return false;
  bool const router_alert = info.router_alert;
  if (four) {
    size_t const length = Ipv4Header::length_of(p.peek(1));
    auto const h = length == 0 ? std::nullopt : Ipv4Header::parse(p.peek(length), false);
    if (!h) return false;
    info = info_of(*h, p.peek(length), *info.interface);
    p.pull(length);
  } else {
    auto const h = Ipv6Header::parse(p.peek(Ipv6Header::size));
    if (!h) return false;
    info = info_of(*h, *info.interface);
    p.pull(Ipv6Header::size);
  }
  info.router_alert = router_alert;
  return true;
}

void Stack::receive_ipv4(Interface& from, PacketPtr p) {
  ++statistics_.ip_received;
  bool const own = p->looped;
  size_t length = Ipv4Header::length_of(p->peek(1));
  auto header = length == 0 ? std::nullopt : Ipv4Header::parse(p->peek(length), !own);
  if (!header || header->total_length > p->size()) {
    ++statistics_.ip_header_errors;
    return;
  }
  // Addresses that no packet from a wire may have (RFC 1122 3.2.1.3).
  bool martian = header->source.is_multicast() || header->source.is_limited_broadcast() ||
                 from.is_broadcast(header->source) ||
                 (!own && (header->source.is_loopback() || header->destination.is_loopback() || owns(header->source)));
  IpInfo info = info_of(*header, p->peek(length), from);
  bool const mine = !martian && accepts(from, info);
  if (martian || (!mine && !filter_)) {
    ++statistics_.ip_address_errors;
    return;
  }
  p->truncate(header->total_length);
  p->pull(header->header_length);
  if (!info.ip_options.empty() && !options_are_fine(info, *p)) return;
  if (header->is_fragment()) {
    ++statistics_.ip_reassembly_needed;
    FragmentKey key{header->source, header->destination, header->id, header->protocol};
    p = reassembly_->add(key, header->fragment_offset, header->more_fragments, info, std::move(p), now());
    if (!p) return;
    ++statistics_.ip_reassembled;
  }
  if (filter_ && !filter_arrived(info, *p)) return;
  deliver_transport(info, std::move(p));
}

// RFC 1122 3.2.1.8: this host follows no source routes (net.ipv4.conf.*.accept_source_route is 0).
bool Stack::options_are_fine(IpInfo& info, Packet& p) {
  constexpr uint8_t parameter_problem = 12;
  constexpr Time day = 24 * 3600 * second;
  std::vector<std::byte> filled = info.ip_options;
  Address const own = info.destination.is_multicast() ? info.interface->source_for(info.source) : info.destination;
  auto const time_of_day = static_cast<uint32_t>(environment_.wall_clock() % day / millisecond);
  auto options = read_ipv4_options(filled, own, time_of_day);
  if (options.error) {
    ++statistics_.ip_header_errors;
    send_error(info, parameter_problem, 0, static_cast<uint32_t>(*options.error) << 24, p);
    return false;
  }
  if (options.source_route) return false;
  info.router_alert = options.router_alert;
  info.ip_options = std::move(filled);
  info.answer_options = std::move(options.for_answer);
  return true;
}

// The hooks of what arrives; the first may have turned it to another destination.
bool Stack::filter_arrived(IpInfo& info, Packet& p) {
  if (!input_passes(FilterHook::Arrived, info, p)) return false;
  if (!accepts(*info.interface, info)) {
    ++statistics_.ip_address_errors;
    return false;
  }
  return input_passes(FilterHook::ToThisHost, info, p);
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
                 (!p->looped && (header->source.is_loopback() || header->destination.is_loopback()));
  IpInfo info = info_of(*header, from);
  bool const mine = !martian && accepts(from, info);
  if (martian || (!mine && !filter_)) {
    ++statistics_.ip_address_errors;
    return;
  }
  // A jumbogram, or this host's own large segment, has length 0 only with a payload of its own.
  p->truncate(Ipv6Header::size + header->payload_length);
  p->pull(Ipv6Header::size);
  if (!skip_extension_headers(info, p)) return;
  if (filter_ && !filter_arrived(info, *p)) return;
  deliver_transport(info, std::move(p));
}

void Stack::deliver_transport(IpInfo& info, PacketPtr p) {
  ++statistics_.ip_delivered;
  bool const four = info.destination.is_v4();
  bool const taken = raw_.wants(info.protocol) && deliver_raw(info, *p);
  switch (info.protocol) {
    case protocol_tcp:
      return receive_tcp(info, std::move(p));
    case protocol_udp:
      return receive_udp(info, std::move(p));
    case protocol_icmp:
      if (four) return receive_icmp(info, std::move(p));
      break;
    case protocol_igmp:
      if (four) return receive_igmp(info, *p);
      break;
    case protocol_icmpv6:
      if (!four) return receive_icmpv6(info, std::move(p));
      break;
    default:
      break;
  }
  if (taken) return;
  ++statistics_.ip_unknown_protocols;
  if (four)
    send_error(info, 3, 2, 0, *p);  // protocol unreachable (RFC 1122 3.2.2.1)
  else
    send_error(info, 4, 1, static_cast<uint32_t>(info.next_header_at()), *p);  // unrecognized next header
}

void Stack::receive_igmp(IpInfo const& info, Packet& p) {
  std::vector<std::byte> message(std::min(p.size(), size_t{65535}));
  p.copy_to(message);
  auto joined = groups(info.interface->index());
  if (joined && checksum_of(message) == 0) joined->receive_igmp(message);
}

}  // namespace cofferdam::netstack

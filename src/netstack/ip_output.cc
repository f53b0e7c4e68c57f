// Choosing the way of a packet, and sending it: IP headers and fragments.
#include <algorithm>

#include "netstack/stack.h"

namespace cofferdam::netstack {

Result<Path> Stack::find_path(Address const& destination, Address const& source, uint32_t interface_index) {
  Interface* bound = interface_index == 0 ? nullptr : interface(interface_index);
  if (interface_index != 0 && !bound) return fail(Errno::NoDev);
  Path path;
  path.next_hop = destination;
  bool own = destination.is_any() || owns(destination);
  if (own) {
    path.local = true;
    path.out = interface(1);
    Address same =
        destination.is_any() ? (destination.is_v4() ? Address::loopback_v4() : Address::loopback_v6()) : destination;
    path.next_hop = same;
    path.source = source.is_any() ? (same.is_loopback() && same.is_v4() ? Address::loopback_v4() : same) : source;
    path.mtu = path.out->mtu();
    return path;
  }
  bool to_link = bound && (destination.is_multicast() || destination.is_limited_broadcast() ||
                           (destination.is_link_local() && !destination.is_v4()));
  if (to_link) {
    path.out = bound;
  } else {
    auto route = routes_.find(destination, interface_index);
    if (!route) return fail(Errno::NetUnreach);
    path.out = interface(route->interface);
    if (!path.out) return fail(Errno::NetUnreach);
    if (route->has_gateway()) path.next_hop = route->gateway;
    if (route->source != Address::any_v6()) path.source = route->source;
  }
  if (!path.out->up()) return fail(Errno::NetDown);
  if (!source.is_any())
    path.source = source;
  else if (path.source.is_any())
    path.source = path.out->source_for(destination);
  if (path.source.is_any() && !destination.is_limited_broadcast() && !destination.is_multicast())
    return fail(Errno::AddrNotAvail);
  path.mtu = routes_.path_mtu(destination, path.out->mtu(), now());
  return path;
}

Result<void> Stack::transmit(Path const& path, Address const& destination, PacketPtr p) {
  auto& c = path.out->counters();
  c.sent_packets.fetch_add(1, std::memory_order_relaxed);
  c.sent_bytes.fetch_add(p->size(), std::memory_order_relaxed);
  p->interface = path.out;
  if (path.out->facts().kind != LinkKind::Ethernet) {
    path.out->link().transmit(std::move(p));
    return {};
  }
  auto const& own = path.out->facts().hardware;
  auto frame = [&](HardwareAddress const& to) {
    uint16_t type = destination.is_v4() ? ether_ipv4 : ether_ipv6;
    EthernetHeader{to, own, type}.write(p->push(EthernetHeader::size));
    path.out->link().transmit(std::move(p));
  };
  if (destination.is_limited_broadcast() || path.out->is_broadcast(destination)) {
    frame(hardware_broadcast);
  } else if (destination.is_multicast()) {
    auto b = destination.bytes();
    if (destination.is_v4())  // RFC 1112 6.4
      frame({0x01, 0x00, 0x5e, static_cast<uint8_t>(load8(b, 13) & 0x7f), load8(b, 14), load8(b, 15)});
    else  // RFC 2464 7
      frame({0x33, 0x33, load8(b, 12), load8(b, 13), load8(b, 14), load8(b, 15)});
  } else {
    neighbours(*path.out)->send(path.next_hop, std::move(p));
  }
  return {};
}

Result<void> Stack::send(Path const& path, Address const& source, Address const& destination, uint8_t protocol,
                         SendOptions const& options, PacketPtr p) {
  ++statistics_.ip_sent;
  p->flow = options.flow;
  Address const& to = destination.is_any() ? path.next_hop : destination;
  return to.is_v4() ? send_ipv4(path, source, to, protocol, options, std::move(p))
                    : send_ipv6(path, source, to, protocol, options, std::move(p));
}

Result<void> Stack::send_ipv4(Path const& path, Address const& source, Address const& destination, uint8_t protocol,
                              SendOptions const& options, PacketPtr p) {
  Ipv4Header h;
  h.tos = options.tos;
  h.ttl = options.ttl != 0 ? options.ttl : settings_.default_ttl.load(std::memory_order_relaxed);
  h.protocol = protocol;
  h.source = source;
  h.destination = destination;
  h.id = static_cast<uint16_t>(next_ip_id_.fetch_add(1, std::memory_order_relaxed));
  h.dont_fragment = options.dont_fragment;
  size_t whole = p->size() + Ipv4Header::minimum;
  if (whole > 65535) return fail(Errno::MsgSize);
  if (whole <= path.mtu || p->gso_size != 0) {
    h.total_length = static_cast<uint16_t>(whole);
    h.write(p->push(Ipv4Header::minimum));
    return transmit(path, destination, std::move(p));
  }
  if (options.dont_fragment) return fail(Errno::MsgSize);
  ++statistics_.ip_fragmented;
  Chain rest;
  p->for_each([&](View v) { rest.append(std::move(v)); });
  size_t room = (path.mtu - Ipv4Header::minimum) & ~size_t{7};
  for (size_t at = 0; at < rest.size(); at += room) {
    size_t n = std::min(room, rest.size() - at);
    auto piece = std::make_unique<Packet>();
    piece->append(rest, at, n);
    piece->checksum_verified = p->checksum_verified;
    piece->flow = p->flow;
    h.fragment_offset = static_cast<uint16_t>(at);
    h.more_fragments = at + n < rest.size();
    h.total_length = static_cast<uint16_t>(n + Ipv4Header::minimum);
    h.write(piece->push(Ipv4Header::minimum));
    ++statistics_.ip_fragments_made;
    TRY(transmit(path, destination, std::move(piece)));
  }
  return {};
}

Result<void> Stack::send_ipv6(Path const& path, Address const& source, Address const& destination, uint8_t protocol,
                              SendOptions const& options, PacketPtr p) {
  Ipv6Header h;
  h.traffic_class = options.tos;
  h.hop_limit = options.ttl != 0 ? options.ttl : settings_.default_ttl.load(std::memory_order_relaxed);
  h.next_header = protocol;
  h.source = source;
  h.destination = destination;
  if (p->size() > 65535) return fail(Errno::MsgSize);
  if (p->size() + Ipv6Header::size <= path.mtu || p->gso_size != 0) {
    h.payload_length = static_cast<uint16_t>(p->size());
    h.write(p->push(Ipv6Header::size));
    return transmit(path, destination, std::move(p));
  }
  if (options.dont_fragment) return fail(Errno::MsgSize);
  ++statistics_.ip_fragmented;
  Chain rest;
  p->for_each([&](View v) { rest.append(std::move(v)); });
  size_t room = (path.mtu - Ipv6Header::size - Ipv6FragmentHeader::size) & ~size_t{7};
  uint32_t id = random32();
  h.next_header = 44;
  for (size_t at = 0; at < rest.size(); at += room) {
    size_t n = std::min(room, rest.size() - at);
    auto piece = std::make_unique<Packet>();
    piece->append(rest, at, n);
    piece->checksum_verified = p->checksum_verified;
    piece->flow = p->flow;
    Ipv6FragmentHeader f{protocol, static_cast<uint16_t>(at), at + n < rest.size(), id};
    f.write(piece->push(Ipv6FragmentHeader::size));
    h.payload_length = static_cast<uint16_t>(n + Ipv6FragmentHeader::size);
    h.write(piece->push(Ipv6Header::size));
    ++statistics_.ip_fragments_made;
    TRY(transmit(path, destination, std::move(piece)));
  }
  return {};
}

}  // namespace cofferdam::netstack

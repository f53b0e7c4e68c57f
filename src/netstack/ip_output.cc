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
    path.broadcast = path.out->is_broadcast(destination);
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
  path.broadcast = destination.is_limited_broadcast() || path.out->is_broadcast(destination);
  path.mtu = routes_.path_mtu(destination, destination.is_v4() ? path.out->mtu() : path.out->ipv6_mtu(), now());
  return path;
}

Result<void> Stack::transmit(Path const& path, Address const& destination, PacketPtr p) {
  auto& c = path.out->counters();
  c.sent_packets.fetch_add(1, std::memory_order_relaxed);
  c.sent_bytes.fetch_add(p->size(), std::memory_order_relaxed);
  bool const four = destination.is_v4();
  EthernetHeader header{{}, path.out->facts().hardware, four ? ether_ipv4 : ether_ipv6};
  if (path.out->facts().kind != LinkKind::Ethernet) {
    header.source = {};
  } else if (path.broadcast) {
    header.destination = hardware_broadcast;
  } else if (destination.is_multicast()) {
    auto const b = destination.bytes();
    if (four)  // RFC 1112 6.4
      header.destination = {0x01, 0x00, 0x5e, static_cast<uint8_t>(load8(b, 13) & 0x7f), load8(b, 14), load8(b, 15)};
    else  // RFC 2464 7
      header.destination = {0x33, 0x33, load8(b, 12), load8(b, 13), load8(b, 14), load8(b, 15)};
  } else {
    neighbours(*path.out)->send(path.next_hop, std::move(p));
    return {};
  }
  transmit_frame(*path.out, header, std::move(p));
  return {};
}

// What goes to a group that this host is in, or to all of a network, comes here too (RFC 1112 6.1).
void Stack::loop_back(Path const& path, Address const& source, Address const& destination, SendOptions const& options,
                      Packet const& p) {
  if (path.local || path.out->is_loopback()) return;
  if (destination.is_multicast()) {
    if (!options.loop) return;
    auto joined = groups(path.out->index());
    if (!joined || !joined->accepts(destination, source)) return;
  } else if (!path.broadcast) {
    return;
  }
  auto copy = p.clone();
  copy->checksum_verified = true;
  copy->interface = path.out;
  queue_loopback(std::move(copy));
}

// The hooks of what this host sends. False: it goes nowhere.
bool Stack::output_passes(Path& path, Address& destination, Packet& p) {
  if (!filter_) return true;
  if (filter_->filter(FilterHook::FromHere, nullptr, path.out, p) == Verdict::Drop) return false;
  Address source, now_to;
  if (load8(p.peek(1), 0) >> 4 == 4) {
    auto const h = Ipv4Header::parse(p.peek(Ipv4Header::length_of(p.peek(1))), false);
    if (!h) return false;
    source = h->source;
    now_to = h->destination;
  } else {
    auto const h = Ipv6Header::parse(p.peek(Ipv6Header::size));
    if (!h) return false;
    source = h->source;
    now_to = h->destination;
  }
  if (now_to != destination) {
    auto other = find_path(now_to, source);
    if (!other) return false;
    path = *other;
    destination = now_to;
  }
  return filter_->filter(FilterHook::Leaving, nullptr, path.out, p) == Verdict::Accept;
}

Result<void> Stack::send(Path const& path, Address const& source, Address const& destination, uint8_t protocol,
                         SendOptions const& options, PacketPtr p) {
  ++statistics_.ip_sent;
  p->flow = options.flow;
  Address const& to = destination.is_any() ? path.next_hop : destination;
  return to.is_v4() ? send_ipv4(path, source, to, protocol, options, std::move(p))
                    : send_ipv6(path, source, to, protocol, options, std::move(p));
}

namespace {

bool ignores_path(PathMtuMode m) { return m >= PathMtuMode::Probe; }
bool never_fragments(PathMtuMode m) {
  return m == PathMtuMode::Do || m == PathMtuMode::Probe || m == PathMtuMode::Interface;
}

}  // namespace

Result<void> Stack::send_ipv4(Path const& from_path, Address const& source, Address const& to, uint8_t protocol,
                              SendOptions const& options, PacketPtr p) {
  Path path = from_path;
  Address destination = to;
  uint32_t const mtu = ignores_path(options.path_mtu) ? path.out->mtu() : path.mtu;
  Ipv4Header h;
  h.header_length = Ipv4Header::minimum + options.ip_options.size();
  h.tos = options.tos;
  h.ttl = options.ttl != 0 ? options.ttl : settings_.default_ttl.load(std::memory_order_relaxed);
  h.protocol = protocol;
  h.source = source;
  h.destination = destination;
  h.id = static_cast<uint16_t>(next_ip_id_.fetch_add(1, std::memory_order_relaxed));
  size_t const whole = p->size() + h.header_length;
  bool const fits = whole <= mtu || p->gso_size != 0;
  h.dont_fragment = options.path_mtu == PathMtuMode::Do || options.path_mtu == PathMtuMode::Probe ||
                    (options.path_mtu == PathMtuMode::Want && fits);
  if (whole > 65535 || (!fits && never_fragments(options.path_mtu))) return fail(Errno::MsgSize);
  h.total_length = static_cast<uint16_t>(whole);
  auto b = p->push(h.header_length);
  std::ranges::copy(options.ip_options, b.begin() + Ipv4Header::minimum);
  h.write(b);
  if (!output_passes(path, destination, *p)) return fail(Errno::Perm);
  loop_back(path, source, destination, options, *p);
  if (options.host_only && !path.local && !path.out->is_loopback()) return {};
  if (fits) return transmit(path, destination, std::move(p));
  return fragment_ipv4(path, destination, mtu, std::move(p));
}

namespace {

// Of each option that is to stand in every fragment (RFC 791 3.1); the others become padding.
void blank_uncopied_options(MutableBytes options) {
  for (size_t at = 0; at < options.size();) {
    uint8_t const type = load8(options, at);
    if (type == 0) return;
    size_t const length = type == 1 || at + 1 >= options.size() ? 1 : std::max<size_t>(load8(options, at + 1), 1);
    size_t const end = std::min(at + length, options.size());
    if (!(type & 0x80))
      std::fill(options.begin() + static_cast<ptrdiff_t>(at), options.begin() + static_cast<ptrdiff_t>(end),
                std::byte{1});
    at = end;
  }
}

}  // namespace

// The packet has its header.
Result<void> Stack::fragment_ipv4(Path const& path, Address const& destination, uint32_t mtu, PacketPtr p) {
  size_t const length = Ipv4Header::length_of(p->peek(1));
  auto h = Ipv4Header::parse(p->peek(length), false);
  if (!h) return fail(Errno::Inval);
  std::vector<std::byte> options;
  Bytes const old = p->peek(length).subspan(Ipv4Header::minimum);
  options.assign(old.begin(), old.end());
  p->pull(length);
  ++statistics_.ip_fragmented;
  Chain rest;
  p->for_each([&](View v) { rest.append(std::move(v)); });
  size_t const room = (mtu - length) & ~size_t{7};
  for (size_t at = 0; at < rest.size(); at += room) {
    size_t const n = std::min(room, rest.size() - at);
    auto piece = std::make_unique<Packet>();
    piece->append(rest, at, n);
    piece->checksum_verified = p->checksum_verified;
    piece->flow = p->flow;
    h->dont_fragment = false;
    h->fragment_offset = static_cast<uint16_t>(at);
    h->more_fragments = at + n < rest.size();
    h->total_length = static_cast<uint16_t>(n + length);
    auto b = piece->push(length);
    std::ranges::copy(options, b.begin() + Ipv4Header::minimum);
    h->write(b);
    blank_uncopied_options(options);
    ++statistics_.ip_fragments_made;
    TRY(transmit(path, destination, std::move(piece)));
  }
  return {};
}

Result<void> Stack::send_ipv6(Path const& from_path, Address const& source, Address const& to, uint8_t protocol,
                              SendOptions const& options, PacketPtr p) {
  Path path = from_path;
  Address destination = to;
  uint32_t mtu = ignores_path(options.path_mtu) ? path.out->mtu() : path.mtu;
  if (options.fragment_size != 0) mtu = std::min(mtu, options.fragment_size);
  Ipv6Header h;
  h.traffic_class = options.tos;
  h.flow_label = options.flow_label;
  h.hop_limit = options.ttl != 0 ? options.ttl : path.out->hop_limit();
  if (h.hop_limit == 0) h.hop_limit = settings_.default_ttl.load(std::memory_order_relaxed);
  h.next_header = protocol;
  h.source = source;
  h.destination = destination;
  size_t const extension = options.hop_by_hop.size(), whole = p->size() + extension;
  bool const fits = whole + Ipv6Header::size <= mtu || p->gso_size != 0;
  if (whole > 65535 || (!fits && never_fragments(options.path_mtu))) return fail(Errno::MsgSize);
  if (extension != 0) {
    auto b = p->push(extension);
    std::ranges::copy(options.hop_by_hop, b.begin());
    store8(b, 0, protocol);
    h.next_header = 0;
  }
  h.payload_length = static_cast<uint16_t>(whole);
  h.write(p->push(Ipv6Header::size));
  if (!output_passes(path, destination, *p)) return fail(Errno::Perm);
  loop_back(path, source, destination, options, *p);
  if (options.host_only && !path.local && !path.out->is_loopback()) return {};
  if (fits) return transmit(path, destination, std::move(p));
  return fragment_ipv6(path, destination, mtu, extension, std::move(p));
}

// The packet has its headers, of which `extension` bytes behind the first go into each fragment (RFC 8200 4.5).
Result<void> Stack::fragment_ipv6(Path const& path, Address const& destination, uint32_t mtu, size_t extension,
                                  PacketPtr p) {
  size_t const fixed = Ipv6Header::size + extension;
  Bytes const old = p->peek(fixed);
  auto h = Ipv6Header::parse(old);
  if (!h) return fail(Errno::Inval);
  std::vector<std::byte> hop_by_hop(old.begin() + Ipv6Header::size, old.end());
  uint8_t const protocol = extension != 0 ? load8(hop_by_hop, 0) : h->next_header;
  constexpr uint8_t fragment_header = 44;
  if (extension != 0)
    store8(hop_by_hop, 0, fragment_header);
  else
    h->next_header = fragment_header;
  p->pull(fixed);
  ++statistics_.ip_fragmented;
  Chain rest;
  p->for_each([&](View v) { rest.append(std::move(v)); });
  size_t const room = (mtu - fixed - Ipv6FragmentHeader::size) & ~size_t{7};
  uint32_t const id = random32();
  for (size_t at = 0; at < rest.size(); at += room) {
    size_t const n = std::min(room, rest.size() - at);
    auto piece = std::make_unique<Packet>();
    piece->append(rest, at, n);
    piece->checksum_verified = p->checksum_verified;
    piece->flow = p->flow;
    Ipv6FragmentHeader f{protocol, static_cast<uint16_t>(at), at + n < rest.size(), id};
    f.write(piece->push(Ipv6FragmentHeader::size));
    if (extension != 0) std::ranges::copy(hop_by_hop, piece->push(extension).begin());
    h->payload_length = static_cast<uint16_t>(n + Ipv6FragmentHeader::size + extension);
    h->write(piece->push(Ipv6Header::size));
    ++statistics_.ip_fragments_made;
    TRY(transmit(path, destination, std::move(piece)));
  }
  return {};
}

Result<void> Stack::send_whole(Path const& from_path, Address const& to, SendOptions const& options, PacketPtr p) {
  Path path = from_path;
  Address destination = to;
  ++statistics_.ip_sent;
  p->flow = options.flow;
  if (!output_passes(path, destination, *p)) return fail(Errno::Perm);
  loop_back(path, path.source, destination, options, *p);
  if (options.host_only && !path.local && !path.out->is_loopback()) return {};
  return transmit(path, destination, std::move(p));
}

void Stack::send_group_message(Interface& out, Address const& to, Bytes message) {
  bool const four = to.is_v4();
  static constexpr std::array<std::byte, 4> router_alert_v4{std::byte{0x94}, std::byte{4}};  // RFC 2113
  static constexpr std::array<std::byte, 8> router_alert_v6{
      // RFC 2711: MLD
      std::byte{}, std::byte{}, std::byte{5}, std::byte{2}, std::byte{}, std::byte{}, std::byte{1}, std::byte{}};
  SendOptions o;
  o.ttl = 1;
  o.tos = four ? 0xc0 : 0;
  o.loop = false;
  if (four)
    o.ip_options = router_alert_v4;
  else
    o.hop_by_hop = router_alert_v6;
  send_on_link(out, four ? out.source_for(to) : out.link_local(), to, o, {message.begin(), message.end()});
}

void Stack::send_neighbour_message(Interface& out, Address const& source, Address const& to, std::vector<std::byte> b) {
  SendOptions o;
  o.ttl = 255;
  o.loop = false;
  ++statistics_.icmp_sent;
  send_on_link(out, source, to, o, std::move(b));
}

void Stack::send_on_link(Interface& out, Address const& source, Address const& to, SendOptions const& options,
                         std::vector<std::byte> message) {
  bool const four = to.is_v4();
  Path path;
  path.out = &out;
  path.source = source;
  path.next_hop = to;
  path.mtu = out.mtu();
  Checksum sum;
  if (!four) sum = pseudo_header(source, to, protocol_icmpv6, message.size());
  sum.add(message);
  store16(message, 2, sum.value());
  auto p = std::make_unique<Packet>();
  p->append(View::copy_of(message));
  static_cast<void>(send(path, source, to, four ? protocol_igmp : protocol_icmpv6, options, std::move(p)));
}

}  // namespace cofferdam::netstack

// Ethernet frames and ARP (RFC 826, RFC 5227 as far as it concerns answers).
#include <algorithm>

#include "netstack/stack.h"

namespace cofferdam::netstack {

// Puts the link header before a packet, or what packets have in its place, and sends it.
void Stack::transmit_frame(Interface& out, EthernetHeader const& header, PacketPtr p, PacketTap const* sender) {
  if (tapped()) tap({out, TapKind::Outgoing, header, now()}, *p, sender);
  if (out.facts().kind == LinkKind::Ethernet || p->framed) header.write(p->push(EthernetHeader::size));
  p->interface = &out;
  out.link().transmit(std::move(p));
}

Result<void> Stack::send_frame(Interface& out, PacketPtr p, PacketTap const* sender) {
  Visit visit(*this);
  if (!out.up()) return fail(Errno::NetDown);
  auto const header = EthernetHeader::parse(p->peek(EthernetHeader::size));
  if (!header) return fail(Errno::Inval);
  constexpr size_t vlan_tag = 4;
  bool const tagged = header->type == ether_vlan;
  if (p->size() > size_t{out.mtu()} + EthernetHeader::size + (tagged ? vlan_tag : 0)) return fail(Errno::MsgSize);
  p->pull(EthernetHeader::size);
  p->framed = out.is_loopback();
  auto& c = out.counters();
  c.sent_packets.fetch_add(1, std::memory_order_relaxed);
  c.sent_bytes.fetch_add(p->size() + EthernetHeader::size, std::memory_order_relaxed);
  transmit_frame(out, *header, std::move(p), sender);
  return {};
}

void Stack::receive_ethernet(Interface& from, PacketPtr p) {
  auto header = EthernetHeader::parse(p->peek(EthernetHeader::size));
  if (!header) return;
  bool group = header->destination[0] & 1, own = header->destination == from.facts().hardware;
  bool const all = header->destination == hardware_broadcast && !from.is_loopback();  // that has no such address
  p->pull(EthernetHeader::size);
  if (tapped()) {
    auto const kind = own     ? TapKind::ToThisHost
                      : all   ? TapKind::Broadcast
                      : group ? TapKind::Multicast
                              : TapKind::ToAnother;
    tap({from, kind, *header, now()}, *p);
  }
  if (!group && !own) return;  // a promiscuous link
  from.counters().multicast.fetch_add(group && !all ? 1 : 0, std::memory_order_relaxed);
  if (header->type == ether_arp) {
    receive_arp(from, *p);
  } else if (header->type == ether_ipv4 || header->type == ether_ipv6) {
    Bytes first = p->peek(1);
    if (first.empty() || load8(first, 0) >> 4 != (header->type == ether_ipv4 ? 4 : 6)) return;
    deliver(from, std::move(p));
  }
}

void Stack::receive_arp(Interface& from, Packet& p) {
  auto arp = ArpPacket::parse(p.peek(ArpPacket::size));
  if (!arp || arp->sender.is_multicast() || arp->sender.is_limited_broadcast()) return;
  if (arp->sender_hardware[0] & 1) return;
  auto* known = neighbours(from);
  if (!known) return;
  bool for_me = from.has_address(arp->target);
  if (!arp->sender.is_any() && !owns(arp->sender))
    known->learn(arp->sender, arp->sender_hardware, for_me && arp->operation == ArpPacket::request,
                 arp->operation == ArpPacket::reply);
  if (arp->operation != ArpPacket::request || !for_me) return;
  auto answer = std::make_unique<Packet>();
  ArpPacket reply;
  reply.operation = ArpPacket::reply;
  reply.sender_hardware = from.facts().hardware;
  reply.sender = arp->target;
  reply.target_hardware = arp->sender_hardware;
  reply.target = arp->sender;
  reply.write(answer->push(ArpPacket::size));
  transmit_frame(from, {arp->sender_hardware, from.facts().hardware, ether_arp}, std::move(answer));
}

}  // namespace cofferdam::netstack

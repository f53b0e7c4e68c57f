// Ethernet frames and ARP (RFC 826, RFC 5227 as far as it concerns answers).
#include <algorithm>

#include "netstack/stack.h"

namespace cofferdam::netstack {

void Stack::receive_ethernet(Interface& from, PacketPtr p) {
  auto header = EthernetHeader::parse(p->peek(EthernetHeader::size));
  if (!header) return;
  bool group = header->destination[0] & 1;
  if (!group && header->destination != from.facts().hardware) return;  // a promiscuous link
  p->pull(EthernetHeader::size);
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
  EthernetHeader{arp->sender_hardware, from.facts().hardware, ether_arp}.write(answer->push(EthernetHeader::size));
  from.link().transmit(std::move(answer));
}

}  // namespace cofferdam::netstack

// ICMPv6 (RFC 4443), neighbour discovery (RFC 4861) and MLD as they arrive.
#include <algorithm>

#include "netstack/stack.h"

namespace cofferdam::netstack {

void Stack::receive_icmpv6(IpInfo const& info, PacketPtr p) {
  ++statistics_.icmp_received;
  Checksum sum = pseudo_header(info.source, info.destination, protocol_icmpv6, p->size());
  if (!p->checksum_verified) sum.add_rest(*p);
  auto h = IcmpHeader::parse(p->peek(IcmpHeader::size));
  if (!h || (!p->checksum_verified && sum.value() != 0)) {
    ++statistics_.icmp_errors;
    return;
  }
  constexpr uint8_t echo = 128, echo_reply = 129, router_advertisement = 134;
  constexpr uint8_t neighbour_solicitation = 135, neighbour_advertisement = 136;
  if (h->type == neighbour_solicitation || h->type == neighbour_advertisement)
    return receive_neighbour_message(info, *h, *p);
  if (h->type == router_advertisement) {
    auto const told = autoconfiguration(*info.interface);
    if (!told) return;
    std::vector<std::byte> message(p->size());
    p->copy_to(message);
    return told->receive_advertisement(info, message);
  }
  if (h->type == mld_query || h->type == mld_report_v1) return receive_mld(info, h->type, *p);
  p->pull(IcmpHeader::size);
  if (h->type == echo && settings_.icmpv6_echo_ignore_all) return;
  if (h->type == echo) {
    if (info.source.is_unicast()) answer_echo(info, echo_reply, h->rest, std::move(p));
    return;
  }
  if (h->type == echo_reply) return deliver_echo(info, *h, *p);
  receive_icmp_error(info, *h, *p);
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
  for (size_t at = fixed; at + 2 <= b.size();) {
    size_t length = load8(b, at + 1) * 8u;
    if (length == 0 || at + length > b.size()) return;
    if (load8(b, at) == wanted && length == 8 && !(load8(b, at + 2) & 1)) {
      hardware.emplace();
      std::memcpy(hardware->data(), b.data() + at + 2, hardware->size());
    }
    at += length;
  }
  if (auto const wanted_too = autoconfiguration(*info.interface);
      wanted_too && (h.type != solicitation || info.source == Address::any_v6()))
    wanted_too->heard_of(target);
  if (h.type != solicitation) {
    bool solicited = h.rest & 0x40000000, override_known = h.rest & 0x20000000;
    if (solicited && !info.to_one) return;
    if (hardware && !owns(target)) known->learn(target, *hardware, false, solicited, override_known);
    return;
  }
  if (!info.interface->has_address(target)) return;
  bool probe = info.source == Address::any_v6();  // duplicate address detection
  if (probe && (hardware || info.destination != target.solicited_node())) return;
  if (!probe && hardware) known->learn(info.source, *hardware, true, false);
  // Who asked this host alone knows its link address (Linux's ndisc_recv_ns).
  bool const to_group = !info.to_one;
  auto answer = std::make_unique<Packet>();
  auto body = answer->push(16 + (to_group ? 8 : 0));
  std::memcpy(body.data(), target.bytes().data(), 16);
  if (to_group) {
    store8(body, 16, target_link_address);
    store8(body, 17, 1);
    std::memcpy(body.data() + 18, info.interface->facts().hardware.data(), 6);
  }
  std::array<std::byte, 16> all_nodes{std::byte{0xff}, std::byte{2}};
  all_nodes[15] = std::byte{1};
  constexpr uint32_t solicited_flag = 0x40000000, override_flag = 0x20000000;
  uint32_t const flags = (probe ? 0 : solicited_flag) | (to_group ? override_flag : 0);
  SendOptions options;
  options.ttl = 255;
  send_icmp(target, probe ? Address::v6(all_nodes) : info.source, info.interface->index(), {136, 0, 0, flags},
            std::move(answer), options);
}

}  // namespace cofferdam::netstack

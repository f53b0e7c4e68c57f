#include "netstack/headers.h"

#include <algorithm>

#include "netstack/checksum.h"

namespace cofferdam::netstack {
namespace {

HardwareAddress load_hardware(Bytes b, size_t at) {
  HardwareAddress a;
  std::memcpy(a.data(), b.data() + at, a.size());
  return a;
}
void store_hardware(MutableBytes b, size_t at, HardwareAddress const& a) {
  std::memcpy(b.data() + at, a.data(), a.size());
}
void store_v4(MutableBytes b, size_t at, Address const& a) { std::memcpy(b.data() + at, a.v4_bytes().data(), 4); }

}  // namespace

std::optional<EthernetHeader> EthernetHeader::parse(Bytes b) {
  if (b.size() < size) return std::nullopt;
  return EthernetHeader{load_hardware(b, 0), load_hardware(b, 6), load16(b, 12)};
}

void EthernetHeader::write(MutableBytes b) const {
  store_hardware(b, 0, destination);
  store_hardware(b, 6, source);
  store16(b, 12, type);
}

std::optional<ArpPacket> ArpPacket::parse(Bytes b) {
  if (b.size() < size) return std::nullopt;
  if (load16(b, 0) != 1 || load16(b, 2) != ether_ipv4 || load8(b, 4) != 6 || load8(b, 5) != 4) return std::nullopt;
  ArpPacket p;
  p.operation = load16(b, 6);
  p.sender_hardware = load_hardware(b, 8);
  p.sender = Address::v4(load32(b, 14));
  p.target_hardware = load_hardware(b, 18);
  p.target = Address::v4(load32(b, 24));
  return p;
}

void ArpPacket::write(MutableBytes b) const {
  store16(b, 0, 1);
  store16(b, 2, ether_ipv4);
  store8(b, 4, 6);
  store8(b, 5, 4);
  store16(b, 6, operation);
  store_hardware(b, 8, sender_hardware);
  store_v4(b, 14, sender);
  store_hardware(b, 18, target_hardware);
  store_v4(b, 24, target);
}

size_t Ipv4Header::length_of(Bytes b) {
  if (b.empty() || load8(b, 0) >> 4 != 4) return 0;
  size_t length = (load8(b, 0) & 0xfu) * 4;
  return length < minimum ? 0 : length;
}

std::optional<Ipv4Header> Ipv4Header::parse(Bytes b, bool check_sum) {
  size_t length = length_of(b);
  if (length == 0 || b.size() < length) return std::nullopt;
  Ipv4Header h;
  h.header_length = length;
  h.tos = load8(b, 1);
  h.total_length = load16(b, 2);
  h.id = load16(b, 4);
  uint16_t fragment = load16(b, 6);
  h.dont_fragment = fragment & 0x4000;
  h.more_fragments = fragment & 0x2000;
  h.fragment_offset = static_cast<uint16_t>((fragment & 0x1fff) * 8);
  h.ttl = load8(b, 8);
  h.protocol = load8(b, 9);
  h.source = Address::v4(load32(b, 12));
  h.destination = Address::v4(load32(b, 16));
  if (h.total_length < length) return std::nullopt;
  if (check_sum && checksum_of(b.first(length)) != 0) return std::nullopt;
  return h;
}

void Ipv4Header::write(MutableBytes b) const {
  store8(b, 0, static_cast<uint8_t>(0x40 | header_length / 4));
  store8(b, 1, tos);
  store16(b, 2, total_length);
  store16(b, 4, id);
  store16(b, 6,
          static_cast<uint16_t>((dont_fragment ? 0x4000 : 0) | (more_fragments ? 0x2000 : 0) | fragment_offset / 8));
  store8(b, 8, ttl);
  store8(b, 9, protocol);
  store16(b, 10, 0);
  store_v4(b, 12, source);
  store_v4(b, 16, destination);
  store16(b, 10, checksum_of(b.first(header_length)));
}

std::optional<Ipv6Header> Ipv6Header::parse(Bytes b) {
  if (b.size() < size || load8(b, 0) >> 4 != 6) return std::nullopt;
  Ipv6Header h;
  uint32_t word = load32(b, 0);
  h.traffic_class = static_cast<uint8_t>(word >> 20);
  h.flow_label = word & 0xfffff;
  h.payload_length = load16(b, 4);
  h.next_header = load8(b, 6);
  h.hop_limit = load8(b, 7);
  h.source = Address::v6(b.subspan(8, 16));
  h.destination = Address::v6(b.subspan(24, 16));
  return h;
}

void Ipv6Header::write(MutableBytes b) const {
  store32(b, 0, 6u << 28 | uint32_t{traffic_class} << 20 | (flow_label & 0xfffff));
  store16(b, 4, payload_length);
  store8(b, 6, next_header);
  store8(b, 7, hop_limit);
  std::memcpy(b.data() + 8, source.bytes().data(), 16);
  std::memcpy(b.data() + 24, destination.bytes().data(), 16);
}

Ipv6FragmentHeader Ipv6FragmentHeader::parse(Bytes b) {
  uint16_t word = load16(b, 2);
  return {load8(b, 0), static_cast<uint16_t>(word & 0xfff8), (word & 1) != 0, load32(b, 4)};
}

void Ipv6FragmentHeader::write(MutableBytes b) const {
  store8(b, 0, next_header);
  store8(b, 1, 0);
  store16(b, 2, static_cast<uint16_t>(offset | (more ? 1 : 0)));
  store32(b, 4, id);
}

std::optional<UdpHeader> UdpHeader::parse(Bytes b) {
  if (b.size() < size) return std::nullopt;
  UdpHeader h{load16(b, 0), load16(b, 2), load16(b, 4), load16(b, 6)};
  if (h.length < size) return std::nullopt;
  return h;
}

void UdpHeader::write(MutableBytes b) const {
  store16(b, 0, source);
  store16(b, 2, destination);
  store16(b, 4, length);
  store16(b, 6, checksum);
}

std::optional<IcmpHeader> IcmpHeader::parse(Bytes b) {
  if (b.size() < size) return std::nullopt;
  return IcmpHeader{load8(b, 0), load8(b, 1), load16(b, 2), load32(b, 4)};
}

void IcmpHeader::write(MutableBytes b) const {
  store8(b, 0, type);
  store8(b, 1, code);
  store16(b, 2, checksum);
  store32(b, 4, rest);
}

TcpOptions TcpOptions::parse(Bytes b) {
  TcpOptions o;
  size_t at = 0;
  while (at < b.size()) {
    uint8_t kind = load8(b, at);
    if (kind == 0) break;
    if (kind == 1) {
      ++at;
      continue;
    }
    if (at + 2 > b.size()) break;
    size_t length = load8(b, at + 1);
    if (length < 2 || at + length > b.size()) break;
    if (kind == 2 && length == 4) o.mss = load16(b, at + 2);
    if (kind == 3 && length == 3) o.window_scale = std::min<uint8_t>(load8(b, at + 2), 14);  // RFC 7323 2.3
    if (kind == 4 && length == 2) o.sack_permitted = true;
    if (kind == 5 && length >= 10 && (length - 2) % 8 == 0) {
      o.sack_count = 0;
      for (size_t n = at + 2; n + 8 <= at + length && o.sack_count < max_sack_blocks; n += 8)
        o.sack[o.sack_count++] = {SeqNum(load32(b, n)), SeqNum(load32(b, n + 4))};
    }
    if (kind == 8 && length == 10) {
      o.has_timestamps = true;
      o.timestamp = load32(b, at + 2);
      o.echo = load32(b, at + 6);
    }
    at += length;
  }
  return o;
}

size_t TcpOptions::length() const {
  size_t n = (mss ? 4 : 0) + (window_scale ? 4 : 0) + (has_timestamps ? 12 : 0);
  if (sack_permitted) n += has_timestamps ? 0 : 4;  // stands in the padding of the timestamps
  if (sack_count != 0) n += 4 + 8u * sack_count;
  return n;
}

void TcpOptions::write(MutableBytes b) const {
  size_t at = 0;
  if (mss) {
    store8(b, at, 2);
    store8(b, at + 1, 4);
    store16(b, at + 2, *mss);
    at += 4;
  }
  if (has_timestamps) {
    store8(b, at, sack_permitted ? 4 : 1);
    store8(b, at + 1, sack_permitted ? 2 : 1);
    store8(b, at + 2, 8);
    store8(b, at + 3, 10);
    store32(b, at + 4, timestamp);
    store32(b, at + 8, echo);
    at += 12;
  } else if (sack_permitted) {
    store32(b, at, 0x01010402);
    at += 4;
  }
  if (window_scale) {
    store32(b, at, 0x01030300 | *window_scale);
    at += 4;
  }
  if (sack_count == 0) return;
  store16(b, at, 0x0101);
  store8(b, at + 2, 5);
  store8(b, at + 3, static_cast<uint8_t>(2 + 8 * sack_count));
  at += 4;
  for (uint8_t i = 0; i < sack_count; ++i, at += 8) {
    store32(b, at, sack[i].start.value());
    store32(b, at + 4, sack[i].end.value());
  }
}

size_t TcpHeader::length_of(Bytes b) {
  if (b.size() < minimum) return 0;
  size_t length = (load8(b, 12) >> 4) * 4u;
  return length < minimum ? 0 : length;
}

std::optional<TcpHeader> TcpHeader::parse(Bytes b) {
  size_t length = length_of(b);
  if (length == 0 || b.size() < length) return std::nullopt;
  TcpHeader h;
  h.source = load16(b, 0);
  h.destination = load16(b, 2);
  h.sequence = SeqNum(load32(b, 4));
  h.acknowledgment = SeqNum(load32(b, 8));
  h.flags = load8(b, 13);
  h.window = load16(b, 14);
  h.checksum = load16(b, 16);
  h.urgent = load16(b, 18);
  h.header_length = length;
  h.options = TcpOptions::parse(b.subspan(minimum, length - minimum));
  return h;
}

void TcpHeader::write(MutableBytes b) const {
  size_t length = minimum + options.length();
  store16(b, 0, source);
  store16(b, 2, destination);
  store32(b, 4, sequence.value());
  store32(b, 8, acknowledgment.value());
  store8(b, 12, static_cast<uint8_t>(length / 4 << 4));
  store8(b, 13, flags);
  store16(b, 14, window);
  store16(b, 16, checksum);
  store16(b, 18, urgent);
  options.write(b.subspan(minimum));
}

}  // namespace cofferdam::netstack

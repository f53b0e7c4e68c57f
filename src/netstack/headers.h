// The headers of the protocols: read from bytes that are not to be trusted, and written.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "netstack/address.h"
#include "netstack/bytes.h"
#include "netstack/seqnum.h"

namespace cofferdam::netstack {

inline constexpr uint16_t ether_ipv4 = 0x0800, ether_arp = 0x0806, ether_vlan = 0x8100, ether_ipv6 = 0x86dd;
inline constexpr uint8_t protocol_icmp = 1, protocol_igmp = 2, protocol_tcp = 6, protocol_udp = 17,
                         protocol_icmpv6 = 58;

struct EthernetHeader {
  static constexpr size_t size = 14;
  HardwareAddress destination{}, source{};
  uint16_t type = 0;
  static std::optional<EthernetHeader> parse(Bytes);
  void write(MutableBytes) const;
};

// ARP for IPv4 over Ethernet (RFC 826).
struct ArpPacket {
  static constexpr size_t size = 28;
  static constexpr uint16_t request = 1, reply = 2;
  uint16_t operation = request;
  HardwareAddress sender_hardware{}, target_hardware{};
  Address sender, target;
  static std::optional<ArpPacket> parse(Bytes);
  void write(MutableBytes) const;
};

struct Ipv4Header {
  static constexpr size_t minimum = 20;
  size_t header_length = minimum;
  uint16_t total_length = 0, id = 0;
  uint8_t tos = 0, ttl = 64, protocol = 0;
  bool dont_fragment = false, more_fragments = false;
  uint16_t fragment_offset = 0;  // bytes
  Address source, destination;
  bool is_fragment() const { return more_fragments || fragment_offset != 0; }
  // Needs the whole header. Checks version, lengths and checksum (RFC 1122 3.2.1), not what follows the header.
  static std::optional<Ipv4Header> parse(Bytes, bool check_sum = true);
  static size_t length_of(Bytes first_byte);  // 0: nonsense
  // header_length says how much room there is; the options behind the fixed part stand there already.
  void write(MutableBytes) const;
};

struct Ipv6Header {
  static constexpr size_t size = 40;
  uint8_t traffic_class = 0, next_header = 0, hop_limit = 64;
  uint32_t flow_label = 0;
  uint16_t payload_length = 0;
  Address source, destination;
  static std::optional<Ipv6Header> parse(Bytes);
  void write(MutableBytes) const;
};

struct Ipv6FragmentHeader {
  static constexpr size_t size = 8;
  uint8_t next_header = 0;
  uint16_t offset = 0;  // bytes
  bool more = false;
  uint32_t id = 0;
  static Ipv6FragmentHeader parse(Bytes);
  void write(MutableBytes) const;
};

struct UdpHeader {
  static constexpr size_t size = 8;
  uint16_t source = 0, destination = 0, length = 0, checksum = 0;
  static std::optional<UdpHeader> parse(Bytes);
  void write(MutableBytes) const;
};

struct IcmpHeader {
  static constexpr size_t size = 8;
  uint8_t type = 0, code = 0;
  uint16_t checksum = 0;
  uint32_t rest = 0;
  static std::optional<IcmpHeader> parse(Bytes);
  void write(MutableBytes) const;  // with `checksum` as it stands
};

struct SackBlock {
  SeqNum start, end;
};

struct TcpOptions {
  static constexpr size_t max_sack_blocks = 4, most = 40;  // bytes of options: the header's length has four bits
  std::optional<uint16_t> mss;
  std::optional<uint8_t> window_scale;
  bool sack_permitted = false;
  bool has_timestamps = false;
  uint32_t timestamp = 0, echo = 0;
  std::array<SackBlock, max_sack_blocks> sack{};
  uint8_t sack_count = 0;
  // Stops at the first option that makes no sense; what stood before it counts.
  static TcpOptions parse(Bytes);
  size_t length() const;  // when written, padded to a multiple of four
  void write(MutableBytes) const;
};

struct TcpHeader {
  static constexpr size_t minimum = 20;
  static constexpr uint8_t fin = 1, syn = 2, rst = 4, psh = 8, ack_flag = 16, urg = 32, ece = 64, cwr = 128;
  uint16_t source = 0, destination = 0;
  SeqNum sequence, acknowledgment;
  uint8_t flags = 0;
  uint16_t window = 0, checksum = 0, urgent = 0;
  size_t header_length = minimum;
  TcpOptions options;
  bool has(uint8_t f) const { return (flags & f) != 0; }
  static size_t length_of(Bytes twenty_bytes);  // 0: nonsense
  static std::optional<TcpHeader> parse(Bytes whole_header);
  void write(MutableBytes) const;  // header_length from the options; checksum as it stands
};

}  // namespace cofferdam::netstack

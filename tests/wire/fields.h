// A packet as words: what a case says of one, and what is found in one.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netstack/address.h"
#include "netstack/bytes.h"

namespace cofferdam::wire {

using netstack::Address;
using netstack::Bytes;

// "protocol" is always there; the others as README.md lists them. Numbers stand in decimal.
using Fields = std::map<std::string, std::string>;

// Who speaks in all cases.
inline constexpr netstack::HardwareAddress own_hardware{2, 0, 0, 0, 0, 1}, peer_hardware{2, 0, 0, 0, 0, 2};
Address address_of(std::string const& text);  // throws std::runtime_error
std::string default_address(bool own, bool v4);

// What both sides have agreed on, so that numbers can be written relative to where they began.
struct Conversation {
  std::optional<uint32_t> own_start, peer_start;  // initial sequence numbers
  uint16_t own_port = 80, peer_port = 5000;
  uint32_t own_timestamp = 0;     // the last one that was seen
  uint32_t timestamp_before = 0;  // and the one before it
};

struct Context {
  bool v4 = true;
  std::map<unsigned, Conversation> conversations;  // by the peer's port
  unsigned default_peer_port = 5000;
  std::vector<std::byte> last_sent, last_injected;  // IP packets
  uint16_t own_port = 80;                           // of the endpoint under test
  std::optional<netstack::HardwareAddress> last_target;
};

// "S 0:0(0) win 100 <mss 1460>" and the like. Throws std::runtime_error with what is wrong.
Fields parse_fields(std::string_view text);
// The bytes of one stream at this relative sequence number: those of a case that says only how many.
char pattern_at(uint32_t sequence);

// An Ethernet frame of the peer's.
std::vector<std::byte> build_frame(Fields const&, Context&);
// All that is to be said of a frame of the host's; learns initial sequence numbers.
Fields describe_frame(Bytes frame, Context&);
// What differs, or nothing. Only what `wanted` names is looked at.
std::string difference(Fields const& wanted, Fields const& found);
std::string text_of(Fields const&);

// IP packets of the peer's: headers of the right length and sums.
std::vector<std::byte> build_ip(Fields const&, Context const&, uint8_t protocol, std::vector<std::byte> payload);
// ICMP, ICMPv6 with neighbour discovery, IGMP and MLD, ARP (control_packets.cc).
std::optional<std::vector<std::byte>> build_control(Fields const&, Context const&);  // an IP packet
std::vector<std::byte> build_arp(Fields const&);                                     // without its Ethernet header
void describe_control(Fields&, uint8_t protocol, Bytes message, bool v4, Context const&);
void describe_arp(Fields&, Bytes);

// Helpers of both.
uint32_t number(Fields const&, std::string const& key, uint32_t fallback);
std::string word(Fields const&, std::string const& key, std::string const& fallback);
std::vector<std::byte> from_hex(std::string_view);
std::string to_hex(Bytes);

}  // namespace cofferdam::wire

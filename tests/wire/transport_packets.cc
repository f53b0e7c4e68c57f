// Frames of IP, TCP and UDP: made of what a case says, and described in its words.
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "fields.h"
#include "netstack/checksum.h"
#include "netstack/headers.h"

namespace cofferdam::wire {

using namespace netstack;

namespace {

constexpr uint32_t peer_start = 1000000;
constexpr std::string_view flag_letters = "FSRPAUEW";  // from the lowest bit on
constexpr uint8_t fragment_header = 44;

std::string ecn_word(uint8_t tos) {
  static constexpr std::string_view words[] = {"not", "ect1", "ect0", "ce"};
  return std::string(words[tos & 3]);
}

uint8_t ecn_bits(std::string const& word) {
  if (word == "ce") return 3;
  if (word == "ect0") return 2;
  return word == "ect1" ? 1 : 0;
}

void append(std::vector<std::byte>& to, Bytes from) { to.insert(to.end(), from.begin(), from.end()); }
void append32(std::vector<std::byte>& to, uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<std::byte>(v >> shift));
}

Address source_of(Fields const& f, Context const& c, bool from_peer) {
  return address_of(word(f, "src", default_address(!from_peer, c.v4)));
}
Address destination_of(Fields const& f, Context const& c, bool from_peer) {
  return address_of(word(f, "dst", default_address(from_peer, c.v4)));
}

void fill_sum(std::vector<std::byte>& b, size_t at, Fields const& f, Context const& c, uint8_t protocol) {
  Checksum sum = pseudo_header(source_of(f, c, true), destination_of(f, c, true), protocol, b.size());
  sum.add(b);
  uint16_t value = sum.value();
  std::string const how = word(f, "sum", "right");
  if (how == "bad") value ^= 0x5555;
  if (how == "none") value = 0;
  store16(b, at, value);
}

// One option of a case's list, with its numbers made absolute.
void append_option(std::vector<std::byte>& to, std::string_view one, Conversation const& talk, Fields const& f) {
  while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
  std::string const name(one.substr(0, one.find(' ')));
  auto put = [&](std::initializer_list<unsigned> bytes) {
    for (unsigned const x : bytes) to.push_back(static_cast<std::byte>(x));
  };
  if (name == "nop") return put({1});
  if (name == "eol") return put({0});
  if (name == "sackOK") return put({4, 2});
  if (name == "mss") {
    uint32_t const mss = number(f, "mss", 0);
    return put({2, 4, mss >> 8, mss & 0xff});
  }
  if (name == "wscale") return put({3, 3, number(f, "wscale", 0)});
  if (name == "hex") return append(to, from_hex(one.substr(3)));
  if (name == "TS") {
    put({8, 10});
    append32(to, number(f, "ts", 0));
    std::string const echo = word(f, "ecr", "0");
    if (echo == "before") return append32(to, talk.timestamp_before);
    return append32(to, echo == "last" ? talk.own_timestamp : number(f, "ecr", 0));
  }
  if (name == "FO") {
    auto const cookie = word(f, "FO", "") == "request" ? std::vector<std::byte>() : from_hex(word(f, "FO", ""));
    put({34, static_cast<unsigned>(2 + cookie.size())});
    return append(to, cookie);
  }
  if (name != "sack") throw std::runtime_error(fmt::format("option '{}' cannot be written", one));
  std::vector<uint32_t> edges;
  std::string const list = word(f, "sack", "");
  for (size_t at = 0; at < list.size();) {
    size_t used = 0;
    edges.push_back(static_cast<uint32_t>(std::stoul(list.substr(at), &used)) + talk.own_start.value_or(0));
    at += used + 1;
  }
  put({5, static_cast<unsigned>(2 + 4 * edges.size())});
  for (uint32_t const e : edges) append32(to, e);
}

std::vector<std::byte> payload_of(Fields const& f, uint32_t first) {
  std::vector<std::byte> data;
  if (f.contains("hex")) return from_hex(f.at("hex"));
  std::string const text = word(f, "data", "");
  if (!text.empty()) {
    append(data, std::as_bytes(std::span(text)));
    return data;
  }
  for (uint32_t i = 0; i < number(f, "len", 0); ++i) data.push_back(static_cast<std::byte>(pattern_at(first + i)));
  return data;
}

std::vector<std::byte> build_tcp(Fields const& f, Context& c) {
  unsigned const from = number(f, "from", c.default_peer_port), to = number(f, "to", c.own_port);
  Conversation& talk = c.conversations[from];
  talk.peer_port = static_cast<uint16_t>(from);
  if (!talk.peer_start) talk.peer_start = peer_start;
  std::vector<std::byte> b(TcpHeader::minimum);
  store16(b, 0, static_cast<uint16_t>(from));
  store16(b, 2, static_cast<uint16_t>(to));
  uint32_t const seq = number(f, "seq", 0);
  store32(b, 4, *talk.peer_start + seq);
  std::string const flags = word(f, "flags", "");
  bool const has_ack = flags.find('A') != std::string::npos;
  if (has_ack || f.contains("ack")) store32(b, 8, talk.own_start.value_or(0) + number(f, "ack", 0));
  unsigned bits = 0;
  for (size_t i = 0; i < flag_letters.size(); ++i)
    if (flags.find(flag_letters[i]) != std::string::npos) bits |= 1u << i;
  store8(b, 13, static_cast<uint8_t>(bits));
  store16(b, 14, static_cast<uint16_t>(number(f, "win", 65535)));
  store16(b, 18, static_cast<uint16_t>(number(f, "urg", 0)));
  std::string_view list = f.contains("options") ? std::string_view(f.at("options")) : std::string_view();
  while (!list.empty()) {
    std::string_view const one = list.substr(0, list.find(','));
    list.remove_prefix(std::min(one.size() + 1, list.size()));
    append_option(b, one, talk, f);
  }
  while (b.size() % 4 != 0) b.push_back(std::byte{});
  store8(b, 12, static_cast<uint8_t>(number(f, "doff", static_cast<uint32_t>(b.size() / 4)) << 4));
  append(b, payload_of(f, seq + (flags.find('S') != std::string::npos ? 1 : 0)));
  fill_sum(b, 16, f, c, protocol_tcp);
  return b;
}

std::vector<std::byte> build_udp(Fields const& f, Context const& c) {
  std::vector<std::byte> const data = payload_of(f, 1);
  std::vector<std::byte> b(UdpHeader::size);
  UdpHeader h{static_cast<uint16_t>(number(f, "from", c.default_peer_port)),
              static_cast<uint16_t>(number(f, "to", c.own_port)), 0, 0};
  h.length = static_cast<uint16_t>(number(f, "udplen", static_cast<uint32_t>(b.size() + data.size())));
  h.write(b);
  append(b, data);
  fill_sum(b, 6, f, c, protocol_udp);
  return b;
}

}  // namespace

std::vector<std::byte> build_ip(Fields const& f, Context const& c, uint8_t protocol, std::vector<std::byte> payload) {
  size_t offset = 0;
  bool more = false;
  if (f.contains("slice")) {  // "8:24" of the payload, as a fragment
    std::string const range = f.at("slice");
    offset = std::stoul(range);
    size_t const end = std::min<size_t>(std::stoul(range.substr(range.find(':') + 1)), payload.size());
    more = end < payload.size();
    payload = {payload.begin() + static_cast<ptrdiff_t>(offset), payload.begin() + static_cast<ptrdiff_t>(end)};
  }
  if (f.contains("mf")) more = f.at("mf") == "yes";
  uint8_t const tos = static_cast<uint8_t>((number(f, "tos", 0) & 0xfc) | ecn_bits(word(f, "ecn", "not")));
  auto const ttl = static_cast<uint8_t>(number(f, "ttl", 64));
  Address const source = source_of(f, c, true), destination = destination_of(f, c, true);
  if (c.v4) {
    auto const options = from_hex(word(f, "ipopts", ""));
    Ipv4Header h;
    h.header_length = Ipv4Header::minimum + options.size();
    h.total_length = static_cast<uint16_t>(number(f, "iplen", static_cast<uint32_t>(h.header_length + payload.size())));
    h.id = static_cast<uint16_t>(number(f, "id", 0));
    h.tos = tos;
    h.ttl = ttl;
    h.protocol = static_cast<uint8_t>(number(f, "proto", protocol));
    h.dont_fragment = f.contains("df");
    h.more_fragments = more;
    h.fragment_offset = static_cast<uint16_t>(offset);
    h.source = source;
    h.destination = destination;
    std::vector<std::byte> b(h.header_length);
    std::ranges::copy(options, b.begin() + Ipv4Header::minimum);
    h.write(b);
    if (word(f, "ipsum", "right") == "bad") store16(b, 10, load16(b, 10) ^ 1);
    append(b, payload);
    return b;
  }
  auto extension = from_hex(word(f, "ext", ""));  // its first byte, the next header, is as the case has it
  Ipv6Header h;
  h.traffic_class = tos;
  h.hop_limit = ttl;
  h.source = source;
  h.destination = destination;
  h.next_header = static_cast<uint8_t>(number(f, "next", number(f, "proto", protocol)));
  if (f.contains("slice") || f.contains("fragment")) {
    std::vector<std::byte> fragment(Ipv6FragmentHeader::size);
    Ipv6FragmentHeader{protocol, static_cast<uint16_t>(offset), more, number(f, "id", 0)}.write(fragment);
    append(extension, fragment);
    h.next_header = fragment_header;
  }
  h.payload_length =
      static_cast<uint16_t>(number(f, "iplen", static_cast<uint32_t>(extension.size() + payload.size())));
  std::vector<std::byte> b(Ipv6Header::size);
  h.write(b);
  append(b, extension);
  append(b, payload);
  return b;
}

std::vector<std::byte> build_frame(Fields const& f, Context& c) {
  std::string const protocol = word(f, "protocol", "");
  std::vector<std::byte> inner;
  uint16_t type = c.v4 ? ether_ipv4 : ether_ipv6;
  if (protocol == "frame") {
    inner = from_hex(word(f, "hex", ""));
    type = static_cast<uint16_t>(number(f, "type", type));
  } else if (protocol == "arp") {
    inner = build_arp(f);
    type = ether_arp;
  } else if (protocol == "tcp") {
    inner = build_ip(f, c, protocol_tcp, build_tcp(f, c));
  } else if (protocol == "udp") {
    inner = build_ip(f, c, protocol_udp, build_udp(f, c));
  } else if (protocol == "ip") {
    inner = build_ip(f, c, static_cast<uint8_t>(number(f, "proto", 255)), payload_of(f, 1));
  } else if (auto control = build_control(f, c)) {
    inner = std::move(*control);
  } else {
    throw std::runtime_error(fmt::format("'{}' cannot be sent", protocol));
  }
  if (type == ether_ipv4 || type == ether_ipv6) c.last_injected = inner;
  HardwareAddress to = own_hardware;
  std::string const kind = word(f, "mac", "");
  if (kind == "broadcast" || (protocol == "arp" && kind.empty() && word(f, "kind", "") == "request"))
    to = hardware_broadcast;
  if (kind == "other") to = {2, 0, 0, 0, 0, 9};
  if (f.contains("dst") && kind.empty()) {
    Address const destination = address_of(f.at("dst"));
    auto const b = destination.bytes();
    if (destination.is_limited_broadcast()) to = hardware_broadcast;
    if (destination.is_multicast() && destination.is_v4())
      to = {1, 0, 0x5e, static_cast<uint8_t>(load8(b, 13) & 0x7f), load8(b, 14), load8(b, 15)};
    else if (destination.is_multicast())
      to = {0x33, 0x33, load8(b, 12), load8(b, 13), load8(b, 14), load8(b, 15)};
  }
  std::vector<std::byte> frame(EthernetHeader::size);
  EthernetHeader{to, peer_hardware, type}.write(frame);
  append(frame, inner);
  return frame;
}

namespace {

void describe_tcp_options(Fields& f, Bytes o, Conversation const& talk, uint32_t peer_first) {
  for (size_t at = 0; at < o.size();) {
    uint8_t const kind = load8(o, at);
    if (kind == 0) break;
    if (kind == 1 || at + 1 >= o.size()) {
      ++at;
      continue;
    }
    size_t const length = load8(o, at + 1);
    if (length < 2 || at + length > o.size()) break;
    if (kind == 2) f["mss"] = std::to_string(load16(o, at + 2));
    if (kind == 3) f["wscale"] = std::to_string(load8(o, at + 2));
    if (kind == 4) f["sackOK"] = "yes";
    if (kind == 8) {
      f["ts"] = std::to_string(load32(o, at + 2));
      f["ecr"] = std::to_string(load32(o, at + 6));
    }
    if (kind == 34) f["FO"] = length == 2 ? "request" : to_hex(o.subspan(at + 2, length - 2));
    if (kind == 5) {
      std::string blocks;
      for (size_t n = at + 2; n + 8 <= at + length; n += 8)
        blocks +=
            fmt::format("{}{}:{}", blocks.empty() ? "" : " ", load32(o, n) - peer_first, load32(o, n + 4) - peer_first);
      f["sack"] = blocks;
    }
    at += length;
  }
  static_cast<void>(talk);
}

void describe_tcp(Fields& f, Bytes b, Context& c) {
  size_t const length = TcpHeader::length_of(b);
  if (length == 0 || length > b.size()) {
    f["broken"] = "tcp header";
    return;
  }
  unsigned const to = load16(b, 2);
  Conversation& talk = c.conversations[to];
  talk.peer_port = static_cast<uint16_t>(to);
  talk.own_port = load16(b, 0);
  uint8_t const bits = load8(b, 13);
  std::string flags;
  for (char const letter : std::string_view("SFRPAUEW"))
    if (bits & (1u << flag_letters.find(letter))) flags += letter;
  f["flags"] = flags;
  f["from"] = std::to_string(load16(b, 0));
  f["to"] = std::to_string(to);
  uint32_t const sequence = load32(b, 4), peer_first = talk.peer_start.value_or(peer_start);
  if (bits & 2) {
    talk.own_start = sequence;
    if (!(bits & 16)) c.own_port = talk.own_port;  // it connects
  }
  f["seq"] = std::to_string(sequence - talk.own_start.value_or(0));
  if (bits & 16) f["ack"] = std::to_string(load32(b, 8) - peer_first);
  f["win"] = std::to_string(load16(b, 14));
  if (bits & 32) f["urg"] = std::to_string(load16(b, 18));
  describe_tcp_options(f, b.subspan(20, length - 20), talk, peer_first);
  if (f.contains("ts")) talk.timestamp_before = std::exchange(talk.own_timestamp, number(f, "ts", 0));
  Bytes const data = b.subspan(length);
  f["len"] = std::to_string(data.size());
  f["data"] = {reinterpret_cast<char const*>(data.data()), data.size()};
  uint32_t const first = sequence - talk.own_start.value_or(0) + (bits & 2 ? 1 : 0);
  bool pattern = true;
  for (size_t i = 0; i < data.size(); ++i)
    pattern &= static_cast<char>(data[i]) == pattern_at(first + static_cast<uint32_t>(i));
  f["pattern"] = pattern ? "yes" : "no";
}

void check_sum(Fields& f, Bytes b, Address const& source, Address const& destination, uint8_t protocol) {
  Checksum sum = pseudo_header(source, destination, protocol, b.size());
  sum.add(b);
  if (sum.value() != 0) f["broken"] = "checksum";
}

void describe_transport(Fields& f, uint8_t protocol, Bytes b, Address const& source, Address const& destination,
                        Context& c) {
  if (protocol == protocol_tcp) {
    f["protocol"] = "tcp";
    check_sum(f, b, source, destination, protocol);
    describe_tcp(f, b, c);
  } else if (protocol == protocol_udp && b.size() >= UdpHeader::size) {
    f["protocol"] = "udp";
    f["from"] = std::to_string(load16(b, 0));
    f["to"] = std::to_string(load16(b, 2));
    f["sum"] = load16(b, 6) == 0 ? "none" : "right";
    if (!f.contains("mf")) check_sum(f, b, source, destination, protocol);
    Bytes const data = b.subspan(UdpHeader::size);
    f["len"] = std::to_string(data.size());
    f["data"] = {reinterpret_cast<char const*>(data.data()), data.size()};
    c.own_port = load16(b, 0);
  } else {
    describe_control(f, protocol, b, source.is_v4(), c);
  }
}

void describe_ipv4(Fields& f, Bytes b, Context& c) {
  size_t const length = Ipv4Header::length_of(b);
  auto const h = length == 0 || length > b.size() ? std::nullopt : Ipv4Header::parse(b.first(length));
  if (!h || h->total_length > b.size()) {
    f["broken"] = "ip header";
    return;
  }
  f["src"] = h->source.text();
  f["dst"] = h->destination.text();
  f["ttl"] = std::to_string(h->ttl);
  f["tos"] = std::to_string(h->tos & 0xfc);
  f["ecn"] = ecn_word(h->tos);
  f["proto"] = std::to_string(h->protocol);
  f["iplen"] = std::to_string(h->total_length);
  if (h->dont_fragment) f["df"] = "yes";
  if (h->more_fragments) f["mf"] = "yes";
  if (h->fragment_offset != 0) f["off"] = std::to_string(h->fragment_offset);
  if (length > 20) f["ipopts"] = to_hex(b.subspan(20, length - 20));
  Bytes const payload = b.subspan(length, h->total_length - length);
  f["protocol"] = "ip";
  f["len"] = std::to_string(payload.size());
  if (h->fragment_offset == 0) describe_transport(f, h->protocol, payload, h->source, h->destination, c);
  if (h->is_fragment()) f["len"] = std::to_string(payload.size());
}

void describe_ipv6(Fields& f, Bytes b, Context& c) {
  auto const h = Ipv6Header::parse(b);
  if (!h || h->payload_length + Ipv6Header::size > b.size()) {
    f["broken"] = "ip header";
    return;
  }
  f["src"] = h->source.text();
  f["dst"] = h->destination.text();
  f["ttl"] = std::to_string(h->hop_limit);
  f["tos"] = std::to_string(h->traffic_class & 0xfc);
  f["ecn"] = ecn_word(h->traffic_class);
  f["df"] = "yes";  // nobody fragments it on the way
  Bytes payload = b.subspan(Ipv6Header::size, h->payload_length);
  uint8_t protocol = h->next_header;
  f["iplen"] = std::to_string(b.size());
  if (protocol == 0 && payload.size() >= 8) {
    size_t const length = (load8(payload, 1) + 1u) * 8;
    f["hopbyhop"] = to_hex(payload.subspan(2, length - 2));
    protocol = load8(payload, 0);
    payload = payload.subspan(length);
  }
  bool later = false, fragment = false;
  if (protocol == fragment_header && payload.size() >= Ipv6FragmentHeader::size) {
    auto const fh = Ipv6FragmentHeader::parse(payload);
    fragment = true;
    later = fh.offset != 0;
    if (later) f["off"] = std::to_string(fh.offset);
    if (fh.more) f["mf"] = "yes";
    f.erase("df");
    protocol = fh.next_header;
    payload = payload.subspan(Ipv6FragmentHeader::size);
  }
  f["proto"] = std::to_string(protocol);
  f["protocol"] = "ip";
  f["len"] = std::to_string(payload.size());
  if (!later) describe_transport(f, protocol, payload, h->source, h->destination, c);
  if (fragment) f["len"] = std::to_string(payload.size());
}

}  // namespace

Fields describe_frame(Bytes frame, Context& c) {
  Fields f;
  f["protocol"] = "frame";
  auto const ethernet = EthernetHeader::parse(frame);
  if (!ethernet) return f;
  Bytes const inner = frame.subspan(EthernetHeader::size);
  f["mac"] = ethernet->destination == hardware_broadcast ? "broadcast"
             : ethernet->destination == peer_hardware    ? "peer"
             : ethernet->destination[0] & 1              ? "group"
                                                         : "other";
  if (ethernet->source != own_hardware) f["broken"] = "source hardware address";
  if (ethernet->type == ether_arp) {
    f["protocol"] = "arp";
    describe_arp(f, inner);
  } else if (ethernet->type == ether_ipv4) {
    describe_ipv4(f, inner, c);
  } else if (ethernet->type == ether_ipv6) {
    describe_ipv6(f, inner, c);
  }
  return f;
}

}  // namespace cofferdam::wire

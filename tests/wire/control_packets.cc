// ARP, ICMP, neighbour discovery, IGMP and MLD in the words of cases.
#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "fields.h"
#include "netstack/checksum.h"
#include "netstack/group_messages.h"
#include "netstack/headers.h"

namespace cofferdam::wire {

using namespace netstack;

namespace {

struct Kind {
  std::string_view word;
  int v4_type, v4_code, v6_type, v6_code;  // type -1: not in this family
};
constexpr Kind kinds[] = {
    {"echo", 8, 0, 128, 0},
    {"echo-reply", 0, 0, 129, 0},
    {"net-unreachable", 3, 0, 1, 0},
    {"host-unreachable", 3, 1, 1, 3},
    {"protocol-unreachable", 3, 2, 4, 1},
    {"port-unreachable", 3, 3, 1, 4},
    {"too-big", 3, 4, 2, 0},
    {"source-route-failed", 3, 5, -1, 0},
    {"admin-prohibited", 3, 13, 1, 1},
    {"source-quench", 4, 0, -1, 0},
    {"redirect", 5, 1, 137, 0},
    {"time-exceeded", 11, 0, 3, 0},
    {"reassembly-time-exceeded", 11, 1, 3, 1},
    {"parameter-problem", 12, 0, 4, 0},
    {"unknown-option", -1, 0, 4, 2},
    {"timestamp", 13, 0, -1, 0},
    {"timestamp-reply", 14, 0, -1, 0},
    {"mask", 17, 0, -1, 0},
    {"rs", -1, 0, 133, 0},
    {"ra", -1, 0, 134, 0},
    {"ns", -1, 0, 135, 0},
    {"na", -1, 0, 136, 0},
};

bool is_error(uint8_t type, bool v4) {
  return v4 ? type == 3 || type == 4 || type == 5 || type == 11 || type == 12 : type < 128;
}

std::string kind_of(uint8_t type, uint8_t code, bool v4) {
  for (auto const& k : kinds)
    if ((v4 ? k.v4_type : k.v6_type) == type && (v4 ? k.v4_code : k.v6_code) == code) return std::string(k.word);
  return fmt::format("{}-{}", type, code);
}

std::pair<uint8_t, uint8_t> type_of(std::string const& kind, bool v4) {
  for (auto const& k : kinds) {
    int const type = v4 ? k.v4_type : k.v6_type;
    if (k.word == kind && type >= 0)
      return {static_cast<uint8_t>(type), static_cast<uint8_t>(v4 ? k.v4_code : k.v6_code)};
  }
  size_t const dash = kind.find('-');
  if (dash == std::string::npos || !std::isdigit(static_cast<unsigned char>(kind[0])))
    throw std::runtime_error(fmt::format("ICMP '{}' is not known here", kind));
  return {static_cast<uint8_t>(std::stoul(kind)), static_cast<uint8_t>(std::stoul(kind.substr(dash + 1)))};
}

void put_address(std::vector<std::byte>& to, Address const& a) {
  Bytes const b = a.is_v4() ? a.v4_bytes() : a.bytes();
  to.insert(to.end(), b.begin(), b.end());
}
void put(std::vector<std::byte>& to, std::initializer_list<unsigned> bytes) {
  for (unsigned const x : bytes) to.push_back(static_cast<std::byte>(x));
}
void put_hardware(std::vector<std::byte>& to, HardwareAddress const& a) {
  for (uint8_t const x : a) to.push_back(static_cast<std::byte>(x));
}

HardwareAddress hardware_of(std::string const& word) {
  if (word == "peer") return peer_hardware;
  if (word == "own") return own_hardware;
  if (word == "zero") return {};
  auto const b = from_hex(word);
  if (b.size() != 6) throw std::runtime_error(fmt::format("'{}' is no hardware address", word));
  HardwareAddress a;
  for (size_t i = 0; i < 6; ++i) a[i] = static_cast<uint8_t>(b[i]);
  return a;
}
std::string hardware_word(HardwareAddress const& a) {
  if (a == peer_hardware) return "peer";
  if (a == own_hardware) return "own";
  if (a == HardwareAddress{}) return "zero";
  return to_hex(std::as_bytes(std::span(a)));
}

// What an error quotes: by default the last packet that the host sent, with eight bytes behind its header.
std::vector<std::byte> quote_of(Fields const& f, Context const& c) {
  std::vector<std::byte> q = word(f, "about", "sent") == "injected" ? c.last_injected : c.last_sent;
  size_t const header = c.v4 && !q.empty() ? Ipv4Header::length_of(q) : Ipv6Header::size;
  q.resize(std::min<size_t>(q.size(), number(f, "quote", static_cast<uint32_t>(header + 8))));
  size_t const seq_at = header + 4;
  if (f.contains("quoteseq") && q.size() >= seq_at + 4)  // another sequence number, relative to the one there
    store32(q, seq_at, load32(q, seq_at) + number(f, "quoteseq", 0));
  if (f.contains("quoteport") && q.size() >= header + 4)
    store16(q, header + 2, static_cast<uint16_t>(number(f, "quoteport", 0)));
  return q;
}

void put_neighbour_options(std::vector<std::byte>& b, Fields const& f) {
  if (f.contains("sllao")) {
    put(b, {1, 1});
    put_hardware(b, hardware_of(f.at("sllao")));
  }
  if (f.contains("tllao")) {
    put(b, {2, 1});
    put_hardware(b, hardware_of(f.at("tllao")));
  }
  if (f.contains("ramtu")) {
    uint32_t const mtu = number(f, "ramtu", 0);
    put(b, {5, 1, 0, 0, mtu >> 24, mtu >> 16 & 255, mtu >> 8 & 255, mtu & 255});
  }
  if (!f.contains("prefix")) return;
  std::string const text = f.at("prefix");  // "fd01::/64"
  size_t const slash = text.find('/');
  uint32_t const valid = number(f, "valid", 3600), preferred = number(f, "preferred", 1800);
  uint32_t const flags = number(f, "prefixflags", 0xc0);
  put(b, {3, 4, static_cast<unsigned>(std::stoul(text.substr(slash + 1))), flags});
  for (uint32_t const v : {valid, preferred, 0u}) put(b, {v >> 24, v >> 16 & 255, v >> 8 & 255, v & 255});
  put_address(b, address_of(text.substr(0, slash)));
}

std::vector<std::byte> icmp_message(Fields const& f, Context const& c) {
  std::string const kind = word(f, "kind", word(f, "protocol", ""));
  auto const [type, code] = type_of(kind, c.v4);
  std::vector<std::byte> b(8);
  store8(b, 0, type);
  store8(b, 1, code);
  uint32_t rest = 0;
  if (kind == "echo" || kind == "echo-reply" || kind == "timestamp")
    rest = number(f, "ident", 1) << 16 | number(f, "eseq", 1);
  if (kind == "too-big") rest = number(f, "mtu", 0);
  if (kind == "parameter-problem") rest = c.v4 ? number(f, "ptr", 0) << 24 : number(f, "ptr", 0);
  if (kind == "redirect" && c.v4) rest = address_of(word(f, "gateway", "10.0.0.254")).v4();
  if (kind == "na")
    rest = (f.contains("router") ? 0x80000000u : 0) | (f.contains("solicited") ? 0x40000000u : 0) |
           (f.contains("override") ? 0x20000000u : 0);
  if (kind == "ra") rest = number(f, "hop", 64) << 24 | number(f, "raflags", 0) << 16 | number(f, "lifetime", 1800);
  store32(b, 4, rest);
  if (kind == "ra")
    for (uint32_t const v : {number(f, "reachable", 0), number(f, "retrans", 0)})
      put(b, {v >> 24, v >> 16 & 255, v >> 8 & 255, v & 255});
  if (kind == "ns" || kind == "na") put_address(b, address_of(word(f, "target", "fd00::1")));
  if (kind == "ns" || kind == "na" || kind == "ra" || kind == "rs") put_neighbour_options(b, f);
  if (is_error(type, c.v4)) {
    auto const q = quote_of(f, c);
    b.insert(b.end(), q.begin(), q.end());
  } else if (f.contains("data")) {
    auto const bytes = std::as_bytes(std::span(f.at("data")));
    b.insert(b.end(), bytes.begin(), bytes.end());
  } else {
    for (uint32_t i = 0; i < number(f, "len", kind == "timestamp" ? 12 : 0); ++i)
      b.push_back(static_cast<std::byte>(pattern_at(i)));
  }
  auto const extra = from_hex(word(f, "more", ""));
  b.insert(b.end(), extra.begin(), extra.end());
  return b;
}

std::vector<std::string> split(std::string const& text, char by) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    size_t const end = std::min(text.find(by, at), text.size());
    if (end > at) parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

std::vector<std::byte> group_message(Fields const& f, bool v4) {
  std::string const kind = word(f, "kind", "");
  std::string const group = word(f, "group", v4 ? "0.0.0.0" : "::");
  std::vector<std::byte> b(8);
  auto finish = [&](bool with_sources) {
    if (v4)
      store32(b, 4, address_of(group).v4());
    else
      put_address(b, address_of(group));
    if (!with_sources) return;
    auto const sources = split(word(f, "sources", ""), ',');
    put(b, {number(f, "robustness", 2), number(f, "interval", 125), static_cast<unsigned>(sources.size() >> 8),
            static_cast<unsigned>(sources.size() & 255)});
    for (auto const& s : sources) put_address(b, address_of(s));
  };
  if (kind == "query" || kind == "query-old") {
    store8(b, 0, v4 ? igmp_query : mld_query);
    if (v4)
      store8(b, 1, static_cast<uint8_t>(number(f, "max", 10)));
    else
      store16(b, 4, static_cast<uint16_t>(number(f, "max", 1000)));
    finish(kind == "query");
  } else if (kind == "report-old") {
    store8(b, 0, v4 ? igmp_report_v2 : mld_report_v1);
    finish(false);
  } else {
    throw std::runtime_error(fmt::format("'{}' cannot be sent", kind));
  }
  return b;
}

}  // namespace

std::optional<std::vector<std::byte>> build_control(Fields const& given, Context const& c) {
  Fields f = given;
  std::string const protocol = word(f, "protocol", "");
  auto with_default = [&](char const* key, char const* value) { f.try_emplace(key, value); };
  std::vector<std::byte> message;
  uint8_t number_of = c.v4 ? protocol_icmp : protocol_icmpv6;
  if (protocol == "igmp" || protocol == "mld") {
    bool const four = protocol == "igmp";
    message = group_message(f, four);
    with_default("ttl", "1");
    with_default("dst", four ? "224.0.0.1" : "ff02::1");
    if (four) {
      number_of = protocol_igmp;
      with_default("ipopts", "94040000");
    } else {
      with_default("src", "fe80::2");
      with_default("ext", "3a00050200000100");
      with_default("next", "0");
    }
  } else if (protocol == "icmp" || protocol == "ns" || protocol == "na" || protocol == "ra" || protocol == "rs") {
    message = icmp_message(f, c);
    if (protocol != "icmp") with_default("ttl", "255");
    if (protocol == "ra") with_default("src", "fe80::2");
    if (protocol == "ra") with_default("dst", "ff02::1");
  } else {
    return std::nullopt;
  }
  store16(message, 2, 0);
  Checksum sum;
  if (number_of == protocol_icmpv6)
    sum = pseudo_header(address_of(word(f, "src", default_address(false, false))),
                        address_of(word(f, "dst", default_address(true, false))), number_of, message.size());
  sum.add(message);
  store16(message, 2, static_cast<uint16_t>(sum.value() ^ (word(f, "sum", "right") == "bad" ? 0x5555 : 0)));
  return build_ip(f, c, number_of, std::move(message));
}

std::vector<std::byte> build_arp(Fields const& f) {
  ArpPacket p;
  p.operation = word(f, "kind", "request") == "request" ? ArpPacket::request : ArpPacket::reply;
  p.sender_hardware = hardware_of(word(f, "sha", "peer"));
  p.sender = address_of(word(f, "spa", "10.0.0.2"));
  p.target_hardware = hardware_of(word(f, "tha", "zero"));
  p.target = address_of(word(f, "tpa", "10.0.0.1"));
  std::vector<std::byte> b(ArpPacket::size);
  p.write(b);
  return b;
}

void describe_arp(Fields& f, Bytes b) {
  auto const p = ArpPacket::parse(b);
  if (!p) {
    f["broken"] = "arp";
    return;
  }
  f["kind"] = p->operation == ArpPacket::request ? "request" : "reply";
  f["sha"] = hardware_word(p->sender_hardware);
  f["spa"] = p->sender.text();
  f["tha"] = hardware_word(p->target_hardware);
  f["tpa"] = p->target.text();
}

namespace {

void describe_neighbour_options(Fields& f, Bytes b, size_t at) {
  while (at + 8 <= b.size()) {
    size_t const length = load8(b, at + 1) * 8u;
    if (length == 0 || at + length > b.size()) return;
    HardwareAddress a;
    for (size_t i = 0; i < 6; ++i) a[i] = load8(b, at + 2 + i);
    if (load8(b, at) == 1) f["sllao"] = hardware_word(a);
    if (load8(b, at) == 2) f["tllao"] = hardware_word(a);
    at += length;
  }
}

// Whose packet an error is about. Bytes that change on the way do not count.
void describe_quote(Fields& f, Bytes quote, bool v4, Context const& c) {
  f["quote"] = std::to_string(quote.size());
  auto same = [&](Bytes whole) {
    if (whole.empty() || quote.empty() || quote.size() > whole.size()) return false;
    for (size_t i = 0; i < quote.size(); ++i) {
      bool const changes = v4 ? i == 8 || i == 10 || i == 11 : i == 7;
      if (!changes && quote[i] != whole[i]) return false;
    }
    return true;
  };
  f["about"] = same(c.last_injected) ? "injected" : same(c.last_sent) ? "sent" : "other";
}

void describe_group_reports(Fields& f, Bytes b, bool v4) {
  static constexpr std::string_view words[] = {"?", "is-in", "is-ex", "to-in", "to-ex", "allow", "block"};
  size_t const each = v4 ? 4 : 16;
  size_t at = 8;
  std::vector<std::string> records;
  for (unsigned n = load16(b, 6); n != 0 && at + 4 + each <= b.size(); --n) {
    uint8_t const type = load8(b, at);
    unsigned const sources = load16(b, at + 2);
    auto address = [&](size_t from) {
      return (v4 ? Address::v4(load32(b, from)) : Address::v6(b.subspan(from, 16))).text();
    };
    std::string record = fmt::format("{}({}", type < 7 ? words[type] : "?", address(at + 4));
    at += 4 + each;
    for (unsigned i = 0; i < sources && at + each <= b.size(); ++i, at += each) record += "," + address(at);
    records.push_back(record + ")");
  }
  std::ranges::sort(records);
  std::string text;
  for (auto const& r : records) text += (text.empty() ? "" : "+") + r;
  f["records"] = text;
}

bool describe_groups(Fields& f, uint8_t type, Bytes b, bool v4) {
  f["protocol"] = v4 ? "igmp" : "mld";
  bool const newest = type == (v4 ? igmp_report_v3 : mld_report_v2);
  if (newest) {
    f["kind"] = "report";
    describe_group_reports(f, b, v4);
    return true;
  }
  if (v4)
    f["kind"] = type == igmp_report_v2   ? "report-old"
                : type == igmp_report_v1 ? "report-1"
                : type == igmp_leave     ? "leave"
                                         : "?";
  else
    f["kind"] = type == mld_report_v1 ? "report-old" : type == mld_done ? "leave" : "?";
  if (f["kind"] == "?") return false;
  if (b.size() >= (v4 ? 8u : 24u)) f["group"] = (v4 ? Address::v4(load32(b, 4)) : Address::v6(b.subspan(8, 16))).text();
  return true;
}

}  // namespace

void describe_control(Fields& f, uint8_t protocol, Bytes b, bool v4, Context const& c) {
  if (b.size() < 8) return;
  uint8_t const type = load8(b, 0), code = load8(b, 1);
  if (protocol == protocol_igmp && v4) {
    if (checksum_of(b) != 0) f["broken"] = "checksum";
    describe_groups(f, type, b, true);
    return;
  }
  if (protocol != (v4 ? protocol_icmp : protocol_icmpv6)) return;
  Checksum sum;
  if (!v4) sum = pseudo_header(address_of(f["src"]), address_of(f["dst"]), protocol, b.size());
  sum.add(b);
  if (sum.value() != 0 && !f.contains("mf")) f["broken"] = "checksum";
  if (!v4 && (type == mld_report_v1 || type == mld_report_v2 || type == mld_done)) {
    describe_groups(f, type, b, false);
    return;
  }
  std::string const kind = kind_of(type, code, v4);
  f["protocol"] = kind == "ns" || kind == "na" || kind == "rs" || kind == "ra" ? kind : "icmp";
  f["kind"] = kind;
  if (f["protocol"] != "icmp") f.erase("kind");
  uint32_t const rest = load32(b, 4);
  if (is_error(type, v4)) {
    describe_quote(f, b.subspan(8), v4, c);
    if (kind == "too-big") f["mtu"] = std::to_string(v4 ? rest & 0xffff : rest);
    if (kind == "parameter-problem" || kind == "protocol-unreachable" || kind == "unknown-option")
      f["ptr"] = std::to_string(v4 ? rest >> 24 : rest);
    return;
  }
  if (kind == "echo" || kind == "echo-reply" || kind == "timestamp-reply") {
    f["ident"] = std::to_string(rest >> 16);
    f["eseq"] = std::to_string(rest & 0xffff);
    Bytes const data = b.subspan(8);
    f["data"] = {reinterpret_cast<char const*>(data.data()), data.size()};
    f["len"] = std::to_string(data.size());
  }
  if ((kind == "ns" || kind == "na") && b.size() >= 24) {
    f["target"] = Address::v6(b.subspan(8, 16)).text();
    describe_neighbour_options(f, b, 24);
    if (kind == "na" && rest & 0x80000000) f["router"] = "yes";
    if (kind == "na" && rest & 0x40000000) f["solicited"] = "yes";
    if (kind == "na" && rest & 0x20000000) f["override"] = "yes";
  }
  if (kind == "rs") describe_neighbour_options(f, b, 8);
}

}  // namespace cofferdam::wire

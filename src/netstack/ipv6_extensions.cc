// Extension headers of IPv6 packets that arrive (RFC 8200 4, RFC 5095, RFC 6946).
#include <algorithm>

#include "netstack/stack.h"

namespace cofferdam::netstack {
namespace {

constexpr unsigned max_extension_headers = 8;
constexpr uint8_t hop_by_hop = 0, routing = 43, fragment = 44, no_next_header = 59, destination_options = 60;
constexpr uint8_t bad_field = 0, unknown_next_header = 1, unknown_option = 2;  // codes of "parameter problem"
constexpr uint8_t parameter_problem = 4;

// What becomes of a packet by one of its options.
struct OptionsVerdict {
  bool accept = true;
  std::optional<size_t> told;  // where the option stands that the sender is told of
  bool even_to_groups = false;
};

// The two highest bits of an option that is not known say what is to be done (RFC 8200 4.2).
OptionsVerdict judge_options(Bytes options, bool& router_alert) {
  for (size_t at = 2; at < options.size();) {
    uint8_t const type = load8(options, at);
    if (type == 0) {
      ++at;
      continue;
    }
    if (at + 2 > options.size()) return {false, {}, false};
    size_t const length = 2u + load8(options, at + 1);
    if (at + length > options.size()) return {false, {}, false};
    if (type == 5) router_alert = true;
    uint8_t const action = type >> 6;
    bool const known = type == 1 || type == 5;
    if (!known && action == 1) return {false, {}, false};
    if (!known && action >= 2) return {false, at, action == 2};
    at += length;
  }
  return {};
}

}  // namespace

// Where the header that comes next is named: in the IPv6 header, or in the last one behind it.
size_t IpInfo::next_header_at() const { return extensions.empty() ? 6 : Ipv6Header::size + last_extension; }

// Takes a header of `length` bytes off the packet, and keeps it for errors about the packet.
void Stack::take_extension(IpInfo& info, Packet& p, size_t length) {
  Bytes const b = p.peek(length);
  info.last_extension = static_cast<uint16_t>(info.extensions.size());
  info.protocol = load8(b, 0);
  info.extensions.insert(info.extensions.end(), b.begin(), b.end());
  p.pull(length);
}

void Stack::send_problem(IpInfo const& info, uint8_t code, size_t pointer, Packet& p, bool even_to_groups) {
  send_error(info, parameter_problem, code, static_cast<uint32_t>(pointer), p, even_to_groups);
}

bool Stack::take_options_header(IpInfo& info, Packet& p) {
  Bytes const start = p.peek(2);
  if (start.empty()) return false;
  size_t const length = (load8(start, 1) + 1u) * 8;
  Bytes const whole = p.peek(length);
  if (whole.empty()) return false;
  auto const verdict = judge_options(whole, info.router_alert);
  if (verdict.told)
    send_problem(info, unknown_option, Ipv6Header::size + info.extensions.size() + *verdict.told, p,
                 verdict.even_to_groups);
  if (verdict.accept) take_extension(info, p, length);
  return verdict.accept;
}

// This host is on nobody's way: a route that goes on from here is refused, whatever its type.
bool Stack::take_routing_header(IpInfo& info, Packet& p) {
  Bytes const start = p.peek(4);
  if (start.empty()) return false;
  size_t const length = (load8(start, 1) + 1u) * 8;
  constexpr size_t type_at = 2, segments_left_at = 3;
  if (load8(start, segments_left_at) != 0) {
    send_problem(info, bad_field, Ipv6Header::size + info.extensions.size() + type_at, p, false);
    return false;
  }
  if (p.peek(length).empty()) return false;
  take_extension(info, p, length);
  return true;
}

// False: the datagram is not complete, or never will be.
bool Stack::take_fragment_header(IpInfo& info, PacketPtr& p) {
  Bytes const b = p->peek(Ipv6FragmentHeader::size);
  if (b.empty()) return false;
  auto const f = Ipv6FragmentHeader::parse(b);
  constexpr size_t payload_length_at = 4, offset_at = 2;
  size_t const length = p->size() - Ipv6FragmentHeader::size;
  if (f.more && length % 8 != 0) {
    send_problem(info, bad_field, payload_length_at, *p, false);
    return false;
  }
  if (f.offset + length > Reassembly::max_size) {
    send_problem(info, bad_field, Ipv6Header::size + info.extensions.size() + offset_at, *p, false);
    return false;
  }
  take_extension(info, *p, Ipv6FragmentHeader::size);
  if (f.offset == 0 && !f.more) return true;  // an atomic fragment
  ++statistics_.ip_reassembly_needed;
  FragmentKey const key{info.source, info.destination, f.id, 0};
  p = reassembly_->add(key, f.offset, f.more, info, std::move(p), now());
  if (!p) return false;
  ++statistics_.ip_reassembled;
  info.extensions.clear();  // they stood before each piece, and what is put together has none
  return true;
}

// False: the packet is not to be looked at any further.
bool Stack::skip_extension_headers(IpInfo& info, PacketPtr& p) {
  for (unsigned n = 0; n < max_extension_headers; ++n) {
    switch (info.protocol) {
      case hop_by_hop:
        if (n != 0) {  // only directly behind the IPv6 header
          send_problem(info, unknown_next_header, info.next_header_at(), *p, false);
          return false;
        }
        [[fallthrough]];
      case destination_options:
        if (!take_options_header(info, *p)) return false;
        break;
      case routing:
        if (!take_routing_header(info, *p)) return false;
        break;
      case fragment:
        if (!take_fragment_header(info, p)) return false;
        break;
      case no_next_header:
        return false;
      default:
        return true;
    }
  }
  return false;
}

}  // namespace cofferdam::netstack

// ICMP (RFC 792, RFC 1122 3.2.2): echoes, and errors about packets, which ICMPv6 (RFC 4443) has in common with it.
#include <algorithm>

#include "netstack/echo_endpoint.h"
#include "netstack/stack.h"

namespace cofferdam::netstack {
namespace {

constexpr Time error_interval = millisecond;                     // a thousand errors a second …
constexpr Time error_burst = 50 * millisecond;                   // … and fifty at once
constexpr size_t quoted_v4 = 576 - 20 - 8;                       // RFC 1812 4.3.2.3
constexpr size_t quoted_v6 = 1280 - 40 - 8;                      // RFC 4443 2.4
constexpr uint8_t tos_mask = 0x1e, internetwork_control = 0xc0;  // RFC 1812 4.3.2.5

}  // namespace

bool Stack::may_send_error() {
  Time t = now();
  MutexLock lock(error_mutex_);
  error_credit_at_ = std::max(error_credit_at_, t - error_burst);
  if (error_credit_at_ > t) return false;
  error_credit_at_ += error_interval;
  return true;
}

void Stack::send_icmp(Address const& source, Address const& destination, uint32_t interface_index, IcmpHeader h,
                      PacketPtr p, SendOptions const& options) {
  uint32_t scope = destination.is_link_local() && !destination.is_v4() ? interface_index : 0;
  auto path = find_path(destination, source, scope);
  if (!path) return;
  bool four = destination.is_v4();
  Checksum sum;
  if (!four) sum = pseudo_header(path->source, destination, protocol_icmpv6, p->size() + IcmpHeader::size);
  auto b = p->push(IcmpHeader::size);
  h.checksum = 0;
  h.write(b);
  sum.add_rest(*p);
  store16(b, 2, sum.value());
  p->checksum_verified = path->local;
  ++statistics_.icmp_sent;
  static_cast<void>(
      send(*path, path->source, destination, four ? protocol_icmp : protocol_icmpv6, options, std::move(p)));
}

// RFC 1122 3.2.2, RFC 4443 2.4: never about an error, nor about a packet that was not for one host.
void Stack::send_error(IpInfo const& info, uint8_t type, uint8_t code, uint32_t rest, Packet const& about,
                       bool even_to_groups) {
  if ((!info.to_one && !even_to_groups) || !info.source.is_unicast()) return;
  bool const four = info.destination.is_v4();
  if (info.protocol == (four ? protocol_icmp : protocol_icmpv6) && is_error_message(about, four)) return;
  if (!may_send_error()) return;
  size_t const most = four ? quoted_v4 : quoted_v6;
  Packet quote;
  if (!info.extensions.empty()) quote.append(View::copy_of(info.extensions));
  std::vector<std::byte> start(std::min(about.size(), most));
  about.copy_to(start);
  quote.append(View::copy_of(start));
  IpInfo as_sent = info;
  if (!info.extensions.empty()) as_sent.protocol = info.first_header;
  push_ip_header(as_sent, quote);
  std::vector<std::byte> quoted(std::min(quote.size(), most));
  quote.copy_to(quoted);
  // How long it was stands in its header, also where less is quoted.
  size_t const header = quote.size() - start.size() - info.extensions.size();
  size_t const payload = info.extensions.size() + about.size();
  if (four) {
    store16(quoted, 2, static_cast<uint16_t>(std::min<size_t>(header + payload, 65535)));
    store16(quoted, 10, 0);
    store16(quoted, 10, checksum_of(Bytes(quoted).first(header)));
  } else {
    store16(quoted, 4, static_cast<uint16_t>(std::min<size_t>(payload, 65535)));
  }
  auto p = std::make_unique<Packet>();
  p->append(View::copy_of(quoted));
  SendOptions options;
  if (four) options.tos = static_cast<uint8_t>((info.tos & tos_mask) | internetwork_control);
  Address const from = info.to_one ? info.destination : Address::any(four);
  send_icmp(from, info.source, info.interface->index(), {type, code, 0, rest}, std::move(p), options);
}

// The answer looks like the question.
void Stack::answer_echo(IpInfo const& info, uint8_t reply_type, uint32_t rest, PacketPtr p) {
  p->checksum_verified = false;
  SendOptions options;
  options.tos = info.tos;
  options.ip_options = info.answer_options;
  Address const source = info.to_one ? info.destination : Address::any(info.destination.is_v4());
  send_icmp(source, info.source, info.interface->index(), {reply_type, 0, 0, rest}, std::move(p), options);
}

// RFC 792: when it was asked, when that came, and when it is answered.
void Stack::answer_timestamp(IpInfo const& info, uint32_t rest, Packet& p) {
  constexpr size_t times = 12;
  constexpr uint8_t timestamp_reply = 14;
  constexpr Time day = 24 * 3600 * second;
  Bytes const b = p.peek(times);
  if (b.empty()) return;
  std::vector<std::byte> answer(b.begin(), b.end());
  auto const now = static_cast<uint32_t>(environment_.wall_clock() % day / millisecond);
  store32(answer, 4, now);
  store32(answer, 8, now);
  auto reply = std::make_unique<Packet>();
  reply->append(View::copy_of(answer));
  answer_echo(info, timestamp_reply, rest, std::move(reply));
}

void Stack::receive_icmp(IpInfo const& info, PacketPtr p) {
  ++statistics_.icmp_received;
  Checksum sum;
  if (!p->checksum_verified) sum.add_rest(*p);
  auto h = IcmpHeader::parse(p->peek(IcmpHeader::size));
  if (!h || (!p->checksum_verified && sum.value() != 0)) {
    ++statistics_.icmp_errors;
    return;
  }
  p->pull(IcmpHeader::size);
  constexpr uint8_t echo_reply = 0, echo = 8, timestamp = 13;
  bool const answers = info.to_one || (!settings_.icmp_echo_ignore_broadcasts && info.source.is_unicast());
  if (h->type == echo && answers && !settings_.icmp_echo_ignore_all)
    return answer_echo(info, echo_reply, h->rest, std::move(p));
  if (h->type == timestamp && answers) return answer_timestamp(info, h->rest, *p);
  if (h->type == echo_reply) return deliver_echo(info, *h, *p);
  receive_icmp_error(info, *h, *p);
}

// An answer to a program's echo request.
void Stack::deliver_echo(IpInfo const& info, IcmpHeader const& h, Packet const& body) {
  auto const identifier = static_cast<uint16_t>(h.rest >> 16);
  Peer const local{info.destination, identifier, 0}, remote{info.source, identifier, 0};
  auto endpoint = ref_cast<EchoEndpoint>(echo_ports_.find(local, remote, info.interface->index(), 0));
  if (!endpoint || endpoint->is_v4_socket() != info.destination.is_v4()) return;
  auto whole = body.clone();
  h.write(whole->push(IcmpHeader::size));
  endpoint->deliver(info, identifier, *whole);
}

}  // namespace cofferdam::netstack

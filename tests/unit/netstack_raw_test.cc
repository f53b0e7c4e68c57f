// Raw sockets, echo sockets, taps and the filter's hooks.
#include <algorithm>
#include <cerrno>

#include "netstack/echo_endpoint.h"
#include "netstack/raw_endpoint.h"
#include "netstack_wire.h"

namespace cofferdam::netstack::wire {
namespace {

Ref<RawEndpoint> raw(Host& h, bool v4, uint8_t protocol) {
  return make_ref<RawEndpoint>(h.stack, v4, protocol, make_ref<Quiet>());
}
std::string bytes_of(DatagramEndpoint& e) {
  auto d = e.receive(false);
  return d ? string_of(d->payload) : "error " + std::string(errno_name(d.error().code));
}
std::string as_string(Bytes b) { return {reinterpret_cast<char const*>(b.data()), b.size()}; }

// --- raw ---

TEST(Raw, gets_a_packet_with_its_header) {
  Host h;
  auto e = raw(h, true, 200);
  auto const packet = ipv4(200, text("payload"));
  h.inject(packet);
  EXPECT_EQ(bytes_of(*e), as_string(packet));
  EXPECT_TRUE(h.quiet()) << "the protocol is known to somebody";
}
TEST(Raw, the_header_is_as_it_came_with_its_options) {
  Host h;
  auto e = raw(h, true, 200);
  std::vector<std::byte> packet(24 + 3);
  Ipv4Header ip;
  ip.header_length = 24;
  ip.total_length = 27;
  ip.id = 0x1234;
  ip.tos = 0x28;
  ip.dont_fragment = true;
  ip.protocol = 200;
  ip.source = Host::peer_v4;
  ip.destination = Host::own_v4;
  store32(packet, 20, 0x94040000);
  ip.write(packet);
  h.inject(packet);
  EXPECT_EQ(bytes_of(*e), as_string(packet));
}
TEST(Raw, of_ipv6_gets_the_payload) {
  Host h;
  auto e = raw(h, false, 200);
  h.inject(ipv6(200, text("payload")));
  EXPECT_EQ(bytes_of(*e), "payload");
}
TEST(Raw, fragments_arrive_as_one_packet) {
  Host h;
  auto e = raw(h, true, 200);
  Ipv4Header ip;
  ip.id = 7;
  ip.more_fragments = true;
  h.inject(ipv4(200, text("01234567"), Host::peer_v4, Host::own_v4, ip));
  ip.more_fragments = false;
  ip.fragment_offset = 8;
  h.inject(ipv4(200, text("89"), Host::peer_v4, Host::own_v4, ip));
  EXPECT_EQ(bytes_of(*e).substr(20), "0123456789");
}
TEST(Raw, takes_udp_beside_its_socket) {
  Host h;
  auto e = raw(h, true, protocol_udp);
  h.inject(ipv4(protocol_udp, udp(5, 9, "x")));
  EXPECT_EQ(bytes_of(*e).size(), 29u);
  EXPECT_FALSE(h.quiet()) << "nobody has the port all the same";
}
TEST(Raw, of_another_protocol_or_family_hears_nothing) {
  Host h;
  auto other = raw(h, true, 201), six = raw(h, false, 200);
  h.inject(ipv4(200, text("x")));
  EXPECT_EQ(other->receive(false).error().code, Errno::Again);
  EXPECT_EQ(six->receive(false).error().code, Errno::Again);
}
TEST(Raw, connected_hears_its_peer_alone) {
  Host h;
  auto e = raw(h, true, 200);
  ASSERT_TRUE(e->connect({Host::peer_v4, 0, 0}));
  h.inject(ipv4(200, text("x"), Address::v4(0x0a000009)));
  EXPECT_EQ(e->receive(false).error().code, Errno::Again);
  h.inject(ipv4(200, text("x")));
  EXPECT_TRUE(e->receive(false));
}
TEST(Raw, bound_hears_its_address_alone) {
  Host h;
  auto e = raw(h, true, 200);
  ASSERT_TRUE(e->bind(Address::loopback_v4()));
  h.inject(ipv4(200, text("x")));
  EXPECT_EQ(e->receive(false).error().code, Errno::Again);
  EXPECT_EQ(e->bind(Host::peer_v4).error().code, Errno::AddrNotAvail);
}
TEST(Raw, closed_hears_nothing) {
  Host h;
  auto e = raw(h, true, 200);
  e->close();
  h.inject(ipv4(200, text("x")));
  EXPECT_FALSE(h.quiet()) << "protocol unreachable";
}
TEST(Raw, its_queue_is_bounded) {
  Host h;
  auto e = raw(h, true, 200);
  e->set_receive_limit(10000);
  for (int i = 0; i < 1000; ++i) h.inject(ipv4(200, text("0123456789")));
  EXPECT_LE(e->summary().queued_bytes, 10000u);
  EXPECT_GT(e->summary().drops, 900u);
}
TEST(Raw, icmp_types_may_be_filtered) {
  Host h;
  auto e = raw(h, true, protocol_icmp);
  e->set_icmp_filter({1u << 8});
  h.inject(ipv4(protocol_icmp, icmp(8, 0, 0, text("echo"))));
  EXPECT_EQ(e->receive(false).error().code, Errno::Again);
  h.inject(ipv4(protocol_icmp, icmp(0, 0, 0, text("reply"))));
  EXPECT_TRUE(e->receive(false));
}
TEST(Raw, icmpv6_with_a_bad_checksum_does_not_arrive) {
  Host h;
  auto e = raw(h, false, protocol_icmpv6);
  auto message = icmpv6(129, 0, 0, text("x"));
  message[2] ^= std::byte{1};
  h.inject(ipv6(protocol_icmpv6, message));
  EXPECT_EQ(e->receive(false).error().code, Errno::Again);
}
TEST(Raw, sends_a_payload_with_the_kernels_header) {
  Host h;
  auto e = raw(h, true, 200);
  SendOptions o;
  o.ttl = 7;
  o.tos = 4;
  ASSERT_TRUE(e->send(chain_of("data"), Peer{Host::peer_v4, 0, 0}, o));
  auto const packet = h.take();
  auto const ip = Ipv4Header::parse(packet);
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->protocol, 200);
  EXPECT_EQ(ip->ttl, 7);
  EXPECT_EQ(ip->tos, 4);
  EXPECT_EQ(ip->source, Host::own_v4);
  EXPECT_EQ(as_string(Bytes(packet).subspan(20)), "data");
}
TEST(Raw, a_header_of_its_own_is_completed) {
  Host h;
  auto e = raw(h, true, RawEndpoint::any_header);
  std::vector<std::byte> b(24);
  store8(b, 0, 0x45);
  store8(b, 8, 3);
  store8(b, 9, 99);
  store32(b, 16, Host::peer_v4.v4());
  ASSERT_TRUE(e->send(chain_of(as_string(b)), Peer{Host::peer_v4, 0, 0}, {}));
  auto const packet = h.take();
  auto const ip = Ipv4Header::parse(packet);  // checks the sum
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->source, Host::own_v4);
  EXPECT_EQ(ip->total_length, 24);
  EXPECT_NE(ip->id, 0);
  EXPECT_EQ(ip->ttl, 3);
}
TEST(Raw, a_header_of_nonsense_is_einval) {
  Host h;
  auto e = raw(h, true, RawEndpoint::any_header);
  EXPECT_EQ(e->send(chain_of("short"), Peer{Host::peer_v4, 0, 0}, {}).error().code, Errno::Inval);
  std::string longer(20, 0);
  longer[0] = 0x4f;
  EXPECT_EQ(e->send(chain_of(longer), Peer{Host::peer_v4, 0, 0}, {}).error().code, Errno::Inval);
}
TEST(Raw, a_whole_packet_is_not_fragmented) {
  Host h;
  auto e = raw(h, true, RawEndpoint::any_header);
  std::string large(3000, 0);
  large[0] = 0x45;
  EXPECT_EQ(e->send(chain_of(large), Peer{Host::peer_v4, 0, 0}, {}).error().code, Errno::MsgSize);
}
TEST(Raw, icmpv6_checksums_are_filled_in) {
  Host h;
  auto e = raw(h, false, protocol_icmpv6);
  std::string echo(8, 0);
  echo[0] = static_cast<char>(128);
  ASSERT_TRUE(e->send(chain_of(echo), Peer{Host::peer_v6(), 0, 0}, {}));
  auto const packet = h.take();
  Checksum sum = pseudo_header(Host::own_v6(), Host::peer_v6(), protocol_icmpv6, 8);
  sum.add(Bytes(packet).subspan(40));
  EXPECT_EQ(sum.value(), 0);
}
TEST(Raw, a_checksum_beyond_the_end_is_einval) {
  Host h;
  auto e = raw(h, false, 200);
  e->checksum_offset = 6;
  EXPECT_EQ(e->send(chain_of("1234567"), Peer{Host::peer_v6(), 0, 0}, {}).error().code, Errno::Inval);
}
TEST(Raw, over_loopback) {
  Host h;
  auto a = raw(h, true, 200);
  ASSERT_TRUE(a->send(chain_of("me"), Peer{Address::loopback_v4(), 0, 0}, {}));
  EXPECT_EQ(bytes_of(*a).substr(20), "me");
}
TEST(Raw, a_connected_socket_is_told_of_errors) {
  Host h;
  auto e = raw(h, true, 200);
  ASSERT_TRUE(e->connect({Host::peer_v4, 0, 0}));
  ASSERT_TRUE(e->send(chain_of("12345678"), std::nullopt, {}));
  auto const sent = h.take();
  h.inject(ipv4(protocol_icmp, icmp(3, 2, 0, sent)));
  EXPECT_EQ(e->take_error(), ENOPROTOOPT);
}

// --- echo ---

TEST(Echo, a_request_goes_out_with_the_sockets_identifier_and_the_reply_comes_in) {
  Host h;
  auto e = make_ref<EchoEndpoint>(h.stack, true, make_ref<Quiet>());
  std::string request("\x08\0\0\0\0\0\0\x05ping", 12);
  ASSERT_TRUE(e->send(chain_of(request), Peer{Host::peer_v4, 0, 0}, {}, {}));
  auto const packet = h.take();
  Bytes const message = Bytes(packet).subspan(20);
  EXPECT_EQ(checksum_of(message), 0);
  uint16_t const identifier = e->local().port;
  EXPECT_NE(identifier, 0);
  EXPECT_EQ(load16(message, 4), identifier);
  h.inject(ipv4(protocol_icmp, icmp(0, 0, uint32_t{identifier} << 16 | 5, text("ping"))));
  auto d = e->receive(false);
  ASSERT_TRUE(d);
  EXPECT_EQ(d->source.address, Host::peer_v4);
  std::string const got = string_of(d->payload);
  EXPECT_EQ(got[0], 0);
  EXPECT_EQ(got.substr(8), "ping");
}
TEST(Echo, anything_but_a_request_is_einval) {
  Host h;
  auto e = make_ref<EchoEndpoint>(h.stack, true, make_ref<Quiet>());
  EXPECT_EQ(e->send(chain_of(std::string(8, 0)), Peer{Host::peer_v4, 0, 0}, {}, {}).error().code, Errno::Inval);
  EXPECT_EQ(e->send(chain_of("\x08"), Peer{Host::peer_v4, 0, 0}, {}, {}).error().code, Errno::Inval);
}
TEST(Echo, replies_for_others_do_not_arrive) {
  Host h;
  auto e = make_ref<EchoEndpoint>(h.stack, true, make_ref<Quiet>());
  BindRequest r;
  r.local = Address::any_v4();
  r.port = 77;
  ASSERT_TRUE(e->bind(r));
  h.inject(ipv4(protocol_icmp, icmp(0, 0, 78u << 16, text("x"))));
  EXPECT_EQ(e->receive(false).error().code, Errno::Again);
  h.inject(ipv4(protocol_icmp, icmp(0, 0, 77u << 16, text("x"))));
  EXPECT_TRUE(e->receive(false));
}
TEST(Echo, of_ipv6) {
  Host h;
  auto e = make_ref<EchoEndpoint>(h.stack, false, make_ref<Quiet>());
  std::string request(8, 0);
  request[0] = static_cast<char>(128);
  ASSERT_TRUE(e->send(chain_of(request), Peer{Host::peer_v6(), 0, 0}, {}, {}));
  h.clear();
  h.inject(ipv6(protocol_icmpv6, icmpv6(129, 0, uint32_t{e->local().port} << 16, text("y"))));
  EXPECT_TRUE(e->receive(false));
}
TEST(Echo, over_loopback) {
  Host h;
  auto e = make_ref<EchoEndpoint>(h.stack, true, make_ref<Quiet>());
  ASSERT_TRUE(e->send(chain_of(std::string("\x08\0\0\0\0\0\0\0", 8)), Peer{Address::loopback_v4(), 0, 0}, {}, {}));
  EXPECT_TRUE(e->receive(false));
}

// --- taps ---

class Watcher final : public PacketTap {
 public:
  using PacketTap::PacketTap;
  void on_packet(TappedPacket const& about, Packet const& p) override {
    std::vector<std::byte> b(p.size());
    p.copy_to(b);
    seen.push_back({about.kind, about.link, as_string(b)});
  }
  void after_packets() override { ++told; }
  struct Seen {
    TapKind kind;
    EthernetHeader link;
    std::string bytes;
  };
  std::vector<Seen> seen;
  int told = 0;
};

TEST(Taps, see_what_arrives_and_what_leaves) {
  Host h(1500, LinkKind::Ethernet);
  auto w = make_ref<Watcher>(PacketTap::every_protocol, 0u);
  h.stack.add_tap(w);
  ArpPacket arp;
  arp.sender_hardware = {2, 0, 0, 0, 0, 9};
  arp.sender = Host::peer_v4;
  arp.target = Host::own_v4;
  std::vector<std::byte> frame(14 + ArpPacket::size);
  EthernetHeader{hardware_broadcast, arp.sender_hardware, ether_arp}.write(frame);
  arp.write(MutableBytes(frame).subspan(14));
  h.inject(frame);
  ASSERT_EQ(w->seen.size(), 2u);
  EXPECT_EQ(w->seen[0].kind, TapKind::Broadcast);
  EXPECT_EQ(w->seen[0].bytes, as_string(Bytes(frame).subspan(14)));
  EXPECT_EQ(w->seen[1].kind, TapKind::Outgoing);
  EXPECT_EQ(w->seen[1].link.destination, arp.sender_hardware);
  EXPECT_GE(w->told, 1);
  h.stack.remove_tap(*w);
  h.inject(frame);
  EXPECT_EQ(w->seen.size(), 2u);
}
TEST(Taps, of_one_protocol_see_what_arrives_of_it) {
  Host h;
  auto six = make_ref<Watcher>(ether_ipv6, 0u);
  h.stack.add_tap(six);
  Ref<UdpEndpoint> e = make_ref<UdpEndpoint>(h.stack, false, make_ref<Quiet>());
  ASSERT_TRUE(e->send(chain_of("x"), Peer{Address::loopback_v6(), 9, 0}, {}, {}));
  ASSERT_TRUE(e->send(chain_of("x"), Peer{Address::loopback_v4(), 9, 0}, {}, {}));
  // The datagram and the error about it, each once.
  EXPECT_EQ(six->seen.size(), 2u);
  h.stack.remove_tap(*six);
}
TEST(Taps, of_an_interface_see_nothing_of_others) {
  Host h;
  auto lo = make_ref<Watcher>(PacketTap::every_protocol, 1u);
  h.stack.add_tap(lo);
  h.inject(ipv4(protocol_icmp, icmp(8, 0, 0, text("x"))));
  EXPECT_TRUE(lo->seen.empty());
  h.stack.remove_tap(*lo);
}
TEST(Taps, frames_may_be_sent_as_they_are) {
  Host h(1500, LinkKind::Ethernet);
  std::vector<std::byte> frame(60, std::byte{7});
  EthernetHeader{hardware_broadcast, {2, 0, 0, 0, 0, 1}, 0x88cc}.write(frame);
  auto self = make_ref<Watcher>(PacketTap::every_protocol, 0u),
       other = make_ref<Watcher>(PacketTap::every_protocol, 0u);
  h.stack.add_tap(self);
  h.stack.add_tap(other);
  ASSERT_TRUE(h.stack.send_frame(*h.interface, packet_of(frame), self.get()));
  EXPECT_EQ(h.take(), frame);
  EXPECT_TRUE(self->seen.empty());
  EXPECT_EQ(other->seen.size(), 1u);
  EXPECT_EQ(h.stack.send_frame(*h.interface, packet_of(std::vector<std::byte>(1515))).error().code, Errno::MsgSize);
  h.stack.remove_tap(*self);
  h.stack.remove_tap(*other);
}
TEST(Taps, frames_on_the_loopback_come_back) {
  Host h;
  auto e = make_ref<UdpEndpoint>(h.stack, true, make_ref<Quiet>());
  BindRequest r;
  r.local = Address::any_v4();
  r.port = 9;
  ASSERT_TRUE(e->bind(r));
  auto const packet = ipv4(protocol_udp, udp(5, 9, "x", Address::loopback_v4(), Address::loopback_v4()),
                           Address::loopback_v4(), Address::loopback_v4());
  std::vector<std::byte> frame(14 + packet.size());
  EthernetHeader{{}, {}, ether_ipv4}.write(frame);
  std::ranges::copy(packet, frame.begin() + 14);
  ASSERT_TRUE(h.stack.send_frame(*h.stack.interface(1), packet_of(frame)));
  EXPECT_TRUE(e->receive(false));
}

// --- the filter's hooks ---

class Rewriter final : public PacketFilter {
 public:
  Verdict filter(FilterHook hook, Interface*, Interface*, Packet& p) override {
    ++calls[static_cast<size_t>(hook)];
    if (drop == hook) return Verdict::Drop;
    if (hook != turn) return Verdict::Accept;
    std::vector<std::byte> b(20);
    std::ranges::copy(p.peek(20), b.begin());
    auto h = *Ipv4Header::parse(b, false);
    (hook == FilterHook::Leaving ? h.source : h.destination) = to;
    p.pull(20);
    h.write(p.push(20));
    p.checksum_verified = true;
    return Verdict::Accept;
  }
  std::array<int, 4> calls{};
  std::optional<FilterHook> drop, turn;
  Address to;
};

TEST(Filter, sees_what_arrives_and_what_leaves) {
  Host h;
  Rewriter f;
  h.stack.set_filter(&f);
  h.inject(ipv4(protocol_icmp, icmp(8, 0, 0, text("x"))));
  EXPECT_FALSE(h.quiet());
  EXPECT_EQ(f.calls, (std::array<int, 4>{1, 1, 1, 1}));
  h.inject(ipv6(protocol_icmpv6, icmpv6(128, 0, 0, text("x"))));
  EXPECT_EQ(f.calls, (std::array<int, 4>{2, 2, 2, 2}));
}
TEST(Filter, drops) {
  for (auto hook : {FilterHook::Arrived, FilterHook::ToThisHost, FilterHook::FromHere, FilterHook::Leaving}) {
    Host h;
    Rewriter f;
    f.drop = hook;
    h.stack.set_filter(&f);
    h.inject(ipv4(protocol_icmp, icmp(8, 0, 0, text("x"))));
    EXPECT_TRUE(h.quiet());
  }
}
TEST(Filter, turns_arriving_packets_to_another_address) {
  Host h;
  Rewriter f;
  f.turn = FilterHook::Arrived;
  f.to = Host::own_v4;
  h.stack.set_filter(&f);
  h.inject(ipv4(protocol_icmp, icmp(8, 0, 0, text("x")), Host::peer_v4, Address::v4(0x0b000001)));
  auto const ip = Ipv4Header::parse(h.take());
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->source, Host::own_v4);
}
TEST(Filter, turns_leaving_packets_to_another_way) {
  Host h;
  Rewriter f;
  f.turn = FilterHook::FromHere;
  f.to = Address::loopback_v4();
  h.stack.set_filter(&f);
  auto e = make_ref<UdpEndpoint>(h.stack, true, make_ref<Quiet>());
  BindRequest r;
  r.local = Address::any_v4();
  r.port = 9;
  ASSERT_TRUE(e->bind(r));
  ASSERT_TRUE(e->send(chain_of("here"), Peer{Host::peer_v4, 9, 0}, {}, {}));
  EXPECT_TRUE(h.quiet());
  EXPECT_EQ(bytes_of(*e), "here");
}

}  // namespace
}  // namespace cofferdam::netstack::wire

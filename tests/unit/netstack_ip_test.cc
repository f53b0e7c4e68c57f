// IP, ICMP, UDP, ARP, NDP, fragments, ports, timers and buffers of the TCP/IP stack.
#include <cerrno>

#include "netstack_wire.h"

namespace cofferdam::netstack::wire {
namespace {

Address v4(uint32_t a) { return Address::v4(a); }

Ref<UdpEndpoint> udp_socket(Host& host, uint16_t port, Address local = Address::any_v4()) {
  auto e = make_ref<UdpEndpoint>(host.stack, local.is_v4(), make_ref<Quiet>());
  BindRequest r;
  r.local = local;
  r.port = port;
  EXPECT_TRUE(e->bind(r));
  return e;
}
std::string received(UdpEndpoint& e) {
  auto d = e.receive(false);
  return d ? string_of(d->payload) : "error " + std::string(errno_name(d.error().code));
}

// --- IPv4 ---

TEST(Ip4, echo_is_answered) {
  Host h;
  h.inject(ipv4(protocol_icmp, icmp(8, 0, 0x12340001, text("ping"))));
  auto p = h.take();
  auto ip = Ipv4Header::parse(p);
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->destination, Host::peer_v4);
  EXPECT_EQ(ip->source, Host::own_v4);
  auto i = IcmpHeader::parse(Bytes(p).subspan(20));
  EXPECT_EQ(i->type, 0);
  EXPECT_EQ(i->rest, 0x12340001u);
  EXPECT_EQ(checksum_of(Bytes(p).subspan(20)), 0);
}
TEST(Ip4, echo_to_a_broadcast_address_is_not_answered) {
  Host h;
  h.inject(ipv4(protocol_icmp, icmp(8, 0, 1, text("ping")), Host::peer_v4, v4(0x0a0000ff)));
  EXPECT_TRUE(h.quiet());
}
TEST(Ip4, echo_with_a_bad_checksum_is_dropped) {
  Host h;
  auto b = icmp(8, 0, 1, text("ping"));
  b[9] = std::byte{77};
  h.inject(ipv4(protocol_icmp, b));
  EXPECT_TRUE(h.quiet());
}
TEST(Ip4, a_bad_header_checksum_is_dropped) {
  Host h;
  auto p = ipv4(protocol_icmp, icmp(8, 0, 1, text("ping")));
  p[10] = std::byte{1};
  h.inject(p);
  EXPECT_TRUE(h.quiet());
  EXPECT_EQ(h.stack.statistics().ip_header_errors.value(), 1u);
}
TEST(Ip4, a_total_length_beyond_the_packet_is_dropped) {
  Host h;
  auto p = ipv4(protocol_icmp, icmp(8, 0, 1, text("ping")));
  p.pop_back();
  h.inject(p);
  EXPECT_TRUE(h.quiet());
}
TEST(Ip4, padding_behind_the_total_length_is_ignored) {
  Host h;
  auto p = ipv4(protocol_icmp, icmp(8, 0, 1, text("ping")));
  p.resize(p.size() + 30);
  h.inject(p);
  EXPECT_EQ(h.take().size(), 32u);
}
TEST(Ip4, truncated_headers_are_dropped) {
  Host h;
  auto p = ipv4(protocol_icmp, icmp(8, 0, 1, text("ping")));
  for (size_t n = 0; n < p.size(); ++n) h.inject(Bytes(p).first(n));
  EXPECT_TRUE(h.quiet());
}
TEST(Ip4, header_options_are_skipped) {
  Host h;
  auto body = icmp(8, 0, 1, text("ping"));
  std::vector<std::byte> p(24 + body.size());
  Ipv4Header ip;
  ip.protocol = protocol_icmp;
  ip.source = Host::peer_v4;
  ip.destination = Host::own_v4;
  ip.total_length = static_cast<uint16_t>(p.size());
  ip.write(p);
  store8(p, 0, 0x46);
  store32(p, 20, 0x01010100);
  store16(p, 10, 0);
  store16(p, 10, checksum_of(Bytes(p).first(24)));
  std::copy(body.begin(), body.end(), p.begin() + 24);
  h.inject(p);
  EXPECT_FALSE(h.quiet());
}
TEST(Ip4, packets_for_others_are_dropped) {
  Host h;
  h.inject(ipv4(protocol_icmp, icmp(8, 0, 1, text("x")), Host::peer_v4, v4(0x0a000063)));
  EXPECT_TRUE(h.quiet());
  EXPECT_EQ(h.stack.statistics().ip_address_errors.value(), 1u);
}
TEST(Ip4, loopback_addresses_from_a_wire_are_martians) {
  Host h;
  h.inject(ipv4(protocol_icmp, icmp(8, 0, 1, text("x")), v4(0x7f000001), Host::own_v4));
  h.inject(ipv4(protocol_icmp, icmp(8, 0, 1, text("x")), Host::peer_v4, v4(0x7f000001)));
  EXPECT_TRUE(h.quiet());
  EXPECT_EQ(h.stack.statistics().ip_address_errors.value(), 2u);
}
TEST(Ip4, multicast_sources_are_martians) {
  Host h;
  h.inject(ipv4(protocol_icmp, icmp(8, 0, 1, text("x")), v4(0xe0000001), Host::own_v4));
  EXPECT_TRUE(h.quiet());
}
TEST(Ip4, an_unknown_protocol_is_told) {
  Host h;
  h.inject(ipv4(200, text("whatever")));
  auto p = h.take();
  auto i = IcmpHeader::parse(Bytes(p).subspan(20));
  EXPECT_EQ(i->type, 3);
  EXPECT_EQ(i->code, 2);
}
TEST(Ip4, errors_are_limited) {
  Host h;
  for (int i = 0; i < 1000; ++i) h.inject(ipv4(200, text("whatever")));
  EXPECT_LE(h.outbox->packets.size(), 51u);
  h.clear();
  h.advance(second);
  h.inject(ipv4(200, text("whatever")));
  EXPECT_EQ(h.outbox->packets.size(), 1u);
}
TEST(Ip4, no_error_about_an_error) {
  Host h;
  h.inject(ipv4(protocol_icmp, icmp(3, 3, 0, ipv4(protocol_udp, udp(1, 2, "x")))));
  EXPECT_TRUE(h.quiet());
}

// --- fragments ---

std::vector<std::vector<std::byte>> fragments_of(Bytes body, uint8_t protocol, size_t step, uint16_t id = 7) {
  std::vector<std::vector<std::byte>> all;
  for (size_t at = 0; at < body.size(); at += step) {
    Ipv4Header like;
    like.id = id;
    like.fragment_offset = static_cast<uint16_t>(at);
    like.more_fragments = at + step < body.size();
    all.push_back(
        ipv4(protocol, body.subspan(at, std::min(step, body.size() - at)), Host::peer_v4, Host::own_v4, like));
  }
  return all;
}

TEST(Fragments, in_order_are_put_together) {
  Host h;
  auto e = udp_socket(h, 9);
  for (auto& f : fragments_of(udp(1, 9, std::string(100, 'q')), protocol_udp, 32)) h.inject(f);
  EXPECT_EQ(received(*e), std::string(100, 'q'));
  EXPECT_EQ(h.stack.statistics().ip_reassembled.value(), 1u);
}
TEST(Fragments, in_every_order_are_put_together) {
  Host h;
  auto e = udp_socket(h, 9);
  std::array<size_t, 4> order{0, 1, 2, 3};
  uint16_t id = 1;
  do {
    auto all = fragments_of(udp(1, 9, "abcdefghijklmnopqrstuvwx"), protocol_udp, 8, id++);
    ASSERT_EQ(all.size(), 4u);
    for (size_t i : order) h.inject(all[i]);
    ASSERT_EQ(received(*e), "abcdefghijklmnopqrstuvwx");
  } while (std::next_permutation(order.begin(), order.end()));
}
TEST(Fragments, a_repeated_fragment_is_harmless) {
  Host h;
  auto e = udp_socket(h, 9);
  auto all = fragments_of(udp(1, 9, "abcdefghijklmnopqrstuvwx"), protocol_udp, 16);
  h.inject(all[0]);
  h.inject(all[0]);
  h.inject(all[1]);
  EXPECT_EQ(received(*e), "abcdefghijklmnopqrstuvwx");
}
TEST(Fragments, an_overlap_ends_the_datagram) {
  Host h;
  auto e = udp_socket(h, 9);
  auto body = udp(1, 9, "abcdefghijklmnopqrstuvwx");
  auto all = fragments_of(body, protocol_udp, 16);
  Ipv4Header like;
  like.id = 7;
  like.fragment_offset = 8;
  like.more_fragments = true;
  h.inject(all[0]);
  h.inject(ipv4(protocol_udp, Bytes(body).subspan(8, 16), Host::peer_v4, Host::own_v4, like));
  h.inject(all[1]);
  EXPECT_EQ(received(*e), "error EAGAIN");
}
TEST(Fragments, expire_after_thirty_seconds) {
  Host h;
  auto e = udp_socket(h, 9);
  auto all = fragments_of(udp(1, 9, "abcdefghijklmnopqrstuvwx"), protocol_udp, 16);
  h.inject(all[0]);
  h.advance(31 * second);
  h.inject(all[1]);
  EXPECT_EQ(received(*e), "error EAGAIN");
}
TEST(Fragments, memory_is_bounded) {
  Host h;
  std::vector<std::byte> piece(1400);
  Ipv4Header like;
  like.more_fragments = true;
  for (uint32_t i = 0; i < 20000; ++i) {
    like.id = static_cast<uint16_t>(i);
    h.inject(ipv4(protocol_udp, piece, v4(0x0a000002 + (i >> 16)), Host::own_v4, like));
  }
  SUCCEED();
  auto reassembly = make_ref<Reassembly>(h.stack);
  auto& r = *reassembly;
  for (uint32_t i = 0; i < 20000; ++i)
    r.add({Host::peer_v4, Host::own_v4, i, 17}, 0, true, {}, packet_of(piece), h.environment.now());
  EXPECT_LE(r.memory(), Reassembly::max_memory + 2 * piece.size() + 2 * Reassembly::charge_of_fragment);
  EXPECT_LE(r.datagrams(), Reassembly::max_datagrams + 2);
}
TEST(Fragments, a_datagram_beyond_64_kib_is_refused) {
  Host host;
  auto reassembly = make_ref<Reassembly>(host.stack);
  auto& r = *reassembly;
  EXPECT_FALSE(r.add({Host::peer_v4, Host::own_v4, 1, 17}, 65528, false, {}, packet_of(text("0123456789")), 0));
  EXPECT_EQ(r.datagrams(), 0u);
}
TEST(Fragments, a_middle_piece_of_odd_length_is_refused) {
  Host host;
  auto reassembly = make_ref<Reassembly>(host.stack);
  auto& r = *reassembly;
  EXPECT_FALSE(r.add({Host::peer_v4, Host::own_v4, 1, 17}, 0, true, {}, packet_of(text("01234")), 0));
  EXPECT_EQ(r.datagrams(), 0u);
}
TEST(Fragments, too_many_pieces_end_the_datagram) {
  Host host;
  auto reassembly = make_ref<Reassembly>(host.stack);
  auto& r = *reassembly;
  for (size_t i = 0; i < 200; ++i)
    r.add({Host::peer_v4, Host::own_v4, 1, 17}, i * 16, true, {}, packet_of(text("01234567")), 0);
  EXPECT_LE(r.memory(), Reassembly::max_fragments * (8 + Reassembly::charge_of_fragment));
}
TEST(Fragments, large_datagrams_are_sent_in_fragments) {
  Host h;
  auto e = udp_socket(h, 9);
  ASSERT_TRUE(e->send(chain_of(std::string(4000, 'z')), Peer{Host::peer_v4, 7, 0}, {}, {}));
  ASSERT_EQ(h.outbox->packets.size(), 3u);
  Host host;
  auto reassembly = make_ref<Reassembly>(host.stack);
  auto& r = *reassembly;
  PacketPtr whole;
  while (!h.quiet()) {
    auto p = h.take();
    auto ip = Ipv4Header::parse(p);
    EXPECT_LE(p.size(), 1500u);
    whole = r.add({ip->source, ip->destination, ip->id, 17}, ip->fragment_offset, ip->more_fragments, {},
                  packet_of(Bytes(p).subspan(20)), 0);
  }
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->size(), 4008u);
}
TEST(Fragments, dont_fragment_is_emsgsize) {
  Host h;
  auto e = udp_socket(h, 9);
  SendOptions o;
  o.path_mtu = PathMtuMode::Do;
  EXPECT_EQ(e->send(chain_of(std::string(4000, 'z')), Peer{Host::peer_v4, 7, 0}, o, {}).error().code, Errno::MsgSize);
}

// --- UDP ---

TEST(Udp, a_datagram_arrives_with_its_source) {
  Host h;
  auto e = udp_socket(h, 9);
  h.inject(ipv4(protocol_udp, udp(5, 9, "hello")));
  auto d = e->receive(false);
  ASSERT_TRUE(d);
  EXPECT_EQ(string_of(d->payload), "hello");
  EXPECT_EQ(d->source.address, Host::peer_v4);
  EXPECT_EQ(d->source.port, 5);
  EXPECT_EQ(d->destination.address, Host::own_v4);
}
TEST(Udp, peek_leaves_it) {
  Host h;
  auto e = udp_socket(h, 9);
  h.inject(ipv4(protocol_udp, udp(5, 9, "hello")));
  EXPECT_EQ(string_of(e->receive(true)->payload), "hello");
  EXPECT_EQ(received(*e), "hello");
  EXPECT_EQ(received(*e), "error EAGAIN");
}
TEST(Udp, an_empty_datagram_is_one) {
  Host h;
  auto e = udp_socket(h, 9);
  h.inject(ipv4(protocol_udp, udp(5, 9, "")));
  EXPECT_EQ(received(*e), "");
  EXPECT_EQ(received(*e), "error EAGAIN");
}
TEST(Udp, nobody_there_is_port_unreachable) {
  Host h;
  h.inject(ipv4(protocol_udp, udp(5, 9, "hello")));
  auto p = h.take();
  auto i = IcmpHeader::parse(Bytes(p).subspan(20));
  EXPECT_EQ(i->type, 3);
  EXPECT_EQ(i->code, 3);
  // The quoted packet begins with the header that came.
  auto quoted = Ipv4Header::parse(Bytes(p).subspan(28), false);
  ASSERT_TRUE(quoted);
  EXPECT_EQ(quoted->source, Host::peer_v4);
}
TEST(Udp, a_bad_checksum_is_dropped) {
  Host h;
  auto e = udp_socket(h, 9);
  auto b = udp(5, 9, "hello");
  b[6] ^= std::byte{1};
  h.inject(ipv4(protocol_udp, b));
  EXPECT_EQ(received(*e), "error EAGAIN");
  EXPECT_EQ(h.stack.statistics().udp_checksum_errors.value(), 1u);
}
TEST(Udp, no_checksum_is_fine_over_ipv4) {
  Host h;
  auto e = udp_socket(h, 9);
  auto b = udp(5, 9, "hello");
  store16(b, 6, 0);
  h.inject(ipv4(protocol_udp, b));
  EXPECT_EQ(received(*e), "hello");
}
TEST(Udp, no_checksum_is_not_over_ipv6) {
  Host h;
  auto e = udp_socket(h, 9, Address::any_v6());
  auto b = udp(5, 9, "hello", Host::peer_v6(), Host::own_v6());
  store16(b, 6, 0);
  h.inject(ipv6(protocol_udp, b));
  EXPECT_EQ(received(*e), "error EAGAIN");
}
TEST(Udp, a_length_beyond_the_packet_is_dropped) {
  Host h;
  auto e = udp_socket(h, 9);
  auto b = udp(5, 9, "hello");
  store16(b, 4, 100);
  h.inject(ipv4(protocol_udp, b));
  EXPECT_EQ(received(*e), "error EAGAIN");
}
TEST(Udp, the_queue_is_bounded) {
  Host h;
  auto e = udp_socket(h, 9);
  e->set_receive_limit(10000);
  for (int i = 0; i < 100; ++i) h.inject(ipv4(protocol_udp, udp(5, 9, std::string(1000, 'x'))));
  EXPECT_LE(h.stack.memory(), 10000u + 2000);
  EXPECT_GT(e->summary().drops, 0u);
  e->close();
  EXPECT_EQ(h.stack.memory(), 0u);
}
TEST(Udp, connected_takes_from_its_peer_only) {
  Host h;
  auto e = udp_socket(h, 9);
  ASSERT_TRUE(e->connect({Host::peer_v4, 5, 0}, {}));
  h.inject(ipv4(protocol_udp, udp(6, 9, "other")));
  h.inject(ipv4(protocol_udp, udp(5, 9, "peer")));
  EXPECT_EQ(received(*e), "peer");
  EXPECT_EQ(received(*e), "error EAGAIN");
}
TEST(Udp, a_connected_socket_goes_before_a_free_one) {
  Host h;
  auto make = [&] {
    auto e = make_ref<UdpEndpoint>(h.stack, true, make_ref<Quiet>());
    BindRequest r;
    r.local = Address::any_v4();
    r.port = 9;
    r.reuse_address = true;
    EXPECT_TRUE(e->bind(r));
    return e;
  };
  auto connected = make(), open = make();
  ASSERT_TRUE(connected->connect({Host::peer_v4, 5, 0}, {}));
  h.inject(ipv4(protocol_udp, udp(5, 9, "a")));
  h.inject(ipv4(protocol_udp, udp(6, 9, "b")));
  EXPECT_EQ(received(*connected), "a");
  EXPECT_EQ(received(*open), "b");
}
TEST(Udp, port_unreachable_is_told_to_a_connected_socket) {
  Host h;
  auto e = udp_socket(h, 9);
  ASSERT_TRUE(e->connect({Host::peer_v4, 5, 0}, {}));
  auto sent = udp(9, 5, "x", Host::own_v4, Host::peer_v4);
  h.inject(ipv4(protocol_icmp, icmp(3, 3, 0, ipv4(protocol_udp, sent, Host::own_v4, Host::peer_v4))));
  EXPECT_EQ(received(*e), "error ECONNREFUSED");
  EXPECT_EQ(received(*e), "error EAGAIN");
}
TEST(Udp, an_error_about_another_conversation_is_ignored) {
  Host h;
  auto e = udp_socket(h, 9);
  ASSERT_TRUE(e->connect({Host::peer_v4, 5, 0}, {}));
  auto sent = udp(9, 6, "x", Host::own_v4, Host::peer_v4);
  h.inject(ipv4(protocol_icmp, icmp(3, 3, 0, ipv4(protocol_udp, sent, Host::own_v4, Host::peer_v4))));
  EXPECT_EQ(received(*e), "error EAGAIN");
}
TEST(Udp, send_without_address_is_edestaddrreq) {
  Host h;
  auto e = udp_socket(h, 9);
  EXPECT_EQ(e->send(chain_of("x"), std::nullopt, {}, {}).error().code, Errno::DestAddrReq);
}
TEST(Udp, broadcast_wants_permission) {
  Host h;
  auto e = udp_socket(h, 9);
  Peer to{v4(0x0a0000ff), 7, 0};
  EXPECT_EQ(e->send(chain_of("x"), to, {}, {}).error().code, Errno::Acces);
  e->allow_broadcast = true;
  EXPECT_TRUE(e->send(chain_of("x"), to, {}, {}));
}
TEST(Udp, too_large_is_emsgsize) {
  Host h;
  auto e = udp_socket(h, 9);
  EXPECT_EQ(e->send(chain_of(std::string(65508, 'x')), Peer{Host::peer_v4, 7, 0}, {}, {}).error().code, Errno::MsgSize);
}
TEST(Udp, broadcast_reaches_all_who_share_the_port) {
  Host h;
  std::vector<Ref<UdpEndpoint>> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back(make_ref<UdpEndpoint>(h.stack, true, make_ref<Quiet>()));
    BindRequest r;
    r.local = Address::any_v4();
    r.port = 9;
    r.reuse_address = true;
    ASSERT_TRUE(all.back()->bind(r));
  }
  h.inject(ipv4(protocol_udp, udp(5, 9, "all", Host::peer_v4, v4(0x0a0000ff)), Host::peer_v4, v4(0x0a0000ff)));
  for (auto& e : all) EXPECT_EQ(received(*e), "all");
}
TEST(Udp, dual_stack_socket_takes_ipv4) {
  Host h;
  auto e = udp_socket(h, 9, Address::any_v6());
  h.inject(ipv4(protocol_udp, udp(5, 9, "four")));
  h.inject(ipv6(protocol_udp, udp(5, 9, "six", Host::peer_v6(), Host::own_v6())));
  EXPECT_EQ(received(*e), "four");
  EXPECT_EQ(received(*e), "six");
}
TEST(Udp, v6_only_does_not_take_ipv4) {
  Host h;
  auto e = make_ref<UdpEndpoint>(h.stack, false, make_ref<Quiet>());
  BindRequest r;
  r.port = 9;
  r.v6_only = true;
  ASSERT_TRUE(e->bind(r));
  h.inject(ipv4(protocol_udp, udp(5, 9, "four")));
  EXPECT_EQ(received(*e), "error EAGAIN");
}
TEST(Udp, over_loopback) {
  Host h;
  auto a = udp_socket(h, 9), b = udp_socket(h, 10);
  ASSERT_TRUE(a->send(chain_of("hi"), Peer{Address::loopback_v4(), 10, 0}, {}, {}));
  auto d = b->receive(false);
  ASSERT_TRUE(d);
  EXPECT_EQ(d->source.address, Address::loopback_v4());
  EXPECT_EQ(d->source.port, 9);
  EXPECT_TRUE(h.quiet());
}
TEST(Udp, over_loopback_to_nobody_is_refused) {
  Host h;
  auto a = udp_socket(h, 9);
  ASSERT_TRUE(a->connect({Address::loopback_v4(), 11, 0}, {}));
  ASSERT_TRUE(a->send(chain_of("hi"), std::nullopt, {}, {}));
  EXPECT_EQ(a->take_error(), ECONNREFUSED);
}

// --- IPv6 ---

TEST(Ip6, echo_is_answered) {
  Host h;
  h.inject(ipv6(protocol_icmpv6, icmpv6(128, 0, 0x00010002, text("ping"))));
  auto p = h.take();
  auto ip = Ipv6Header::parse(p);
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->destination, Host::peer_v6());
  EXPECT_EQ(load8(p, 40), 129);
  Checksum sum = pseudo_header(ip->source, ip->destination, protocol_icmpv6, p.size() - 40);
  sum.add(Bytes(p).subspan(40));
  EXPECT_EQ(sum.value(), 0);
}
TEST(Ip6, mapped_addresses_on_the_wire_are_martians) {
  Host h;
  h.inject(ipv6(protocol_icmpv6, icmpv6(128, 0, 1, text("x"), Host::peer_v4), Host::peer_v4));
  EXPECT_TRUE(h.quiet());
}
TEST(Ip6, truncated_headers_are_dropped) {
  Host h;
  auto p = ipv6(protocol_icmpv6, icmpv6(128, 0, 1, text("ping")));
  for (size_t n = 0; n < p.size(); ++n) h.inject(Bytes(p).first(n));
  EXPECT_TRUE(h.quiet());
}
std::vector<std::byte> with_header(uint8_t next, size_t length, Bytes body) {
  std::vector<std::byte> b(length + body.size());
  b[0] = static_cast<std::byte>(next);
  b[1] = static_cast<std::byte>(length / 8 - 1);
  b[2] = std::byte{1};  // PadN
  b[3] = static_cast<std::byte>(length - 4);
  std::copy(body.begin(), body.end(), b.begin() + static_cast<ptrdiff_t>(length));
  return b;
}
TEST(Ip6, hop_by_hop_and_destination_options_are_skipped) {
  Host h;
  auto body = icmpv6(128, 0, 1, text("ping"));
  h.inject(ipv6(0, with_header(60, 8, with_header(protocol_icmpv6, 16, body))));
  EXPECT_FALSE(h.quiet());
}
TEST(Ip6, hop_by_hop_stands_only_at_the_front) {
  Host h;
  auto body = icmpv6(128, 0, 1, text("ping"));
  h.inject(ipv6(60, with_header(0, 8, with_header(protocol_icmpv6, 8, body))));
  auto p = h.take();  // "unrecognized next header"
  EXPECT_EQ(load8(p, 40), 4);
  EXPECT_EQ(load8(p, 41), 1);
}
TEST(Ip6, a_chain_of_headers_is_bounded) {
  Host h;
  std::vector<std::byte> body = icmpv6(128, 0, 1, text("ping"));
  uint8_t next = protocol_icmpv6;
  for (int i = 0; i < 20; ++i) {
    body = with_header(next, 8, body);
    next = 60;
  }
  h.inject(ipv6(60, body));
  EXPECT_TRUE(h.quiet());
}
TEST(Ip6, an_option_that_must_be_known_is_told) {
  Host h;
  auto b = with_header(protocol_icmpv6, 8, icmpv6(128, 0, 1, text("ping")));
  b[2] = std::byte{0xc5};
  h.inject(ipv6(60, b));
  auto p = h.take();
  EXPECT_EQ(load8(p, 40), 4);
  EXPECT_EQ(load8(p, 41), 2);
  EXPECT_EQ(load32(p, 44), 42u);
}
TEST(Ip6, fragments_are_put_together) {
  Host h;
  auto e = udp_socket(h, 9, Address::any_v6());
  auto body = udp(5, 9, std::string(40, 'f'), Host::peer_v6(), Host::own_v6());
  for (size_t at : {size_t{16}, size_t{0}, size_t{32}}) {
    std::vector<std::byte> f(8);
    size_t n = std::min<size_t>(16, body.size() - at);
    Ipv6FragmentHeader{protocol_udp, static_cast<uint16_t>(at), at + n < body.size(), 99}.write(f);
    f.insert(f.end(), body.begin() + static_cast<ptrdiff_t>(at), body.begin() + static_cast<ptrdiff_t>(at + n));
    h.inject(ipv6(44, f));
  }
  EXPECT_EQ(received(*e), std::string(40, 'f'));
}
TEST(Ip6, an_atomic_fragment_stands_alone) {
  Host h;
  auto e = udp_socket(h, 9, Address::any_v6());
  std::vector<std::byte> f(8);
  Ipv6FragmentHeader{protocol_udp, 0, false, 99}.write(f);
  auto body = udp(5, 9, "atom", Host::peer_v6(), Host::own_v6());
  f.insert(f.end(), body.begin(), body.end());
  h.inject(ipv6(44, f));
  EXPECT_EQ(received(*e), "atom");
}
TEST(Ip6, udp_to_nobody_is_told) {
  Host h;
  h.inject(ipv6(protocol_udp, udp(5, 9, "x", Host::peer_v6(), Host::own_v6())));
  auto p = h.take();
  EXPECT_EQ(load8(p, 40), 1);
  EXPECT_EQ(load8(p, 41), 4);
}
TEST(Ip6, packet_too_big_lowers_the_path_mtu) {
  Host h;
  auto e = udp_socket(h, 9, Address::any_v6());
  ASSERT_TRUE(e->connect({Host::peer_v6(), 5, 0}, {}));
  auto sent = udp(9, 5, "x", Host::own_v6(), Host::peer_v6());
  auto quoted = ipv6(protocol_udp, sent, Host::own_v6(), Host::peer_v6());
  h.inject(ipv6(protocol_icmpv6, icmpv6(2, 0, 1300, quoted)));
  EXPECT_EQ(h.stack.find_path(Host::peer_v6(), Address::any_v6())->mtu, 1300u);
  h.inject(ipv6(protocol_icmpv6, icmpv6(2, 0, 68, quoted)));
  EXPECT_EQ(h.stack.find_path(Host::peer_v6(), Address::any_v6())->mtu, 1300u) << "less than 1280 is nobody's to ask";
  h.advance(Routes::path_mtu_lifetime + second);
  EXPECT_EQ(h.stack.find_path(Host::peer_v6(), Address::any_v6())->mtu, 1500u);
}

// --- ARP and NDP ---

constexpr HardwareAddress own_mac{2, 0, 0, 0, 0, 1}, peer_mac{2, 0, 0, 0, 0, 2};

std::vector<std::byte> frame(uint16_t type, Bytes body, HardwareAddress to = own_mac) {
  std::vector<std::byte> b(EthernetHeader::size + body.size());
  EthernetHeader{to, peer_mac, type}.write(b);
  std::copy(body.begin(), body.end(), b.begin() + EthernetHeader::size);
  return b;
}
std::vector<std::byte> arp(uint16_t operation, Address sender, Address target) {
  std::vector<std::byte> b(ArpPacket::size);
  ArpPacket a;
  a.operation = operation;
  a.sender_hardware = peer_mac;
  a.sender = sender;
  a.target_hardware = own_mac;
  a.target = target;
  a.write(b);
  return b;
}

TEST(Arp, a_request_is_answered) {
  Host h(1500, LinkKind::Ethernet);
  h.inject(frame(ether_arp, arp(ArpPacket::request, Host::peer_v4, Host::own_v4), hardware_broadcast));
  auto p = h.take();
  auto a = ArpPacket::parse(Bytes(p).subspan(14));
  ASSERT_TRUE(a);
  EXPECT_EQ(a->operation, ArpPacket::reply);
  EXPECT_EQ(a->sender, Host::own_v4);
  EXPECT_EQ(a->target_hardware, peer_mac);
}
TEST(Arp, a_request_for_another_is_not) {
  Host h(1500, LinkKind::Ethernet);
  h.inject(frame(ether_arp, arp(ArpPacket::request, Host::peer_v4, v4(0x0a000009)), hardware_broadcast));
  EXPECT_TRUE(h.quiet());
}
TEST(Arp, a_packet_waits_for_the_answer) {
  Host h(1500, LinkKind::Ethernet);
  auto e = udp_socket(h, 9);
  ASSERT_TRUE(e->send(chain_of("x"), Peer{Host::peer_v4, 7, 0}, {}, {}));
  auto q = ArpPacket::parse(Bytes(h.take()).subspan(14));
  ASSERT_TRUE(q);
  EXPECT_EQ(q->operation, ArpPacket::request);
  EXPECT_EQ(q->target, Host::peer_v4);
  EXPECT_TRUE(h.quiet());
  h.inject(frame(ether_arp, arp(ArpPacket::reply, Host::peer_v4, Host::own_v4)));
  auto p = h.take();
  EXPECT_EQ(EthernetHeader::parse(p)->destination, peer_mac);
  EXPECT_EQ(EthernetHeader::parse(p)->type, ether_ipv4);
}
TEST(Arp, a_gateway_is_asked_for_in_place_of_what_is_behind_it) {
  Host h(1500, LinkKind::Ethernet);
  auto e = udp_socket(h, 9);
  ASSERT_TRUE(e->send(chain_of("x"), Peer{v4(0x08080808), 7, 0}, {}, {}));
  EXPECT_EQ(ArpPacket::parse(Bytes(h.take()).subspan(14))->target, v4(0x0a0000fe));
}
TEST(Arp, silence_is_host_unreachable) {
  Host h(1500, LinkKind::Ethernet);
  auto t = make_ref<TcpEndpoint>(h.stack, true, make_ref<Quiet>());
  h.stack.settings().tcp_syn_linear_timeouts = 0;  // it asks again after 1, 3 and 7 s
  ASSERT_TRUE(t->connect({Host::peer_v4, 80, 0}, {}));
  h.advance(6500 * millisecond);
  EXPECT_GE(h.outbox->packets.size(), 3u);
  for (auto& n : h.stack.neighbours(*h.interface)->entries()) EXPECT_EQ(n.state, NeighbourState::Failed);
  EXPECT_EQ(t->take_error(), EHOSTUNREACH);
  t->close(true);
}
TEST(Arp, unasked_answers_are_not_believed) {
  Host h(1500, LinkKind::Ethernet);
  h.inject(frame(ether_arp, arp(ArpPacket::reply, Host::peer_v4, Host::own_v4)));
  EXPECT_TRUE(h.stack.neighbours(*h.interface)->entries().empty());
}
TEST(Arp, own_addresses_are_not_taken_over) {
  Host h(1500, LinkKind::Ethernet);
  h.inject(frame(ether_arp, arp(ArpPacket::request, Host::own_v4, Host::own_v4), hardware_broadcast));
  EXPECT_TRUE(h.stack.neighbours(*h.interface)->entries().empty());
}
TEST(Arp, the_table_is_bounded) {
  Host h(1500, LinkKind::Ethernet);
  for (uint32_t i = 0; i < 5000; ++i)
    h.inject(frame(ether_arp, arp(ArpPacket::request, v4(0x0b000000 + i), Host::own_v4), hardware_broadcast));
  EXPECT_LE(h.stack.neighbours(*h.interface)->entries().size(), Neighbours::max_entries);
}
TEST(Arp, truncated_packets_are_dropped) {
  Host h(1500, LinkKind::Ethernet);
  auto f = frame(ether_arp, arp(ArpPacket::request, Host::peer_v4, Host::own_v4), hardware_broadcast);
  for (size_t n = 0; n < f.size(); ++n) h.inject(Bytes(f).first(n));
  EXPECT_TRUE(h.quiet());
}
TEST(Arp, frames_for_others_are_dropped) {
  Host h(1500, LinkKind::Ethernet);
  h.inject(frame(ether_ipv4, ipv4(protocol_icmp, icmp(8, 0, 1, text("x"))), {2, 9, 9, 9, 9, 9}));
  EXPECT_TRUE(h.quiet());
}
std::vector<std::byte> solicitation(Address target, uint8_t hops = 255) {
  std::vector<std::byte> body(24);
  std::memcpy(body.data(), target.bytes().data(), 16);
  body[16] = std::byte{1};
  body[17] = std::byte{1};
  std::memcpy(body.data() + 18, peer_mac.data(), 6);
  Address to = target.solicited_node();
  return ipv6(protocol_icmpv6, icmpv6(135, 0, 0, body, Host::peer_v6(), to), Host::peer_v6(), to, hops);
}
TEST(Ndp, a_solicitation_is_answered) {
  Host h(1500, LinkKind::Ethernet);
  h.inject(frame(ether_ipv6, solicitation(Host::own_v6()), {0x33, 0x33, 0xff, 0, 0, 1}));
  auto p = h.take();
  EXPECT_EQ(EthernetHeader::parse(p)->destination, peer_mac);
  auto ip = Ipv6Header::parse(Bytes(p).subspan(14));
  EXPECT_EQ(ip->hop_limit, 255);
  EXPECT_EQ(load8(p, 54), 136);
}
TEST(Ndp, a_solicitation_from_beyond_the_link_is_dropped) {
  Host h(1500, LinkKind::Ethernet);
  h.inject(frame(ether_ipv6, solicitation(Host::own_v6(), 64), {0x33, 0x33, 0xff, 0, 0, 1}));
  EXPECT_TRUE(h.quiet());
}
TEST(Ndp, a_packet_waits_for_the_advertisement) {
  Host h(1500, LinkKind::Ethernet);
  auto e = udp_socket(h, 9, Address::any_v6());
  ASSERT_TRUE(e->send(chain_of("x"), Peer{Host::peer_v6(), 7, 0}, {}, {}));
  auto q = h.take();
  EXPECT_EQ(load8(q, 54), 135);
  std::vector<std::byte> body(24);
  std::memcpy(body.data(), Host::peer_v6().bytes().data(), 16);
  body[16] = std::byte{2};
  body[17] = std::byte{1};
  std::memcpy(body.data() + 18, peer_mac.data(), 6);
  h.inject(
      frame(ether_ipv6, ipv6(protocol_icmpv6, icmpv6(136, 0, 0x60000000, body), Host::peer_v6(), Host::own_v6(), 255)));
  auto p = h.take();
  EXPECT_EQ(EthernetHeader::parse(p)->destination, peer_mac);
}
TEST(Ndp, an_option_of_length_zero_ends_the_message) {
  Host h(1500, LinkKind::Ethernet);
  std::vector<std::byte> body(24);
  std::memcpy(body.data(), Host::own_v6().bytes().data(), 16);
  body[16] = std::byte{1};
  h.inject(frame(ether_ipv6, ipv6(protocol_icmpv6, icmpv6(135, 0, 0, body), Host::peer_v6(), Host::own_v6(), 255)));
  EXPECT_TRUE(h.quiet());
}

// --- routes and sources ---

TEST(Routing, the_longest_prefix_wins) {
  Host h;
  Route r;
  r.destination = {v4(0x08080000), 16};
  r.gateway = v4(0x0a000063);
  r.interface = h.interface->index();
  ASSERT_TRUE(h.stack.routes().add(r));
  EXPECT_EQ(h.stack.find_path(v4(0x08080808), Address::any_v4())->next_hop, v4(0x0a000063));
  EXPECT_EQ(h.stack.find_path(v4(0x09080808), Address::any_v4())->next_hop, v4(0x0a0000fe));
  EXPECT_EQ(h.stack.find_path(Host::peer_v4, Address::any_v4())->next_hop, Host::peer_v4);
}
TEST(Routing, own_addresses_go_over_loopback) {
  Host h;
  auto p = h.stack.find_path(Host::own_v4, Address::any_v4());
  ASSERT_TRUE(p);
  EXPECT_TRUE(p->local);
  EXPECT_EQ(p->source, Host::own_v4);
}
TEST(Routing, all_of_127_is_here) {
  Host h;
  EXPECT_TRUE(h.stack.find_path(v4(0x7f123456), Address::any_v4())->local);
}
TEST(Routing, no_route_is_enetunreach) {
  Host h;
  EXPECT_EQ(h.stack.find_path(Host::v6_with(1).solicited_node(), Address::any_v6()).error().code, Errno::NetUnreach);
}
TEST(Routing, the_table_is_bounded) {
  Routes r;
  size_t added = 0;
  for (uint32_t i = 0; i < 10000; ++i) added += r.add({{v4(i << 8), 24}, {}, 1, {}, 0, 3, 0}).has_value() ? 1 : 0;
  EXPECT_EQ(added, Routes::max_routes);
}

// --- ports ---

BindRequest at(uint16_t port, Address a = Address::any_v4()) {
  BindRequest r;
  r.local = a;
  r.port = port;
  return r;
}
struct PortsTest : ::testing::Test {
  VirtualEnvironment environment;
  Ports tcp{Ports::Rules::Tcp, environment}, udp{Ports::Rules::Udp, environment};
};
TEST_F(PortsTest, one_port_one_owner) {
  auto a = tcp.bind(at(80), nullptr);
  ASSERT_TRUE(a);
  EXPECT_EQ(tcp.bind(at(80), nullptr).error().code, Errno::AddrInUse);
  a = fail(Errno::None);
  EXPECT_TRUE(tcp.bind(at(80), nullptr));
}
TEST_F(PortsTest, different_addresses_do_not_conflict) {
  auto a = tcp.bind(at(80, v4(0x7f000001)), nullptr), b = tcp.bind(at(80, v4(0x7f000002)), nullptr);
  EXPECT_TRUE(a && b);
}
TEST_F(PortsTest, a_wildcard_conflicts_with_each_address) {
  auto a = tcp.bind(at(80), nullptr);
  EXPECT_FALSE(tcp.bind(at(80, v4(0x7f000001)), nullptr));
}
TEST_F(PortsTest, a_dual_stack_wildcard_conflicts_with_ipv4) {
  auto a = tcp.bind(at(80, Address::any_v6()), nullptr);
  EXPECT_FALSE(tcp.bind(at(80), nullptr));
}
TEST_F(PortsTest, v6_only_does_not_conflict_with_ipv4) {
  auto r = at(80, Address::any_v6());
  r.v6_only = true;
  auto a = tcp.bind(r, nullptr);
  auto b = tcp.bind(at(80), nullptr);
  EXPECT_TRUE(a && b);
}
TEST_F(PortsTest, reuse_address_shares_until_somebody_listens) {
  auto r = at(80);
  r.reuse_address = true;
  auto a = tcp.bind(r, nullptr), b = tcp.bind(r, nullptr);
  ASSERT_TRUE(a && b);
  EXPECT_TRUE(tcp.listen(**a, nullptr));
  EXPECT_EQ(tcp.listen(**b, nullptr).error().code, Errno::AddrInUse);
  EXPECT_FALSE(tcp.bind(r, nullptr));
}
TEST_F(PortsTest, reuse_port_shares_among_one_user) {
  auto r = at(80);
  r.reuse_port = true;
  auto a = tcp.bind(r, nullptr), b = tcp.bind(r, nullptr);
  ASSERT_TRUE(a && b);
  EXPECT_TRUE(tcp.listen(**a, nullptr));
  EXPECT_TRUE(tcp.listen(**b, nullptr));
  r.uid = 1000;
  EXPECT_FALSE(tcp.bind(r, nullptr));
}
TEST_F(PortsTest, udp_reuse_address_shares) {
  auto r = at(53);
  r.reuse_address = true;
  auto a = udp.bind(r, nullptr), b = udp.bind(r, nullptr);
  EXPECT_TRUE(a && b);
}
TEST_F(PortsTest, port_zero_gives_a_free_ephemeral_one) {
  auto a = tcp.bind(at(0), nullptr), b = tcp.bind(at(0), nullptr);
  ASSERT_TRUE(a && b);
  EXPECT_NE((*a)->port(), (*b)->port());
  EXPECT_GE((*a)->port(), first_ephemeral);
  EXPECT_LE((*a)->port(), last_ephemeral);
}
TEST_F(PortsTest, all_ephemeral_ports_can_be_had_and_no_more) {
  std::vector<Ref<PortBinding>> all;
  for (;;) {
    auto b = tcp.bind(at(0), nullptr);
    if (!b) {
      EXPECT_EQ(b.error().code, Errno::AddrInUse);
      break;
    }
    all.push_back(*b);
    if (all.size() % 4096 != 0) continue;
    // do not try each of them one by one: the test is about the end
    while (all.size() + 3 < last_ephemeral - first_ephemeral) {
      bool had = false;
      for (uint32_t p = first_ephemeral; p <= last_ephemeral; ++p)
        if (auto more = tcp.bind(at(static_cast<uint16_t>(p)), nullptr)) {
          all.push_back(*more);
          had = true;
        }
      if (!had) break;
    }
  }
  EXPECT_EQ(all.size(), last_ephemeral - first_ephemeral + 1u);
}

// --- timers ---

class Alarm final : public Timed {
 public:
  void on_timer(Time now) override { fired.push_back(now); }
  std::vector<Time> fired;
};
TEST(Wheel, fires_in_time_near_and_far) {
  VirtualEnvironment t;
  TimerWheel w(t);
  for (Time delay : {millisecond, 63 * millisecond, 64 * millisecond, 65 * millisecond, 4095 * millisecond,
                     4096 * millisecond, 5 * second, 300 * second, 7200 * second}) {
    auto a = make_ref<Alarm>();
    Time begin = t.now_;
    w.arm(*a, begin + delay);
    for (int i = 0; i < 100000 && a->fired.empty(); ++i) {
      ASSERT_NE(t.wake_, never);
      t.now_ = std::max(t.now_, t.wake_);
      t.wake_ = never;
      t.wake_ = std::min(t.wake_, w.run(t.now_));
    }
    ASSERT_EQ(a->fired.size(), 1u) << delay;
    EXPECT_GE(a->fired[0], begin + delay);
    EXPECT_LE(a->fired[0], begin + delay + 2 * millisecond);
  }
}
TEST(Wheel, cancelled_does_not_fire) {
  VirtualEnvironment t;
  TimerWheel w(t);
  auto a = make_ref<Alarm>();
  w.arm(*a, t.now_ + second);
  EXPECT_EQ(a->ref_count(), 2u);
  w.cancel(*a);
  EXPECT_EQ(a->ref_count(), 1u);
  t.now_ += 2 * second;
  w.run(t.now_);
  EXPECT_TRUE(a->fired.empty());
}
TEST(Wheel, an_earlier_time_moves_it) {
  VirtualEnvironment t;
  TimerWheel w(t);
  auto a = make_ref<Alarm>();
  w.arm(*a, t.now_ + 10 * second);
  w.arm(*a, t.now_ + second);
  t.now_ += 2 * second;
  w.run(t.now_);
  EXPECT_EQ(a->fired.size(), 1u);
  EXPECT_EQ(w.armed(), 0u);
}
TEST(Wheel, many_at_random_times) {
  VirtualEnvironment t;
  TimerWheel w(t);
  std::vector<Ref<Alarm>> all;
  std::vector<Time> due;
  uint64_t x = 88172645463325252;
  for (int i = 0; i < 2000; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    due.push_back(t.now_ + static_cast<Time>(x % static_cast<uint64_t>(400 * second)) + millisecond);
    all.push_back(make_ref<Alarm>());
    w.arm(*all.back(), due.back());
  }
  Time end = t.now_ + 401 * second;
  while (t.now_ < end) {
    t.now_ += 7 * millisecond;
    w.run(t.now_);
  }
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i]->fired.size(), 1u);
    ASSERT_GE(all[i]->fired[0], due[i]);
    ASSERT_LE(all[i]->fired[0], due[i] + 9 * millisecond);
  }
}

// --- buffers and sums ---

TEST(Buffers, a_chain_gives_back_what_it_got) {
  Chain c;
  std::string all;
  for (int i = 0; i < 500; ++i) {
    std::string piece(static_cast<size_t>(i * 7 % 3000), static_cast<char>('a' + i % 26));
    all += piece;
    if (i % 2)
      c.append_copy(std::as_bytes(std::span(piece)));
    else
      c.append_or_copy(View::copy_of(std::as_bytes(std::span(piece))));
  }
  EXPECT_EQ(string_of(c), all);
  c.trim_front(12345);
  all.erase(0, 12345);
  EXPECT_EQ(string_of(c), all);
  c.trim_back(777);
  all.resize(all.size() - 777);
  EXPECT_EQ(string_of(c), all);
}
TEST(Buffers, appending_does_not_change_views_that_were_given_out) {
  Chain c;
  c.append_copy(text("first"));
  Packet p;
  p.append(c, 0, 5);
  c.append_copy(text("second"));
  std::string s(5, 0);
  p.copy_to(std::as_writable_bytes(std::span(s)));
  EXPECT_EQ(s, "first");
  EXPECT_EQ(string_of(c), "firstsecond");
}
TEST(Buffers, a_packet_in_pieces_is_read_in_one) {
  for (size_t cut = 1; cut < 40; ++cut) {
    std::string s(60, 0);
    for (size_t i = 0; i < s.size(); ++i) s[i] = static_cast<char>(i);
    auto b = std::as_bytes(std::span(s));
    Packet p;
    p.append(View::copy_of(b.first(cut)));
    p.append(View::copy_of(b.subspan(cut)));
    Bytes head = p.peek(40);
    ASSERT_EQ(head.size(), 40u);
    ASSERT_TRUE(std::equal(head.begin(), head.end(), b.begin()));
    p.pull(40);
    ASSERT_EQ(p.size(), 20u);
    p.truncate(10);
    std::vector<std::byte> rest(10);
    ASSERT_EQ(p.copy_to(rest), 10u);
    ASSERT_TRUE(std::equal(rest.begin(), rest.end(), b.begin() + 40));
  }
}
TEST(Sums, pieces_sum_as_the_whole) {
  std::vector<std::byte> b(101);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<std::byte>(i * 37 + 11);
  uint16_t whole = checksum_of(b);
  for (size_t cut = 0; cut <= b.size(); ++cut) {
    Checksum c;
    c.add(Bytes(b).first(cut));
    c.add(Bytes(b).subspan(cut));
    ASSERT_EQ(c.value(), whole);
  }
}
TEST(Sums, the_example_of_rfc_1071) {
  std::array<std::byte, 8> b{std::byte{0x00}, std::byte{0x01}, std::byte{0xf2}, std::byte{0x03},
                             std::byte{0xf4}, std::byte{0xf5}, std::byte{0xf6}, std::byte{0xf7}};
  EXPECT_EQ(checksum_of(b), static_cast<uint16_t>(~0xddf2));
}
TEST(Sums, sip_hash_as_its_authors_have_it) {
  HashKey k{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  std::array<std::byte, 15> in;
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::byte>(i);
  EXPECT_EQ(sip_hash(k, in), 0xa129ca6149be45e5u);
}
TEST(Numbers, sequence_numbers_wrap) {
  SeqNum a(0xfffffff0), b(0x10);
  EXPECT_LT(a, b);
  EXPECT_GT(b, a);
  EXPECT_EQ(distance(a, b), 0x20u);
  EXPECT_EQ(a + 0x20, b);
}
TEST(Options, written_options_are_read_back) {
  TcpOptions o;
  o.mss = 1460;
  o.window_scale = 7;
  o.sack_permitted = true;
  o.has_timestamps = true;
  o.timestamp = 1;
  o.echo = 2;
  std::vector<std::byte> b(o.length());
  o.write(b);
  auto r = TcpOptions::parse(b);
  EXPECT_EQ(r.mss, 1460);
  EXPECT_EQ(r.window_scale, 7);
  EXPECT_TRUE(r.sack_permitted && r.has_timestamps);
  EXPECT_EQ(r.echo, 2u);
  EXPECT_EQ(b.size() % 4, 0u);
}
TEST(Options, nonsense_lengths_end_the_list) {
  for (uint8_t length : {0, 1, 200}) {
    std::array<std::byte, 4> b{std::byte{2}, std::byte{length}, std::byte{5}, std::byte{0xb4}};
    EXPECT_FALSE(TcpOptions::parse(b).mss);
  }
}
TEST(Options, a_window_scale_beyond_14_is_14) {
  std::array<std::byte, 3> b{std::byte{3}, std::byte{3}, std::byte{99}};
  EXPECT_EQ(TcpOptions::parse(b).window_scale, 14);
}

}  // namespace
}  // namespace cofferdam::netstack::wire

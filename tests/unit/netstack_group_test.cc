// Multicast: who is in a group, what of it arrives, and what the routers are told (RFC 3376, 2236, 3810, 2710).
#include <algorithm>

#include "netstack/groups.h"
#include "netstack/memberships.h"
#include "netstack_wire.h"

namespace cofferdam::netstack::wire {
namespace {

constexpr Address group = Address::v4(0xef010203), other_group = Address::v4(0xef010204),
                  source_a = Address::v4(0x0a000063), source_b = Address::v4(0x0a000064);
using Change = Memberships::Change;

Address group6() {
  std::array<std::byte, 16> b{std::byte{0xff}, std::byte{0x15}};
  b[15] = std::byte{0x77};
  return Address::v6(b);
}

struct Report {
  Address to;
  uint8_t type = 0;
  std::vector<GroupRecord> records;  // of the newest version
  Address group;                     // of the older ones
};

// The next message about groups that was sent. Checks what they all have in common.
std::optional<Report> next_report(Host& h) {
  if (h.quiet()) return std::nullopt;
  auto const packet = h.take();
  bool const four = load8(packet, 0) >> 4 == 4;
  Report r;
  Bytes message;
  if (four) {
    auto const ip = Ipv4Header::parse(packet);
    EXPECT_TRUE(ip && ip->protocol == protocol_igmp && ip->ttl == 1);
    if (!ip) return std::nullopt;
    EXPECT_EQ(ip->header_length, 24u);
    EXPECT_EQ(load32(packet, 20), 0x94040000u) << "router alert";
    r.to = ip->destination;
    message = Bytes(packet).subspan(ip->header_length);
    EXPECT_EQ(checksum_of(message), 0);
  } else {
    auto const ip = Ipv6Header::parse(packet);
    EXPECT_TRUE(ip && ip->next_header == 0 && ip->hop_limit == 1);
    if (!ip) return std::nullopt;
    EXPECT_EQ(load32(packet, 40), 0x3a000502u) << "router alert";
    r.to = ip->destination;
    message = Bytes(packet).subspan(48);
    Checksum sum = pseudo_header(ip->source, ip->destination, protocol_icmpv6, message.size());
    sum.add(message);
    EXPECT_EQ(sum.value(), 0);
  }
  r.type = load8(message, 0);
  size_t const each = four ? 4 : 16;
  auto address = [&](size_t at) {
    return four ? Address::v4(load32(message, at)) : Address::v6(message.subspan(at, 16));
  };
  if (r.type != igmp_report_v3 && r.type != mld_report_v2) {
    r.group = address(four ? 4 : 8);
    return r;
  }
  size_t at = 8;
  for (unsigned n = load16(message, 6); n != 0; --n) {
    GroupRecord record{static_cast<GroupRecordType>(load8(message, at)), address(at + 4), {}};
    unsigned const sources = load16(message, at + 2);
    at += 4 + each;
    for (unsigned i = 0; i < sources; ++i, at += each) record.sources.push_back(address(at));
    r.records.push_back(std::move(record));
  }
  EXPECT_EQ(at, message.size());
  return r;
}

class GroupWire : public ::testing::Test {
 protected:
  static uint32_t interface() { return 2; }
  void expect_record(GroupRecordType type, Address const& about, std::vector<Address> const& sources = {}) {
    auto const r = next_report(host);
    ASSERT_TRUE(r) << "no report";
    EXPECT_EQ(r->type, about.is_v4() ? igmp_report_v3 : mld_report_v2);
    ASSERT_EQ(r->records.size(), 1u);
    EXPECT_EQ(r->records[0].type, type);
    EXPECT_EQ(r->records[0].group, about);
    EXPECT_EQ(r->records[0].sources, sources);
  }
  void expect_plain(uint8_t type, Address const& about) {
    auto const r = next_report(host);
    ASSERT_TRUE(r) << "no report";
    EXPECT_EQ(r->type, type);
    EXPECT_EQ(r->group, about);
  }
  // What was said of a change is said again within a two.
  void settle() {
    host.advance(1100 * millisecond);
    host.clear();
  }
  void igmp(std::vector<std::byte> message, Address to = Address::v4(0xe0000001)) {
    store16(message, 2, 0);
    store16(message, 2, checksum_of(message));
    host.inject(ipv4(protocol_igmp, message, Host::peer_v4, to));
  }
  void query_v3(Address const& about, std::vector<Address> const& sources = {}, uint8_t code = 10) {
    std::vector<std::byte> b(12 + 4 * sources.size());
    store8(b, 0, igmp_query);
    store8(b, 1, code);
    store32(b, 4, about.v4());
    store8(b, 8, 2);
    store8(b, 9, 125);
    store16(b, 10, static_cast<uint16_t>(sources.size()));
    for (size_t i = 0; i < sources.size(); ++i) store32(b, 12 + 4 * i, sources[i].v4());
    igmp(std::move(b));
  }
  void query_old(uint8_t code, Address const& about = Address::any_v4()) {
    std::vector<std::byte> b(8);
    store8(b, 0, igmp_query);
    store8(b, 1, code);
    store32(b, 4, about.v4());
    igmp(std::move(b));
  }
  void mld(std::vector<std::byte> message, bool alert = true, uint8_t hop_limit = 1) {
    std::array<std::byte, 16> router{std::byte{0xfe}, std::byte{0x80}}, all{std::byte{0xff}, std::byte{2}};
    router[15] = all[15] = std::byte{1};
    Address const from = Address::v6(router), to = Address::v6(all);
    Checksum sum = pseudo_header(from, to, protocol_icmpv6, message.size());
    store16(message, 2, 0);
    sum.add(message);
    store16(message, 2, sum.value());
    std::vector<std::byte> b(8 + message.size());
    store32(b, 0, alert ? 0x3a000502 : 0x3a000104);
    store32(b, 4, alert ? 0x00000100 : 0);
    std::ranges::copy(message, b.begin() + 8);
    host.inject(ipv6(0, b, from, to, hop_limit));
  }
  void mld_query_v2(Address const& about = Address::any_v6()) {
    std::vector<std::byte> b(28);
    store8(b, 0, mld_query);
    store16(b, 4, 1000);
    std::ranges::copy(about.bytes(), b.begin() + 8);
    store8(b, 24, 2);
    store8(b, 25, 125);
    mld(std::move(b));
  }
  bool accepted(Address const& to, Address const& from = Host::peer_v4) {
    return host.stack.groups(interface())->accepts(to, from);
  }

  Host host;
  Memberships one{host.stack}, two{host.stack};
};

// --- what a socket may ask for (ip(7)) ---

using Membership = GroupWire;

TEST_F(Membership, joining_what_is_no_group_is_einval) {
  EXPECT_EQ(one.join(Host::peer_v4, interface()).error().code, Errno::Inval);
}
TEST_F(Membership, joining_on_no_interface_is_enodev) { EXPECT_EQ(one.join(group, 77).error().code, Errno::NoDev); }
TEST_F(Membership, joining_twice_is_eaddrinuse) {
  ASSERT_TRUE(one.join(group, interface()));
  EXPECT_EQ(one.join(group, interface()).error().code, Errno::AddrInUse);
}
TEST_F(Membership, leaving_what_was_not_joined_is_eaddrnotavail) {
  EXPECT_EQ(one.leave(group, interface()).error().code, Errno::AddrNotAvail);
}
TEST_F(Membership, twenty_groups_a_socket) {
  for (uint32_t n = 0; n < 20; ++n) ASSERT_TRUE(one.join(Address::v4(0xef020000 + n), interface()));
  EXPECT_EQ(one.join(group, interface()).error().code, Errno::NoBufs);
  host.stack.settings().igmp_max_memberships = 21;
  EXPECT_TRUE(one.join(group, interface()));
}
TEST_F(Membership, ten_sources_a_group) {
  for (uint32_t n = 0; n < 10; ++n)
    ASSERT_TRUE(one.change(group, interface(), Address::v4(0x0a000100 + n), Change::AddSource));
  EXPECT_EQ(one.change(group, interface(), source_a, Change::AddSource).error().code, Errno::NoBufs);
}
TEST_F(Membership, blocking_without_joining_is_einval) {
  EXPECT_EQ(one.change(group, interface(), source_a, Change::BlockSource).error().code, Errno::Inval);
}
TEST_F(Membership, blocking_where_sources_were_added_is_einval) {
  ASSERT_TRUE(one.change(group, interface(), source_a, Change::AddSource));
  EXPECT_EQ(one.change(group, interface(), source_b, Change::BlockSource).error().code, Errno::Inval);
}
TEST_F(Membership, adding_a_source_twice_is_eaddrnotavail) {
  ASSERT_TRUE(one.change(group, interface(), source_a, Change::AddSource));
  EXPECT_EQ(one.change(group, interface(), source_a, Change::AddSource).error().code, Errno::AddrNotAvail);
}
TEST_F(Membership, dropping_the_last_source_leaves) {
  ASSERT_TRUE(one.change(group, interface(), source_a, Change::AddSource));
  ASSERT_TRUE(one.change(group, interface(), source_a, Change::DropSource));
  EXPECT_EQ(one.leave(group, interface()).error().code, Errno::AddrNotAvail);
}
TEST_F(Membership, a_filter_is_read_back_sorted) {
  ASSERT_TRUE(one.join(group, interface()));
  ASSERT_TRUE(one.set_filter(group, interface(), {FilterMode::Include, {source_b, source_a, source_b}}));
  auto const f = one.filter(group, interface());
  ASSERT_TRUE(f);
  EXPECT_EQ(f->mode, FilterMode::Include);
  EXPECT_EQ(f->sources, (std::vector{source_a, source_b}));
}
TEST_F(Membership, the_interface_is_where_the_groups_packets_go) {
  auto const by_route = host.stack.interface_for_group(group, 0, Address::any_v4());
  ASSERT_TRUE(by_route);
  EXPECT_EQ(*by_route, interface());
  EXPECT_EQ(*host.stack.interface_for_group(group, 0, Host::own_v4), interface());
  EXPECT_EQ(*host.stack.interface_for_group(group, 0, Address::loopback_v4()), 1u);
  EXPECT_EQ(host.stack.interface_for_group(group, 0, Host::peer_v4).error().code, Errno::NoDev);
}

// --- what of it arrives ---

TEST_F(Membership, only_what_was_joined_is_accepted) {
  EXPECT_FALSE(accepted(group));
  ASSERT_TRUE(one.join(group, interface()));
  EXPECT_TRUE(accepted(group));
  EXPECT_FALSE(accepted(other_group));
  ASSERT_TRUE(one.leave(group, interface()));
  EXPECT_FALSE(accepted(group));
}
TEST_F(Membership, all_hosts_is_always_joined) { EXPECT_TRUE(accepted(Address::v4(0xe0000001))); }
TEST_F(Membership, sources_are_merged_over_sockets) {
  ASSERT_TRUE(one.change(group, interface(), source_a, Change::AddSource));
  EXPECT_TRUE(accepted(group, source_a));
  EXPECT_FALSE(accepted(group, source_b));
  ASSERT_TRUE(two.join(group, interface()));
  EXPECT_TRUE(accepted(group, source_b));
  ASSERT_TRUE(two.change(group, interface(), source_a, Change::BlockSource));
  EXPECT_TRUE(accepted(group, source_a)) << "the first still wants it";
  ASSERT_TRUE(two.change(group, interface(), source_b, Change::BlockSource));
  EXPECT_FALSE(accepted(group, source_b));
}
TEST_F(Membership, ends_with_the_socket) {
  {
    Memberships brief(host.stack);
    ASSERT_TRUE(brief.join(group, interface()));
  }
  EXPECT_FALSE(accepted(group));
}

Ref<UdpEndpoint> listener(Host& h, uint16_t port = 9) {
  auto e = make_ref<UdpEndpoint>(h.stack, true, make_ref<Quiet>());
  BindRequest r;
  r.local = Address::any_v4();
  r.port = port;
  r.reuse_address = true;
  EXPECT_TRUE(e->bind(r));
  return e;
}
void send_to_group(Host& h, Address const& from, std::string_view text, Address const& to = group) {
  h.inject(ipv4(protocol_udp, udp(5, 9, text, from, to), from, to));
}
std::string heard(UdpEndpoint& e) {
  auto d = e.receive(false);
  return d ? string_of(d->payload) : "";
}

TEST_F(Membership, each_socket_hears_what_it_asked_for) {
  auto a = listener(host), b = listener(host), c = listener(host);
  ASSERT_TRUE(a->memberships.join(group, interface()));
  ASSERT_TRUE(b->memberships.join(group, interface()));
  ASSERT_TRUE(b->memberships.change(group, interface(), source_a, Change::BlockSource));
  send_to_group(host, source_a, "x");
  EXPECT_EQ(heard(*a), "x");
  EXPECT_EQ(heard(*b), "");
  EXPECT_EQ(heard(*c), "x") << "IP_MULTICAST_ALL";
  c->hears_other_groups = false;
  send_to_group(host, source_b, "y");
  EXPECT_EQ(heard(*a), "y");
  EXPECT_EQ(heard(*b), "y");
  EXPECT_EQ(heard(*c), "");
}
TEST_F(Membership, what_is_sent_comes_back_to_members) {
  auto a = listener(host), sender = listener(host, 10);
  ASSERT_TRUE(a->memberships.join(group, interface()));
  ASSERT_TRUE(sender->send(chain_of("hello"), Peer{group, 9, 0}, {}, {}));
  auto d = a->receive(false);
  ASSERT_TRUE(d);
  EXPECT_EQ(string_of(d->payload), "hello");
  EXPECT_EQ(d->source.address, Host::own_v4);
  EXPECT_EQ(d->interface, interface());
  SendOptions no_loop;
  no_loop.loop = false;
  ASSERT_TRUE(sender->send(chain_of("hello"), Peer{group, 9, 0}, no_loop, {}));
  EXPECT_EQ(heard(*a), "");
}
TEST_F(Membership, a_ttl_of_zero_stays_here) {
  auto a = listener(host), sender = listener(host, 10);
  ASSERT_TRUE(a->memberships.join(group, interface()));
  settle();
  SendOptions here;
  here.host_only = true;
  ASSERT_TRUE(sender->send(chain_of("hello"), Peer{group, 9, 0}, here, {}));
  EXPECT_TRUE(host.quiet());
  EXPECT_EQ(heard(*a), "hello");
}
TEST_F(Membership, a_broadcast_comes_back) {
  auto a = listener(host), sender = listener(host, 10);
  sender->allow_broadcast = true;
  ASSERT_TRUE(sender->send(chain_of("all"), Peer{Address::v4(0x0a0000ff), 9, 0}, {}, {}));
  EXPECT_EQ(heard(*a), "all");
  EXPECT_FALSE(host.quiet());
}

// --- IGMPv3 ---

using Igmp = GroupWire;

TEST_F(Igmp, joining_is_told_twice) {
  ASSERT_TRUE(one.join(group, interface()));
  auto const r = next_report(host);
  ASSERT_TRUE(r);
  EXPECT_EQ(r->to, Address::v4(0xe0000016));
  ASSERT_EQ(r->records.size(), 1u);
  EXPECT_EQ(r->records[0].type, GroupRecordType::ToExclude);
  EXPECT_TRUE(host.quiet());
  host.advance(1100 * millisecond);
  expect_record(GroupRecordType::ToExclude, group);
  host.advance(10 * second);
  EXPECT_TRUE(host.quiet());
}
TEST_F(Igmp, leaving_is_told_twice) {
  ASSERT_TRUE(one.join(group, interface()));
  settle();
  ASSERT_TRUE(one.leave(group, interface()));
  expect_record(GroupRecordType::ToInclude, group);
  host.advance(1100 * millisecond);
  expect_record(GroupRecordType::ToInclude, group);
  host.advance(10 * second);
  EXPECT_TRUE(host.quiet());
  EXPECT_TRUE(host.stack.groups(interface())->all().size() == 1) << "that of its IPv6 address";
}
TEST_F(Igmp, a_second_member_changes_nothing) {
  ASSERT_TRUE(one.join(group, interface()));
  settle();
  ASSERT_TRUE(two.join(group, interface()));
  ASSERT_TRUE(two.leave(group, interface()));
  host.advance(2 * second);
  EXPECT_TRUE(host.quiet());
}
TEST_F(Igmp, sources_are_allowed_and_blocked) {
  ASSERT_TRUE(one.change(group, interface(), source_a, Change::AddSource));
  expect_record(GroupRecordType::AllowNew, group, {source_a});
  settle();
  ASSERT_TRUE(one.change(group, interface(), source_b, Change::AddSource));
  expect_record(GroupRecordType::AllowNew, group, {source_b});
  settle();
  ASSERT_TRUE(one.change(group, interface(), source_a, Change::DropSource));
  expect_record(GroupRecordType::BlockOld, group, {source_a});
}
TEST_F(Igmp, excluded_sources_are_blocked_and_allowed) {
  ASSERT_TRUE(one.join(group, interface()));
  settle();
  ASSERT_TRUE(one.change(group, interface(), source_a, Change::BlockSource));
  expect_record(GroupRecordType::BlockOld, group, {source_a});
  settle();
  ASSERT_TRUE(one.change(group, interface(), source_a, Change::UnblockSource));
  expect_record(GroupRecordType::AllowNew, group, {source_a});
}
TEST_F(Igmp, all_hosts_is_never_reported) {
  ASSERT_TRUE(one.join(Address::v4(0xe0000001), interface()));
  query_v3(Address::any_v4());
  host.advance(2 * second);
  EXPECT_TRUE(host.quiet());
}
TEST_F(Igmp, nothing_is_told_on_the_loopback) {
  ASSERT_TRUE(one.join(group, 1));
  host.advance(2 * second);
  EXPECT_TRUE(host.quiet());
}
TEST_F(Igmp, a_general_query_is_answered_with_all_groups) {
  ASSERT_TRUE(one.join(group, interface()));
  ASSERT_TRUE(one.change(other_group, interface(), source_a, Change::AddSource));
  settle();
  query_v3(Address::any_v4());
  EXPECT_TRUE(host.quiet()) << "not at once";
  host.advance(1100 * millisecond);
  auto r = next_report(host);
  ASSERT_TRUE(r);
  ASSERT_EQ(r->records.size(), 2u);
  std::ranges::sort(r->records, {}, &GroupRecord::group);
  EXPECT_EQ(r->records[0].type, GroupRecordType::IsExclude);
  EXPECT_EQ(r->records[1].type, GroupRecordType::IsInclude);
  EXPECT_EQ(r->records[1].sources, std::vector{source_a});
}
TEST_F(Igmp, a_query_about_a_group_is_answered_with_it) {
  ASSERT_TRUE(one.join(group, interface()));
  ASSERT_TRUE(one.join(other_group, interface()));
  settle();
  query_v3(group);
  host.advance(1100 * millisecond);
  expect_record(GroupRecordType::IsExclude, group);
  EXPECT_TRUE(host.quiet());
}
TEST_F(Igmp, a_query_about_a_group_that_nobody_is_in_is_not_answered) {
  query_v3(group);
  host.advance(2 * second);
  EXPECT_TRUE(host.quiet());
}
TEST_F(Igmp, a_query_about_sources_is_answered_with_those_that_are_wanted) {
  ASSERT_TRUE(one.join(group, interface()));
  ASSERT_TRUE(one.change(group, interface(), source_a, Change::BlockSource));
  settle();
  query_v3(group, {source_a, source_b});
  host.advance(1100 * millisecond);
  expect_record(GroupRecordType::IsInclude, group, {source_b});
}
TEST_F(Igmp, many_groups_take_many_reports) {
  host.stack.settings().igmp_max_memberships = 1000;
  for (uint32_t n = 0; n < 600; ++n) ASSERT_TRUE(one.join(Address::v4(0xef020000 + n), interface()));
  settle();
  host.advance(second);
  host.clear();
  query_v3(Address::any_v4());
  host.advance(1100 * millisecond);
  size_t told = 0;
  while (auto r = next_report(host)) told += r->records.size();
  EXPECT_EQ(told, 600u);
}
TEST_F(Igmp, queries_with_ever_new_sources_do_not_grow_the_memory) {
  ASSERT_TRUE(one.join(group, interface()));
  settle();
  for (uint32_t round = 0; round < 100; ++round) {
    std::vector<Address> sources;
    for (uint32_t n = 0; n < 300; ++n) sources.push_back(Address::v4(0x0b000000 + round * 300 + n));
    query_v3(group, sources, 0xff);
  }
  host.advance(4000 * second);
  expect_record(GroupRecordType::IsExclude, group);
}
TEST_F(Igmp, nonsense_is_ignored) {
  ASSERT_TRUE(one.join(group, interface()));
  settle();
  for (size_t n = 0; n < 12; ++n) igmp(std::vector<std::byte>(std::max<size_t>(n, 4), std::byte{0x11}));
  std::vector<std::byte> lies(12);
  store8(lies, 0, igmp_query);
  store16(lies, 10, 5000);
  igmp(lies);
  host.advance(20 * second);
  EXPECT_TRUE(host.quiet());
}

// --- older routers ---

TEST_F(Igmp, version_2_is_spoken_to_a_router_that_knows_no_other) {
  ASSERT_TRUE(one.join(group, interface()));
  settle();
  query_old(20);
  host.advance(2 * second);
  expect_plain(igmp_report_v2, group);
  ASSERT_TRUE(one.leave(group, interface()));
  auto const r = next_report(host);
  ASSERT_TRUE(r);
  EXPECT_EQ(r->type, igmp_leave);
  EXPECT_EQ(r->to, Address::v4(0xe0000002));
  host.advance(400 * second);
  ASSERT_TRUE(one.join(group, interface()));
  expect_record(GroupRecordType::ToExclude, group);
}
TEST_F(Igmp, version_1_knows_no_leaving) {
  query_old(0);
  ASSERT_TRUE(one.join(group, interface()));
  expect_plain(igmp_report_v1, group);
  host.advance(11 * second);
  expect_plain(igmp_report_v1, group);
  ASSERT_TRUE(one.leave(group, interface()));
  EXPECT_TRUE(host.quiet());
}
TEST_F(Igmp, another_hosts_report_silences_this_one) {
  ASSERT_TRUE(one.join(group, interface()));
  settle();
  query_old(100);
  std::vector<std::byte> report(8);
  store8(report, 0, igmp_report_v2);
  store32(report, 4, group.v4());
  igmp(report, group);
  host.advance(11 * second);
  EXPECT_TRUE(host.quiet());
  ASSERT_TRUE(one.leave(group, interface()));
  EXPECT_TRUE(host.quiet()) << "the other one was the last to report";
}

// --- MLD ---

using Mld = GroupWire;

TEST_F(Mld, a_new_address_joins_its_solicited_node_group) {
  Address const own = Host::v6_with(9);
  ASSERT_TRUE(host.stack.add_address(*host.interface, {own, 64}));
  expect_record(GroupRecordType::ToExclude, own.solicited_node());
  EXPECT_TRUE(accepted(own.solicited_node(), Host::peer_v6()));
  settle();
  ASSERT_TRUE(host.stack.remove_address(*host.interface, {own, 64}));
  expect_record(GroupRecordType::ToInclude, own.solicited_node());
}
TEST_F(Mld, joining_is_told_with_a_router_alert) {
  ASSERT_TRUE(one.join(group6(), interface()));
  expect_record(GroupRecordType::ToExclude, group6());
}
TEST_F(Mld, a_general_query_is_answered) {
  ASSERT_TRUE(one.join(group6(), interface()));
  settle();
  mld_query_v2();
  host.advance(1100 * millisecond);
  auto const r = next_report(host);
  ASSERT_TRUE(r);
  EXPECT_EQ(r->records.size(), 2u) << "and the solicited-node group";
}
TEST_F(Mld, a_query_from_beyond_the_link_or_without_alert_is_ignored) {
  std::vector<std::byte> b(28);
  store8(b, 0, mld_query);
  mld(b, true, 64);
  mld(b, false, 1);
  host.advance(20 * second);
  EXPECT_TRUE(host.quiet());
}
TEST_F(Mld, version_1_is_spoken_to_a_router_that_knows_no_other) {
  ASSERT_TRUE(one.join(group6(), interface()));
  settle();
  std::vector<std::byte> b(24);
  store8(b, 0, mld_query);
  store16(b, 4, 1000);
  std::ranges::copy(group6().bytes(), b.begin() + 8);
  mld(b);
  host.advance(1100 * millisecond);
  expect_plain(mld_report_v1, group6());
  ASSERT_TRUE(one.leave(group6(), interface()));
  expect_plain(mld_done, group6());
}
TEST_F(Mld, a_link_that_comes_up_tells_again) {
  ASSERT_TRUE(one.join(group6(), interface()));
  settle();
  host.stack.set_up(*host.interface, false);
  host.advance(2 * second);
  host.clear();
  host.stack.set_up(*host.interface, true);
  expect_record(GroupRecordType::ToExclude, group6());
}

}  // namespace
}  // namespace cofferdam::netstack::wire

// The link over a packet socket; a pair of datagram sockets stands for it and for the host's end.
#include "socket/inet/packet_link.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "netstack/checksum.h"
#include "sentry/network.h"

namespace cofferdam::inet {
namespace {

using namespace netstack;
using host::FrameHeader;

constexpr size_t ip_at = 14, tcp_at = ip_at + 20, headers = tcp_at + 20;

class PacketLinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    wire_ = host::OwnedFd(pair[0]);
    link_.emplace(host::OwnedFd(pair[1]), 1500, HardwareAddress{2, 0, 0, 0, 0, 1});
  }

  // An IPv4 TCP segment with zeros where its checksum goes.
  static PacketPtr segment(size_t payload) {
    auto p = std::make_unique<Packet>();
    std::vector<std::byte> bytes(payload);
    for (size_t n = 0; n < payload; ++n) bytes[n] = static_cast<std::byte>(n * 7);
    p->append(View::copy_of(bytes));
    auto h = p->push(headers);
    std::ranges::fill(h, std::byte{0});
    store16(h, 12, 0x0800);
    h[ip_at] = std::byte{0x45};
    h[ip_at + 9] = std::byte{protocol_tcp};
    store32(h, ip_at + 12, 0x0a000001);
    store32(h, ip_at + 16, 0x0a000002);
    store16(h, tcp_at, 1234);
    store16(h, tcp_at + 2, 80);
    h[tcp_at + 12] = std::byte{0x50};
    return p;
  }

  std::pair<FrameHeader, std::vector<std::byte>> sent() {
    std::vector<std::byte> all(70000);
    ssize_t const n = ::recv(wire_.get(), all.data(), all.size(), MSG_DONTWAIT);
    FrameHeader header;
    if (n < static_cast<ssize_t>(sizeof header)) return {header, {}};
    std::memcpy(&header, all.data(), sizeof header);
    return {header, {all.begin() + sizeof header, all.begin() + n}};
  }

  host::OwnedFd wire_;
  std::optional<PacketLink> link_;
};

TEST_F(PacketLinkTest, a_large_segment_is_left_to_the_host_to_cut_and_sum) {
  auto p = segment(4000);
  p->checksum_verified = true;
  p->gso_size = 1448;
  link_->transmit(std::move(p));
  auto [header, frame] = sent();
  ASSERT_EQ(frame.size(), headers + 4000);
  EXPECT_EQ(header.flags, FrameHeader::needs_checksum);
  EXPECT_EQ(header.segments, FrameHeader::tcp_v4);
  EXPECT_EQ(header.segment_size, 1448);
  EXPECT_EQ(header.header_length, headers);
  EXPECT_EQ(header.checksum_start, tcp_at);
  EXPECT_EQ(header.checksum_offset, 16);
  // As the host does it: the sum from the start on, the field included, put into the field.
  Checksum whole;
  whole.add(Bytes(frame).subspan(tcp_at));
  store16(frame, tcp_at + 16, whole.value());
  Checksum check = pseudo_header(Address::v4(0x0a000001), Address::v4(0x0a000002), protocol_tcp, frame.size() - tcp_at);
  check.add(Bytes(frame).subspan(tcp_at));
  EXPECT_EQ(check.value(), 0);
}

TEST_F(PacketLinkTest, a_summed_packet_goes_as_it_is) {
  link_->transmit(segment(100));
  auto [header, frame] = sent();
  ASSERT_EQ(frame.size(), headers + 100);
  EXPECT_EQ(header.flags, 0);
  EXPECT_EQ(header.segments, FrameHeader::whole);
  EXPECT_EQ(load16(frame, tcp_at + 16), 0);
  EXPECT_EQ(frame[headers + 9], std::byte{63});
}

TEST_F(PacketLinkTest, without_room_on_the_host_packets_are_dropped) {
  for (int n = 0; n < 2000; ++n) link_->transmit(segment(1000));
  EXPECT_FALSE(sent().second.empty());
}

TEST(NetworkSetup, is_what_was_printed) {
  sentry::NetworkSetup setup;
  HostLink link;
  link.name = "eth0";
  link.mtu = 1450;
  link.hardware = {2, 0x42, 0, 0, 0, 0xfe};
  link.autoconfigure = true;
  link.addresses = {{Address::v4(0x0a000002), 24}, {*sentry::parse_address("fd00::2"), 64}};
  setup.links.push_back(std::move(link));
  Route route;
  route.destination = {Address::any_v4(), 0};
  route.gateway = Address::v4(0x0a000001);
  route.interface = 1;
  route.metric = 100;
  setup.routes.push_back(route);
  std::vector<host::OwnedFd> sockets;
  sockets.emplace_back(::dup(0));
  auto const again = sentry::parse_network(sentry::print(setup), std::move(sockets));
  ASSERT_TRUE(again) << again.error();
  ASSERT_EQ(again->links.size(), 1u);
  EXPECT_EQ(again->links[0].name, "eth0");
  EXPECT_EQ(again->links[0].mtu, 1450u);
  EXPECT_TRUE(again->links[0].autoconfigure);
  EXPECT_EQ(again->links[0].hardware, setup.links[0].hardware);
  EXPECT_EQ(again->links[0].addresses, setup.links[0].addresses);
  EXPECT_TRUE(again->links[0].socket);
  ASSERT_EQ(again->routes.size(), 1u);
  EXPECT_EQ(again->routes[0].gateway, route.gateway);
  EXPECT_EQ(again->routes[0].destination, route.destination);
  EXPECT_EQ(again->routes[0].metric, 100u);
  EXPECT_FALSE(again->routes[0].source.is_v4());
}

TEST(NetworkSetup, what_is_wrong_is_refused) {
  EXPECT_FALSE(sentry::parse_network("link eth0 1500 02:00:00:00:00:01 static 10.0.0.2/24\n", {}));  // no socket
  EXPECT_FALSE(sentry::parse_network("link eth0 1500 02:00:00:00:00:01 10.0.0.2/24\n", {}));
  for (char const* text : {"route 1 default 10.0.0.1 :: 0\n", "route 1 10.0.0.0/33 :: :: 0\n", "bridge x\n", "\n"})
    EXPECT_FALSE(sentry::parse_network(text, {})) << text;
  for (char const* text : {"", "10.0.0", "10.0.0.1/x", "fd00::/129"}) EXPECT_FALSE(sentry::parse_prefix(text)) << text;
}

}  // namespace
}  // namespace cofferdam::inet

// A wire for tests of the TCP/IP stack: packets are injected and looked at, time moves only when a test says so.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netstack/stack.h"
#include "netstack/tcp_endpoint.h"
#include "netstack/udp_endpoint.h"

namespace cofferdam::netstack::wire {

class VirtualEnvironment final : public Environment {
 public:
  Time now() override { return now_; }
  void random(std::span<std::byte> to) override {
    for (auto& b : to) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      b = static_cast<std::byte>(state_ >> 56);
    }
  }
  void wake_at(Time t) override { wake_ = std::min(wake_, t); }
  Time now_ = 1000 * second, wake_ = never;

 private:
  uint64_t state_ = 42;
};

// The far end of a link: what was transmitted waits here.
struct Outbox {
  std::deque<std::vector<std::byte>> packets;
};

class MemoryLink final : public Link {
 public:
  MemoryLink(LinkFacts facts, std::shared_ptr<Outbox> outbox) : facts_(facts), outbox_(std::move(outbox)) {}
  LinkFacts facts() const override { return facts_; }
  void transmit(PacketPtr p) override {
    std::vector<std::byte> bytes(p->size());
    p->copy_to(bytes);
    outbox_->packets.push_back(std::move(bytes));
  }

 private:
  LinkFacts facts_;
  std::shared_ptr<Outbox> outbox_;
};

class Quiet final : public EndpointObserver {
 public:
  void on_events(Events) override {}
};

inline PacketPtr packet_of(Bytes b) {
  auto p = std::make_unique<Packet>();
  p->append(View::copy_of(b));
  return p;
}
inline std::vector<std::byte> text(std::string_view s) {
  auto b = std::as_bytes(std::span(s));
  return {b.begin(), b.end()};
}
inline Chain chain_of(std::string_view s) {
  Chain c;
  c.append_copy(std::as_bytes(std::span(s)));
  return c;
}
inline std::string string_of(Chain const& c) {
  std::string s(c.size(), 0);
  c.copy_to(std::as_writable_bytes(std::span(s)));
  return s;
}

// A host with one interface, addresses 10.0.0.1/24 and fd00::1/64, and the world behind it.
class Host {
 public:
  explicit Host(uint32_t mtu = 1500, LinkKind kind = LinkKind::Ip) : stack(environment) {
    LinkFacts f;
    f.kind = kind;
    f.mtu = mtu;
    f.hardware = {2, 0, 0, 0, 0, 1};
    interface = &stack.add_interface("eth0", std::make_unique<MemoryLink>(f, outbox));
    EXPECT_TRUE(stack.add_address(*interface, {own_v4, 24}));
    EXPECT_TRUE(stack.add_address(*interface, {own_v6(), 64}));
    Route r;
    r.destination = {Address::any_v4(), 0};
    r.gateway = Address::v4(0x0a0000fe);
    r.interface = interface->index();
    EXPECT_TRUE(stack.routes().add(r));
    advance(2 * second);  // it tells the routers of its addresses' groups
    clear();
  }
  static constexpr Address own_v4 = Address::v4(0x0a000001), peer_v4 = Address::v4(0x0a000002);
  static Address own_v6() { return v6_with(1); }
  static Address peer_v6() { return v6_with(2); }
  static Address v6_with(uint8_t last) {
    std::array<std::byte, 16> b{};
    b[0] = std::byte{0xfd};
    b[15] = static_cast<std::byte>(last);
    return Address::v6(b);
  }
  void inject(Bytes b) { stack.receive(*interface, packet_of(b)); }
  bool quiet() const { return outbox->packets.empty(); }
  std::vector<std::byte> take() {
    if (quiet()) {
      ADD_FAILURE() << "no packet came";
      return {};
    }
    auto p = std::move(outbox->packets.front());
    outbox->packets.pop_front();
    return p;
  }
  void clear() { outbox->packets.clear(); }
  // Moves time on, running timers when they are due.
  void advance(Time by) {
    Time end = environment.now_ + by;
    for (;;) {
      Time next = environment.wake_;
      if (next > end) break;
      environment.wake_ = never;
      environment.now_ = std::max(environment.now_, next);
      Time again = stack.run_timers();
      environment.wake_ = std::min(environment.wake_, again);
    }
    environment.now_ = end;
  }

  VirtualEnvironment environment;
  std::shared_ptr<Outbox> outbox = std::make_shared<Outbox>();
  Stack stack;
  Interface* interface = nullptr;
};

inline std::vector<std::byte> ipv4(uint8_t protocol, Bytes payload, Address source = Host::peer_v4,
                                   Address destination = Host::own_v4, std::optional<Ipv4Header> like = std::nullopt) {
  std::vector<std::byte> b(Ipv4Header::minimum + payload.size());
  Ipv4Header h = like.value_or(Ipv4Header());
  h.protocol = protocol;
  h.source = source;
  h.destination = destination;
  h.total_length = static_cast<uint16_t>(b.size());
  h.write(b);
  std::copy(payload.begin(), payload.end(), b.begin() + Ipv4Header::minimum);
  return b;
}

inline std::vector<std::byte> ipv6(uint8_t protocol, Bytes payload, Address source = Host::peer_v6(),
                                   Address destination = Host::own_v6(), uint8_t hop_limit = 64) {
  std::vector<std::byte> b(Ipv6Header::size + payload.size());
  Ipv6Header h;
  h.next_header = protocol;
  h.hop_limit = hop_limit;
  h.source = source;
  h.destination = destination;
  h.payload_length = static_cast<uint16_t>(payload.size());
  h.write(b);
  std::copy(payload.begin(), payload.end(), b.begin() + Ipv6Header::size);
  return b;
}

inline std::vector<std::byte> udp(uint16_t from, uint16_t to, std::string_view payload, Address source = Host::peer_v4,
                                  Address destination = Host::own_v4) {
  std::vector<std::byte> b(UdpHeader::size + payload.size());
  UdpHeader{from, to, static_cast<uint16_t>(b.size()), 0}.write(b);
  auto bytes = std::as_bytes(std::span(payload));
  std::copy(bytes.begin(), bytes.end(), b.begin() + UdpHeader::size);
  Checksum sum = pseudo_header(source, destination, protocol_udp, b.size());
  sum.add(b);
  store16(b, 6, sum.value());
  return b;
}

inline std::vector<std::byte> icmp(uint8_t type, uint8_t code, uint32_t rest, Bytes payload) {
  std::vector<std::byte> b(IcmpHeader::size + payload.size());
  IcmpHeader{type, code, 0, rest}.write(b);
  std::copy(payload.begin(), payload.end(), b.begin() + IcmpHeader::size);
  store16(b, 2, checksum_of(b));
  return b;
}

inline std::vector<std::byte> icmpv6(uint8_t type, uint8_t code, uint32_t rest, Bytes payload,
                                     Address source = Host::peer_v6(), Address destination = Host::own_v6()) {
  std::vector<std::byte> b(IcmpHeader::size + payload.size());
  IcmpHeader{type, code, 0, rest}.write(b);
  std::copy(payload.begin(), payload.end(), b.begin() + IcmpHeader::size);
  Checksum sum = pseudo_header(source, destination, protocol_icmpv6, b.size());
  sum.add(b);
  store16(b, 2, sum.value());
  return b;
}

// A TCP segment as a test sees or writes it. Sequence numbers are relative to the initial ones of each side.
struct Seg {
  std::string flags;  // of "SFRPA"
  uint32_t seq = 0, ack = 0, window = 65535;
  std::string data;
  TcpOptions options;
  Seg& win(uint32_t w) { return window = w, *this; }
  Seg& mss(uint16_t m) { return options.mss = m, *this; }
  Seg& wscale(uint8_t s) { return options.window_scale = s, *this; }
  Seg& sack_ok() { return options.sack_permitted = true, *this; }
  Seg& sack(uint32_t start, uint32_t end) {
    options.sack[options.sack_count++] = {SeqNum(start), SeqNum(end)};
    return *this;
  }
  Seg& ts(uint32_t value, uint32_t echo) {
    options.has_timestamps = true;
    options.timestamp = value;
    options.echo = echo;
    return *this;
  }
};
inline Seg seg(std::string flags, uint32_t seq, uint32_t ack, std::string data = "") {
  Seg s;
  s.flags = std::move(flags);
  s.seq = seq;
  s.ack = ack;
  s.data = std::move(data);
  return s;
}

class TcpWire : public ::testing::Test {
 protected:
  static constexpr uint16_t own_port = 80, peer_port = 5000;
  static constexpr uint32_t peer_iss = 1000000;

  void inject(Seg const& s, uint16_t from = peer_port, uint16_t to = own_port) {
    TcpHeader h;
    h.source = from;
    h.destination = to;
    h.sequence = SeqNum(peer_iss + s.seq);
    h.acknowledgment = SeqNum(own_iss + s.ack);
    for (char c : s.flags) h.flags |= flag_of(c);
    h.window = static_cast<uint16_t>(std::min(s.window, 65535u));
    h.options = s.options;
    for (uint8_t i = 0; i < h.options.sack_count; ++i) {
      h.options.sack[i].start = SeqNum(own_iss + h.options.sack[i].start.value());
      h.options.sack[i].end = SeqNum(own_iss + h.options.sack[i].end.value());
    }
    std::vector<std::byte> b(TcpHeader::minimum + h.options.length() + s.data.size());
    h.write(b);
    auto bytes = std::as_bytes(std::span(s.data));
    std::copy(bytes.begin(), bytes.end(), b.end() - static_cast<ptrdiff_t>(bytes.size()));
    Checksum sum = pseudo_header(Host::peer_v4, Host::own_v4, protocol_tcp, b.size());
    sum.add(b);
    store16(b, 16, sum.value());
    host.inject(ipv4(protocol_tcp, b));
  }
  static uint8_t flag_of(char c) {
    switch (c) {
      case 'S':
        return TcpHeader::syn;
      case 'F':
        return TcpHeader::fin;
      case 'R':
        return TcpHeader::rst;
      case 'P':
        return TcpHeader::psh;
      default:
        return TcpHeader::ack_flag;
    }
  }
  // The next segment that the stack sent.
  Seg next() {
    auto packet = host.take();
    if (packet.empty()) return {};
    auto ip = Ipv4Header::parse(packet);
    EXPECT_TRUE(ip && ip->protocol == protocol_tcp);
    if (!ip || ip->protocol != protocol_tcp) return {};
    Bytes b = Bytes(packet).subspan(ip->header_length);
    Checksum sum = pseudo_header(ip->source, ip->destination, protocol_tcp, b.size());
    sum.add(b);
    EXPECT_EQ(sum.value(), 0) << "checksum";
    auto h = TcpHeader::parse(b.first(TcpHeader::length_of(b)));
    sent_ports = {h->source, h->destination};
    Seg s;
    if (h->has(TcpHeader::syn)) own_iss = h->sequence.value();
    if (h->has(TcpHeader::syn)) s.flags += 'S';
    if (h->has(TcpHeader::fin)) s.flags += 'F';
    if (h->has(TcpHeader::rst)) s.flags += 'R';
    if (h->has(TcpHeader::ack_flag)) s.flags += 'A';
    s.seq = h->sequence.value() - own_iss;
    s.ack = h->has(TcpHeader::ack_flag) ? h->acknowledgment.value() - peer_iss : 0;
    s.window = h->window;
    s.options = h->options;
    for (uint8_t i = 0; i < s.options.sack_count; ++i) {
      s.options.sack[i].start = SeqNum(s.options.sack[i].start.value() - peer_iss);
      s.options.sack[i].end = SeqNum(s.options.sack[i].end.value() - peer_iss);
    }
    auto data = b.subspan(h->header_length);
    s.data.assign(reinterpret_cast<char const*>(data.data()), data.size());
    return s;
  }
  // The next segment is this one (flags, numbers, data).
  void expect(Seg const& want) {
    SCOPED_TRACE("expected " + want.flags + " seq " + std::to_string(want.seq));
    ASSERT_FALSE(host.quiet()) << "nothing was sent";
    Seg got = next();
    EXPECT_EQ(got.flags, want.flags);
    EXPECT_EQ(got.seq, want.seq);
    EXPECT_EQ(got.ack, want.ack);
    EXPECT_EQ(got.data, want.data);
    last = got;
  }
  void expect_quiet() {
    EXPECT_TRUE(host.quiet());
    while (!host.quiet()) {
      Seg s = next();
      ADD_FAILURE() << "unexpected: " << s.flags << " seq " << s.seq << " ack " << s.ack << " bytes " << s.data.size();
    }
  }

  Ref<TcpEndpoint> listener(size_t backlog = 8) {
    auto l = make_ref<TcpEndpoint>(host.stack, true, Ref<EndpointObserver>());
    BindRequest r;
    r.local = Address::any_v4();
    r.port = own_port;
    r.reuse_address = true;
    EXPECT_TRUE(l->bind(r));
    EXPECT_TRUE(l->listen(backlog, r));
    return l;
  }
  struct Offer {
    uint16_t mss = 1460;
    bool sack = true, timestamps = false;
    std::optional<uint8_t> scale;
    uint32_t window = 65535;
  };
  // A connection that the peer opened.
  Ref<TcpEndpoint> accepted(Offer offer) {
    listening = listener();
    Seg syn = seg("S", 0, 0).win(offer.window).mss(offer.mss);
    if (offer.sack) syn.sack_ok();
    if (offer.timestamps) syn.ts(100, 0);
    if (offer.scale) syn.wscale(*offer.scale);
    inject(syn);
    Seg answer = next();
    EXPECT_EQ(answer.flags, "SA");
    host.advance(handshake_rtt);
    Seg ack = seg("A", 1, 1).win(offer.window);
    if (offer.timestamps) ack.ts(101, answer.options.timestamp);
    own_timestamp = answer.options.timestamp;
    inject(ack);
    auto got = listening->accept();
    EXPECT_TRUE(got);
    if (!got) return {};
    last = answer;
    connection = *got;
    return *got;
  }
  Ref<TcpEndpoint> accepted() { return accepted(Offer()); }
  Ref<TcpEndpoint> connecting() {
    auto e = make_ref<TcpEndpoint>(host.stack, true, Ref<EndpointObserver>());
    EXPECT_TRUE(e->connect({Host::peer_v4, peer_port, 0}, {}));
    last = next();
    connection = e;
    return e;
  }
  std::string read(Ref<TcpEndpoint> const& e, size_t n = 1 << 20) {
    auto got = e->peek(0, n);
    if (!got) return "error " + std::string(errno_name(got.error().code));
    std::string s = string_of(*got);
    e->consume(s.size());
    return s;
  }
  void TearDown() override {
    for (auto& e : {connection, listening})
      if (e) e->close(true);
  }

  Host host;
  Time handshake_rtt = 0;
  uint32_t own_iss = 0, own_timestamp = 0;
  std::pair<uint16_t, uint16_t> sent_ports;
  Seg last;
  Ref<TcpEndpoint> listening, connection;
};

}  // namespace cofferdam::netstack::wire

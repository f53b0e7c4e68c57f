// A host of the TCP/IP stack on virtual time, for the fuzz targets.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "netstack/stack.h"
#include "netstack/tcp_endpoint.h"
#include "netstack/udp_endpoint.h"

namespace cofferdam::netstack::fuzz {

class FuzzEnvironment final : public Environment {
 public:
  Time now() override { return now_; }
  void random(std::span<std::byte> to) override {
    for (auto& b : to) {
      state_ = state_ * 1664525 + 1013904223;
      b = static_cast<std::byte>(state_ >> 24);
    }
  }
  void wake_at(Time) override {}
  Time now_ = 1000 * second;

 private:
  uint32_t state_ = 7;
};

// Swallows what is sent; remembers the last TCP sequence number.
class Sink final : public Link {
 public:
  Sink(LinkKind kind, SeqNum& next) : kind_(kind), next_(next) {}
  LinkFacts facts() const override {
    LinkFacts f;
    f.kind = kind_;
    f.hardware = {2, 0, 0, 0, 0, 1};
    return f;
  }
  void transmit(PacketPtr p) override {
    if (kind_ != LinkKind::Ip || p->size() < 40) return;
    Bytes b = p->peek(40);
    if (b.empty() || load8(b, 0) != 0x45 || load8(b, 9) != protocol_tcp) return;
    bool takes_one = load8(b, 33) & (TcpHeader::syn | TcpHeader::fin);
    size_t header = 20u + (load8(b, 32) >> 4) * 4u;
    next_ = SeqNum(load32(b, 24)) + (p->size() - std::min(p->size(), header)) + (takes_one ? 1 : 0);
  }

 private:
  LinkKind kind_;
  SeqNum& next_;
};

class Nobody final : public EndpointObserver {
 public:
  void on_events(Events) override {}
};

class FuzzHost {
 public:
  static constexpr Address own = Address::v4(0x0a000001), peer = Address::v4(0x0a000002);
  FuzzHost() : stack(environment) {
    plain = &stack.add_interface("p0", std::make_unique<Sink>(LinkKind::Ip, sent_));
    ethernet = &stack.add_interface("e0", std::make_unique<Sink>(LinkKind::Ethernet, ignored_));
    static_cast<void>(stack.add_address(*plain, {own, 24}));
    static_cast<void>(stack.add_address(*ethernet, {Address::v4(0x0b000001), 24}));
    std::array<std::byte, 16> six{};
    six[0] = std::byte{0xfd};
    six[15] = std::byte{1};
    static_cast<void>(stack.add_address(*ethernet, {Address::v6(six), 64}));
    BindRequest r;
    r.port = 80;
    listener = make_ref<TcpEndpoint>(stack, false, make_ref<Nobody>());
    static_cast<void>(listener->bind(r));
    static_cast<void>(listener->listen(4, r));
    datagrams = make_ref<UdpEndpoint>(stack, false, make_ref<Nobody>());
    static_cast<void>(datagrams->bind(r));
  }
  ~FuzzHost() {
    for (auto& c : accepted) c->close(true);
    listener->close(false);
    datagrams->close();
  }
  void pass(Time t) {
    for (int i = 0; i < 20; ++i) {
      environment.now_ += t / 20;
      stack.run_timers();
    }
  }
  // What a program would do.
  void use() {
    while (auto c = listener->accept()) accepted.push_back(*c);
    for (auto& c : accepted)
      if (auto got = c->peek(0, 65536)) c->consume(got->size());
    while (datagrams->receive(false)) continue;
  }
  SeqNum own_next() const { return sent_; }
  // A segment of the peer's with `length` bytes.
  void send(TcpHeader h, size_t length) {
    h.source = 5000;
    h.destination = 80;
    std::vector<std::byte> b(Ipv4Header::minimum + TcpHeader::minimum + h.options.length() + length);
    Ipv4Header ip;
    ip.protocol = protocol_tcp;
    ip.source = peer;
    ip.destination = own;
    ip.total_length = static_cast<uint16_t>(b.size());
    ip.write(b);
    h.write(MutableBytes(b).subspan(Ipv4Header::minimum));
    auto p = std::make_unique<Packet>();
    p->append(View::copy_of(b));
    p->checksum_verified = true;
    stack.receive(*plain, std::move(p));
  }
  Ref<TcpEndpoint> open(bool sack, bool timestamps, bool scale) {
    TcpHeader h;
    h.sequence = peer_next;
    h.flags = TcpHeader::syn;
    h.window = 65535;
    h.options.mss = 1000;
    h.options.sack_permitted = sack;
    h.options.has_timestamps = timestamps;
    if (scale) h.options.window_scale = 3;
    send(h, 0);
    peer_next += 1;
    TcpHeader a;
    a.sequence = peer_next;
    a.acknowledgment = sent_;
    a.flags = TcpHeader::ack_flag;
    a.window = 65535;
    a.options.has_timestamps = timestamps;
    send(a, 0);
    auto got = listener->accept();
    return got ? *got : Ref<TcpEndpoint>();
  }

  FuzzEnvironment environment;
  Stack stack;
  Interface* plain = nullptr;
  Interface* ethernet = nullptr;
  Ref<TcpEndpoint> listener;
  Ref<UdpEndpoint> datagrams;
  std::vector<Ref<TcpEndpoint>> accepted;
  SeqNum peer_next{1000};

 private:
  SeqNum sent_, ignored_;
};

}  // namespace cofferdam::netstack::fuzz

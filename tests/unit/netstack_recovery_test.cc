// Losses and their repair: SACK, RACK-TLP, PRR, NewReno, time-outs, path MTU; and two hosts over bad wires.
#include <cerrno>

#include "netstack_wire.h"

namespace cofferdam::netstack::wire {
namespace {

class Recovery : public TcpWire {
 protected:
  Recovery() { handshake_rtt = 20 * millisecond; }
  // A connection with `n` segments of 1000 bytes on their way.
  void fly(int n, Offer offer = {.mss = 1000}) {
    accepted(offer);
    connection->set_buffer_sizes(1 << 20, std::nullopt);
    host.advance(20 * millisecond);
    ASSERT_TRUE(connection->send(chain_of(std::string(static_cast<size_t>(n) * 1000, 'x')), false));
    EXPECT_EQ(host.outbox->packets.size(), static_cast<size_t>(n));
    host.clear();
    host.advance(20 * millisecond);  // a round trip
  }
  std::vector<uint32_t> sent() {
    std::vector<uint32_t> all;
    while (!host.quiet()) all.push_back(next().seq);
    return all;
  }
};

TEST_F(Recovery, three_sacked_segments_behind_a_hole_resend_it) {
  fly(10);
  inject(seg("A", 1, 1).sack(1001, 2001));
  inject(seg("A", 1, 1).sack(1001, 3001));
  inject(seg("A", 1, 1).sack(1001, 4001));
  auto all = sent();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all[0], 1u);
}
TEST_F(Recovery, only_the_holes_are_resent) {
  fly(10);
  inject(seg("A", 1, 1).sack(1001, 4001).sack(5001, 10001));
  auto all = sent();
  host.advance(20 * millisecond);
  inject(seg("A", 1, 4001).sack(5001, 10001));
  for (uint32_t s : sent()) all.push_back(s);
  EXPECT_EQ(std::count(all.begin(), all.end(), 1u), 1);
  EXPECT_EQ(std::count(all.begin(), all.end(), 4001u), 1);
  for (uint32_t s : all) EXPECT_TRUE(s == 1 || s == 4001) << s;
}
TEST_F(Recovery, recovery_ends_when_all_is_acknowledged) {
  fly(10);
  inject(seg("A", 1, 1).sack(1001, 10001));
  EXPECT_EQ(connection->info().congestion, CongestionState::Recovery);
  host.clear();
  inject(seg("A", 1, 10001));
  EXPECT_EQ(connection->info().congestion, CongestionState::Open);
}
TEST_F(Recovery, the_window_shrinks_by_cubics_factor) {
  fly(10);
  inject(seg("A", 1, 1).sack(1001, 10001));
  inject(seg("A", 1, 10001));
  EXPECT_EQ(connection->info().cwnd_bytes, 7000u);
}
TEST_F(Recovery, the_window_is_halved_by_reno) {
  host.stack.settings().tcp_cubic = false;
  fly(10);
  inject(seg("A", 1, 1).sack(1001, 10001));
  inject(seg("A", 1, 10001));
  EXPECT_EQ(connection->info().cwnd_bytes, 5000u);
}
TEST_F(Recovery, a_single_reordered_segment_is_no_loss) {
  fly(4);
  inject(seg("A", 1, 1).sack(1001, 2001));
  EXPECT_TRUE(host.quiet());
  inject(seg("A", 1, 4001));
  EXPECT_EQ(connection->info().congestion, CongestionState::Open);
  EXPECT_EQ(connection->info().retransmitted, 0u);
}
TEST_F(Recovery, the_reordering_timer_finds_a_loss_of_few_segments) {
  fly(3);
  inject(seg("A", 1, 1).sack(1001, 2001));
  host.advance(30 * millisecond);
  auto all = sent();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all[0], 1u);
}
TEST_F(Recovery, three_duplicates_resend_without_sack) {
  fly(10, {.mss = 1000, .sack = false});
  inject(seg("A", 1, 1));
  inject(seg("A", 1, 1));
  EXPECT_TRUE(host.quiet());
  inject(seg("A", 1, 1));
  auto all = sent();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all[0], 1u);
}
TEST_F(Recovery, a_partial_acknowledgment_resends_the_next_hole) {
  fly(10, {.mss = 1000, .sack = false});
  for (int i = 0; i < 3; ++i) inject(seg("A", 1, 1));
  host.clear();
  inject(seg("A", 1, 4001));
  auto all = sent();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all[0], 4001u);
}
TEST_F(Recovery, window_updates_are_no_duplicates) {
  fly(5, {.mss = 1000, .sack = false, .window = 60000});
  for (uint32_t w = 1; w < 6; ++w) inject(seg("A", 1, 1).win(60000 + w));
  EXPECT_EQ(connection->info().retransmitted, 0u);
}
TEST_F(Recovery, data_is_no_duplicate) {
  fly(5, {.mss = 1000, .sack = false});
  for (uint32_t i = 0; i < 5; ++i) inject(seg("A", 1 + i, 1, "d"));
  EXPECT_EQ(connection->info().retransmitted, 0u);
}
TEST_F(Recovery, a_tail_loss_is_probed_before_the_time_out) {
  fly(3);
  inject(seg("A", 1, 1001));
  host.clear();
  host.advance(60 * millisecond);
  auto all = sent();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0], 2001u);  // the last segment again
}
TEST_F(Recovery, the_probe_sends_new_data_if_there_is_some) {
  accepted({.mss = 1000, .window = 60000});
  connection->set_buffer_sizes(1 << 20, std::nullopt);
  host.advance(20 * millisecond);
  ASSERT_TRUE(connection->send(chain_of(std::string(12000, 'x')), false));
  host.clear();
  host.advance(20 * millisecond);
  inject(seg("A", 1, 1));
  host.clear();
  host.advance(2 * second);
  ASSERT_FALSE(host.quiet());
  EXPECT_EQ(next().seq, 10001u);
}
TEST_F(Recovery, a_time_out_resends_the_first_segment) {
  fly(1);
  host.advance(3 * second);
  auto all = sent();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all[0], 1u);
}
TEST_F(Recovery, after_a_time_out_one_segment_goes_and_then_two) {
  fly(10);
  host.advance(2 * second);
  host.clear();
  EXPECT_EQ(connection->info().congestion, CongestionState::Loss);
  EXPECT_EQ(connection->info().cwnd_bytes, 1000u);
  inject(seg("A", 1, 1001));
  EXPECT_EQ(sent().size(), 2u);
}
TEST_F(Recovery, time_outs_back_off) {
  fly(1, {.mss = 1000, .sack = false});
  std::vector<Time> at;
  for (int i = 0; i < 20000 && at.size() < 5; ++i) {
    host.advance(millisecond);
    if (host.quiet()) continue;
    host.clear();
    at.push_back(host.environment.now_);
  }
  ASSERT_EQ(at.size(), 5u);
  for (size_t i = 2; i < at.size(); ++i) {
    double ratio = static_cast<double>(at[i] - at[i - 1]) / static_cast<double>(at[i - 1] - at[i - 2]);
    EXPECT_NEAR(ratio, 2, 0.1);
  }
}
TEST_F(Recovery, a_peer_that_reneges_does_not_wedge) {
  fly(5);
  inject(seg("A", 1, 1).sack(1001, 5001));
  host.clear();
  inject(seg("A", 1, 1001));  // and it says no more about the rest
  for (int i = 0; i < 400; ++i) {
    host.advance(100 * millisecond);
    uint32_t upto = 0;
    while (!host.quiet()) {
      Seg s = next();
      upto = std::max<uint32_t>(upto, s.seq + static_cast<uint32_t>(s.data.size()));
      if (s.seq == 1001) inject(seg("A", 1, 2001));
      if (s.seq == 2001) inject(seg("A", 1, 3001));
      if (s.seq == 3001) inject(seg("A", 1, 4001));
      if (s.seq == 4001) inject(seg("A", 1, 5001));
    }
  }
  EXPECT_EQ(connection->unacked_bytes(), 0u);
}
TEST_F(Recovery, sack_beyond_what_was_sent_is_ignored) {
  fly(5);
  inject(seg("A", 1, 1).sack(900000, 910000));
  EXPECT_EQ(connection->info().sacked, 0u);
}
TEST_F(Recovery, sack_of_single_bytes_makes_no_segments) {
  fly(5);
  for (uint32_t i = 0; i < 2000; ++i) inject(seg("A", 1, 1).sack(1002 + 2 * i, 1003 + 2 * i));
  EXPECT_EQ(connection->info().sacked, 0u);
}
TEST_F(Recovery, an_inverted_sack_block_is_ignored) {
  fly(5);
  inject(seg("A", 1, 1).sack(3001, 2001));
  EXPECT_EQ(connection->info().sacked, 0u);
}
TEST_F(Recovery, packet_too_big_resends_in_smaller_segments) {
  accepted();
  ASSERT_TRUE(connection->send(chain_of(std::string(1460, 'x')), false));
  auto packet = host.take();
  std::vector<std::byte> quoted(packet.begin(), packet.begin() + 28);
  host.inject(ipv4(protocol_icmp, icmp(3, 4, 1000, quoted)));
  Seg a = next(), b = next();
  EXPECT_EQ(a.seq, 1u);
  EXPECT_EQ(a.data.size(), 960u);
  EXPECT_EQ(b.data.size(), 500u);
}
TEST_F(Recovery, a_tiny_mtu_is_not_believed) {
  accepted();
  ASSERT_TRUE(connection->send(chain_of(std::string(1460, 'x')), false));
  auto packet = host.take();
  std::vector<std::byte> quoted(packet.begin(), packet.begin() + 28);
  host.inject(ipv4(protocol_icmp, icmp(3, 4, 68, quoted)));
  EXPECT_EQ(next().data.size(), 512u);
}
TEST_F(Recovery, a_small_round_trip_gives_the_smallest_time_out) {
  fly(1);
  inject(seg("A", 1, 1001));
  EXPECT_GE(connection->info().rto, 200 * millisecond);
  EXPECT_LE(connection->info().rto, 300 * millisecond);
}
TEST_F(Recovery, karns_rule_no_sample_from_what_was_sent_twice) {
  fly(1, {.mss = 1000, .sack = false});
  Time before = connection->info().smoothed_rtt;
  host.advance(2 * second);
  host.clear();
  inject(seg("A", 1, 1001));
  EXPECT_EQ(connection->info().smoothed_rtt, before);
}

TEST(CongestionWindow, reno_grows_by_a_segment_per_round_trip) {
  Congestion c;
  c.begin(1000, false);
  c.on_loss(0);
  c.set_window(c.threshold());
  size_t before = c.window();
  for (size_t n = 0; n < before; n += 1000) c.on_ack(1000, 0, millisecond);
  EXPECT_EQ(c.window(), before + 1000);
}
TEST(CongestionWindow, cubic_comes_back_to_where_it_was) {
  Congestion c;
  c.begin(1000, true);
  c.set_window(100000);
  c.on_loss(0);
  c.set_window(c.threshold());
  EXPECT_EQ(c.window(), 70000u);
  Time now = second;
  size_t at_k = 0;
  for (int round = 0; round < 100; ++round, now += 200 * millisecond) {
    for (size_t n = 0, w = c.window(); n < w; n += 1000) c.on_ack(1000, now, 200 * millisecond);
    if (round == 21) at_k = c.window();  // K = cbrt(30 / 0.4) = 4.2 s
  }
  EXPECT_NEAR(static_cast<double>(at_k), 100000, 8000);
  EXPECT_GT(c.window(), at_k);
}
TEST(CongestionWindow, never_below_two_segments) {
  for (bool cubic : {false, true}) {
    Congestion c;
    c.begin(1000, cubic);
    for (int i = 0; i < 50; ++i) {
      c.on_loss(0);
      c.set_window(c.threshold());
    }
    EXPECT_EQ(c.window(), 2000u);
  }
}

// --- two hosts over a wire that loses, doubles, delays and swaps ---

struct Wire {
  unsigned lose_percent = 0, swap_percent = 0, double_percent = 0;
  Time delay = 5 * millisecond;
};

class Pair {
 public:
  explicit Pair(Wire wire, uint64_t seed) : wire_(wire), x_(seed * 2654435761u + 1) {
    for (int i : {0, 1}) {
      LinkFacts f;
      f.mtu = 1500;
      stacks[i] = std::make_unique<Stack>(environment);
      faces[i] = &stacks[i]->add_interface("eth0", std::make_unique<MemoryLink>(f, boxes[i]));
      EXPECT_TRUE(stacks[i]->add_address(*faces[i], {address(i), 24}));
    }
  }
  static Address address(int i) { return Address::v4(0x0a000001 + static_cast<uint32_t>(i)); }
  bool chance(unsigned percent) {
    x_ ^= x_ << 13;
    x_ ^= x_ >> 7;
    x_ ^= x_ << 17;
    return x_ % 100 < percent;
  }
  void collect() {
    for (int i : {0, 1})
      while (!boxes[i]->packets.empty()) {
        auto p = std::move(boxes[i]->packets.front());
        boxes[i]->packets.pop_front();
        if (chance(wire_.lose_percent)) continue;
        Time at = environment.now_ + wire_.delay + (chance(wire_.swap_percent) ? 3 * millisecond : 0);
        if (chance(wire_.double_percent)) way.emplace(at + millisecond, std::pair(1 - i, p));
        way.emplace(at, std::pair(1 - i, std::move(p)));
      }
  }
  // One step of time: what is next, a packet or a timer.
  void step() {
    collect();
    Time next = environment.now_ + millisecond;
    environment.now_ = next;
    while (!way.empty() && way.begin()->first <= next) {
      auto [to, bytes] = std::move(way.begin()->second);
      way.erase(way.begin());
      stacks[to]->receive(*faces[to], packet_of(bytes));
      collect();
    }
    for (auto& s : stacks) s->run_timers();
  }
  VirtualEnvironment environment;
  std::array<std::shared_ptr<Outbox>, 2> boxes{std::make_shared<Outbox>(), std::make_shared<Outbox>()};
  std::array<std::unique_ptr<Stack>, 2> stacks;
  std::array<Interface*, 2> faces{};
  std::multimap<Time, std::pair<int, std::vector<std::byte>>> way;

 private:
  Wire wire_;
  uint64_t x_;
};

// Sends `size` bytes from a client to a server; gives back how long it took, 0 when it was not whole in time.
Time transfer(Wire wire, size_t size, uint64_t seed, bool sack = true) {
  Pair pair(wire, seed);
  for (auto& s : pair.stacks) s->settings().tcp_sack = sack;
  BindRequest r;
  r.local = Address::any_v4();
  r.port = 80;
  auto listener = make_ref<TcpEndpoint>(*pair.stacks[1], true, make_ref<Quiet>());
  EXPECT_TRUE(listener->bind(r));
  EXPECT_TRUE(listener->listen(4, r));
  auto client = make_ref<TcpEndpoint>(*pair.stacks[0], true, make_ref<Quiet>());
  EXPECT_TRUE(client->connect({Pair::address(1), 80, 0}, {}));
  Ref<TcpEndpoint> server;
  std::string out(size, 0), in;
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 131 + i / 251);
  size_t given = 0;
  Time begin = pair.environment.now_;
  bool closed = false, whole = false;
  for (int i = 0; i < 600000 && !whole; ++i) {
    pair.step();
    if (!server) {
      if (auto got = listener->accept()) server = *got;
    }
    auto room = client->send_room();
    if (room && *room != 0 && given < size) {
      size_t n = std::min(*room, size - given);
      EXPECT_TRUE(client->send(chain_of(std::string_view(out).substr(given, n)), false));
      given += n;
    }
    if (given == size && !closed) {
      client->close(false);
      closed = true;
    }
    if (!server) continue;
    for (;;) {
      auto got = server->peek(0, 1 << 20);
      if (!got) {
        if (got.error() != Errno::Again) return 0;
        break;
      }
      if (got->empty()) {
        whole = true;
        break;
      }
      in += string_of(*got);
      server->consume(got->size());
    }
  }
  Time took = pair.environment.now_ - begin;
  if (server) server->close(true);
  listener->close(false);
  return whole && in == out ? took : 0;
}

TEST(BadWire, clean) { EXPECT_GT(transfer({}, 1 << 20, 1), 0); }
TEST(BadWire, one_percent_loss) { EXPECT_GT(transfer({.lose_percent = 1}, 1 << 20, 2), 0); }
TEST(BadWire, five_percent_loss) { EXPECT_GT(transfer({.lose_percent = 5}, 1 << 19, 3), 0); }
TEST(BadWire, twenty_percent_loss) { EXPECT_GT(transfer({.lose_percent = 20}, 1 << 17, 4), 0); }
TEST(BadWire, reordering) { EXPECT_GT(transfer({.swap_percent = 20}, 1 << 20, 5), 0); }
TEST(BadWire, duplicates) { EXPECT_GT(transfer({.double_percent = 20}, 1 << 20, 6), 0); }
TEST(BadWire, everything_at_once) {
  for (uint64_t seed = 1; seed <= 20; ++seed)
    EXPECT_GT(transfer({.lose_percent = 5, .swap_percent = 10, .double_percent = 5}, 1 << 17, seed), 0) << seed;
}
TEST(BadWire, loss_without_sack) {
  for (uint64_t seed = 1; seed <= 10; ++seed) EXPECT_GT(transfer({.lose_percent = 3}, 1 << 17, seed, false), 0) << seed;
}
TEST(BadWire, a_clean_wire_needs_no_retransmission_and_fills_the_pipe) {
  // 10 ms round trip; slow start from ten segments: 4 MiB in well under half a second.
  Time t = transfer({}, 4 << 20, 7);
  EXPECT_GT(t, 0);
  EXPECT_LT(t, second);
}
TEST(BadWire, reordering_does_not_cost_much) {
  Time clean = transfer({}, 2 << 20, 8), swapped = transfer({.swap_percent = 5}, 2 << 20, 8);
  EXPECT_LT(swapped, 6 * clean);
}

}  // namespace
}  // namespace cofferdam::netstack::wire

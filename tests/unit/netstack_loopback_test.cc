// The stack's loopback under several threads at once: real time, a thread that runs the timers, streams and datagrams.
#include <time.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "netstack_wire.h"

namespace cofferdam::netstack::wire {
namespace {

class RealEnvironment final : public Environment {
 public:
  Time now() override {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * second + t.tv_nsec;
  }
  void random(std::span<std::byte> to) override {
    std::lock_guard lock(mutex_);
    for (auto& b : to) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      b = static_cast<std::byte>(state_ >> 56);
    }
  }
  void wake_at(Time) override {}

 private:
  std::mutex mutex_;
  uint64_t state_ = 1;
};

class Loopback : public ::testing::Test {
 protected:
  Loopback() : stack(environment), ticker([this] { tick(); }) {}
  ~Loopback() override {
    stop = true;
    ticker.join();
  }
  void tick() {
    while (!stop) {
      stack.run_timers();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  Ref<TcpEndpoint> listener() {
    BindRequest r;
    r.local = Address::any_v6();
    auto l = make_ref<TcpEndpoint>(stack, false, make_ref<Quiet>());
    EXPECT_TRUE(l->listen(1024, r));
    return l;
  }
  // Tries until it gives true; a limit that only a wedge reaches.
  template <class F>
  static bool eventually(F&& f) {
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(40);
    while (!f()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }
  Ref<TcpEndpoint> connect(TcpEndpoint const& to, bool v4) {
    auto c = make_ref<TcpEndpoint>(stack, v4, make_ref<Quiet>());
    Address a = v4 ? Address::loopback_v4() : Address::loopback_v6();
    if (!c->connect({a, to.local().port, 0}, {})) return {};
    return eventually([&] { return c->ready() & (event_out | event_error); }) && c->take_error() == 0
               ? c
               : Ref<TcpEndpoint>();
  }
  static std::byte at(size_t i, unsigned salt) { return static_cast<std::byte>((i * 131 + salt) >> 3); }
  static bool push(TcpEndpoint& e, size_t size, size_t step, unsigned salt) {
    for (size_t done = 0; done < size;) {
      size_t room = 0;
      bool ok = eventually([&] {
        auto r = e.send_room();
        room = r ? *r : size;
        return room != 0;
      });
      if (!ok) return false;
      size_t n = std::min({room, step, size - done});
      std::vector<std::byte> b(n);
      for (size_t i = 0; i < n; ++i) b[i] = at(done + i, salt);
      Chain c;
      c.append(View::copy_of(b));
      if (!e.send(std::move(c), false)) return false;
      done += n;
    }
    return true;
  }
  // All until the end of the stream; 0 when a byte was wrong.
  static size_t pull(TcpEndpoint& e, unsigned salt) {
    size_t done = 0;
    for (bool end = false; !end;) {
      bool good = true;
      bool ok = eventually([&] {
        auto got = e.peek(0, 1 << 18);
        if (!got) return got.error() != Errno::Again;
        end = got->empty();
        for (size_t v = 0; v < got->view_count(); ++v)
          for (std::byte b : got->view(v).bytes()) good &= b == at(done++, salt);
        e.consume(got->size());
        return true;
      });
      if (!ok || !good) return 0;
    }
    return done;
  }

  RealEnvironment environment;
  Stack stack;
  std::atomic<bool> stop{false};
  std::thread ticker;
};

TEST_F(Loopback, a_stream_both_ways_at_once) {
  auto l = listener();
  auto c = connect(*l, true);
  ASSERT_TRUE(c);
  auto s = *l->accept();
  constexpr size_t size = 8 << 20;
  std::atomic<size_t> got[2];
  std::thread threads[] = {std::thread([&] { EXPECT_TRUE(push(*c, size, 65536, 1) && c->shutdown(false, true)); }),
                           std::thread([&] { EXPECT_TRUE(push(*s, size, 3000, 2) && s->shutdown(false, true)); }),
                           std::thread([&] { got[0] = pull(*c, 2); }), std::thread([&] { got[1] = pull(*s, 1); })};
  for (auto& t : threads) t.join();
  EXPECT_EQ(got[0], size);
  EXPECT_EQ(got[1], size);
  c->close(false);
  s->close(false);
  l->close(false);
}
TEST_F(Loopback, many_connections_from_many_threads) {
  auto l = listener();
  std::atomic<size_t> whole{0};
  constexpr size_t threads = 4, rounds = 40, size = 20000;
  std::atomic<bool> over{false};
  std::thread server([&] {
    std::vector<std::thread> workers;
    while (!over) {
      auto got = l->accept();
      if (!got) {
        std::this_thread::yield();
        continue;
      }
      workers.emplace_back([&, e = *got] {
        if (pull(*e, 3) == size) ++whole;
        e->close(false);
      });
    }
    for (auto& w : workers) w.join();
  });
  std::vector<std::thread> clients;
  for (size_t t = 0; t < threads; ++t)
    clients.emplace_back([&, t] {
      for (size_t i = 0; i < rounds; ++i) {
        auto c = connect(*l, (t + i) % 2);
        ASSERT_TRUE(c);
        EXPECT_TRUE(push(*c, size, 1 + 700 * (i % 9), 3));
        c->close(false);
      }
    });
  for (auto& c : clients) c.join();
  EXPECT_TRUE(eventually([&] { return whole == threads * rounds; }));
  over = true;
  server.join();
  l->close(false);
}
TEST_F(Loopback, closing_while_others_use_it) {
  auto l = listener();
  for (int i = 0; i < 60; ++i) {
    auto c = connect(*l, true);
    ASSERT_TRUE(c);
    auto s = *l->accept();
    std::thread writer([&] {
      std::vector<std::byte> b(5000);
      for (int n = 0; n < 200; ++n) {
        auto room = c->send_room();
        if (!room) return;
        if (*room >= b.size() && !c->send_copy(b, false)) return;
      }
    });
    std::thread reader([&] {
      for (int n = 0; n < 200; ++n)
        if (auto got = s->peek(0, 100000)) s->consume(got->size());
    });
    (i % 2 ? s : c)->close(i % 3 == 0);
    writer.join();
    reader.join();
    c->close(true);
    s->close(true);
  }
  l->close(false);
  EXPECT_TRUE(eventually([&] { return stack.memory() == 0; }));
}
TEST_F(Loopback, datagrams_from_many_threads) {
  auto to = make_ref<UdpEndpoint>(stack, true, make_ref<Quiet>());
  BindRequest r;
  r.local = Address::loopback_v4();
  ASSERT_TRUE(to->bind(r));
  std::atomic<size_t> sent{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      auto e = make_ref<UdpEndpoint>(stack, true, make_ref<Quiet>());
      for (int i = 0; i < 500; ++i) {
        BindRequest any;
        any.local = Address::any_v4();
        if (e->send(chain_of("datagram"), Peer{Address::loopback_v4(), to->local().port, 0}, {}, any)) ++sent;
      }
      e->close();
    });
  size_t got = 0;
  EXPECT_TRUE(eventually([&] {
    while (to->receive(false)) ++got;
    return sent == 2000 && got + to->summary().drops == 2000;
  }));
  for (auto& t : threads) t.join();
  to->close();
  EXPECT_EQ(stack.memory(), 0u);
}

}  // namespace
}  // namespace cofferdam::netstack::wire

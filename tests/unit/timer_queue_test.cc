#include "kernel/time/timer_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace cofferdam::kernel {
namespace {

constexpr Nanoseconds ms = 1'000'000;

Nanoseconds now() { return host_now(CLOCK_MONOTONIC); }

template <class Condition>
bool comes_true(Condition&& condition) {
  for (Nanoseconds end = now() + 5000 * ms; now() < end; std::this_thread::sleep_for(std::chrono::microseconds(200)))
    if (condition()) return true;
  return false;
}

TEST(TimerQueue, fires_in_order_of_time_and_not_early) {
  TimerQueue queue;
  Guarded<std::vector<int>> fired;
  Nanoseconds start = now();
  std::atomic<Nanoseconds> first_at{0};
  Timer second(queue, [&] { fired.with([](auto& v) { v.push_back(2); }); });
  Timer first(queue, [&] {
    first_at = now();
    fired.with([](auto& v) { v.push_back(1); });
  });
  second.arm(start + 20 * ms);
  first.arm(start + 10 * ms);
  EXPECT_TRUE(comes_true([&] { return fired.with([](auto& v) { return v.size() == 2; }); }));
  EXPECT_EQ(fired.with([](auto& v) { return v; }), (std::vector<int>{1, 2}));
  EXPECT_GE(first_at.load(), start + 10 * ms);
}

TEST(TimerQueue, cancelled_timer_does_not_fire_and_can_be_armed_again) {
  TimerQueue queue;
  std::atomic<int> fired{0};
  Timer timer(queue, [&] { ++fired; });
  timer.arm(now() + 1000 * ms);
  timer.cancel();
  std::this_thread::sleep_for(std::chrono::milliseconds(1050));
  EXPECT_EQ(fired, 0);
  timer.arm(now() - 1);
  EXPECT_TRUE(comes_true([&] { return fired == 1; }));
}

TEST(TimerQueue, callback_may_arm_its_own_timer) {
  TimerQueue queue;
  std::atomic<int> fired{0};
  std::unique_ptr<Timer> timer;
  timer = std::make_unique<Timer>(queue, [&] {
    if (++fired < 5) timer->arm(now() + ms / 10);
  });
  timer->arm(now());
  EXPECT_TRUE(comes_true([&] { return fired == 5; }));
}

TEST(TimerQueue, destruction_waits_for_the_running_callback) {
  TimerQueue queue;
  std::atomic<bool> entered{false}, left{false};
  auto timer = std::make_unique<Timer>(queue, [&] {
    entered = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    left = true;
  });
  timer->arm(now());
  ASSERT_TRUE(comes_true([&] { return entered.load(); }));
  timer.reset();
  EXPECT_TRUE(left);
}

TEST(TimerQueue, timer_may_be_destroyed_in_its_own_callback) {
  TimerQueue queue;
  std::atomic<bool> done{false};
  auto* timer = new Timer*;
  *timer = new Timer(queue, [&done, timer] {
    delete *timer;
    delete timer;
    done = true;
  });
  (*timer)->arm(now());
  EXPECT_TRUE(comes_true([&] { return done.load(); }));
}

TEST(TimerQueue, many_threads_arm_and_cancel) {
  TimerQueue queue;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&queue] {
      std::atomic<int> fired{0};
      Timer timer(queue, [&] { ++fired; });
      for (int n = 0; n < 500; ++n) {
        timer.arm(now() + n * 100);
        if (n % 3) timer.cancel();
      }
    });
  for (auto& t : threads) t.join();
}

}  // namespace
}  // namespace cofferdam::kernel

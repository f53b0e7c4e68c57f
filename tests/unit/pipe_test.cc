#include "kernel/ipc/pipe_buffer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cofferdam::kernel {
namespace {

class PipeTest : public ::testing::Test {
 protected:
  PipeTest() {
    pipe_->open_end(Pipe::End::Read);
    pipe_->open_end(Pipe::End::Write);
  }
  Result<size_t> write(std::string const& text, bool packets = false) {
    KernelSource from(as_bytes(text));
    return pipe_->write(from, packets);
  }
  std::string read(size_t n) {
    std::string text(n, '\0');
    KernelSink to(std::as_writable_bytes(std::span(text)));
    auto got = pipe_->read(to);
    if (!got) return "error";
    text.resize(*got);
    return text;
  }

  std::atomic<uint64_t> pages_{0};
  Ref<Pipe> pipe_ = make_ref<Pipe>(pages_, pipe_default_slots);
};

TEST_F(PipeTest, bytes_come_out_in_order_across_pages) {
  std::string sent;
  for (int i = 0; i < 5000; ++i) sent += std::to_string(i);
  ASSERT_EQ(write(sent), sent.size());
  EXPECT_EQ(pipe_->bytes(), sent.size());
  std::string got;
  while (got.size() < sent.size()) got += read(777);
  EXPECT_EQ(got, sent);
  EXPECT_EQ(pipe_->bytes(), 0u);
}

TEST_F(PipeTest, small_writes_share_a_page) {
  for (int i = 0; i < 4096; ++i) ASSERT_EQ(write("x"), 1u);
  for (int i = 0; i < 15 * 4096; ++i) ASSERT_EQ(write("y"), 1u);
  EXPECT_EQ(write("z").error(), Errno::Again);
  EXPECT_EQ(pipe_->bytes(), 65536u);
  EXPECT_EQ(read(65536), std::string(4096, 'x') + std::string(15 * 4096, 'y'));
}

TEST_F(PipeTest, a_write_of_pipe_buf_is_all_or_nothing) {
  std::string page(4096, 'p');
  for (int i = 0; i < 15; ++i) ASSERT_EQ(write(page), 4096u);
  ASSERT_EQ(write(std::string(100, 'q')), 100u);
  EXPECT_EQ(write(page).error(), Errno::Again);
  EXPECT_EQ(write(std::string(3996, 'r')), 3996u);
}

TEST_F(PipeTest, a_long_write_takes_what_fits) { EXPECT_EQ(write(std::string(100'000, 'a')), 65536u); }

TEST_F(PipeTest, packets_keep_their_borders_and_lose_what_is_not_read) {
  ASSERT_EQ(write("first", true), 5u);
  ASSERT_EQ(write("second", true), 6u);
  EXPECT_EQ(read(3), "fir");
  EXPECT_EQ(read(100), "second");
}

TEST_F(PipeTest, end_of_file_and_broken_pipe) {
  EXPECT_EQ(read(1), "error");
  ASSERT_EQ(write("last"), 4u);
  EXPECT_FALSE(pipe_->close_end(Pipe::End::Write));
  EXPECT_EQ(read(10), "last");
  EXPECT_EQ(read(10), "");
  EXPECT_EQ(pipe_->poll(Pipe::End::Read, 0), static_cast<PollMask>(EPOLLHUP));
  pipe_->open_end(Pipe::End::Write);
  EXPECT_FALSE(pipe_->close_end(Pipe::End::Read));
  EXPECT_EQ(write("x").error(), Errno::Pipe);
  EXPECT_EQ(pipe_->poll(Pipe::End::Write, 0), static_cast<PollMask>(EPOLLOUT | EPOLLWRNORM | EPOLLERR));
  EXPECT_TRUE(pipe_->close_end(Pipe::End::Write));
}

TEST_F(PipeTest, capacity_changes_unless_more_is_in_use) {
  ASSERT_TRUE(pipe_->set_slots(1).has_value());
  EXPECT_EQ(write(std::string(5000, 'a')), 4096u);
  ASSERT_TRUE(pipe_->set_slots(256).has_value());
  EXPECT_EQ(write(std::string(200'000, 'a')), 200'000u);
  EXPECT_EQ(pipe_->set_slots(4).error(), Errno::Busy);
  EXPECT_EQ(pages_.load(), 256u);
  pipe_ = {};
  EXPECT_EQ(pages_.load(), 0u);
}

TEST_F(PipeTest, what_is_taken_for_splice_can_be_put_back) {
  ASSERT_EQ(write(std::string(5000, 'a') + "tail"), 5004u);
  auto taken = pipe_->take(5002);
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(total_length(*taken), 5002u);
  PipeSegmentSource source(std::move(*taken));
  std::vector<std::byte> part(4990);
  ASSERT_EQ(source.get(part), 4990u);
  source.unget(10);
  pipe_->put_back(source.take_rest());
  EXPECT_EQ(read(100), std::string(20, 'a') + "tail");
}

TEST_F(PipeTest, tee_leaves_the_bytes) {
  ASSERT_EQ(write("hello"), 5u);
  auto copy = pipe_->copy_front(3);
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(total_length(*copy), 3u);
  EXPECT_EQ(read(10), "hello");
}

class Counter final : public Waiter {
 public:
  void on_event(PollMask events) override {
    ++count;
    last = events;
  }
  int count = 0;
  PollMask last = 0;
};

TEST_F(PipeTest, only_a_write_to_an_empty_pipe_wakes) {
  Counter reader;
  pipe_->queue.add(reader, EPOLLIN);
  ASSERT_TRUE(write("a").has_value());
  ASSERT_TRUE(write("b").has_value());
  EXPECT_EQ(reader.count, 1);
  EXPECT_EQ(read(1), "a");
  EXPECT_EQ(reader.count, 1);
  pipe_->queue.remove(reader);
}

TEST(WaitQueueTest, exclusive_waiters_are_woken_one_by_one_behind_the_others) {
  WaitQueue queue;
  Counter a, b, first, second;
  queue.add(first, EPOLLIN, true);
  queue.add(a, EPOLLIN);
  queue.add(second, EPOLLIN, true);
  queue.add(b, EPOLLOUT);
  queue.wake(EPOLLIN);
  EXPECT_EQ(a.count, 1);
  EXPECT_EQ(b.count, 0);
  EXPECT_EQ(first.count, 1);
  EXPECT_EQ(second.count, 0);
  queue.remove(first);
  queue.wake(EPOLLIN);
  EXPECT_EQ(second.count, 1);
  queue.wake(EPOLLHUP);
  EXPECT_EQ(b.count, 1);
  queue.remove(a);
  queue.remove(b);
  queue.remove(second);
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace cofferdam::kernel

#include "kernel/host_notifier.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "host/fd.h"

namespace cofferdam::kernel {
namespace {

class Seen final : public Waiter {
 public:
  void on_event(PollMask events) override { mask.fetch_or(events); }
  bool wait_for(PollMask events) {
    for (int i = 0; i < 2000 && (mask.load() & events) == 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return (mask.load() & events) != 0;
  }
  std::atomic<PollMask> mask{0};
};

TEST(HostNotifierTest, readiness_of_a_host_pipe_wakes_the_queue) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  host::OwnedFd reader(fds[0]), writer(fds[1]);
  HostNotifier notifier;
  WaitQueue queue;
  Seen seen;
  queue.add(seen, EPOLLIN);
  ASSERT_TRUE(notifier.add(reader.get(), queue).has_value());
  ASSERT_EQ(write(writer.get(), "x", 1), 1);
  EXPECT_TRUE(seen.wait_for(EPOLLIN));
  seen.mask = 0;
  writer.reset();
  EXPECT_TRUE(seen.wait_for(EPOLLHUP));
  notifier.remove(reader.get());
  queue.remove(seen);
}

TEST(HostNotifierTest, regular_files_are_refused) {
  host::OwnedFd file(memfd_create("x", MFD_CLOEXEC));
  HostNotifier notifier;
  WaitQueue queue;
  auto added = notifier.add(file.get(), queue);
  ASSERT_FALSE(added.has_value());
  EXPECT_EQ(added.error(), Errno::Perm);
}

TEST(HostNotifierTest, nothing_is_started_without_a_descriptor) { HostNotifier notifier; }

}  // namespace
}  // namespace cofferdam::kernel

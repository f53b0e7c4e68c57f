#include "kernel/signal/signal.h"

#include <gtest/gtest.h>
#include <sys/ucontext.h>

#include <vector>

#include "kernel/signal/frame.h"

namespace cofferdam::kernel {
namespace {

using Outcome = PendingSignals::Outcome;
constexpr uint64_t plenty = 1000;
constexpr SignalSet none;

SignalInfo queued(int signal, int value) {
  auto info = SignalInfo::from_user(signal, SI_QUEUE, 1, 0);
  info.raw.si_value.sival_int = value;
  return info;
}

TEST(PendingSignals, standard_signals_merge_and_keep_the_first_one_s_data) {
  PendingSignals pending;
  EXPECT_EQ(pending.enqueue(queued(SIGUSR1, 1), plenty), Outcome::Queued);
  EXPECT_EQ(pending.enqueue(queued(SIGUSR1, 2), plenty), Outcome::Merged);
  auto first = pending.dequeue(none);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->raw.si_value.sival_int, 1);
  EXPECT_FALSE(pending.dequeue(none));
  EXPECT_TRUE(pending.empty());
}

TEST(PendingSignals, real_time_signals_queue_in_order) {
  PendingSignals pending;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pending.enqueue(queued(40, i), plenty), Outcome::Queued);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(pending.set().has(40));
    EXPECT_EQ(pending.dequeue(none)->raw.si_value.sival_int, i);
  }
  EXPECT_TRUE(pending.empty());
}

TEST(PendingSignals, lowest_number_first_but_faults_before_all) {
  PendingSignals pending;
  for (int s : {64, SIGUSR2, SIGHUP, SIGSEGV, 33}) pending.enqueue(SignalInfo::from_kernel(s), plenty);
  std::vector<int> order;
  while (auto info = pending.dequeue(none)) order.push_back(info->signal());
  EXPECT_EQ(order, (std::vector<int>{SIGSEGV, SIGHUP, SIGUSR2, 33, 64}));
}

TEST(PendingSignals, blocked_ones_stay) {
  PendingSignals pending;
  pending.enqueue(SignalInfo::from_kernel(SIGHUP), plenty);
  pending.enqueue(SignalInfo::from_kernel(SIGTERM), plenty);
  EXPECT_EQ(pending.dequeue(SignalSet::of(SIGHUP))->signal(), SIGTERM);
  EXPECT_FALSE(pending.dequeue(SignalSet::of(SIGHUP)));
  EXPECT_TRUE(pending.set().has(SIGHUP));
}

TEST(PendingSignals, full_queue_refuses_data_but_not_standard_signals) {
  PendingSignals pending;
  EXPECT_EQ(pending.enqueue(queued(40, 0), 1), Outcome::Queued);
  EXPECT_EQ(pending.enqueue(queued(40, 1), 1), Outcome::Full);
  EXPECT_EQ(pending.enqueue(queued(SIGUSR1, 7), 1), Outcome::Queued);  // becomes pending, without its data
  EXPECT_EQ(pending.enqueue(SignalInfo::from_user(SIGUSR2, SI_USER, 5, 0), 1), Outcome::Queued);
  auto usr1 = pending.dequeue(none);
  EXPECT_EQ(usr1->signal(), SIGUSR1);
  EXPECT_EQ(usr1->code(), SI_USER);
  EXPECT_EQ(usr1->raw.si_pid, 0);
  EXPECT_EQ(pending.dequeue(none)->raw.si_pid, 5);
}

TEST(PendingSignals, discard_takes_all_instances) {
  PendingSignals pending;
  for (int i = 0; i < 4; ++i) pending.enqueue(queued(50, i), plenty);
  pending.enqueue(queued(51, 0), plenty);
  pending.discard(SignalSet::of(50));
  EXPECT_EQ(pending.dequeue(none)->signal(), 51);
  EXPECT_TRUE(pending.empty());
}

TEST(PendingSignals, timers_are_not_merged_and_leave_with_their_timer) {
  PendingSignals pending;
  for (int id : {3, 4}) {
    SignalInfo info = SignalInfo::from_user(SIGALRM, SI_TIMER, 0, 0);
    info.raw.si_timerid = id;
    pending.enqueue_timer(info);
  }
  pending.discard_timer(3);
  EXPECT_EQ(pending.dequeue(none)->raw.si_timerid, 4);
  EXPECT_TRUE(pending.empty());
}

TEST(SignalSet, kill_and_stop_cannot_be_masked) {
  SignalSet all(~uint64_t{0});
  EXPECT_FALSE(all.maskable().has(SIGKILL));
  EXPECT_FALSE(all.maskable().has(SIGSTOP));
  EXPECT_TRUE(all.maskable().has(64));
}

// The C library's ucontext_t begins as the kernel's does; its mask is longer.
TEST(SignalFrame, has_the_layout_of_the_c_library) {
  EXPECT_EQ(offsetof(GuestUserContext, flags), offsetof(ucontext_t, uc_flags));
  EXPECT_EQ(offsetof(GuestUserContext, link), offsetof(ucontext_t, uc_link));
  EXPECT_EQ(offsetof(GuestUserContext, stack), offsetof(ucontext_t, uc_stack));
  EXPECT_EQ(offsetof(GuestUserContext, machine), offsetof(ucontext_t, uc_mcontext));
  EXPECT_EQ(offsetof(GuestUserContext, mask), offsetof(ucontext_t, uc_sigmask));
  EXPECT_EQ(offsetof(GuestSignalStack, flags), offsetof(stack_t, ss_flags));
  EXPECT_EQ(offsetof(GuestSignalStack, size), offsetof(stack_t, ss_size));
  auto greg = [](int r) { return offsetof(mcontext_t, gregs) + sizeof(greg_t) * static_cast<size_t>(r); };
  EXPECT_EQ(offsetof(GuestSignalContext, r8), greg(REG_R8));
  EXPECT_EQ(offsetof(GuestSignalContext, rdi), greg(REG_RDI));
  EXPECT_EQ(offsetof(GuestSignalContext, rax), greg(REG_RAX));
  EXPECT_EQ(offsetof(GuestSignalContext, rsp), greg(REG_RSP));
  EXPECT_EQ(offsetof(GuestSignalContext, rip), greg(REG_RIP));
  EXPECT_EQ(offsetof(GuestSignalContext, eflags), greg(REG_EFL));
  EXPECT_EQ(offsetof(GuestSignalContext, cs), greg(REG_CSGSFS));
  EXPECT_EQ(offsetof(GuestSignalContext, error_code), greg(REG_ERR));
  EXPECT_EQ(offsetof(GuestSignalContext, trap_number), greg(REG_TRAPNO));
  EXPECT_EQ(offsetof(GuestSignalContext, cr2), greg(REG_CR2));
  EXPECT_EQ(offsetof(GuestSignalContext, fpstate), offsetof(mcontext_t, fpregs));
}

class XsaveFrame : public testing::Test {
 protected:
  static constexpr size_t size = 1024;
  std::vector<std::byte> image_ = std::vector<std::byte>(size + 4);
  std::span<std::byte> all() { return image_; }
  std::span<std::byte> image() { return all().first(size); }
  uint64_t& word(size_t offset) { return *reinterpret_cast<uint64_t*>(image_.data() + offset); }
};

TEST_F(XsaveFrame, stamped_image_is_trusted_and_loads) {
  xsave_frame::stamp(all(), 7);
  auto software = xsave_frame::software_of(image(), size);
  ASSERT_TRUE(software);
  EXPECT_EQ(software->size, size);
  EXPECT_EQ(software->extended_size, size + 4);
  EXPECT_EQ(software->features, 7u);
  word(512) = 7;
  EXPECT_TRUE(xsave_frame::make_loadable(image(), software, 7));
  EXPECT_EQ(word(512), 7u);
  EXPECT_EQ(word(464), 0u);
}

TEST_F(XsaveFrame, hostile_sizes_are_not_trusted) {
  xsave_frame::stamp(all(), 7);
  for (uint32_t bad : {0u, 575u, uint32_t{size} + 1, 0xffffffffu}) {
    auto copy = image_;
    std::memcpy(copy.data() + 464 + 16, &bad, 4);
    EXPECT_FALSE(xsave_frame::software_of(std::span(copy).first(size), size)) << bad;
  }
}

TEST_F(XsaveFrame, bad_headers_are_refused) {
  xsave_frame::stamp(all(), 7);
  auto software = xsave_frame::software_of(image(), size);
  word(520) = uint64_t{1} << 63;  // compacted
  EXPECT_FALSE(xsave_frame::make_loadable(image(), software, 7));
  word(520) = 0;
  word(568) = 1;  // reserved
  EXPECT_FALSE(xsave_frame::make_loadable(image(), software, 7));
}

TEST_F(XsaveFrame, without_trust_only_the_legacy_area_counts) {
  std::memset(image_.data(), 0xff, image_.size());
  EXPECT_TRUE(xsave_frame::make_loadable(image(), std::nullopt, 7));
  EXPECT_EQ(word(512), 3u);
  EXPECT_EQ(word(520), 0u);
  EXPECT_EQ(word(576), 0u);
  EXPECT_EQ(word(0), ~uint64_t{0});
}

}  // namespace
}  // namespace cofferdam::kernel

// Hostile guests of the trap platform: they jump into the stub with registers of their own and write into their area.
// The host must see none of their calls, and the sentry must get its thread back.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "platform_guest.h"

extern "C" {
extern std::byte const cofferdam_stub_image[];
}

namespace cofferdam::platform::trap {
namespace {

GUEST_CODE(jump_to_rbx, "jmp *%rbx")
GUEST_CODE(block_and_spin, R"(
  call *%rbx
1:jmp 1b
)")
GUEST_CODE(call_loop, R"(
1:mov $39, %eax
  syscall
  jmp 1b
)")
// Writes pseudo-random words over the page at rdi.
GUEST_CODE(scribble, R"(
  mov $88172645463325252, %rax
1:mov %rax, %rcx
  shl $13, %rcx
  xor %rcx, %rax
  mov %rax, %rcx
  shr $7, %rcx
  xor %rcx, %rax
  mov %rax, %rcx
  shl $17, %rcx
  xor %rcx, %rax
  mov %rax, %rdx
  and $0x7f8, %edx
  mov %rax, %rcx
  shr $40, %rcx
  and %r8, %rcx
  mov %ecx, (%rdi,%rdx)
  jmp 1b
)")

class RogueTest : public TrapTest {
 protected:
  void SetUp() override {
    TrapTest::SetUp();
    std::memcpy(&image_, cofferdam_stub_image, sizeof image_);
  }
  // Jumps to the syscall instruction in front of `ip` with these registers. Returns how it ended.
  Stop jump(uint64_t ip, uint64_t number, std::array<uint64_t, 6> args) {
    auto p = start(jump_to_rbx());
    Registers r = p.context->registers();
    r.rbx = ip - 2;
    r.rax = number;
    r.rdi = args[0], r.rsi = args[1], r.rdx = args[2], r.r10 = args[3], r.r8 = args[4], r.r9 = args[5];
    r.rsp = data_address + 0x8000;
    p.context->set_registers(r);
    std::atomic<bool> done{false};
    std::thread interrupter([&] {
      for (int i = 0; i < 100 && !done; ++i) {
        ::usleep(20000);
        if (i >= 5) p.context->interrupt();
      }
      if (!done) p.address_space->kill();
    });
    Stop stop = p.context->run();
    // An interrupt may come before the guest has jumped.
    for (int i = 0; i < 100 && std::holds_alternative<Interrupted>(stop); ++i) stop = p.context->run();
    done = true;
    interrupter.join();
    // The mapping that two of the calls ask for was not made.
    std::byte byte[1];
    EXPECT_FALSE(p.address_space->read(0x20000000, byte));
    return stop;
  }
  stub::ImageHeader image_;
};

TEST_F(RogueTest, jumps_to_syscall_instructions_with_own_registers_end_the_guest) {
  uint64_t const addresses[] = {image_.handoff_futex_ip, image_.guest_futex_ip,  image_.exit_ip,  image_.sigaltstack_ip,
                                image_.sigmask_ip,       image_.pdeathsig_ip,    image_.self_ip,  image_.notify_ip,
                                image_.clone_process_ip, image_.clone_thread_ip, image_.remap_ip, image_.yield_ip,
                                image_.sigreturn_ip};
  struct {
    uint64_t number;
    std::array<uint64_t, 6> args;
  } const calls[] = {
      {SYS_getpid, {}},
      {SYS_mmap, {0x20000000, 4096, 1, 0x12, 1, 0}},
      {SYS_munmap, {0x7ffefffff000, 0xf0000000}},
      {SYS_clone, {SIGCHLD}},
      {SYS_openat, {static_cast<uint64_t>(-100), 0x500000}},
  };
  for (uint64_t ip : addresses)
    for (auto const& call : calls) {
      Stop stop = jump(ip, call.number, call.args);
      // A fault: the call was refused or taken back, and the guest went on with a stack of its own.
      EXPECT_TRUE(std::holds_alternative<Died>(stop) || std::holds_alternative<Fault>(stop))
          << std::hex << ip << " " << call.number << ": " << stop.index();
    }
  // The platform still serves others.
  auto p = start(call_loop());
  EXPECT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
  auto child = p.context->fork();
  EXPECT_TRUE(child);
}

TEST_F(RogueTest, forged_exit_is_seen) {
  Stop stop = jump(image_.exit_ip, SYS_exit, {});
  EXPECT_TRUE(std::holds_alternative<Died>(stop));
  // Of one thread among several.
  auto p = start(jump_to_rbx());
  auto other = p.context->clone_thread();
  ASSERT_TRUE(other);
  Registers r = (*other)->registers();
  r.rbx = image_.exit_ip - 2;
  r.rax = SYS_exit;
  (*other)->set_registers(r);
  EXPECT_TRUE(std::holds_alternative<Died>((*other)->run()));
}

TEST_F(RogueTest, entering_the_stub_anywhere_ends_in_a_stop) {
  uint64_t const size = image_.text_end - stub::text_address;
  for (uint64_t at = 128; at < size; at += 61) {
    auto p = start(jump_to_rbx());
    Registers r = p.context->registers();
    r.rbx = stub::text_address + at;
    r.rdi = stub::areas_address;
    p.context->set_registers(r);
    std::atomic<bool> done{false};
    std::thread guard([&] {
      for (int i = 0; i < 400 && !done; ++i) ::usleep(i < 100 ? 100 : 1000);
      if (!done) p.address_space->kill();
    });
    for (int i = 0; i < 3; ++i) (void)p.context->run();
    done = true;
    guard.join();
  }
  auto p = start(call_loop());
  EXPECT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
}

TEST_F(RogueTest, a_guest_that_blocks_the_interrupt_signal_is_killed) {
  auto p = start(block_and_spin());
  uint64_t const mask = ~0ull;
  ASSERT_TRUE(p.context->copy_out(data_address, std::as_bytes(std::span(&mask, 1))));
  Registers r = p.context->registers();
  r.rbx = image_.sigmask_ip - 2;
  r.rax = SYS_rt_sigprocmask;
  r.rdi = 0, r.rsi = data_address, r.rdx = 0, r.r10 = 8;
  p.context->set_registers(r);
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done) {
      ::usleep(20000);
      p.context->interrupt();
    }
  });
  // Until it has blocked the signal, it obeys.
  Stop stop = p.context->run();
  for (int i = 0; i < 1000 && std::holds_alternative<Interrupted>(stop); ++i) stop = p.context->run();
  done = true;
  other.join();
  EXPECT_TRUE(std::holds_alternative<Died>(stop)) << stop.index();
}

TEST_F(RogueTest, a_thread_that_scribbles_over_anothers_area_only_hurts_its_process) {
  for (uint64_t mask : {0x7ull, 0x3ffull, ~0ull}) {
    for (int round = 0; round < 5; ++round) {
      auto p = start(call_loop());
      auto writer = p.context->clone_thread();
      ASSERT_TRUE(writer);
      std::span<std::byte const> code = scribble();
      ASSERT_TRUE(p.context->copy_out(code_address + 0x100, code));
      Registers r = (*writer)->registers();
      r.rip = code_address + 0x100;
      r.rdi = stub::areas_address;
      r.r8 = mask;
      (*writer)->set_registers(r);
      std::thread runner([&] { (void)(*writer)->run(); });
      std::thread guard([&] {
        ::usleep(100000);
        p.address_space->kill();
      });
      std::byte buffer[64];
      for (int i = 0; i < 100000; ++i) {
        Stop stop = p.context->run();
        if (std::holds_alternative<Died>(stop)) break;
        (void)p.context->registers();
        (void)p.context->copy_in(data_address, buffer);
        (void)p.context->copy_out(data_address, buffer);
        if (i % 16 == 0) (void)p.context->protect(data_address, 4096, PROT_READ | PROT_WRITE);
        std::vector<std::byte> image(platform_->xstate_size());
        (void)p.context->get_xstate(image);
        p.context->set_syscall_result(0);
      }
      guard.join();
      runner.join();
    }
  }
  auto p = start(call_loop());
  EXPECT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
}

}  // namespace
}  // namespace cofferdam::platform::trap

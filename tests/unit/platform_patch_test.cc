// Patched call sites of the trap platform.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "platform/trap/patch.h"
#include "platform_guest.h"

namespace cofferdam::platform::trap {
namespace {

GUEST_CODE(mov_loop, R"(
1:mov $39, %eax
  syscall
  inc %rbx
  jmp 1b
)")
GUEST_CODE(mov_rax_loop, R"(
1:mov $39, %rax
  syscall
  inc %rbx
  jmp 1b
)")
GUEST_CODE(xor_loop, R"(
  nop
1:xor %eax, %eax
  syscall
  cmp $-4096, %rax
  ja 2f
  inc %rbx
  jmp 1b
2:inc %r15
  jmp 1b
)")
GUEST_CODE(generic_loop, R"(
1:mov %r14, %rax
  nop
  syscall
  cmp $-4095, %rax
  jae 2f
  inc %rbx
  jmp 1b
2:inc %r15
  jmp 1b
)")
// Everything that a call must leave alone, checked in the guest: rbx counts rounds, r15 what was wrong.
GUEST_CODE(preserve_loop, R"(
  xor %r15d, %r15d
1:mov $0x1111, %edi
  mov $0x2222, %esi
  mov $0x3333, %edx
  mov $0x4444, %r10d
  mov $0x5555, %r8d
  mov $0x6666, %r9d
  mov $0x7777, %ebp
  mov $0x8888, %r12d
  mov $0x9999, %r13d
  mov $0xaaaa, %r14d
  movq %rbx, %xmm7
  movq %rbx, -8(%rsp)
  std
  stc
  mov $39, %eax
  syscall
  adc $0, %r15
  dec %r15
  cld
  cmp $0x1111, %edi
  jne 9f
  cmp $0x2222, %esi
  jne 9f
  cmp $0x3333, %edx
  jne 9f
  cmp $0x4444, %r10d
  jne 9f
  cmp $0x5555, %r8d
  jne 9f
  cmp $0x6666, %r9d
  jne 9f
  cmp $0x7777, %ebp
  jne 9f
  cmp $0x8888, %r12d
  jne 9f
  cmp $0x9999, %r13d
  jne 9f
  cmp $0xaaaa, %r14d
  jne 9f
  cmp $1234, %rax
  jne 9f
  cmpq %rbx, -8(%rsp)
  jne 9f
  movq %xmm7, %rax
  cmp %rax, %rbx
  jne 9f
  inc %rbx
  jmp 1b
9:inc %r15
  inc %rbx
  jmp 1b
)")
GUEST_CODE(futex_loop, R"(
1:mov $202, %eax
  syscall
  mov %rax, %r14
  mov $500, %eax
  syscall
  jmp 1b
)")

class PatchTest : public TrapTest {
 protected:
  // Runs n calls that all must be `number`, answering with `result`. What interrupted the guest before may still be
  // told.
  void calls(Context& c, int n, uint64_t number, uint64_t result = 1234) {
    for (int i = 0; i < n; ++i) {
      Stop stop = c.run();
      if (i == 0 && std::holds_alternative<Interrupted>(stop)) stop = c.run();
      auto* call = std::get_if<Syscall>(&stop);
      ASSERT_NE(call, nullptr) << "stop " << stop.index() << " at " << i;
      ASSERT_EQ(call->number, number);
      c.set_syscall_result(result);
    }
  }
  bool is_patched(NewProcess& p, uint64_t at) {
    std::byte head[3];
    return p.address_space->read(at, head).value_or(0) == 3 && std::memcmp(head, "\xff\x24\x25", 3) == 0;
  }
  static constexpr uint64_t program = code_address + 16;
};

TEST_F(PatchTest, mov_site_is_patched_and_counts_right) {
  auto p = start_program(mov_loop());
  calls(*p.context, 1000, 39);
  EXPECT_TRUE(is_patched(p, program));
  EXPECT_EQ(p.context->registers().rbx, 999u);
  EXPECT_EQ(p.context->registers().rip, program + 7);
  EXPECT_EQ(p.context->registers().gs_base, 0u);
  auto q = start_program(mov_rax_loop());
  calls(*q.context, 1000, 39);
  EXPECT_TRUE(is_patched(q, program));
  EXPECT_EQ(q.context->registers().rbx, 999u);
  EXPECT_EQ(q.context->registers().rip, program + 9);
}

TEST_F(PatchTest, anonymous_code_is_left_alone) {
  auto p = start(mov_loop());
  calls(*p.context, 100, 39);
  EXPECT_FALSE(is_patched(p, code_address));
}

TEST_F(PatchTest, xor_site_executes_its_comparison) {
  auto p = start_program(xor_loop());
  calls(*p.context, 100, 0, 5);
  EXPECT_TRUE(is_patched(p, program + 1));
  calls(*p.context, 100, 0, static_cast<uint64_t>(-9));
  EXPECT_EQ(p.context->registers().rbx, 100u);
  EXPECT_EQ(p.context->registers().r15, 99u);
  EXPECT_EQ(p.context->registers().rip, program + 5);
}

TEST_F(PatchTest, generic_site_executes_its_comparison) {
  auto p = start_program(generic_loop());
  Registers r = p.context->registers();
  r.r14 = 77;
  p.context->set_registers(r);
  calls(*p.context, 100, 77, 5);
  EXPECT_TRUE(is_patched(p, program + 4));
  calls(*p.context, 100, 77, static_cast<uint64_t>(-9));
  EXPECT_EQ(p.context->registers().rbx, 100u);
  EXPECT_EQ(p.context->registers().r15, 99u);
}

TEST_F(PatchTest, nothing_but_the_result_changes) {
  auto p = start_program(preserve_loop());
  calls(*p.context, 2000, 39);
  EXPECT_TRUE(is_patched(p, program + 71));
  EXPECT_EQ(p.context->registers().rbx, 1999u);
  EXPECT_EQ(p.context->registers().r15, 0u);
}

TEST_F(PatchTest, restarting_a_call_makes_it_again) {
  for (auto code : {mov_loop(), mov_rax_loop(), xor_loop()}) {
    auto p = start_program(code);
    uint64_t const number = code.data() == xor_loop().data() ? 0 : 39;
    calls(*p.context, 90, number, 5);
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
      Registers r = p.context->registers();
      EXPECT_EQ(r.rax, number);
      r.rip -= 2;
      p.context->set_registers(r);
      Stop stop = p.context->run();
      ASSERT_TRUE(std::holds_alternative<Syscall>(stop)) << stop.index();
      EXPECT_EQ(std::get<Syscall>(stop).number, number);
      EXPECT_EQ(p.context->registers().rip, r.rip + 2);
      p.context->set_syscall_result(5);
    }
    EXPECT_EQ(p.context->registers().rbx, 99u);
  }
}

TEST_F(PatchTest, whole_state_and_fork_at_a_trampoline_stop) {
  auto p = start_program(mov_loop());
  calls(*p.context, 100, 39);
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
  std::vector<std::byte> image(platform_->xstate_size());
  ASSERT_TRUE(p.context->get_xstate(image));
  Registers const r = p.context->registers();
  EXPECT_EQ(r.rip, program + 7);
  EXPECT_EQ(r.rbx, 100u);
  p.context->set_syscall_result(1);
  calls(*p.context, 10, 39);
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
  auto child = p.context->fork();
  ASSERT_TRUE(child);
  child->context->set_syscall_result(0);
  calls(*child->context, 100, 39);
  EXPECT_EQ(child->context->registers().rbx, 211u);
  auto thread = p.context->clone_thread();
  ASSERT_TRUE(thread);
  (*thread)->set_syscall_result(0);
  calls(**thread, 100, 39);
  calls(*p.context, 100, 39);
  EXPECT_EQ((*thread)->registers().rbx, 211u);
}

TEST_F(PatchTest, interrupts_race_with_trampoline_calls_and_facts) {
  auto p = start_program(mov_loop());
  calls(*p.context, 90, 39);
  uint64_t counted = p.context->registers().rbx;
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done) {
      p.context->interrupt();
      ::usleep(30);
    }
  });
  int interrupts = 0, others = 0;
  uint64_t made = 0;
  EXPECT_TRUE(eventually([&] {
    Stop stop = p.context->run();
    if (std::holds_alternative<Interrupted>(stop)) {
      ++interrupts;
      uint64_t const rip = p.context->registers().rip;
      EXPECT_TRUE(rip == program || rip == program + 7 || rip == program + 10) << std::hex << rip;
    } else if (std::holds_alternative<Syscall>(stop)) {
      ++made;
      p.context->set_syscall_result(0);
    } else {
      ++others;
    }
    return others != 0 || (interrupts >= 500 && made >= 500);
  })) << interrupts
      << " interrupts, " << made << " calls";
  EXPECT_EQ(others, 0);
  uint64_t const now = p.context->registers().rbx;
  EXPECT_GE(now, counted + made);
  EXPECT_LE(now, counted + made + 1);
  // The same where calls are answered in the trampoline: every interrupt arrives.
  p.context->set_facts({1234, 1, 1, 1, 1, 1, 1, true});
  interrupts = 0;
  EXPECT_TRUE(eventually([&] {
    Stop stop = p.context->run();
    if (std::holds_alternative<Syscall>(stop))
      p.context->set_syscall_result(0);
    else if (std::holds_alternative<Interrupted>(stop))
      ++interrupts;
    else
      ++others;
    return others != 0 || (interrupts >= 500 && p.context->registers().rbx > now);
  })) << interrupts;
  EXPECT_EQ(others, 0);
  done = true;
  other.join();
}

TEST_F(PatchTest, native_futex_in_the_trampoline) {
  auto p = start_program(futex_loop());
  Registers r = p.context->registers();
  r.rdi = data_address, r.rsi = 0, r.rdx = 1;
  p.context->set_registers(r);
  calls(*p.context, 30, 500);
  EXPECT_EQ(p.context->registers().r14, static_cast<uint64_t>(-EAGAIN));
  auto waker = p.context->clone_thread();
  ASSERT_TRUE(waker);
  ASSERT_TRUE(p.context->store32(data_address, 1));
  for (int i = 0; i < 20; ++i) {
    std::thread other([&] { interrupt_when_asleep(*p.context); });
    Stop stop = p.context->run();
    other.join();
    ASSERT_TRUE(std::holds_alternative<Interrupted>(stop)) << stop.index();
    EXPECT_EQ(p.context->registers().rip, program + 5);
    EXPECT_EQ(p.context->registers().rax, 202u);
  }
  std::thread other([&] {
    uint64_t woken = 0;
    while (woken == 0) woken = (*waker)->futex_wake(data_address, 1, true).value_or(1);
  });
  Stop stop = p.context->run();
  other.join();
  ASSERT_TRUE(std::holds_alternative<Syscall>(stop)) << stop.index();
  EXPECT_EQ(p.context->registers().r14, 0u);
}

// Two threads at one generic site: each counts its rounds in rbx, and wrong results in r15.
TEST_F(PatchTest, a_generic_site_is_patched_beside_running_threads) {
  auto p = start_program(generic_loop());
  Registers r = p.context->registers();
  r.r14 = 77;
  p.context->set_registers(r);
  auto other = p.context->clone_thread();
  ASSERT_TRUE(other);
  std::atomic<bool> done{false};
  uint64_t answered = 0;
  std::thread runner([&] {
    while (!done) {
      Stop stop = (*other)->run();
      if (std::holds_alternative<Interrupted>(stop)) continue;
      ASSERT_TRUE(std::holds_alternative<Syscall>(stop)) << stop.index();
      (*other)->set_syscall_result(5);
      ++answered;
    }
  });
  uint64_t own = 0;
  EXPECT_TRUE(eventually([&] {
    Stop stop = p.context->run();
    if (std::holds_alternative<Syscall>(stop)) {
      p.context->set_syscall_result(5);
      ++own;
    }
    return own % 64 == 0 && is_patched(p, program + 4);
  }));
  done = true;
  runner.join();
  calls(*p.context, 100, 77, 5);
  calls(**other, 100, 77, 5);
  EXPECT_EQ(p.context->registers().r15, 0u);
  EXPECT_EQ((*other)->registers().r15, 0u);
  EXPECT_EQ(p.context->registers().rbx, own + 99);
  EXPECT_EQ((*other)->registers().rbx, answered + 99);
}

GUEST_CODE(count_answered, R"(
1:mov $39, %eax
  syscall
  cmp $1234, %eax
  jne 2f
  inc %rbx
  cmp $1000, %rbx
  jne 1b
2:mov $500, %eax
  syscall
  jmp 2b
)")

TEST_F(PatchTest, sites_of_calls_answered_natively_are_patched_too) {
  auto p = start_program(count_answered());
  p.context->set_facts({1234, 1, 1, 1, 1, 1, 1, true});
  calls(*p.context, 1, 500);
  EXPECT_EQ(p.context->registers().rbx, 1000u);
  EXPECT_TRUE(is_patched(p, program));
}

TEST_F(PatchTest, a_guest_that_uses_gs_is_unpatched) {
  auto p = start_program(mov_loop());
  calls(*p.context, 90, 39);
  ASSERT_TRUE(is_patched(p, program));
  Registers r = p.context->registers();
  r.gs_base = data_address;
  p.context->set_registers(r);
  EXPECT_FALSE(is_patched(p, program));
  calls(*p.context, 90, 39);
  EXPECT_EQ(p.context->registers().gs_base, data_address);
  EXPECT_EQ(p.context->registers().rbx, 179u);
}

TEST_F(PatchTest, sites_are_patched_under_running_threads) {
  auto p = start_program(mov_loop());
  std::vector<std::unique_ptr<Context>> contexts;
  for (int i = 0; i < 4; ++i) contexts.push_back(std::move(*p.context->clone_thread()));
  std::vector<std::thread> threads;
  for (auto& c : contexts) threads.emplace_back([&c, this] { calls(*c, 3000, 39); });
  for (auto& t : threads) t.join();
  EXPECT_TRUE(is_patched(p, program));
  for (auto& c : contexts) EXPECT_EQ(c->registers().rbx, 2999u);
}

// With r12 set it goes to the call itself, not to the mov before it.
GUEST_CODE(jump_to_call, R"(
1:mov $39, %eax
2:syscall
  inc %rbx
  test %r12, %r12
  jz 1b
  mov $40, %eax
  dec %eax
  jmp 2b
)")

TEST_F(PatchTest, threads_at_the_call_do_not_see_half_a_patch) {
  for (int round = 0; round < 25; ++round) {
    auto p = start_program(jump_to_call());
    std::vector<std::unique_ptr<Context>> contexts;
    for (int i = 0; i < 4; ++i) {
      contexts.push_back(std::move(*p.context->clone_thread()));
      Registers r = contexts.back()->registers();
      r.r12 = i == 0 ? 0 : 1;
      contexts.back()->set_registers(r);
    }
    std::vector<std::thread> threads;
    for (auto& c : contexts) threads.emplace_back([&c, this] { calls(*c, 300, 39); });
    for (auto& t : threads) t.join();
    EXPECT_TRUE(is_patched(p, program));
    for (auto& c : contexts) EXPECT_EQ(c->registers().rbx, 299u);
  }
}

TEST(PatchIdioms, windows_that_are_jumped_into_are_refused) {
  // cmp at offset 14; a jump to it from offset 24.
  unsigned char code[64] = {};
  std::memset(code, 0x90, sizeof code);
  std::memcpy(code + 12, "\x0f\x05\x48\x3d\x00\xf0\xff\xff", 8);
  auto const bytes = std::as_bytes(std::span(code));
  auto window = match_idiom(bytes, 0x1000, 0x100c, 5);
  ASSERT_TRUE(window);
  EXPECT_EQ(window->size(), 8u);
  code[30] = 0xeb;
  code[31] = static_cast<unsigned char>(14 - 32);
  EXPECT_FALSE(match_idiom(bytes, 0x1000, 0x100c, 5));
  // The same bytes at the end of mov %rsi,disp8(%rsp).
  std::memset(code, 0x90, sizeof code);
  std::memcpy(code + 2, "\x48\x89\x74\x24\x08", 5);
  std::memcpy(code + 38, "\x31\xc0\x0f\x05\x48\x3d\x00\xf0\xff\xff", 10);
  ASSERT_TRUE(match_idiom(bytes, 0x1000, 0x1028, 0));
  code[3] = 0x90;
  EXPECT_FALSE(match_idiom(bytes, 0x1000, 0x1028, 0));
  // mov $5,%r8d is not mov $5,%eax.
  std::memset(code, 0x90, sizeof code);
  std::memcpy(code + 12, "\x41\xb8\x05\0\0\0\x0f\x05\xc3", 9);
  EXPECT_FALSE(match_idiom(bytes, 0x1000, 0x1012, 5));
  code[12] = 0x90;
  EXPECT_TRUE(match_idiom(bytes, 0x1000, 0x1012, 5));
  EXPECT_FALSE(match_idiom(bytes, 0x1000, 0x1012, 6));
}

}  // namespace
}  // namespace cofferdam::platform::trap

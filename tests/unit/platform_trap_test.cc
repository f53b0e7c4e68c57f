// The trap platform, driven by small guests in machine code.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "host/fd.h"
#include "platform_guest.h"

namespace cofferdam::platform::trap {
namespace {

GUEST_CODE(getpid_forever, R"(
1:mov $39, %eax
  syscall
  jmp 1b
)")
GUEST_CODE(load_null, R"(
  mov 0x10, %rax
)")
GUEST_CODE(divide_by_zero, R"(
  xor %ecx, %ecx
  mov $1, %eax
  xor %edx, %edx
  div %ecx
)")
GUEST_CODE(illegal, "ud2")
GUEST_CODE(breakpoint, "int3")
GUEST_CODE(old_call, "int $0x80")
GUEST_CODE(spin_forever, R"(
1:inc %rbx
  jmp 1b
)")
GUEST_CODE(touch, R"(
1:movl $7, (%rdi)
  mov $500, %eax
  syscall
  jmp 1b
)")
GUEST_CODE(count_to_syscall, R"(
1:inc %rbx
  mov $39, %eax
  syscall
  jmp 1b
)")
GUEST_CODE(load_and_report, R"(
  mov (%rdi), %ebx
  mov $500, %eax
  syscall
)")
GUEST_CODE(touch_after_getpid, R"(
  mov $39, %eax
  syscall
  mov %rax, %rbx
  mov $500, %eax
  syscall
)")
GUEST_CODE(futex_wait, R"(
1:mov $202, %eax
  syscall
  mov %rax, %rbx
  mov $500, %eax
  syscall
  jmp 1b
)")

TEST_F(TrapTest, syscall_arrives_with_number_and_arguments_and_resumes_with_result) {
  auto p = start(getpid_forever());
  Registers r = p.context->registers();
  r.rdi = 1, r.rsi = 2, r.rdx = 3, r.r10 = 4, r.r8 = 5, r.r9 = 6, r.rbx = 77;
  p.context->set_registers(r);
  for (int i = 0; i < 100; ++i) {
    Stop stop = p.context->run();
    auto* call = std::get_if<Syscall>(&stop);
    ASSERT_NE(call, nullptr) << stop.index();
    EXPECT_EQ(call->number, 39u);
    EXPECT_EQ(call->args, (std::array<uint64_t, 6>{1, 2, 3, 4, 5, 6}));
    Registers now = p.context->registers();
    EXPECT_EQ(now.rax, 39u);
    EXPECT_EQ(now.rip, code_address + 7);
    EXPECT_EQ(now.rbx, 77u);
    p.context->set_syscall_result(1000u + i);
    EXPECT_EQ(p.context->registers().rax, 1000u + i);
  }
}

TEST_F(TrapTest, fault_carries_signal_code_and_address) {
  auto p = start(load_null());
  Stop stop = p.context->run();
  auto* fault = std::get_if<Fault>(&stop);
  ASSERT_NE(fault, nullptr) << stop.index();
  EXPECT_EQ(fault->signal, SIGSEGV);
  EXPECT_EQ(fault->code, SEGV_MAPERR);
  EXPECT_EQ(fault->address, 0x10u);
  EXPECT_EQ(fault->trap_number, 14u);
  EXPECT_EQ(fault->error_code, 4u);
  EXPECT_EQ(p.context->registers().rip, code_address);
  // The same again: a fault is repeatable.
  stop = p.context->run();
  EXPECT_TRUE(std::holds_alternative<Fault>(stop));
}

TEST_F(TrapTest, exceptions_map_to_their_signals) {
  struct {
    std::span<std::byte const> code;
    int signal;
    uint64_t trap;
  } const cases[] = {
      {divide_by_zero(), SIGFPE, 0}, {illegal(), SIGILL, 6}, {breakpoint(), SIGTRAP, 3}, {old_call(), SIGSEGV, 13}};
  for (auto const& c : cases) {
    auto p = start(c.code);
    Stop stop = p.context->run();
    auto* fault = std::get_if<Fault>(&stop);
    ASSERT_NE(fault, nullptr) << stop.index();
    EXPECT_EQ(fault->signal, c.signal);
    EXPECT_EQ(fault->trap_number, c.trap);
  }
}

TEST_F(TrapTest, interrupt_stops_a_running_guest) {
  auto p = start(spin_forever());
  int interrupts = 0, others = 0;
  EXPECT_TRUE(eventually([&] {
    std::thread other([&] {
      ::usleep(2000);
      p.context->interrupt();
    });
    Stop stop = p.context->run();
    other.join();
    ++(std::holds_alternative<Interrupted>(stop) ? interrupts : others);
    return others != 0 || (interrupts >= 20 && p.context->registers().rbx > 1000);
  })) << interrupts;
  EXPECT_EQ(others, 0);
}

TEST_F(TrapTest, interrupt_before_run_is_not_lost) {
  auto p = start(spin_forever());
  p.context->interrupt();
  Stop stop = p.context->run();
  EXPECT_TRUE(std::holds_alternative<Interrupted>(stop));
}

TEST_F(TrapTest, interrupts_race_with_syscalls) {
  auto p = start(count_to_syscall());
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done) {
      p.context->interrupt();
      ::usleep(50);
    }
  });
  int interrupts = 0, calls = 0, others = 0;
  EXPECT_TRUE(eventually([&] {
    Stop stop = p.context->run();
    if (std::holds_alternative<Interrupted>(stop)) {
      ++interrupts;
    } else if (std::holds_alternative<Syscall>(stop)) {
      ++calls;
      p.context->set_syscall_result(0);
    } else {
      ++others;
    }
    return others != 0 || (interrupts >= 500 && calls >= 500);
  })) << interrupts
      << " interrupts, " << calls << " calls";
  done = true;
  other.join();
  EXPECT_EQ(others, 0);
  EXPECT_GE(p.context->registers().rbx, static_cast<uint64_t>(calls));
  EXPECT_LE(p.context->registers().rbx, static_cast<uint64_t>(calls) + 1);
}

TEST_F(TrapTest, kill_makes_run_report_death) {
  auto p = start(spin_forever());
  std::thread other([&] {
    ::usleep(5000);
    p.address_space->kill();
  });
  Stop stop = p.context->run();
  other.join();
  auto* died = std::get_if<Died>(&stop);
  ASSERT_NE(died, nullptr) << stop.index();
  EXPECT_EQ(died->signal, SIGKILL);
  EXPECT_TRUE(std::holds_alternative<Died>(p.context->run()));
}

TEST_F(TrapTest, copies_and_queued_copies) {
  auto p = start(touch());
  Registers r = p.context->registers();
  r.rdi = data_address;
  p.context->set_registers(r);
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
  EXPECT_EQ(p.context->load32(data_address).value(), 7u);
  EXPECT_EQ(p.context->compare_exchange32(data_address, 7, 9).value(), 7u);
  EXPECT_EQ(p.context->compare_exchange32(data_address, 7, 10).value(), 9u);
  EXPECT_TRUE(p.context->store32(data_address + 4, 0x11223344));
  EXPECT_EQ(p.context->load32(0x100000).error(), Errno::Fault);
  uint64_t value = 0;
  ASSERT_TRUE(p.context->copy_in(data_address, std::as_writable_bytes(std::span(&value, 1))));
  EXPECT_EQ(value, 0x1122334400000009u);
  ASSERT_TRUE(p.context->copy_out(data_address + 64, std::as_bytes(std::span("hello", 6))));
  EXPECT_EQ(p.context->copy_in_string(data_address + 64, 100).value(), "hello");
  EXPECT_EQ(p.context->copy_in_string(data_address + 64, 5).error(), Errno::NameTooLong);
  EXPECT_EQ(p.context->copy_in_string(0x3000, 5).error(), Errno::Fault);
  // The end of the mapping.
  std::byte buffer[64];
  EXPECT_EQ(p.context->copy_in_partial(data_address + data_size - 16, buffer), 16u);
  EXPECT_EQ(p.context->copy_in(data_address + data_size - 16, buffer).error(), Errno::Fault);
  // A queued copy that fails turns the result into EFAULT.
  p.context->set_syscall_result(5);
  ASSERT_TRUE(p.context->copy_out(0x3000, std::as_bytes(std::span("hello", 6))));
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
  ASSERT_TRUE(p.context->zero_out(data_address, data_size));
  EXPECT_EQ(p.context->load32(data_address).value(), 0u);
}

TEST_F(TrapTest, host_files_are_read_and_written) {
  auto p = start(touch());
  Registers r = p.context->registers();
  r.rdi = data_address;
  p.context->set_registers(r);
  auto& c = *p.context;
  ASSERT_TRUE(std::holds_alternative<Syscall>(c.run()));
  int const fd = ::memfd_create("file", MFD_CLOEXEC);
  std::vector<char> text(200000, 'x');
  ASSERT_EQ(::pwrite(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(c.host_read(fd, data_address + 8, 100, 0).value(), 100u);
  c.set_syscall_result(100);
  ASSERT_TRUE(std::holds_alternative<Syscall>(c.run()));
  EXPECT_EQ(c.load32(data_address + 104).value(), 0x78787878u);
  EXPECT_EQ(c.load32(data_address + 108).value(), 0u);
  EXPECT_EQ(c.host_write(fd, data_address, 8, 0).value(), 8u);
  EXPECT_EQ(::pread(fd, text.data(), 4, 0), 4);
  EXPECT_EQ(text[0], 7);
  // Where memory ends.
  EXPECT_EQ(c.host_write(fd, data_address + data_size - 10, 100, 0).value(), 10u);
  EXPECT_EQ(c.host_write(fd, 0x3000, 100, 0).error(), Errno::Fault);
  EXPECT_EQ(c.host_read(fd, data_address, text.size(), 0).value(), data_size);
  EXPECT_EQ(c.host_read(fd, data_address + data_size - 10, 100, 0).value(), 100u);
  c.set_syscall_result(100);
  auto const short_read = c.run();
  ASSERT_TRUE(std::holds_alternative<DataMissing>(short_read));
  EXPECT_EQ(std::get<DataMissing>(short_read).bytes, 90u);
  ASSERT_TRUE(std::holds_alternative<Syscall>(c.run()));
  EXPECT_EQ(c.host_read(-1, data_address, 10, 0).error(), Errno::BadF);
  ::close(fd);
}

TEST_F(TrapTest, memory_calls) {
  auto p = start(touch());
  auto& c = *p.context;
  uint64_t const at = 0x7f0000000000, size = 0x10000;
  ASSERT_TRUE(c.map_anonymous(at, size, PROT_READ | PROT_WRITE));
  EXPECT_TRUE(c.store32(at + 0x5000, 42));
  ASSERT_TRUE(c.protect(at, size, PROT_READ));
  EXPECT_EQ(c.store32(at + 0x5000, 43).error(), Errno::Fault);
  EXPECT_EQ(c.load32(at + 0x5000).value(), 42u);
  ASSERT_TRUE(c.remap(at, size, at + 0x100000, size * 2));
  EXPECT_EQ(c.load32(at + 0x105000).value(), 42u);
  EXPECT_EQ(c.load32(at + 0x5000).error(), Errno::Fault);
  ASSERT_TRUE(c.advise(at + 0x100000, size, MADV_DONTNEED));
  EXPECT_EQ(c.load32(at + 0x105000).value(), 0u);
  ASSERT_TRUE(c.unmap(at + 0x100000, size * 2));
  EXPECT_EQ(c.load32(at + 0x105000).error(), Errno::Fault);
  // More than the filter lets pass unasked.
  ASSERT_TRUE(c.map_anonymous(0x100000000000, 1ull << 36, PROT_NONE));
  ASSERT_TRUE(c.protect(0x100000000000, 1ull << 36, PROT_READ));
  ASSERT_TRUE(c.unmap(0x100000000000, 1ull << 36));
  EXPECT_EQ(c.map_anonymous(stub::user_limit - 4096, 8192, PROT_READ).error(), Errno::Inval);
  // Files.
  int const fd = ::memfd_create("file", 0);
  ASSERT_EQ(::ftruncate(fd, 8192), 0);
  ASSERT_EQ(::pwrite(fd, "file", 4, 4096), 4);
  ASSERT_TRUE(c.map_file(at, 4096, PROT_READ | PROT_WRITE, {fd, 4096, true}));
  EXPECT_EQ(c.load32(at).value(), 0x656c6966u);
  EXPECT_TRUE(c.store32(at, 1));
  uint32_t word = 0;
  EXPECT_EQ(::pread(fd, &word, 4, 4096), 4);
  EXPECT_EQ(word, 1u);
  EXPECT_EQ(c.map_file(at, 4096, PROT_READ, {999, 0, true}).error(), Errno::BadF);
  ::close(fd);
}

TEST_F(TrapTest, fork_copies_memory_and_registers) {
  auto p = start(touch());
  Registers r = p.context->registers();
  r.rdi = data_address;
  r.rbx = 99;
  p.context->set_registers(r);
  p.context->set_fs_base(0x12345000);
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
  auto child = p.context->fork();
  ASSERT_TRUE(child) << errno_name(child.error().code);
  EXPECT_EQ(child->context->registers().rbx, 99u);
  EXPECT_EQ(child->context->registers().fs_base, 0x12345000u);
  EXPECT_EQ(child->context->load32(data_address).value(), 7u);
  EXPECT_TRUE(child->context->store32(data_address, 8));
  EXPECT_EQ(p.context->load32(data_address).value(), 7u);
  child->context->set_syscall_result(0);
  ASSERT_TRUE(std::holds_alternative<Syscall>(child->context->run()));
  EXPECT_EQ(child->context->registers().fs_base, 0x12345000u);
  // A grandchild.
  auto grandchild = child->context->fork();
  ASSERT_TRUE(grandchild);
  ASSERT_TRUE(std::holds_alternative<Syscall>(grandchild->context->run()));
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
}

TEST_F(TrapTest, threads_share_memory) {
  auto p = start(touch());
  Registers r = p.context->registers();
  r.rdi = data_address;
  p.context->set_registers(r);
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
  std::vector<std::unique_ptr<Context>> threads;
  for (int i = 0; i < 10; ++i) {
    auto t = p.context->clone_thread();
    ASSERT_TRUE(t) << errno_name(t.error().code);
    Registers tr = (*t)->registers();
    tr.rdi = data_address + 64 * (i + 1);
    tr.fs_base = 0x1000 * i;
    (*t)->set_registers(tr);
    ASSERT_TRUE(std::holds_alternative<Syscall>((*t)->run()));
    EXPECT_EQ((*t)->registers().fs_base, 0x1000u * i);
    EXPECT_EQ(p.context->load32(tr.rdi).value(), 7u);
    threads.push_back(std::move(*t));
  }
  threads.clear();
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
  for (int i = 0; i < 50; ++i) {
    auto t = p.context->clone_thread();
    ASSERT_TRUE(t);
    ASSERT_TRUE(std::holds_alternative<Syscall>((*t)->run()));
  }
}

TEST_F(TrapTest, native_futex_wait_wakes_and_can_be_cut) {
  auto p = start(futex_wait());
  Registers r = p.context->registers();
  r.rdi = data_address, r.rsi = 0, r.rdx = 1;
  p.context->set_registers(r);
  // The value differs: EAGAIN at once, without a stop.
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
  EXPECT_EQ(p.context->registers().rbx, static_cast<uint64_t>(-EAGAIN));
  // Now it sleeps, until another thread's context wakes it.
  auto waker = p.context->clone_thread();
  ASSERT_TRUE(waker);
  ASSERT_TRUE(p.context->store32(data_address, 1));
  std::thread other([&] {
    ::usleep(20000);
    uint64_t woken = 0;
    while (woken == 0) woken = (*waker)->futex_wake(data_address, 1, true).value_or(1);
  });
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
  other.join();
  EXPECT_EQ(p.context->registers().rbx, 0u);
  std::thread interrupter([&] { interrupt_when_asleep(*p.context); });
  Stop stop = p.context->run();
  interrupter.join();
  ASSERT_TRUE(std::holds_alternative<Interrupted>(stop));
  EXPECT_TRUE(std::get<Interrupted>(stop).futex_wait_cut);
  EXPECT_EQ(p.context->registers().rip, code_address + 5);
  EXPECT_EQ(p.context->registers().rax, 202u);
}

TEST_F(TrapTest, xstate_round_trip_and_refusal) {
  auto p = start(getpid_forever());
  std::vector<std::byte> image(platform_->xstate_size()), again(image.size());
  ASSERT_TRUE(p.context->get_xstate(image));
  uint32_t mxcsr;
  std::memcpy(&mxcsr, image.data() + 24, 4);
  EXPECT_EQ(mxcsr, 0x1f80u);
  image[160 + 16 * 7] = std::byte{0x5a};  // xmm7
  image[512] |= std::byte{2};
  ASSERT_TRUE(p.context->set_xstate(image));
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
  ASSERT_TRUE(p.context->get_xstate(again));
  EXPECT_EQ(again[160 + 16 * 7], std::byte{0x5a});
  image[27] = std::byte{0xff};
  EXPECT_EQ(p.context->set_xstate(image).error(), Errno::Inval);
  image[27] = std::byte{0};
  image[519] = std::byte{0x80};
  EXPECT_EQ(p.context->set_xstate(image).error(), Errno::Inval);
  p.context->reset_xstate();
  ASSERT_TRUE(p.context->get_xstate(again));
  EXPECT_EQ(again[160 + 16 * 7], std::byte{0});
}

TEST_F(TrapTest, foreign_memory_and_usage) {
  auto p = start(spin_forever());
  EXPECT_EQ(p.address_space->write(data_address, std::as_bytes(std::span("abc", 4))).value(), 4u);
  std::byte buffer[4];
  EXPECT_EQ(p.address_space->read(data_address, buffer).value(), 4u);
  EXPECT_EQ(buffer[1], std::byte{'b'});
  EXPECT_EQ(p.address_space->read(0x2000, buffer).error(), Errno::Fault);
  ASSERT_TRUE(p.context->protect(data_address, data_size, PROT_READ));
  ASSERT_TRUE(p.context->flush());
  EXPECT_EQ(p.address_space->write(data_address, buffer).error(), Errno::Fault);
  EXPECT_EQ(p.address_space->write(data_address, buffer, true).value(), 4u);
  EXPECT_GT(p.address_space->resident_bytes(), 0u);
  unsigned char pages[2];
  ASSERT_TRUE(p.address_space->mincore(data_address, 8192, pages));
  EXPECT_EQ(pages[0], 1);
  EXPECT_EQ(pages[1], 0);
  p.context->interrupt();
  (void)p.context->run();
  EXPECT_GT(p.address_space->usage().minor_faults, 0u);
}

GUEST_CODE(block_and_report, R"(
1:mov $14, %eax
  xor %edi, %edi
  mov $0x500000, %esi
  mov $0x500100, %edx
  mov $8, %r10d
  syscall
  mov %rax, %r15
  mov $273, %eax
  mov $0x501000, %edi
  mov $24, %esi
  syscall
  mov $500, %eax
  syscall
  jmp 1b
)")

TEST_F(TrapTest, the_mask_and_the_robust_list_change_without_a_stop) {
  auto p = start(block_and_report());
  auto& c = *p.context;
  uint64_t const all = ~uint64_t{0}, sigkill_and_sigstop = 1u << 8 | 1u << 18;
  ASSERT_TRUE(c.copy_out(data_address, std::as_bytes(std::span(&all, 1))));
  c.set_native_state({0x8, 0}, true);
  Stop stop = c.run();
  ASSERT_TRUE(std::holds_alternative<Syscall>(stop));
  EXPECT_EQ(std::get<Syscall>(stop).number, 500u);
  EXPECT_EQ(c.registers().r15, 0u);
  auto const changed = c.changed_native_state();
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->blocked_signals, all & ~sigkill_and_sigstop);
  EXPECT_EQ(changed->robust_list, 0x501000u);
  EXPECT_EQ(c.load32(data_address + 0x100).value(), 8u);
  EXPECT_FALSE(c.changed_native_state());
  // While a signal is pending each change is seen.
  c.set_syscall_result(0);
  c.set_native_state(*changed, false);
  stop = c.run();
  ASSERT_TRUE(std::holds_alternative<Syscall>(stop));
  EXPECT_EQ(std::get<Syscall>(stop).number, 14u);
}

TEST_F(TrapTest, a_thread_that_ends_clears_its_word_and_its_host_thread_serves_the_next) {
  auto p = start(count_to_syscall());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(p.context->store32(data_address, 7));
    auto other = p.context->clone_thread();
    ASSERT_TRUE(other);
    Registers r = (*other)->registers();
    r.rbx = 0;
    (*other)->set_registers(r);
    ASSERT_TRUE(std::holds_alternative<Syscall>((*other)->run()));
    (*other)->clear_at_end(data_address);
    other->reset();
    EXPECT_TRUE(eventually([&] { return p.context->load32(data_address).value_or(1) == 0; }));
  }
  // A word that is not there harms nobody.
  auto other = p.context->clone_thread();
  ASSERT_TRUE(other);
  (*other)->clear_at_end(0x3000);
  other->reset();
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
}

TEST_F(TrapTest, a_queued_mapping_that_the_host_refuses_is_reported) {
  auto p = start(touch());
  auto& c = *p.context;
  Registers r = c.registers();
  r.rdi = data_address;
  c.set_registers(r);
  ASSERT_TRUE(std::holds_alternative<Syscall>(c.run()));
  host::OwnedFd const read_only(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(read_only);
  uint64_t const at = 0x7f0000000000;
  ASSERT_TRUE(c.map_file(at, 4096, PROT_READ | PROT_WRITE, {read_only.get(), 0, true}));
  c.set_syscall_result(at);
  Stop stop = c.run();
  auto* failed = std::get_if<MemoryCallFailed>(&stop);
  ASSERT_NE(failed, nullptr) << stop.index();
  EXPECT_EQ(failed->address, at);
  EXPECT_EQ(failed->length, 4096u);
  EXPECT_EQ(failed->error, Errno::Acces);
  EXPECT_TRUE(failed->is_mapping);
  c.set_syscall_result(static_cast<uint64_t>(-EACCES));
  ASSERT_TRUE(std::holds_alternative<Syscall>(c.run()));
}

TEST_F(TrapTest, facts_are_answered_without_a_stop) {
  auto p = start(touch_after_getpid());
  p.context->set_facts({42, 43, 1, 5, 6, 7, 8, true});
  Registers r = p.context->registers();
  r.rdi = data_address;
  p.context->set_registers(r);
  Stop stop = p.context->run();
  ASSERT_TRUE(std::holds_alternative<Syscall>(stop));
  EXPECT_EQ(std::get<Syscall>(stop).number, 500u);
  EXPECT_EQ(p.context->registers().rbx, 42u);
}

TEST_F(TrapTest, vdso_is_mapped_and_works) {
  ASSERT_NE(platform_->vdso_address(), 0u);
  auto p = start(load_and_report());
  Registers r = p.context->registers();
  r.rdi = platform_->vdso_address();
  p.context->set_registers(r);
  ASSERT_TRUE(std::holds_alternative<Syscall>(p.context->run()));
  EXPECT_EQ(p.context->registers().rbx, 0x464c457fu);
}

}  // namespace
}  // namespace cofferdam::platform::trap

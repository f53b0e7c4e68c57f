// A guest of a few instructions for tests of a platform.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <span>

#include "platform/trap/trap.h"
#include "stub/layout.h"

// Defines name(), the bytes of some machine code.
#define GUEST_CODE(name, text)                                                                        \
  asm(".pushsection .rodata\nguest_" #name "_begin:\n" text "\nguest_" #name "_end:\n.popsection\n"); \
  extern "C" std::byte const guest_##name##_begin[], guest_##name##_end[];                            \
  inline std::span<std::byte const> name() {                                                          \
    return {guest_##name##_begin, static_cast<size_t>(guest_##name##_end - guest_##name##_begin)};    \
  }

namespace cofferdam::platform::trap {

class TrapTest : public ::testing::Test {
 protected:
  static constexpr uint64_t code_address = 0x400000, data_address = 0x500000, stack_top = 0x610000;
  static constexpr uint64_t code_size = 0x10000, data_size = 0x10000;

  void SetUp() override { create({}); }
  void create(Options const& options) {
    platform_.reset();
    auto platform = trap::create(options);
    ASSERT_TRUE(platform) << errno_name(platform.error().code);
    platform_ = std::move(*platform);
  }

  // A process with the code at code_address, zeroed data, a stack, and rip at the code.
  NewProcess start(std::span<std::byte const> code) {
    auto process = platform_->new_process();
    EXPECT_TRUE(process) << errno_name(process.error().code);
    auto& c = *process->context;
    EXPECT_TRUE(c.map_anonymous(code_address, code_size, PROT_READ | PROT_WRITE | PROT_EXEC));
    EXPECT_TRUE(c.map_anonymous(data_address, data_size, PROT_READ | PROT_WRITE));
    EXPECT_TRUE(c.map_anonymous(stack_top - 0x10000, 0x10000, PROT_READ | PROT_WRITE));
    EXPECT_TRUE(c.copy_out(code_address, code));
    EXPECT_TRUE(c.flush());
    Registers r = c.registers();
    r.rip = code_address;
    r.rsp = stack_top;
    c.set_registers(r);
    return std::move(*process);
  }

  // The same with the code in a private mapping of a file, as a program's text is: its call sites get patched.
  NewProcess start_program(std::span<std::byte const> code) {
    auto p = start(code);
    int const fd = ::memfd_create("program", MFD_CLOEXEC);
    EXPECT_EQ(::ftruncate(fd, code_size), 0);
    EXPECT_EQ(::pwrite(fd, code.data(), code.size(), 16), static_cast<ssize_t>(code.size()));
    EXPECT_TRUE(p.context->map_file(code_address, code_size, PROT_READ | PROT_EXEC, {fd, 0, false}));
    ::close(fd);
    Registers r = p.context->registers();
    r.rip = code_address + 16;
    p.context->set_registers(r);
    return p;
  }

  // Calls `step` until it gives true, bounded: on a loaded machine the other side may not run for a long time.
  static bool eventually(auto&& step) {
    auto const end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!step())
      if (std::chrono::steady_clock::now() > end) return false;
    return true;
  }
  // Interrupts the guest once it sleeps in a futex wait of its own; for another thread than the one in run().
  static void interrupt_when_asleep(Context& context) {
    EXPECT_TRUE(eventually([&] {
      ::usleep(1000);
      return context.asleep();
    }));
    context.interrupt();
  }

  std::unique_ptr<Platform> platform_;
};

}  // namespace cofferdam::platform::trap

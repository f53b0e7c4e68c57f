// The frame that a signal handler of x86-64 Linux runs on (arch/x86/include/uapi/asm/{sigcontext,ucontext}.h of Linux).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernel/signal/signal.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {

struct GuestSignalStack {  // stack_t
  uint64_t address = 0;
  int32_t flags = 0;
  uint32_t padding = 0;
  uint64_t size = 0;
};

struct GuestSignalContext {  // struct sigcontext
  uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
  uint16_t cs, gs, fs, ss;
  uint64_t error_code, trap_number, old_mask, cr2;
  uint64_t fpstate;
  uint64_t reserved[8];
};

struct GuestUserContext {  // struct ucontext
  uint64_t flags = 0, link = 0;
  GuestSignalStack stack;
  GuestSignalContext machine{};
  uint64_t mask = 0;
};

struct SignalFrame {  // struct rt_sigframe; the XSAVE image stands above it, aligned to 64
  uint64_t return_address = 0;
  GuestUserContext context;
  SignalInfo info;
};
static_assert(sizeof(GuestSignalContext) == 256 && sizeof(GuestUserContext) == 304 && sizeof(SignalFrame) == 440);

// The XSAVE image of a frame: [legacy area with software bytes][header][components][magic].
namespace xsave_frame {
inline constexpr size_t legacy_size = 512, header_size = 64, software_offset = 464, mxcsr_offset = 24;
inline constexpr uint32_t magic1 = 0x46505853, magic2 = 0x46505845;
struct Software {  // struct _fpx_sw_bytes
  uint32_t magic1, extended_size;
  uint64_t features;
  uint32_t size;
  uint32_t padding[7];
};
static_assert(sizeof(Software) == 48);

// Stamps a plain image (to which room for the last magic word has been added) as the kernel stamps one in a frame.
void stamp(std::span<std::byte> image_with_magic, uint64_t features);
// The image in a guest's frame as one that can be loaded: what the software bytes do not vouch for is in its initial
// state. Empty: the CPU would refuse it. `image` has the platform's xstate_size(), bytes beyond the frame's own size
// are ignored.
bool make_loadable(std::span<std::byte> image, std::optional<Software> trusted, uint64_t features);
// The software bytes, if they and the last word are whole: `limit` is the platform's xstate_size().
std::optional<Software> software_of(std::span<std::byte const> legacy, size_t limit);
// The components that frames carry: those that the CPU has switched on, but for the ones that need asking (AMX).
uint64_t features();
}  // namespace xsave_frame

// Builds the frame for `action` on the task's stack (or its signal stack) and points the registers at the handler.
// `mask` is what sigreturn restores. EFAULT: no room; the caller turns it into SIGSEGV.
Result<void> build_signal_frame(Task&, SignalInfo const&, SignalAction const&, SignalSet mask);

}  // namespace cofferdam::kernel

template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<cofferdam::kernel::SignalFrame> = true;

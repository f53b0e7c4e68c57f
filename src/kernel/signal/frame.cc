#include "kernel/signal/frame.h"

#include <cstring>

#include "kernel/kernel.h"
#include "kernel/signal/delivery.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::kernel {
namespace {

constexpr uint64_t red_zone = 128;
constexpr uint64_t flags_xstate = 1, flags_has_ss = 2, flags_strict_ss = 4;  // UC_*
constexpr uint64_t sa_restorer = 0x04000000;
constexpr uint64_t eflags_trap = 0x100, eflags_direction = 0x400, eflags_resume = 0x10000;
// What sigreturn takes from the frame (FIX_EFLAGS of Linux): AC OF DF TF SF ZF AF PF CF RF.
constexpr uint64_t eflags_restorable = 0x40000 | 0x800 | 0x400 | 0x100 | 0x80 | 0x40 | 0x10 | 0x4 | 0x1 | 0x10000;
constexpr uint16_t user_code_segment = 0x33, user_data_segment = 0x2b;
// Handlers may interrupt the vDSO, which lies above what guests map.
constexpr uint64_t canonical_end = uint64_t{1} << 47;
constexpr uint64_t minimum_stack = 2048;  // MINSIGSTKSZ

bool is_on_stack(SignalStack const& s, uint64_t stack_pointer) {
  return stack_pointer > s.address && stack_pointer - s.address <= s.size;
}

// sas_ss_flags of Linux.
int stack_state(SignalStack const& s, uint64_t stack_pointer) {
  if (s.size == 0) return SS_DISABLE;
  if (s.flags & signal_stack_autodisarm) return 0;
  return is_on_stack(s, stack_pointer) ? SS_ONSTACK : 0;
}

struct Placement {
  uint64_t frame, xstate;  // addresses
};

Result<Placement> place_frame(SignalStack const& stack, SignalAction const& action, uint64_t stack_pointer,
                              size_t xstate_size, uint64_t limit) {
  uint64_t top = stack_pointer - red_zone;
  bool nested = !(stack.flags & signal_stack_autodisarm) && is_on_stack(stack, stack_pointer);
  bool entering = false;
  if ((action.flags & SA_ONSTACK) && stack_state(stack, top) == 0) {
    top = stack.address + stack.size;
    entering = true;
  }
  if (top >= limit || top < xstate_size + sizeof(SignalFrame) + 256) return fail(Errno::Fault);
  Placement at;
  at.xstate = (top - xstate_size) & ~uint64_t{63};
  at.frame = ((at.xstate - sizeof(SignalFrame)) & ~uint64_t{15}) - 8;
  if ((nested || entering) && !is_on_stack(stack, at.frame)) return fail(Errno::Fault);
  return at;
}

GuestSignalContext machine_context(platform::Registers const& r, platform::Fault const& fault, SignalSet mask,
                                   uint64_t fpstate) {
  GuestSignalContext m{};
  m.r8 = r.r8, m.r9 = r.r9, m.r10 = r.r10, m.r11 = r.r11, m.r12 = r.r12, m.r13 = r.r13, m.r14 = r.r14, m.r15 = r.r15;
  m.rdi = r.rdi, m.rsi = r.rsi, m.rbp = r.rbp, m.rbx = r.rbx, m.rdx = r.rdx, m.rax = r.rax, m.rcx = r.rcx;
  m.rsp = r.rsp, m.rip = r.rip, m.eflags = r.eflags;
  m.cs = user_code_segment, m.ss = user_data_segment;
  m.error_code = fault.error_code, m.trap_number = fault.trap_number, m.cr2 = fault.address;
  m.old_mask = mask.bits();
  m.fpstate = fpstate;
  return m;
}

void restore_registers(platform::Registers& r, GuestSignalContext const& m) {
  r.r8 = m.r8, r.r9 = m.r9, r.r10 = m.r10, r.r11 = m.r11, r.r12 = m.r12, r.r13 = m.r13, r.r14 = m.r14, r.r15 = m.r15;
  r.rdi = m.rdi, r.rsi = m.rsi, r.rbp = m.rbp, r.rbx = m.rbx, r.rdx = m.rdx, r.rax = m.rax, r.rcx = m.rcx;
  r.rsp = m.rsp, r.rip = m.rip;
  r.eflags = (r.eflags & ~eflags_restorable) | (m.eflags & eflags_restorable);
}

// The kernel's own writes extend a stack as the program's do.
Result<void> write_frame(Task& task, uint64_t address, std::span<std::byte const> bytes, uint64_t stack_pointer) {
  auto attempt = [&]() -> Result<void> {
    TRY(task.copy_out(UserAddr{address}, bytes));
    return task.context().flush();
  };
  auto written = attempt();
  if (written) return written;
  auto mm = task.mm();
  if (!mm) return written;
  auto grown = mm->grow_stack(task, address, std::min(address, stack_pointer));
  if (!grown || !*grown) return written;
  return attempt();
}

// The XSAVE image that the frame points to, or the initial state when it points nowhere.
Result<void> restore_xstate(Task& task, uint64_t address) {
  if (address == 0) {
    task.context().reset_xstate();
    return {};
  }
  size_t size = task.kernel().platform().xstate_size();
  std::vector<std::byte> image(size + sizeof xsave_frame::magic2);
  std::span<std::byte> bytes(image);
  TRY(task.copy_in(UserAddr{address}, bytes.first(xsave_frame::legacy_size)));
  auto software = xsave_frame::software_of(bytes.first(xsave_frame::legacy_size), size);
  if (software) {
    uint32_t last = 0;
    auto rest = bytes.subspan(xsave_frame::legacy_size, software->size - xsave_frame::legacy_size + sizeof last);
    TRY(task.copy_in(UserAddr{address + xsave_frame::legacy_size}, rest));
    std::memcpy(&last, bytes.data() + software->size, sizeof last);
    if (last != xsave_frame::magic2) software.reset();
  }
  if (!xsave_frame::make_loadable(bytes.first(size), software, xsave_frame::features())) return fail(Errno::Fault);
  return task.context().set_xstate(bytes.first(size));
}

Result<void> restore_frame(Task& task) {
  auto registers = task.context().registers();
  auto context =
      TRY(task.read(UserPtr<GuestUserContext>(registers.rsp)));  // the handler's ret has taken the return address
  task.set_blocked_signals(SignalSet(context.mask));
  // The guest runs 64-bit code in flat segments and nothing else.
  if ((context.machine.cs | 3) != user_code_segment) return fail(Errno::Fault);
  if ((context.flags & flags_strict_ss) && (context.machine.ss | 3) != user_data_segment) return fail(Errno::Fault);
  if (context.machine.rip >= canonical_end) return fail(Errno::Fault);
  TRY(restore_xstate(task, context.machine.fpstate));
  restore_registers(registers, context.machine);
  task.context().set_registers(registers);
  auto const& s = context.stack;
  (void)set_signal_stack(task, s.address, s.flags, s.size, registers.rsp);  // as Linux: a bad one is passed over
  return {};
}

}  // namespace

Result<void> build_signal_frame(Task& task, SignalInfo const& info, SignalAction const& action, SignalSet mask) {
  if (!(action.flags & sa_restorer)) return fail(Errno::Fault);
  auto& own = task.implementation();
  auto& context = task.context();
  auto registers = context.registers();
  size_t xstate_size = task.kernel().platform().xstate_size();
  size_t in_frame = xstate_size + sizeof xsave_frame::magic2;
  auto at = TRY(place_frame(own.signal_stack, action, registers.rsp, in_frame, task.kernel().platform().user_limit()));

  SignalFrame frame;
  frame.return_address = action.restorer;
  frame.context.flags = flags_xstate | flags_has_ss | flags_strict_ss;
  frame.context.stack = {own.signal_stack.address, own.signal_stack.flags, 0, own.signal_stack.size};
  frame.context.machine = machine_context(registers, own.last_fault, mask, at.xstate);
  frame.context.mask = mask.bits();
  if (action.flags & SA_SIGINFO) frame.info = info;

  std::vector<std::byte> bytes(at.xstate - at.frame + in_frame);
  std::memcpy(bytes.data(), &frame, sizeof frame);
  auto image = std::span(bytes).subspan(at.xstate - at.frame);
  TRY(context.get_xstate(image.first(xstate_size)));
  xsave_frame::stamp(image, xsave_frame::features());
  TRY(write_frame(task, at.frame, bytes, registers.rsp));

  registers.rdi = static_cast<uint64_t>(info.signal());
  registers.rsi = at.frame + offsetof(SignalFrame, info);
  registers.rdx = at.frame + offsetof(SignalFrame, context);
  registers.rax = 0;
  registers.rip = action.handler;
  registers.rsp = at.frame;
  registers.eflags &= ~(eflags_direction | eflags_resume | eflags_trap);
  context.set_registers(registers);
  context.reset_xstate();
  return {};
}

Result<uint64_t> return_from_signal(Task& task) {
  task.implementation().registers_replaced = true;
  if (!restore_frame(task)) {
    task.implementation().last_fault = {};
    task.force_signal(SignalInfo::from_kernel(SIGSEGV));
  }
  return task.context().registers().rax;
}

Result<void> set_signal_stack(Task& task, uint64_t address, int flags, uint64_t size, uint64_t stack_pointer) {
  auto& stack = task.implementation().signal_stack;
  if (!(stack.flags & signal_stack_autodisarm) && is_on_stack(stack, stack_pointer)) return fail(Errno::Perm);
  int mode = flags & ~signal_stack_autodisarm;
  if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) return fail(Errno::Inval);
  if (mode == SS_DISABLE) {
    stack = {0, 0, flags};
    return {};
  }
  if (size < minimum_stack) return fail(Errno::NoMem);
  stack = {address, size, flags};
  return {};
}

int signal_stack_flags(Task& task, uint64_t stack_pointer) {
  auto const& stack = task.implementation().signal_stack;
  return stack_state(stack, stack_pointer) | (stack.flags & signal_stack_autodisarm);
}

}  // namespace cofferdam::kernel

// The start of the zygote: the process with nothing mapped but the stub region, from which all stubs are cloned.
//
// bootstrap() runs in a fresh fork of the sentry, from a temporary mapping of this image; run_zygote() from the final
// one.
#include "stub/layout.h"

#pragma GCC visibility push(hidden)
using namespace cofferdam::stub;

extern "C" {
void signal_entry();
void signal_restorer();
extern char image_header[];
long set_altstack(Control* control);
long set_sigmask(int how, uint64_t const* mask);
[[noreturn]] void bootstrap(BootParameters* parameters);
[[noreturn]] void run_zygote(BootParameters* parameters);
}

namespace {

// Only before the filter is installed.
inline long call(long number, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0, uint64_t e = 0,
                 uint64_t f = 0) {
  register uint64_t r10 asm("r10") = d;
  register uint64_t r8 asm("r8") = e;
  register uint64_t r9 asm("r9") = f;
  asm volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return number;
}
enum : long {
  sys_mmap = 9,
  sys_munmap = 11,
  sys_sigaction = 13,
  sys_sigprocmask = 14,
  sys_mremap = 25,
  sys_setsid = 112,
  sys_capset = 126,
  sys_prctl = 157,
  sys_setrlimit = 160,
  sys_exit_group = 231,
  sys_seccomp = 317,
  sys_rseq = 334,
};

[[noreturn]] void give_up(BootParameters* p, int step, long error) {
  p->failed_step = step;
  p->host_error = static_cast<uint64_t>(-error);
  for (;;) call(sys_exit_group, 1);
}

void map_fixed(BootParameters* p, uint64_t address, uint64_t size, int protection, int fd) {
  long const r = call(sys_mmap, address, size, static_cast<uint64_t>(protection), 0x11 /* SHARED|FIXED */,
                      static_cast<uint64_t>(fd), 0);
  if (r < 0) give_up(p, 1, r);
}

void move_vdso(BootParameters* p, bool to_parking) {
  uint64_t offset = 0;
  for (uint32_t i = 0; i < p->vdso_pieces; ++i) {
    uint64_t const length = p->vdso[i].length;
    uint64_t const target = (to_parking ? p->parking : vdso_address) + offset;
    long const r = call(sys_mremap, p->vdso[i].from, length, length, 3 /* MAYMOVE|FIXED */, target);
    if (r < 0) give_up(p, 2, r);
    p->vdso[i].from = target;
    offset += length;
  }
}

struct SignalAction {
  uint64_t handler, flags, restorer, mask;
};

void set_signals(BootParameters* p) {
  for (int s = 1; s <= 64; ++s) {
    SignalAction action = {0, 0, 0, 0};
    bool const ours = s == 4 || s == 5 || s == 7 || s == 8 || s == 11 || s == 31 || s == interrupt_signal;
    if (ours)
      action = {reinterpret_cast<uint64_t>(&signal_entry), 0x4 | 0x08000000 | 0x04000000 /* SIGINFO|ONSTACK|RESTORER */,
                reinterpret_cast<uint64_t>(&signal_restorer), ~(1ul << 10 | 1ul << 6) /* all but SEGV and BUS */};
    long const r = call(sys_sigaction, static_cast<uint64_t>(s), reinterpret_cast<uint64_t>(&action), 0, 8);
    if (r < 0 && ours) give_up(p, 3, r);
  }
  uint64_t const all = ~0ul;
  call(sys_sigprocmask, 2, reinterpret_cast<uint64_t>(&all), 0, 8);
}

void drop_privileges(BootParameters* p) {
  struct {
    uint32_t version, pid;
  } header = {0x20080522, 0};
  uint32_t none[6] = {};
  call(sys_capset, reinterpret_cast<uint64_t>(&header), reinterpret_cast<uint64_t>(none));
  uint64_t const no_core[2] = {0, 0};
  call(sys_setrlimit, 4, reinterpret_cast<uint64_t>(no_core));
  call(sys_prctl, 4, 1);  // dumpable: the sentry reads guest memory
  call(sys_prctl, 1, 9);  // die with the sentry
  call(sys_prctl, 15, reinterpret_cast<uint64_t>("cofferdam-stub"));
  long const r = call(sys_prctl, 38, 1, 0, 0, 0);  // no new privileges
  if (r < 0) give_up(p, 4, r);
}

}  // namespace

void bootstrap(BootParameters* p) {
  if (p->rseq_address) call(sys_rseq, p->rseq_address, p->rseq_length, 1 /* unregister */, 0x53053053);
  call(sys_setsid);
  move_vdso(p, true);
  map_fixed(p, text_address, text_size, 5, p->text_fd);
  map_fixed(p, areas_address, window_size, 3, p->areas_fd);
  move_vdso(p, false);
  // The same code at its final address, on the stub's stack in the area; the parameters stand in the bounce buffer.
  uint64_t const target =
      text_address + (reinterpret_cast<uint64_t>(&run_zygote) - reinterpret_cast<uint64_t>(image_header));
  asm volatile("mov %0, %%rsp; xor %%ebp, %%ebp; call *%1; ud2" ::"r"(areas_address + stack_top), "r"(target),
               "D"(areas_address + bounce)
               : "memory");
  __builtin_unreachable();
}

void run_zygote(BootParameters* p) {
  auto* control = reinterpret_cast<Control*>(areas_address);
  uint64_t const vdso_end = vdso_address + 0x100000;
  call(sys_munmap, 0, text_address);
  call(sys_munmap, text_address + text_size, vdso_address - text_address - text_size);
  call(sys_munmap, vdso_end, areas_address - vdso_end);
  call(sys_munmap, areas_address + window_size, address_end - areas_address - window_size);
  set_signals(p);
  drop_privileges(p);
  long r = set_altstack(control);
  if (r < 0) give_up(p, 6, r);
  struct {
    uint16_t length;
    uint64_t* filter;
  } program = {static_cast<uint16_t>(p->filter_length), p->filter};
  r = call(sys_seccomp, 1, 8 /* NEW_LISTENER */ | p->seccomp_flags, reinterpret_cast<uint64_t>(&program));
  if (r == -22 && p->seccomp_flags) r = call(sys_seccomp, 1, 8, reinterpret_cast<uint64_t>(&program));
  if (r < 0) give_up(p, 7, r);
  p->listener_fd = static_cast<int32_t>(r);
  // Enters the signal handler for good; the frame that this makes is the template of all others.
  uint64_t const none = 0;
  set_sigmask(2, &none);
  asm volatile("ud2");
  __builtin_unreachable();
}

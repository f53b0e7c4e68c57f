// The code that runs beside the guest in its host process: signal entry, the hand-off to the sentry and its commands.
//
// Freestanding, general registers only (the guest's vector registers stay live). It trusts nothing: the guest can
// write the area and jump anywhere in here. What protects the host is the seccomp filter, not this code.
#include "stub/layout.h"

namespace {
using namespace cofferdam::stub;

constexpr int sigbus = 7, sigsegv = 11, sigsys = 31;
constexpr long eintr = 4;
constexpr uint64_t sys_futex = 202;
}  // namespace

#pragma GCC visibility push(hidden)
extern "C" {
extern char text_end[], guest_access[], guest_access_end[], guest_copy_end[], guest_words[], guest_word_fault[];
extern char guest_futex_check[], guest_futex_call[], guest_futex_cut[];
long handoff_futex(uint32_t* word, int op, uint32_t value);
long guest_futex(uint64_t const* arguments);
long guest_futex_wait(uint64_t const* arguments, Control* control);
long set_sigmask(int how, uint64_t const* mask);
long yield_cpu();
[[noreturn]] void exit_thread();
[[noreturn]] void resume_frame(uint64_t context);
long call_self(Op* op);
long call_notify(Op* op);
long clone_process(Op* op, Control* control);
long clone_thread(Op* op);
uint64_t copy_bytes(uint64_t to, uint64_t from, uint64_t n);
uint64_t fill_zero(uint64_t to, uint64_t n);
long load_word(uint64_t address);
long exchange_word(uint64_t address, uint32_t value);
long compare_exchange_word(uint64_t address, uint32_t expected, uint32_t desired);
void serve(Control* c);
[[noreturn]] void serve_frame(Control* c);
void handle_signal(int signal, SignalInfo* info, SignalContext* context);
}

static inline uint32_t current_cpu() {
  uint32_t aux;
  asm volatile("rdtscp" : "=c"(aux)::"eax", "edx");
  return aux & 0xfff;
}

static void wait_for_turn(Control* c) {
  c->cpu = current_cpu();
  if (__atomic_exchange_n(&c->turn, turn_sentry, __ATOMIC_SEQ_CST) & turn_sleep) handoff_futex(&c->turn, 1, 0x7fffffff);
  for (uint32_t n = c->spin; n != 0; --n) {
    if (__atomic_load_n(&c->turn, __ATOMIC_ACQUIRE) != turn_sentry) break;
    __builtin_ia32_pause();
  }
  for (;;) {
    uint32_t turn = __atomic_load_n(&c->turn, __ATOMIC_ACQUIRE);
    if (turn == turn_dead) exit_thread();
    if ((turn & turn_sentry) == 0) return;
    if (turn == turn_sentry && !__atomic_compare_exchange_n(&c->turn, &turn, turn_sentry | turn_sleep, false,
                                                            __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      continue;
    handoff_futex(&c->turn, 0, turn_sentry | turn_sleep);
  }
}

static long perform(Control* c, Op* op) {
  uint64_t const* a = op->a;
  uint64_t const area = c->self;
  switch (op->kind) {
    case op_copy_in:
      return static_cast<long>(copy_bytes(area + bounce + a[2], a[0], a[1]));
    case op_copy_out:
      return static_cast<long>(copy_bytes(a[0], area + bounce + a[2], a[1]));
    case op_zero:
      return static_cast<long>(fill_zero(a[0], a[1]));
    case op_load32:
      return load_word(a[0]);
    case op_exchange32:
      return exchange_word(a[0], static_cast<uint32_t>(a[1]));
    case op_compare_exchange32:
      return compare_exchange_word(a[0], static_cast<uint32_t>(a[1]), static_cast<uint32_t>(a[2]));
    case op_call_self:
      return call_self(op);
    case op_call_notify:
      return call_notify(op);
    case op_call_futex:
      return guest_futex(a);
    case op_clone_process:
      return clone_process(op, c);
    case op_clone_thread:
      return clone_thread(op);
    case op_exit:
      exit_thread();
    default:
      return -38;
  }
}

// Publishes the event that stands in the area and does as the sentry says until it says to run the guest.
void serve(Control* c) {
  for (;;) {
    wait_for_turn(c);
    uint32_t const count = c->op_count;
    bool failed = false;
    for (uint32_t i = 0; i < count && i < max_ops && !failed; ++i) {
      Op* op = &c->ops[i];
      uint32_t const kind = op->kind;
      long const result = perform(c, op);
      op->result = static_cast<uint64_t>(result);
      // Copies fused with the resume stop it when they fail: the sentry looks at the result then.
      failed = (kind == op_copy_out || kind == op_zero) && result != 0;
    }
    if (c->resume) {
      if (!failed) break;
      c->event = event_op_failed;
    }
  }
  uint32_t const bases = c->set_bases;
  if (bases & 1) __builtin_ia32_wrfsbase64(c->fs_base);
  if (bases & 2) __builtin_ia32_wrgsbase64(c->gs_base);
}

void serve_frame(Control* c) {
  serve(c);
  resume_frame(c->self + c->frame);
}

static bool in_range(uint64_t address, char const* low, char const* high) {
  return address >= reinterpret_cast<uint64_t>(low) && address < reinterpret_cast<uint64_t>(high);
}

// A signal that hit the stub's own code. True if that is all there is to do about it.
static bool handle_stub_signal(int signal, Control* c, SignalContext* context) {
  if (signal == sigsegv || signal == sigbus) {
    if (in_range(context->rip, guest_access, guest_words)) {
      // The eight-byte and four-byte moves fail whole: rcx still holds their length.
      context->rip = reinterpret_cast<uint64_t>(guest_copy_end);
      return true;
    }
    if (in_range(context->rip, guest_words, guest_access_end)) {
      context->rip = reinterpret_cast<uint64_t>(guest_word_fault);
      return true;
    }
  }
  if (signal == interrupt_signal) {
    c->interrupted = 1;
    if (in_range(context->rip, guest_futex_check, guest_futex_call + 1))
      context->rip = reinterpret_cast<uint64_t>(guest_futex_cut);
    return true;
  }
  return false;
}

enum class Native { No, Done, Cut };

static bool is_wait(uint32_t operation) { return operation == 0 || operation == 9; }

// Runs a futex call of the guest's if it is one that the host may do for it: WAIT, WAKE, their bitset forms, REQUEUE,
// CMP_REQUEUE, WAKE_OP.
static Native native_futex_call(Control* c, SignalContext* context) {
  uint32_t const operation = static_cast<uint32_t>(context->rsi) & 127;
  constexpr uint32_t allowed = 1u << 0 | 1u << 1 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 9 | 1u << 10;
  if ((context->rsi & 0xfffffe00) || operation > 10 || !(allowed >> operation & 1)) return Native::No;
  bool const second = operation == 3 || operation == 4 || operation == 5;
  if (context->rdi >= user_limit || (second && context->r8 >= user_limit)) return Native::No;
  uint64_t const a[6] = {context->rdi, context->rsi, context->rdx, context->r10, second ? context->r8 : 0, context->r9};
  if (!is_wait(operation)) {
    context->rax = static_cast<uint64_t>(guest_futex(a));
    return Native::Done;
  }
  uint64_t const mask = 1ul << (interrupt_signal - 1);
  set_sigmask(1, &mask);
  long const result = guest_futex_wait(a, c);
  set_sigmask(0, &mask);
  if (result == -eintr) return Native::Cut;
  context->rax = static_cast<uint64_t>(result);
  return Native::Done;
}

// A system call that needs no sentry. Returns whether the guest can run on.
static bool answer_natively(Control* c, SignalContext* context) {
  Facts const& f = c->facts;
  if (context->rax == sys_futex && (f.flags & native_futex)) {
    switch (native_futex_call(c, context)) {
      case Native::No:
        return false;
      case Native::Done:
        return c->interrupted == 0;
      case Native::Cut:
        context->rip -= 2;
        c->event = event_futex_cut;
        return false;
    }
  }
  if (!(f.flags & facts_valid)) return false;
  switch (context->rax) {
    case 24:
      yield_cpu();
      context->rax = 0;
      return true;
    case 39:
      context->rax = f.pid;
      return true;
    case 102:
      context->rax = f.uid;
      return true;
    case 104:
      context->rax = f.gid;
      return true;
    case 107:
      context->rax = f.euid;
      return true;
    case 108:
      context->rax = f.egid;
      return true;
    case 110:
      context->rax = f.ppid;
      return true;
    case 186:
      context->rax = f.tid;
      return true;
    default:
      return false;
  }
}

void handle_signal(int signal, SignalInfo* info, SignalContext* context) {
  Control* c = reinterpret_cast<Control*>(reinterpret_cast<uint64_t>(context) & ~(area_size - 1));
  c->event = static_cast<uint32_t>(signal);
  if (context->rip >= text_address && context->rip < reinterpret_cast<uint64_t>(text_end)) {
    if (handle_stub_signal(signal, c, context)) return resume_frame(reinterpret_cast<uint64_t>(context));
    c->event = event_broken;
  } else if (signal == sigsys && info->code == 1 && info->arch == 0xc000003e) {
    uint64_t const rax = context->rax;
    if (answer_natively(c, context)) return resume_frame(reinterpret_cast<uint64_t>(context));
    // A futex call that is done, with an interrupt that came meanwhile.
    if (c->event == static_cast<uint32_t>(sigsys) && rax == sys_futex && c->interrupted) c->event = interrupt_signal;
  }
  c->interrupted = 0;
  c->frame = static_cast<uint32_t>(reinterpret_cast<uint64_t>(context) - c->self);
  c->fs_base = __builtin_ia32_rdfsbase64();
  c->gs_base = __builtin_ia32_rdgsbase64();
  serve_frame(c);
}

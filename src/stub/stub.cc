// The code that runs beside the guest in its host process: signal entry, the hand-off to the sentry and its commands.
//
// Freestanding, general registers only (the guest's vector registers stay live). It trusts nothing: the guest can
// write the area and jump anywhere in here. What protects the host is the seccomp filter, not this code.
#include "stub/hints.h"
#include "stub/layout.h"

namespace {
using namespace cofferdam::stub;

constexpr int sigill = 4, sigtrap = 5, sigbus = 7, sigsegv = 11, sigsys = 31;
constexpr int sigkill = 9, sigstop = 19;
constexpr long eintr = 4, eagain = 11, efault = 14, enosys = 38;
constexpr uint64_t sys_rt_sigprocmask = 14, sys_madvise = 28, sys_arch_prctl = 158, sys_futex = 202,
                   sys_set_robust_list = 273, sys_rseq = 334;
}  // namespace

#pragma GCC visibility push(hidden)
extern "C" {
extern char text_end[], guest_access[], guest_access_end[], guest_copy_end[], guest_words[], guest_word_fault[];
extern char leave_guest[], leave_guest_end[], leave_interrupted[];
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
uint64_t copy_text(uint64_t to, uint64_t from, uint64_t n);
[[noreturn]] void materialise();
void serve_trampoline(Control* c);
uint64_t fill_zero(uint64_t to, uint64_t n);
long load_word(uint64_t address);
long exchange_word(uint64_t address, uint32_t value);
long compare_exchange_word(uint64_t address, uint32_t expected, uint32_t desired);
void serve(Control* c);
[[noreturn]] void serve_frame(Control* c);
void handle_signal(int signal, SignalInfo* info, SignalContext* context);
}

// From the limit of the segment in which Linux keeps it: a fifth of what rdtscp costs.
static inline uint32_t current_cpu() {
  uint32_t limit = 0;
  asm volatile("lsl %1, %0" : "+r"(limit) : "r"(0x7b) : "cc");
  return limit & 0xfff;
}

// Returns the turn word: what the sentry wants done.
static uint32_t wait_for_turn(Control* c) {
  c->cpu = static_cast<uint16_t>(current_cpu() | (c->state_changed ? cpu_state_changed : 0));
  if (__atomic_exchange_n(&c->turn, turn_sentry, __ATOMIC_SEQ_CST) & turn_sleep) handoff_futex(&c->turn, 1, 0x7fffffff);
  for (uint32_t n = c->spin; n != 0; --n) {
    if (__atomic_load_n(&c->turn, __ATOMIC_ACQUIRE) != turn_sentry) break;
    __builtin_ia32_pause();
  }
  for (;;) {
    uint32_t turn = __atomic_load_n(&c->turn, __ATOMIC_ACQUIRE);
    if (turn == turn_dead) exit_thread();
    if ((turn & turn_sentry) == 0) return turn;
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
    case op_copy_along:
      return static_cast<long>(copy_bytes(a[0], reinterpret_cast<uint64_t>(&a[2]), a[1]));
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

static void load_bases(Control const* c) {
  uint32_t const bases = c->set_bases;
  if (bases & 1) __builtin_ia32_wrfsbase64(c->fs_base);
  if (bases & 2) __builtin_ia32_wrgsbase64(c->gs_base);
}

static bool is_copy_out(uint32_t kind) { return kind == op_copy_out || kind == op_copy_along || kind == op_zero; }

// Publishes the event that stands in the area and does as the sentry says until it says to run the guest.
void serve(Control* c) {
  for (;;) {
    uint32_t const turn = wait_for_turn(c);
    uint32_t const count = turn >> turn_ops_shift & turn_ops_mask;
    uint32_t const resume = turn >> turn_resume_shift & turn_resume_mask;
    if (count != 0) {  // where the bytes of a copy may stand: their lines come together with that of the operation
      __builtin_prefetch(reinterpret_cast<void*>(c->self + bounce));
      __builtin_prefetch(reinterpret_cast<void*>(c->self + queued_bytes));
    }
    bool failed = false;
    for (uint32_t i = 0; i < count && i < max_ops && !failed; ++i) {
      Op* op = &c->ops[i];
      uint32_t const kind = op->kind;
      long const result = perform(c, op);
      if (op->result != static_cast<uint64_t>(result)) op->result = static_cast<uint64_t>(result);
      // What is fused with the resume stops it when it fails: the sentry looks at the result then.
      failed = is_copy_out(kind) ? result != 0
                                 : (kind == op_call_self || kind == op_call_notify) && result < 0 && result >= -4095;
    }
    if (!failed && (turn & turn_copy_along)) {
      uint64_t const left = copy_bytes(c->call[1], reinterpret_cast<uint64_t>(&c->call[3]), c->call[2]);
      failed = left != 0;
      if (failed) c->along_left = left;
    }
    if (resume) {
      if (resume == resume_materialise) {
        c->saved[STUB_SAVED_RAX] = c->call[STUB_REG_RAX];
        c->event = event_materialised;
        materialise();
      }
      if (!failed && resume == resume_anew) {
        load_bases(c);
        resume_frame(c->self + c->frame);
      }
      if (!failed) break;
      c->event = event_op_failed;
    }
  }
  load_bases(c);
}

void serve_frame(Control* c) {
  serve(c);
  resume_frame(c->self + c->frame);
}

static bool in_range(uint64_t address, char const* low, char const* high) {
  return address >= reinterpret_cast<uint64_t>(low) && address < reinterpret_cast<uint64_t>(high);
}

enum class InStub { Continue, AsGuest, Broken };

static void load_trampoline_registers(Control* c, SignalContext* context) {
  uint64_t const* s = c->saved;
  context->rax = s[STUB_SAVED_RAX];
  context->rdi = s[STUB_SAVED_RDI];
  context->rsi = s[STUB_SAVED_RSI];
  context->rdx = s[STUB_SAVED_RDX];
  context->r10 = s[STUB_SAVED_R10];
  context->r8 = s[STUB_SAVED_R8];
  context->r9 = s[STUB_SAVED_R9];
  context->rbx = s[STUB_SAVED_RBX];
  context->rbp = s[STUB_SAVED_RBP];
  context->r12 = s[STUB_SAVED_R12];
  context->r13 = s[STUB_SAVED_R13];
  context->r14 = s[STUB_SAVED_R14];
  context->r15 = s[STUB_SAVED_R15];
  context->rsp = s[STUB_SAVED_RSP];
  context->rip = context->rcx = s[STUB_SAVED_RIP];
  context->eflags = context->r11 = s[STUB_SAVED_FLAGS];
}

// A signal that hit the stub's own code: go on there, or treat it as one that hit the guest.
static InStub handle_stub_signal(int signal, Control* c, SignalContext* context) {
  if (signal == sigsegv || signal == sigbus) {
    if (in_range(context->rip, guest_access, guest_words)) {
      // The eight-byte and four-byte moves fail whole: rcx still holds their length.
      context->rip = reinterpret_cast<uint64_t>(guest_copy_end);
      return InStub::Continue;
    }
    if (in_range(context->rip, guest_words, guest_access_end)) {
      context->rip = reinterpret_cast<uint64_t>(guest_word_fault);
      return InStub::Continue;
    }
  }
  bool const trap_to_leave = signal == sigill && context->rip == reinterpret_cast<uint64_t>(leave_interrupted);
  if (trap_to_leave || (signal == interrupt_signal && in_range(context->rip, leave_guest, leave_guest_end))) {
    context->rip = context->rcx;
    context->rsp = c->saved[STUB_SAVED_RSP];
    context->eflags = context->r11;
    c->event = interrupt_signal;
    return InStub::AsGuest;
  }
  if (signal == sigill && context->rip == reinterpret_cast<uint64_t>(&materialise)) {
    load_trampoline_registers(c, context);
    if (c->event == event_futex_cut) context->rip -= 2;
    return InStub::AsGuest;
  }
  if (signal == interrupt_signal) {
    c->interrupted = 1;
    if (in_range(context->rip, guest_futex_check, guest_futex_call + 1))
      context->rip = reinterpret_cast<uint64_t>(guest_futex_cut);
    return InStub::Continue;
  }
  if (signal == sigtrap) {  // the guest single-steps itself: not through this code
    context->eflags &= ~0x100ul;
    return InStub::Continue;
  }
  return InStub::Broken;
}

enum class Native { No, Done, Cut };

static bool is_wait(uint32_t operation) { return operation == 0 || operation == 9; }

// Where a wake-up of another CPU costs tens of microseconds, the word often changes sooner. Looks in vain make it look
// ever more seldom.
static bool changes_soon(Control* c, uint64_t address, uint32_t expected) {
  constexpr uint32_t most_misses = 10;
  if (c->futex_skip != 0) {
    --c->futex_skip;
    return false;
  }
  for (uint32_t n = c->futex_looks; n != 0 && c->interrupted == 0; --n) {
    long const word = load_word(address);
    if (word < 0) return false;
    if (static_cast<uint32_t>(word) != expected) {
      c->futex_misses = 0;
      return true;
    }
    __builtin_ia32_pause();
  }
  if (c->futex_misses < most_misses) ++c->futex_misses;
  c->futex_skip = (1u << c->futex_misses) - 1;
  return false;
}

// Runs a futex call of the guest's if it is one that the host may do for it: WAIT, WAKE, their bitset forms, REQUEUE,
// CMP_REQUEUE, WAKE_OP. `arguments` in the order of the call.
static Native native_futex_call(Control* c, uint64_t const* arguments, bool in_handler, uint64_t* result) {
  uint32_t const operation = static_cast<uint32_t>(arguments[1]) & 127;
  constexpr uint32_t allowed = 1u << 0 | 1u << 1 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 9 | 1u << 10;
  if ((static_cast<uint32_t>(arguments[1]) & 0xfffffe00) || operation > 10 || !(allowed >> operation & 1))
    return Native::No;
  bool const second = operation == 3 || operation == 4 || operation == 5;
  if (arguments[0] >= user_limit || (second && arguments[4] >= user_limit)) return Native::No;
  uint64_t const a[6] = {arguments[0], arguments[1], arguments[2], arguments[3], second ? arguments[4] : 0,
                         arguments[5]};
  if (!is_wait(operation)) {
    *result = static_cast<uint64_t>(guest_futex(a));
    return Native::Done;
  }
  if (c->futex_looks != 0 && arguments[0] % 4 == 0 &&
      changes_soon(c, arguments[0], static_cast<uint32_t>(arguments[2]))) {
    *result = static_cast<uint64_t>(-eagain);
    return Native::Done;
  }
  uint64_t const mask = 1ul << (interrupt_signal - 1);
  if (in_handler) set_sigmask(1, &mask);
  long const r = guest_futex_wait(a, c);
  if (in_handler) set_sigmask(0, &mask);
  if (r == -eintr) {
    c->interrupted = 1;
    return Native::Cut;
  }
  *result = static_cast<uint64_t>(r);
  return Native::Done;
}

// Taken by the call that asks.
static bool may_serve_futex(Control* c) {
  if (c->facts.flags & native_futex) return true;
  if (!(c->facts.flags & native_futex_once)) return false;
  c->facts.flags &= ~static_cast<uint32_t>(native_futex_once);
  return true;
}

static bool answer_from_facts(Facts const& f, uint64_t number, uint64_t* result) {
  if (!(f.flags & facts_valid)) return false;
  switch (number) {
    case 24:
      yield_cpu();
      *result = 0;
      return true;
    case 39:
      *result = f.pid;
      return true;
    case 102:
      *result = f.uid;
      return true;
    case 104:
      *result = f.gid;
      return true;
    case 107:
      *result = f.euid;
      return true;
    case 108:
      *result = f.egid;
      return true;
    case 110:
      *result = f.ppid;
      return true;
    case 186:
      *result = f.tid;
      return true;
    default:
      return false;
  }
}

// madvise(MADV_DONTNEED) of whole pages, within what the filter lets pass.
static bool discard(Control const* c, uint64_t const* a, uint64_t* result) {
  constexpr uint64_t dontneed = 4, page_mask = 4095;
  if (!(c->native_calls & native_discard) || static_cast<uint32_t>(a[2]) != dontneed || (a[0] & page_mask) != 0 ||
      a[1] == 0 || a[1] >> 32 != 0 || a[0] >= user_limit || a[1] > user_limit - a[0])
    return false;
  Op op = {0, sys_madvise, {a[0], a[1], dontneed, 0, 0, 0}, 0};
  *result = static_cast<uint64_t>(call_self(&op));
  return true;
}

static bool is_served(uint64_t number) {  // read, write, lseek, pread64
  constexpr uint32_t calls = 1u << 0 | 1u << 1 | 1u << 8 | 1u << 17;
  return number < 18 && (calls >> number & 1);
}

static bool serve_seek(Service* s, uint64_t const* a, uint64_t* result) {
  constexpr uint64_t from_start = 0, from_here = 1, too_far = 1ul << 62;
  uint64_t const whence = static_cast<uint32_t>(a[2]);
  if (whence > from_here) return false;
  uint64_t const at = (whence == from_start ? 0 : s->position) + a[1];
  if (at >= too_far) return false;
  s->position = *result = at;
  s->used = 1;
  return true;
}

static bool serve_read(Service* s, Service const& now, bool positioned, uint64_t const* a, uint64_t* result) {
  uint64_t const to = a[1], count = a[2];
  uint32_t const served = now.served;
  if (!positioned && (served & serve_end)) {
    *result = 0;
  } else if (!positioned && (served & serve_zeros)) {
    uint64_t const done = count - fill_zero(to, count);
    if (done == 0) return false;
    *result = done;
  } else if (served & (positioned ? serve_file : serve_position)) {
    uint64_t const at = positioned ? a[3] : now.position;
    if (at >= now.size || count > now.size - at || copy_bytes(to, now.file + at, count) != 0) return false;
    *result = count;
    if (!positioned) s->position = at + count;
    s->used = 1;
  } else {
    return false;
  }
  s->read_bytes += *result;
  ++s->reads;
  return true;
}

// Calls on descriptors that the sentry has left to us. What needs an error, meets the end of a file or is very large
// is the sentry's.
static bool serve_descriptor(Control* c, uint64_t number, uint64_t const* a, uint64_t* result) {
  constexpr uint64_t sys_write = 1, sys_lseek = 8, sys_pread64 = 17;
  if (!(c->native_calls & native_services) || !is_served(number)) return false;
  uint32_t const descriptor = static_cast<uint32_t>(a[0]);
  Service* s = reinterpret_cast<Service*>(areas_address + services_offset) + descriptor % max_services;
  uint32_t const version = __atomic_load_n(&s->version, __ATOMIC_ACQUIRE);
  Service now = *s;
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  if ((version & 1) || __atomic_load_n(&s->version, __ATOMIC_RELAXED) != version) return false;
  if (now.descriptor != descriptor || now.served == 0) return false;
  if (number == sys_lseek) return (now.served & serve_position) && serve_seek(s, a, result);
  uint64_t const from = a[1], count = a[2];
  if (count == 0 || count > most_served || from >= user_limit || count > user_limit - from) return false;
  if (number != sys_write) return serve_read(s, now, number == sys_pread64, a, result);
  if (!(now.served & serve_sink)) return false;
  *result = count;
  s->written_bytes += count;
  ++s->writes;
  return true;
}

// What needs no more of the sentry than what it has left here. rt_sigprocmask and set_robust_list change two words that
// the sentry takes at the next stop. It lets them be changed here while no signal is pending, and interrupts the guest
// when one comes. Bad arguments are the sentry's.
static bool change_state(Control* c, uint64_t number, uint64_t const* a, uint64_t* result) {
  if (number == sys_madvise) return discard(c, a, result);
  if (!(c->native_calls & native_state)) return false;
  if (number == sys_rseq) {  // as the sentry says, too
    *result = static_cast<uint64_t>(-enosys);
    return true;
  }
  if (number == sys_arch_prctl) {
    constexpr uint64_t set_fs = 0x1002;
    if (static_cast<uint32_t>(a[0]) != set_fs || a[1] >= user_limit) return false;
    __builtin_ia32_wrfsbase64(a[1]);
    *result = 0;
    return true;
  }
  if (number == sys_set_robust_list) {
    if (a[1] != 24) return false;
    c->robust_list = a[0];
    c->state_changed = 1;
    *result = 0;
    return true;
  }
  if (number != sys_rt_sigprocmask || a[3] != 8) return false;
  constexpr uint64_t maskable = ~(1ul << (sigkill - 1) | 1ul << (sigstop - 1));
  uint64_t const before = c->blocked_signals, how = static_cast<uint32_t>(a[0]), set = a[1], old = a[2];
  uint64_t const word = reinterpret_cast<uint64_t>(&c->scratch);
  if (set != 0) {
    if (how > 2 || set >= user_limit || copy_bytes(word, set, 8) != 0) return false;
    uint64_t const given = c->scratch;
    uint64_t const after = (how == 0 ? before | given : how == 1 ? before & ~given : given) & maskable;
    if (after != before) {
      c->blocked_signals = after;
      c->state_changed = 1;
    }
  }
  *result = 0;
  if (old != 0) {
    c->scratch = before;
    if (old >= user_limit || copy_bytes(old, word, 8) != 0) *result = static_cast<uint64_t>(-efault);
  }
  return true;
}

// Calls that are answered natively never reach the sentry, which therefore would not patch their sites. Seldom and ever
// more seldom the sentry is told.
static bool is_patch_hint_due(Control* c, uint64_t number) {
  bool const native =
      (number == sys_futex && (c->facts.flags & native_futex)) ||
      ((c->native_calls & native_state) && (number == sys_rt_sigprocmask || number == sys_set_robust_list)) ||
      ((c->native_calls & native_services) && is_served(number)) ||
      ((c->facts.flags & facts_valid) && (number == 24 || number == 39 || number == 102 || number == 104 ||
                                          number == 107 || number == 108 || number == 110 || number == 186));
  if (!native || ++c->native_answers < c->next_patch_hint) return false;
  c->next_patch_hint = c->next_patch_hint < 1u << 30 ? c->next_patch_hint * 2 : 1u << 31;
  return true;
}

// A system call that came by SIGSYS and needs no sentry. Returns whether the guest can run on.
static bool answer_natively(Control* c, SignalContext* context) {
  if (context->rax == sys_futex && may_serve_futex(c)) {
    uint64_t const a[6] = {context->rdi, context->rsi, context->rdx, context->r10, context->r8, context->r9};
    switch (native_futex_call(c, a, true, &context->rax)) {
      case Native::No:
        return false;
      case Native::Done:
        if (c->interrupted) c->event = interrupt_signal;
        return c->interrupted == 0;
      case Native::Cut:
        context->rip -= 2;
        c->event = event_futex_cut;
        return false;
    }
  }
  uint64_t const a[4] = {context->rdi, context->rsi, context->rdx, context->r10};
  return serve_descriptor(c, context->rax, a, &context->rax) || change_state(c, context->rax, a, &context->rax) ||
         answer_from_facts(c->facts, context->rax, &context->rax);
}

// Brings along what the sentry is sure to ask for.
static void copy_hints(Control* c, uint64_t number, uint64_t const* arguments) {
  Hint* brought = reinterpret_cast<Hint*>(c->self + hint);
  if (brought->length != 0) brought->length = 0;
  if (number >= sizeof hint_table.entry / sizeof hint_table.entry[0]) return;
  HintSpec const spec = hint_table[number];
  if (spec.kind == HintKind::None) return;
  uint64_t const address = arguments[spec.argument];
  uint64_t length = spec.size;
  if (spec.kind == HintKind::Path) length = max_hint_path;
  if (spec.kind == HintKind::Buffer || spec.kind == HintKind::Array) {
    length = arguments[spec.length_argument];
    if (length > max_hint_buffer) return;
    length *= spec.kind == HintKind::Array ? spec.size : 1;
    if (length > max_hint_buffer) return;
  }
  if (address == 0 || length == 0 || address >= user_limit) return;
  uint64_t const to = c->self + hint_bytes;
  uint64_t const left = spec.kind == HintKind::Path ? copy_text(to, address, length) : copy_bytes(to, address, length);
  if (left != 0 && spec.kind != HintKind::Path) return;
  brought->address = address;
  brought->length = length - left;
}

// A call from a patched site; the registers stand in the area.
void serve_trampoline(Control* c) {
  uint64_t* rax = &c->saved[STUB_SAVED_RAX];
  uint64_t const* a = &c->saved[STUB_SAVED_RDI];
  if (*rax == sys_futex && may_serve_futex(c)) {
    switch (native_futex_call(c, a, false, rax)) {
      case Native::No:
        break;
      case Native::Done:
        return;
      case Native::Cut:
        c->event = event_futex_cut;
        materialise();
    }
  } else if (*rax == 24 && answer_from_facts(c->facts, 24, rax)) {
    return;
  } else if (serve_descriptor(c, *rax, a, rax) || change_state(c, *rax, a, rax)) {
    return;
  }
  copy_hints(c, *rax, a);
  uint64_t const fs_base = __builtin_ia32_rdfsbase64();
  if (c->fs_base != fs_base) c->fs_base = fs_base;
  c->event = event_trampoline;
  c->call[STUB_REG_RAX] = *rax;
  for (int i = 0; i < 6; ++i) c->call[STUB_REG_RDI + i] = a[i];
  serve(c);
  *rax = c->call[STUB_REG_RAX];
}

void handle_signal(int signal, SignalInfo* info, SignalContext* context) {
  Control* c = reinterpret_cast<Control*>(reinterpret_cast<uint64_t>(context) & ~(area_size - 1));
  if (context->rip >= text_address && context->rip < reinterpret_cast<uint64_t>(text_end)) {
    switch (handle_stub_signal(signal, c, context)) {
      case InStub::Continue:
        return resume_frame(reinterpret_cast<uint64_t>(context));
      case InStub::AsGuest:
        break;
      case InStub::Broken:
        c->event = event_broken;
    }
  } else {
    c->event = static_cast<uint16_t>(signal);
  }
  if (c->event == sigsys && info->code == 1 && info->arch == 0xc000003e) {  // x86-64
    if (is_patch_hint_due(c, context->rax)) {
      c->event = event_patch_hint;
    } else if (answer_natively(c, context)) {
      return resume_frame(reinterpret_cast<uint64_t>(context));
    }
    if (c->event == sigsys) {
      uint64_t const a[6] = {context->rdi, context->rsi, context->rdx, context->r10, context->r8, context->r9};
      copy_hints(c, context->rax, a);
    }
  }
  c->interrupted = 0;
  c->frame = static_cast<uint32_t>(reinterpret_cast<uint64_t>(context) - c->self);
  c->fs_base = __builtin_ia32_rdfsbase64();
  c->gs_base = __builtin_ia32_rdgsbase64();
  serve_frame(c);
}

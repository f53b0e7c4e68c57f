// What the sentry and the stub agree on: where things lie in a stub's address space, and the words of a thread area.
//
// A thread area is memory shared between one guest thread's stub code and the sentry, writable by the guest:
// to the sentry every word of it is hostile input. Free of any library, for the stub is freestanding.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "stub/layout_asm.h"

namespace cofferdam::stub {

// Guest memory ends 4 GiB below the stub region: the filter checks only the high words of an address and of a length.
inline constexpr uint64_t user_limit = 0x7ffe00000000;
inline constexpr uint64_t text_address = STUB_TEXT;  // sealed memfd, r-x
inline constexpr uint64_t text_size = 0x10000;
inline constexpr uint64_t vdso_address = STUB_VDSO;      // vvar pages first, then the vDSO
inline constexpr uint64_t thunks_address = STUB_THUNKS;  // generated code of patched call sites, r-x; see patch.h
inline constexpr uint64_t thunk_size = 64;
inline constexpr uint64_t thunks_size = 0x80000;
inline constexpr uint64_t areas_address = STUB_AREAS;  // the process's window of the area file, rw-
inline constexpr uint64_t window_size = STUB_WINDOW_SIZE;
inline constexpr uint64_t area_size = STUB_AREA_SIZE;
inline constexpr uint32_t max_threads = window_size / area_size - 1;
inline constexpr uint64_t services_offset =
    uint64_t{max_threads} * area_size;  // behind the areas: of the whole process
inline constexpr uint64_t stub_region_end = STUB_AREAS + STUB_WINDOW_SIZE;
// Files that the stub answers reads from; see struct Service.
inline constexpr uint64_t served_files_address = stub_region_end;
inline constexpr uint64_t served_files_size = 0x70000000;
inline constexpr uint64_t address_end = 0x7ffffffff000;  // TASK_SIZE of x86-64 with four page-table levels
// A page table of jump targets that the seven bytes of a patched site can name; see patch.h.
inline constexpr uint64_t jump_table_address = 0x60000;
inline constexpr uint64_t jump_table_size = 0x10000;
inline constexpr uint64_t min_address = 0x70000;

// Inside an area.
inline constexpr uint64_t stack_top = AREA_STACK_TOP;  // the stub's own stack shares the control block's page
inline constexpr uint64_t prepared_frame = 0x1000;     // a signal frame that the sentry has built
inline constexpr uint64_t prepared_xstate = 0x1200;
inline constexpr uint64_t prepared_end = 0x6000;
inline constexpr uint64_t altstack = 0x6000;  // where the kernel puts signal frames
inline constexpr uint64_t altstack_end = 0x10000;
inline constexpr uint64_t bounce = 0x10000;  // bytes on their way between guest and sentry
inline constexpr uint64_t bounce_size = 0x20000;
inline constexpr uint64_t queued_bytes = bounce + 0x10000;  // its second half: of queued copies
inline constexpr uint64_t hint = 0x30000;  // struct Hint, and the arguments that came along with a call
inline constexpr uint64_t hint_bytes = hint + 16;
inline constexpr uint64_t hint_bytes_size = 0x1ff0;
inline constexpr uint64_t max_hint_buffer = 4096, max_hint_path = 512;

// The turn word. A dead thread's word is cleared by the host kernel (CLONE_CHILD_CLEARTID). With the turn the sentry
// also gives what is to be done, in the same word: enum Resume from bit 8 on, the count of operations from bit 16 on,
// and whether a last copy comes along in Control::call.
enum Turn : uint32_t {
  turn_dead = 0,
  turn_guest = 1,
  turn_sentry = 2,
  turn_sleep = 4,  // or-ed in by the waiting side
  turn_owner = turn_guest | turn_sentry,
  turn_copy_along = 1u << 24,  // the bytes at call[3] go to the guest's address call[1]; call[2] is their count
};
inline constexpr unsigned turn_resume_shift = 8, turn_ops_shift = 16;
inline constexpr uint32_t turn_resume_mask = 0xff, turn_ops_mask = 0xff;

// Control::event is a signal number or one of these.
enum Event : uint16_t {
  event_ready = EVENT_READY,            // a new thread waits for its registers
  event_trampoline = EVENT_TRAMPOLINE,  // a system call through a patched site
  event_futex_cut = 1002,               // a native futex wait was interrupted; the frame restarts it
  event_op_failed = 1004,               // an operation fused with the resume failed; the guest did not run
  event_materialised = 1005,            // the frame of what was a trampoline stop
  event_patch_hint = 1006,  // this site calls often and is answered natively: worth a patch; the call is made again
  event_broken = 1003,      // the stub was entered where it must not be
};

enum OpKind : uint32_t {
  op_copy_in = 1,             // a0 guest address, a1 length, a2 offset in the bounce buffer; result: bytes not copied
  op_copy_out = 2,            // the same
  op_zero = 3,                // a0 guest address, a1 length; result: bytes not written
  op_load32 = 4,              // a0 guest address; result: the word or -EFAULT
  op_exchange32 = 5,          // a0 guest address, a1 value
  op_compare_exchange32 = 6,  // a0 guest address, a1 expected, a2 desired; result: the word found
  op_call_self = 7,           // host call `number` from the instruction whose arguments the filter checks
  op_call_notify = 8,         // host call `number` from the instruction that asks the sentry
  op_call_futex = 9,          // futex from the guest-futex instruction
  op_clone_process = 10,      // a0 flags, a1 ctid, a2 file offset of the child's window, a3 area fd
  op_clone_thread = 11,       // a0 flags, a1 stack, a2 ctid, a3 area of the child
  op_exit = 12,
  op_copy_along = 13,  // a0 guest address, a1 length, at most max_along; the bytes stand in a2 and behind
                       // (a last one of a hand-over that resumes the guest goes by turn_copy_along)
};

struct Op {
  uint32_t kind, number;
  uint64_t a[6];
  uint64_t result;
};
inline constexpr uint32_t max_ops = 16;
inline constexpr uint64_t max_along = 32;

struct AltStack {  // stack_t
  uint64_t sp;
  uint32_t flags, pad;
  uint64_t size;
};

struct Facts {
  uint32_t pid, tid, ppid, uid, euid, gid, egid;
  uint32_t flags;
};
enum FactFlags : uint32_t {
  facts_valid = 1,
  native_futex = 2,
  native_futex_once = 4,  // the next futex call: the sentry has let it pass
};

// Guest bytes [address, address+length), copied when the call was made, stand behind it. Length 0: none.
struct Hint {
  uint64_t address;
  uint64_t length;
};

// What the stub does after the operations; part of the turn word.
enum Resume : uint32_t {
  resume_no = 0,
  resume_guest = 1,
  resume_materialise = 2,  // a trampoline stop becomes a signal-frame stop: event_materialised
  resume_anew = 3,         // run the guest from Control::frame, wherever the stub's thread stood before
};

// Where two processors hand over, each cache line that one has written costs the other a journey; they are made one
// after the other where an address depends on the line before. So what every call says stands in one line, and so does
// what every answer says; what few need stands in lines of its own, by who writes it. The other side looks at that line
// without a pause, and so it is written at once, when all is known.
struct Control {
  // Both write.
  uint32_t turn;
  uint16_t event;
  uint16_t cpu;      // where the stub's thread stopped; cpu_state_changed may be or-ed in
  uint64_t call[7];  // rax rdi rsi rdx r10 r8 r9 of a trampoline stop; rax of the answer, and a copy that comes along

  // Seldom written.
  uint64_t self;  // address of this area in the stub
  uint64_t stack_top;
  uint64_t fs_base, gs_base;
  uint32_t spin;   // how often the stub looks at the turn word before it sleeps
  uint32_t frame;  // offset of the ucontext in this area, for signal events
  uint32_t interrupted;
  uint32_t set_bases;      // bit 0: load fs_base on resume, bit 1: gs_base
  uint32_t native_calls;   // enum NativeCalls
  uint32_t state_changed;  // since the sentry last took blocked_signals and robust_list
  uint64_t scratch;

  // The stub's.
  uint64_t along_left;  // how many bytes of the copy that came along were not copied
  // A native futex wait first looks at the word so often; after looks in vain the next `futex_skip` waits do not.
  uint32_t futex_looks, futex_skip, futex_misses;
  uint32_t native_answers;   // calls that came by SIGSYS and were answered without the sentry
  uint32_t next_patch_hint;  // at this count the sentry is asked to patch the site
  uint32_t padding[9];

  AltStack altstack;
  Facts facts;
  uint64_t more_padding;

  Op ops[max_ops];     // a line each, the sentry's
  uint64_t saved[16];  // the guest's registers at a trampoline stop, by STUB_SAVED_*
  // What the guest may change without a stop, while native_calls has native_state.
  uint64_t blocked_signals, robust_list;
};

enum NativeCalls : uint32_t { native_state = 1, native_discard = 2, native_services = 4 };

// What the stub may answer itself of the calls on one descriptor, without a stop. The sentry changes it at any time,
// the version before and after: whoever has seen one version throughout has seen one state. `served` says what, 0
// nothing.
struct Service {
  uint32_t version;
  uint32_t descriptor;
  uint32_t served;  // enum Served
  uint32_t used;    // to read or to move the position, since the sentry last looked
  uint64_t file;    // where the file's first byte is mapped, or would be
  uint64_t size;    // of its bytes this many may be read
  uint64_t position;
  // So far, by this descriptor and others before it.
  uint64_t read_bytes, written_bytes;
  uint32_t reads, writes;
};
static_assert(sizeof(Service) == 64);
inline constexpr uint32_t max_services = 64;  // by descriptor modulo this
enum Served : uint32_t {
  serve_zeros = 1,      // read gives zeros
  serve_end = 2,        // read gives nothing
  serve_sink = 4,       // write takes everything
  serve_file = 8,       // pread64 of `file`
  serve_position = 16,  // read and lseek of it, too
};
inline constexpr uint64_t most_served = 4 << 20;  // bytes a call
inline constexpr uint16_t cpu_mask = 0xfff, cpu_state_changed = 0x8000;

// Registers as the kernel lays them out in a signal frame (struct sigcontext, with ucontext around it).
struct SignalContext {
  uint64_t flags, link;
  AltStack stack;
  uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
  uint16_t cs, gs, fs, ss;
  uint64_t error, trap_number, old_mask, cr2, fpstate;
  uint64_t reserved[8];
  uint64_t mask;
};
static_assert(sizeof(Hint) == hint_bytes - hint);
static_assert(sizeof(SignalContext) == 304);
struct SignalInfo {
  int32_t signal, error, code, pad;
  uint64_t address;  // SIGSYS: the address of the call
  int32_t number;    // SIGSYS
  uint32_t arch;     // SIGSYS
  uint64_t rest[12];
};
static_assert(sizeof(SignalInfo) == 128);

inline constexpr int interrupt_signal = 10;  // SIGUSR1: reserved for Context::interrupt

// What the sentry tells the zygote, at the start of the zygote's bounce buffer.
struct BootParameters {
  int32_t text_fd, areas_fd;
  uint64_t rseq_address;  // 0: none registered
  uint32_t rseq_length, filter_length;
  struct Piece {
    uint64_t from, length;
  } vdso[6];  // mappings of vvar and vDSO in address order
  uint32_t vdso_pieces, seccomp_flags;
  uint64_t parking;  // a reserved range to move them through
  int32_t failed_step, listener_fd;
  uint64_t host_error;
  uint64_t filter[];  // struct sock_filter
};

// The head of the stub's text: addresses the sentry needs.
struct ImageHeader {
  uint64_t bootstrap;
  uint64_t text_end;
  // Addresses behind the syscall instructions that the filter lets pass.
  uint64_t handoff_futex_ip, guest_futex_ip, sigreturn_ip, exit_ip, sigaltstack_ip, sigmask_ip, pdeathsig_ip, self_ip,
      notify_ip, clone_process_ip, clone_thread_ip, remap_ip, yield_ip;
  uint64_t trampoline;
};

static_assert(stub_region_end + 0x70000000 < address_end);
static_assert(offsetof(Control, turn) == CONTROL_TURN);
static_assert(offsetof(Control, self) == CONTROL_SELF);
static_assert(offsetof(Control, stack_top) == CONTROL_STACK_TOP);
static_assert(offsetof(Control, event) == CONTROL_EVENT);
static_assert(offsetof(Control, frame) == CONTROL_FRAME);
static_assert(offsetof(Control, interrupted) == CONTROL_INTERRUPTED);
static_assert(offsetof(Control, altstack) == CONTROL_ALTSTACK);
static_assert(offsetof(Control, facts) == CONTROL_FACTS);
static_assert(offsetof(Control, call) == CONTROL_CALL);
static_assert(offsetof(Control, saved) == CONTROL_SAVED);
static_assert(offsetof(Control, self) == 64 && offsetof(Control, along_left) == 128 &&
              offsetof(Control, altstack) == 192 && offsetof(Control, ops) == 256 && sizeof(Op) == 64);
static_assert(sizeof(Control) <= 2048, "the stub's stack needs the rest of the page");

}  // namespace cofferdam::stub

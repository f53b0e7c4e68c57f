// The stub's machine-level parts: each system call instruction that the filter knows stands here, once.
#include "stub/layout_asm.h"

  .section .text.head, "a"
  .globl image_header
image_header:
  .quad bootstrap, text_end
  .quad handoff_futex_ip, guest_futex_ip, sigreturn_ip, exit_ip, sigaltstack_ip, sigmask_ip, pdeathsig_ip, self_ip
  .quad notify_ip, clone_process_ip, clone_thread_ip, remap_ip, yield_ip
  .quad trampoline

  .text
// The kernel enters here on the alternate stack: rdi signal, rsi siginfo, rdx ucontext.
  .globl signal_entry
signal_entry:
  cld
  jmp handle_signal

// Never returned to: every path ends in resume_frame or in this instruction.
  .globl signal_restorer
signal_restorer:
  mov $15, %eax
  syscall
  .globl sigreturn_ip
sigreturn_ip:
  ud2

// resume_frame(address of the signal frame's ucontext)
  .globl resume_frame
resume_frame:
  mov %rdi, %rsp
  jmp signal_restorer

// long host_futex(uint32_t* word, int op, uint32_t value)
  .globl handoff_futex
handoff_futex:
  xor %r10d, %r10d
  mov $202, %eax
  syscall
  .globl handoff_futex_ip
handoff_futex_ip:
  ret

// long guest_futex(uint64_t const arguments[6])
  .globl guest_futex
guest_futex:
  mov 8(%rdi), %rsi
  mov 16(%rdi), %rdx
  mov 24(%rdi), %r10
  mov 32(%rdi), %r8
  mov 40(%rdi), %r9
  mov (%rdi), %rdi
  mov $202, %eax
  jmp guest_futex_call

// long guest_futex_wait(uint64_t const arguments[6], Control*): -EINTR if the interrupt flag is or becomes set. A signal that
// arrives between the look at the flag and the call is sent to guest_futex_cut by the handler.
  .globl guest_futex_wait, guest_futex_check, guest_futex_call, guest_futex_ip, guest_futex_cut
guest_futex_wait:
  mov %rsi, %r11
  mov 8(%rdi), %rsi
  mov 16(%rdi), %rdx
  mov 24(%rdi), %r10
  mov 32(%rdi), %r8
  mov 40(%rdi), %r9
  mov (%rdi), %rdi
  mov $202, %eax
guest_futex_check:
  cmpl $0, CONTROL_INTERRUPTED(%r11)
  jne guest_futex_cut
guest_futex_call:
  syscall
guest_futex_ip:
  ret
guest_futex_cut:
  mov $-4, %rax
  ret

// long set_sigmask(int how, uint64_t const* mask)
  .globl set_sigmask
set_sigmask:
  xor %edx, %edx
  mov $8, %r10d
  mov $14, %eax
  syscall
  .globl sigmask_ip
sigmask_ip:
  ret

  .globl yield_cpu
yield_cpu:
  mov $24, %eax
  syscall
  .globl yield_ip
yield_ip:
  ret

  .globl exit_thread
exit_thread:
  mov $60, %eax
  xor %edi, %edi
  syscall
  .globl exit_ip
exit_ip:
  ud2

// long call_self(Op*): arguments checked by the filter.
  .globl call_self
call_self:
  mov 4(%rdi), %eax
  mov 16(%rdi), %rsi
  mov 24(%rdi), %rdx
  mov 32(%rdi), %r10
  mov 40(%rdi), %r8
  mov 48(%rdi), %r9
  mov 8(%rdi), %rdi
  syscall
  .globl self_ip
self_ip:
  ret

// long call_notify(Op*): the sentry compares number and arguments with what it asked for.
  .globl call_notify
call_notify:
  mov 4(%rdi), %eax
  mov 16(%rdi), %rsi
  mov 24(%rdi), %rdx
  mov 32(%rdi), %r10
  mov 40(%rdi), %r8
  mov 48(%rdi), %r9
  mov 8(%rdi), %rdi
  syscall
  .globl notify_ip
notify_ip:
  ret

// long clone_process(Op*, own area). From the clone until the window is replaced the child shares its parent's area and stack:
// it keeps to registers.
  .globl clone_process
clone_process:
  push %rbx
  push %r12
  push %r13
  push %r14
  mov %rsi, %r14
  mov 24(%rdi), %r12
  mov 32(%rdi), %r13
  mov 16(%rdi), %r10
  mov 8(%rdi), %rdi
  xor %esi, %esi
  xor %edx, %edx
  xor %r8d, %r8d
  xor %r9d, %r9d
  mov $56, %eax
  syscall
  .globl clone_process_ip
clone_process_ip:
  test %rax, %rax
  jz 1f
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  ret
1:mov $1, %edi
  mov $9, %esi
  xor %edx, %edx
  xor %r10d, %r10d
  xor %r8d, %r8d
  mov $157, %eax
  syscall
  .globl pdeathsig_ip
pdeathsig_ip:
  movabs $STUB_AREAS, %rdi
  mov $STUB_WINDOW_SIZE, %esi
  mov $3, %edx
  mov $0x11, %r10d
  mov %r13, %r8
  mov %r12, %r9
  mov $9, %eax
  syscall
  .globl remap_ip
remap_ip:
  test %rax, %rax
  js exit_thread
  mov %r14, %rdi
  jmp thread_ready

// long clone_thread(Op*)
  .globl clone_thread
clone_thread:
  push %r14
  mov 32(%rdi), %r14
  mov 16(%rdi), %rsi
  mov 24(%rdi), %r10
  mov 8(%rdi), %rdi
  xor %edx, %edx
  xor %r8d, %r8d
  xor %r9d, %r9d
  mov $56, %eax
  syscall
  .globl clone_thread_ip
clone_thread_ip:
  test %rax, %rax
  jz 1f
  pop %r14
  ret
1:mov %r14, %rdi
  call set_altstack
  mov %r14, %rdi

// A new thread with its area in rdi.
thread_ready:
  lea AREA_STACK_TOP(%rdi), %rsp
  xor %ebp, %ebp
  movw $EVENT_READY, CONTROL_EVENT(%rdi)
  call serve_frame
  ud2

// long set_altstack(Control*)
  .globl set_altstack
set_altstack:
  lea CONTROL_ALTSTACK(%rdi), %rdi
  xor %esi, %esi
  mov $131, %eax
  syscall
  .globl sigaltstack_ip
sigaltstack_ip:
  ret

// Guest memory is touched by the instructions between guest_access and guest_access_end alone. A fault below guest_words
// continues at guest_copy_end (rcx bytes are left), one behind it at guest_word_fault.
// size_t copy_bytes(to, from, n): how many bytes were not copied.
  .globl copy_bytes, guest_access, guest_access_end, guest_copy_end, fill_zero, load_word, exchange_word
  .globl compare_exchange_word, copy_text
copy_text:  // (to, from, n): up to and with the first NUL, or n bytes; returns how many of n were not copied
  mov %rdx, %rcx
  jmp guest_text
copy_bytes:
  mov %rdx, %rcx
  jmp guest_copy
fill_zero:  // (to, n)
  mov %rsi, %rcx
  xor %eax, %eax
  jmp guest_zero
load_word:  // (address)
  jmp guest_load
exchange_word:  // (address, value)
  jmp guest_exchange
compare_exchange_word:  // (address, expected, desired)
  mov %esi, %eax
  jmp guest_compare_exchange

guest_access:
guest_copy:
  cmp $8, %rcx
  jne 1f
  mov (%rsi), %rax
  mov %rax, (%rdi)
  xor %ecx, %ecx
  jmp guest_copy_end
1:cmp $4, %rcx
  jne 2f
  mov (%rsi), %eax
  mov %eax, (%rdi)
  xor %ecx, %ecx
  jmp guest_copy_end
2:rep movsb
  jmp guest_copy_end
guest_zero:
  rep stosb
  jmp guest_copy_end
guest_text:
  jrcxz guest_copy_end
  mov (%rsi), %al
  mov %al, (%rdi)
  inc %rsi
  inc %rdi
  dec %rcx
  test %al, %al
  jnz guest_text
guest_copy_end:
  mov %rcx, %rax
  ret
  .globl guest_words
guest_words:
guest_load:
  mov (%rdi), %eax
  ret
guest_exchange:
  xchg %esi, (%rdi)
  mov %esi, %eax
  ret
guest_compare_exchange:
  lock cmpxchg %edx, (%rdi)
  mov %eax, %eax
  ret
guest_access_end:
  .globl guest_word_fault
guest_word_fault:
  mov $-14, %rax
  ret

// Where the thunks of patched call sites go: eax the number, rcx the address behind the call (both rcx and r11 are the
// kernel's to clobber). gs holds the area. Nothing is written to the guest's stack, for its red zone may be in use.
#define SAVED(n) %gs:(CONTROL_SAVED + 8 * (n))
#define FACT(n) %gs:(CONTROL_FACTS + 4 * (n))
  .balign 64
  .globl trampoline
trampoline:
  mov %rsp, SAVED(STUB_SAVED_RSP)
  mov %gs:CONTROL_STACK_TOP, %rsp
  pushf
  cld
  pop %r11
  testl $1, FACT(7)
  jz 1f
  cmp $39, %eax
  je fact_pid
  cmp $186, %eax
  je fact_tid
  cmp $110, %eax
  je fact_ppid
  cmp $102, %eax
  je fact_uid
  cmp $107, %eax
  je fact_euid
  cmp $104, %eax
  je fact_gid
  cmp $108, %eax
  je fact_egid
1:mov %r11, SAVED(STUB_SAVED_FLAGS)
  mov %rcx, SAVED(STUB_SAVED_RIP)
  mov %rax, SAVED(STUB_SAVED_RAX)
  mov %rdi, SAVED(STUB_SAVED_RDI)
  mov %rsi, SAVED(STUB_SAVED_RSI)
  mov %rdx, SAVED(STUB_SAVED_RDX)
  mov %r10, SAVED(STUB_SAVED_R10)
  mov %r8, SAVED(STUB_SAVED_R8)
  mov %r9, SAVED(STUB_SAVED_R9)
  mov %rbx, SAVED(STUB_SAVED_RBX)
  mov %rbp, SAVED(STUB_SAVED_RBP)
  mov %r12, SAVED(STUB_SAVED_R12)
  mov %r13, SAVED(STUB_SAVED_R13)
  mov %r14, SAVED(STUB_SAVED_R14)
  mov %r15, SAVED(STUB_SAVED_R15)
  mov %gs:CONTROL_SELF, %rdi
  call serve_trampoline
  mov SAVED(STUB_SAVED_FLAGS), %r11
  mov SAVED(STUB_SAVED_RIP), %rcx
  mov SAVED(STUB_SAVED_RAX), %rax
  mov SAVED(STUB_SAVED_RDI), %rdi
  mov SAVED(STUB_SAVED_RSI), %rsi
  mov SAVED(STUB_SAVED_RDX), %rdx
  mov SAVED(STUB_SAVED_R10), %r10
  mov SAVED(STUB_SAVED_R8), %r8
  mov SAVED(STUB_SAVED_R9), %r9

// The way back to the guest: all its registers are live but rsp and the flags, which r11 holds. A signal in here is
// turned by the handler into one that hit the guest at rcx; so is the trap at leave_interrupted.
  .globl leave_guest, leave_guest_end, leave_interrupted
leave_guest:
  cmpl $0, %gs:CONTROL_INTERRUPTED
  jne leave_interrupted
  push %r11
  popf
  mov SAVED(STUB_SAVED_RSP), %rsp
  jmp *%rcx
leave_guest_end:
leave_interrupted:
  ud2

fact_pid:
  mov FACT(0), %eax
  jmp leave_guest
fact_tid:
  mov FACT(1), %eax
  jmp leave_guest
fact_ppid:
  mov FACT(2), %eax
  jmp leave_guest
fact_uid:
  mov FACT(3), %eax
  jmp leave_guest
fact_euid:
  mov FACT(4), %eax
  jmp leave_guest
fact_gid:
  mov FACT(5), %eax
  jmp leave_guest
fact_egid:
  mov FACT(6), %eax
  jmp leave_guest

// Makes the kernel build a signal frame, with the guest's live vector registers; the handler fills in the others.
  .globl materialise
materialise:
  ud2

  .section .note.GNU-stack, "", @progbits

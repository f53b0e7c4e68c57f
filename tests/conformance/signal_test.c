// sigaction, masks, queues, alternate stacks, restarts, frames, sigsuspend, signalfd.
#include "conformance.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <ucontext.h>

static volatile sig_atomic_t count, last_signal, order[64];
static siginfo_t last_info;
static volatile uintptr_t stack_in_handler;

static void on_signal(int signal) {
  order[count++ % 64] = signal;
  last_signal = signal;
  stack_in_handler = (uintptr_t)__builtin_frame_address(0);
}
static void on_signal_info(int signal, siginfo_t* info, void* context) {
  on_signal(signal);
  last_info = *info;
}

static void catch_signal(int signal, int flags) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
  if (flags & SA_SIGINFO) action.sa_sigaction = on_signal_info;
  OK(sigaction(signal, &action, NULL));
}
static void block(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
}
static void unblock(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
}
static bool is_pending(int signal) {
  sigset_t set;
  OK(sigpending(&set));
  return sigismember(&set, signal) == 1;
}
// A child that sends us a signal in a while.
static pid_t signal_in(long ms, int signal) {
  pid_t parent = getpid();
  return IN_CHILD({
    sleep_ms(ms);
    kill(parent, signal);
  });
}

CASE(handler_runs_on_raise) {
  catch_signal(SIGUSR1, 0);
  raise(SIGUSR1);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(last_signal, SIGUSR1);
}

CASE(handler_runs_before_kill_to_oneself_returns) {
  catch_signal(SIGUSR1, 0);
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(count, 1);
}

CASE(sigaction_returns_the_old_action) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, SIGUSR2);
  OK(sigaction(SIGUSR1, &action, &old));
  EXPECT(old.sa_handler == SIG_DFL);
  OK(sigaction(SIGUSR1, NULL, &old));
  EXPECT(old.sa_handler == on_signal);
  EXPECT_EQ(old.sa_flags & SA_RESTART, SA_RESTART);
  EXPECT_EQ(sigismember(&old.sa_mask, SIGUSR2), 1);
}

CASE(kill_and_stop_cannot_be_caught) {
  struct sigaction action = {.sa_handler = on_signal};
  EXPECT_ERRNO(sigaction(SIGKILL, &action, NULL), EINVAL);
  EXPECT_ERRNO(sigaction(SIGSTOP, &action, NULL), EINVAL);
}

CASE(sigaction_of_no_signal_is_einval) {
  char action[152] = {0};
  EXPECT_ERRNO(syscall(SYS_rt_sigaction, 0, action, NULL, 8), EINVAL);
  EXPECT_ERRNO(syscall(SYS_rt_sigaction, 65, action, NULL, 8), EINVAL);
}

CASE(sigaction_with_a_wrong_set_size_is_einval) {
  char action[152] = {0};
  EXPECT_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, action, NULL, 4), EINVAL);
}

CASE(kill_with_signal_zero_only_checks) { EXPECT_EQ(kill(getpid(), 0), 0); }

CASE(kill_of_an_invalid_signal_is_einval) {
  EXPECT_ERRNO(kill(getpid(), 65), EINVAL);
  EXPECT_ERRNO(kill(getpid(), -1), EINVAL);
}

CASE(kill_of_no_process_is_esrch) { EXPECT_ERRNO(kill(4000000, SIGTERM), ESRCH); }

CASE(tgkill_reaches_the_thread) {
  catch_signal(SIGUSR1, 0);
  EXPECT_EQ(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1), 0);
  EXPECT_EQ(count, 1);
}

CASE(tgkill_of_a_thread_of_another_group_is_esrch) {
  EXPECT_ERRNO(syscall(SYS_tgkill, getppid(), getpid(), SIGUSR1), ESRCH);
}

CASE(default_action_of_usr1_ends_the_process) {
  pid_t child = IN_CHILD({ raise(SIGUSR1); });
  EXPECT_KILLED(child, SIGUSR1);
}

CASE(default_action_of_chld_urg_winch_cont_is_nothing) {
  raise(SIGCHLD);
  raise(SIGURG);
  raise(SIGWINCH);
  raise(SIGCONT);
}

CASE(ignored_signal_is_dropped) {
  signal(SIGUSR1, SIG_IGN);
  raise(SIGUSR1);
  EXPECT(!is_pending(SIGUSR1));
}

CASE(blocked_signal_is_pending_until_unblocked) {
  catch_signal(SIGUSR1, 0);
  block(SIGUSR1);
  raise(SIGUSR1);
  EXPECT_EQ(count, 0);
  EXPECT(is_pending(SIGUSR1));
  unblock(SIGUSR1);
  EXPECT_EQ(count, 1);
  EXPECT(!is_pending(SIGUSR1));
}

CASE(standard_signals_do_not_queue) {
  catch_signal(SIGUSR1, 0);
  block(SIGUSR1);
  for (int i = 0; i < 5; i++) raise(SIGUSR1);
  unblock(SIGUSR1);
  EXPECT_EQ(count, 1);
}

CASE(realtime_signals_queue) {
  catch_signal(SIGRTMIN, 0);
  block(SIGRTMIN);
  for (int i = 0; i < 5; i++) raise(SIGRTMIN);
  unblock(SIGRTMIN);
  EXPECT_EQ(count, 5);
}

CASE(queued_values_arrive_in_order) {
  sigset_t set;
  block(SIGRTMIN + 1);
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 1);
  for (int i = 0; i < 4; i++) OK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 10 + i}));
  for (int i = 0; i < 4; i++) {
    siginfo_t info;
    EXPECT_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
    EXPECT_EQ(info.si_value.sival_int, 10 + i);
    EXPECT_EQ(info.si_code, SI_QUEUE);
  }
}

CASE(lower_realtime_signals_are_taken_first) {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < 3; i++) {
    block(SIGRTMIN + i);
    sigaddset(&set, SIGRTMIN + i);
  }
  for (int i = 2; i >= 0; i--) raise(SIGRTMIN + i);
  for (int i = 0; i < 3; i++) EXPECT_EQ(sigwaitinfo(&set, NULL), SIGRTMIN + i);
}

CASE(sigqueue_beyond_the_limit_is_eagain) {
  struct rlimit limit = {4, 4};
  block(SIGRTMIN);
  OK(setresuid(54321, 54321, 54321));
  OK(setrlimit(RLIMIT_SIGPENDING, &limit));
  for (int i = 0; i < 4; i++) OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}));
  EXPECT_ERRNO(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 9}), EAGAIN);
}

CASE(kill_fills_pid_and_uid_into_siginfo) {
  catch_signal(SIGUSR1, SA_SIGINFO);
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(last_info.si_signo, SIGUSR1);
  EXPECT_EQ(last_info.si_code, SI_USER);
  EXPECT_EQ(last_info.si_pid, getpid());
  EXPECT_EQ(last_info.si_uid, getuid());
}

CASE(tgkill_says_so_in_siginfo) {
  catch_signal(SIGUSR1, SA_SIGINFO);
  syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
  EXPECT_EQ(last_info.si_code, SI_TKILL);
}

CASE(sigchld_tells_who_and_how) {
  catch_signal(SIGCHLD, SA_SIGINFO);
  pid_t child = IN_CHILD({ _exit(6); });
  EVENTUALLY(count > 0);
  EXPECT_EQ(last_info.si_code, CLD_EXITED);
  EXPECT_EQ(last_info.si_pid, child);
  EXPECT_EQ(last_info.si_status, 6);
  EXPECT_EXIT(child, 6);
}

CASE(sa_nocldstop_keeps_stops_quiet) {
  catch_signal(SIGCHLD, SA_NOCLDSTOP);
  pid_t child = IN_CHILD({ raise(SIGSTOP); });
  int status;
  EXPECT_EQ(waitpid(child, &status, WUNTRACED), child);
  EXPECT_EQ(count, 0);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
  EVENTUALLY(count == 1);
}

CASE(rt_sigqueueinfo_may_not_forge_a_kill_to_others) {
  siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_USER};
  EXPECT_ERRNO(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &info), EPERM);
}

static volatile bool saw_itself_blocked;
static void look_at_mask(int signal) {
  sigset_t set;
  sigprocmask(SIG_BLOCK, NULL, &set);
  saw_itself_blocked = sigismember(&set, signal) == 1;
}

CASE(signal_is_blocked_while_its_handler_runs) {
  struct sigaction action = {.sa_handler = look_at_mask};
  OK(sigaction(SIGUSR1, &action, NULL));
  raise(SIGUSR1);
  EXPECT(saw_itself_blocked);
}

static volatile int depth, deepest;
static void nesting_handler(int signal) {
  if (++depth > deepest) deepest = depth;
  if (depth < 3) raise(signal);
  depth--;
}

CASE(sa_nodefer_lets_the_handler_nest) {
  struct sigaction action = {.sa_handler = nesting_handler, .sa_flags = SA_NODEFER};
  OK(sigaction(SIGUSR1, &action, NULL));
  raise(SIGUSR1);
  EXPECT_EQ(deepest, 3);
}

static void raise_once_more(int signal) {
  depth++;
  if (depth > deepest) deepest = depth;
  if (++count == 1) raise(signal);
  depth--;
}

CASE(without_nodefer_the_second_comes_after_the_first) {
  struct sigaction action = {.sa_handler = raise_once_more};
  OK(sigaction(SIGUSR1, &action, NULL));
  raise(SIGUSR1);
  EXPECT_EQ(count, 2);
  EXPECT_EQ(deepest, 1);
}

static sigset_t mask_in_handler;
static void keep_mask(int signal) { sigprocmask(SIG_BLOCK, NULL, &mask_in_handler); }

CASE(sa_mask_blocks_others_while_the_handler_runs) {
  struct sigaction action = {.sa_handler = keep_mask};
  sigaddset(&action.sa_mask, SIGUSR2);
  OK(sigaction(SIGUSR1, &action, NULL));
  raise(SIGUSR1);
  EXPECT_EQ(sigismember(&mask_in_handler, SIGUSR2), 1);
  EXPECT_EQ(sigismember(&mask_in_handler, SIGTERM), 0);
}

CASE(mask_is_restored_after_the_handler) {
  sigset_t before, after;
  catch_signal(SIGUSR1, 0);
  block(SIGUSR2);
  OK(sigprocmask(SIG_BLOCK, NULL, &before));
  raise(SIGUSR1);
  OK(sigprocmask(SIG_BLOCK, NULL, &after));
  EXPECT(memcmp(&before, &after, 8) == 0);
}

CASE(sa_resethand_resets_to_default) {
  struct sigaction old;
  catch_signal(SIGUSR1, SA_RESETHAND);
  raise(SIGUSR1);
  EXPECT_EQ(count, 1);
  OK(sigaction(SIGUSR1, NULL, &old));
  EXPECT(old.sa_handler == SIG_DFL);
}

CASE(kill_and_stop_cannot_be_blocked) {
  sigset_t set;
  sigfillset(&set);
  OK(sigprocmask(SIG_SETMASK, &set, NULL));
  OK(sigprocmask(SIG_BLOCK, NULL, &set));
  EXPECT_EQ(sigismember(&set, SIGKILL), 0);
  EXPECT_EQ(sigismember(&set, SIGSTOP), 0);
  EXPECT_EQ(sigismember(&set, SIGTERM), 1);
}

CASE(sigprocmask_unknown_how_is_einval) {
  sigset_t set;
  sigemptyset(&set);
  EXPECT_ERRNO(sigprocmask(77, &set, NULL), EINVAL);
}

CASE(alternate_stack_is_used_with_onstack) {
  static char area[65536];
  stack_t stack = {.ss_sp = area, .ss_size = sizeof area};
  OK(sigaltstack(&stack, NULL));
  catch_signal(SIGUSR1, SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT(stack_in_handler >= (uintptr_t)area && stack_in_handler < (uintptr_t)area + sizeof area);
}

CASE(alternate_stack_is_not_used_without_onstack) {
  static char area[65536];
  stack_t stack = {.ss_sp = area, .ss_size = sizeof area};
  OK(sigaltstack(&stack, NULL));
  catch_signal(SIGUSR1, 0);
  raise(SIGUSR1);
  EXPECT(stack_in_handler < (uintptr_t)area || stack_in_handler >= (uintptr_t)area + sizeof area);
}

CASE(alternate_stack_too_small_is_enomem) {
  static char area[1024];
  stack_t stack = {.ss_sp = area, .ss_size = 512};
  EXPECT_ERRNO(sigaltstack(&stack, NULL), ENOMEM);
}

CASE(alternate_stack_can_be_asked_for_and_disabled) {
  static char area[65536];
  stack_t stack = {.ss_sp = area, .ss_size = sizeof area}, old;
  OK(sigaltstack(&stack, &old));
  EXPECT_EQ(old.ss_flags, SS_DISABLE);
  stack.ss_flags = SS_DISABLE;
  OK(sigaltstack(&stack, &old));
  EXPECT(old.ss_sp == area && old.ss_flags == 0);
}

static int altstack_change_errno;
static int altstack_flags;
static void change_altstack(int signal) {
  static char other[65536];
  stack_t stack = {.ss_sp = other, .ss_size = sizeof other}, now;
  sigaltstack(NULL, &now);
  altstack_flags = now.ss_flags;
  altstack_change_errno = sigaltstack(&stack, NULL) == 0 ? 0 : errno;
}

CASE(alternate_stack_in_use_cannot_be_changed) {
  static char area[65536];
  stack_t stack = {.ss_sp = area, .ss_size = sizeof area};
  struct sigaction action = {.sa_handler = change_altstack, .sa_flags = SA_ONSTACK};
  OK(sigaltstack(&stack, NULL));
  OK(sigaction(SIGUSR1, &action, NULL));
  raise(SIGUSR1);
  EXPECT_EQ(altstack_change_errno, EPERM);
  EXPECT_EQ(altstack_flags, SS_ONSTACK);
}

static void exit_twelve(int signal) { _exit(12); }

CASE(stack_overflow_is_handled_on_the_alternate_stack) {
  pid_t child = IN_CHILD({
    static char area[65536];
    stack_t stack = {.ss_sp = area, .ss_size = sizeof area};
    struct rlimit limit = {512 * 1024, RLIM_INFINITY};
    struct sigaction action = {.sa_handler = exit_twelve, .sa_flags = SA_ONSTACK};
    OK(setrlimit(RLIMIT_STACK, &limit));
    OK(sigaltstack(&stack, NULL));
    OK(sigaction(SIGSEGV, &action, NULL));
    volatile char* top = __builtin_frame_address(0);
    for (long below = PAGE; below < 64 * 1024 * 1024; below += PAGE) top[-below] = 1;
  });
  EXPECT_EXIT(child, 12);
}

CASE(read_is_interrupted_without_sa_restart) {
  int p[2];
  char byte;
  OK(pipe(p));
  catch_signal(SIGUSR1, 0);
  pid_t child = signal_in(20, SIGUSR1);
  EXPECT_ERRNO(read(p[0], &byte, 1), EINTR);
  EXPECT_EQ(count, 1);
  EXPECT_EXIT(child, 0);
}

CASE(read_is_restarted_with_sa_restart) {
  int p[2];
  char byte;
  OK(pipe(p));
  catch_signal(SIGUSR1, SA_RESTART);
  pid_t parent = getpid();
  pid_t child = IN_CHILD({
    sleep_ms(20);
    kill(parent, SIGUSR1);
    sleep_ms(20);
    OK(write(p[1], "r", 1));
  });
  EXPECT_EQ(read(p[0], &byte, 1), 1);
  EXPECT_EQ(count, 1);
  EXPECT_EXIT(child, 0);
}

CASE(waitpid_is_restarted_with_sa_restart) {
  catch_signal(SIGUSR1, SA_RESTART);
  pid_t parent = getpid();
  pid_t child = IN_CHILD({
    sleep_ms(20);
    kill(parent, SIGUSR1);
    sleep_ms(20);
  });
  int status;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(count, 1);
}

CASE(nanosleep_is_never_restarted_after_a_handler) {
  struct timespec t = {2, 0}, left = {0, 0};
  catch_signal(SIGUSR1, SA_RESTART);
  pid_t child = signal_in(20, SIGUSR1);
  EXPECT_ERRNO(nanosleep(&t, &left), EINTR);
  EXPECT(left.tv_sec == 1 && left.tv_nsec > 0);
  EXPECT_EXIT(child, 0);
}

CASE(poll_is_never_restarted_after_a_handler) {
  int p[2];
  OK(pipe(p));
  struct pollfd fd = {p[0], POLLIN, 0};
  catch_signal(SIGUSR1, SA_RESTART);
  pid_t child = signal_in(20, SIGUSR1);
  EXPECT_ERRNO(poll(&fd, 1, 3000), EINTR);
  EXPECT_EXIT(child, 0);
}

CASE(sleep_goes_on_after_stop_and_continue) {
  pid_t child = IN_CHILD({
    struct timespec t = {0, 100000000};
    EXPECT_EQ(nanosleep(&t, NULL), 0);
  });
  sleep_ms(20);
  OK(kill(child, SIGSTOP));
  int status;
  EXPECT_EQ(waitpid(child, &status, WUNTRACED), child);
  OK(kill(child, SIGCONT));
  EXPECT_EXIT(child, 0);
}

CASE(blocked_or_ignored_signals_do_not_interrupt) {
  int p[2];
  char byte;
  OK(pipe(p));
  catch_signal(SIGUSR1, 0);
  block(SIGUSR1);
  signal(SIGUSR2, SIG_IGN);
  pid_t parent = getpid();
  pid_t child = IN_CHILD({
    sleep_ms(10);
    kill(parent, SIGUSR1);
    kill(parent, SIGUSR2);
    sleep_ms(10);
    OK(write(p[1], "r", 1));
  });
  EXPECT_EQ(read(p[0], &byte, 1), 1);
  EXPECT_EQ(count, 0);
  EXPECT_EXIT(child, 0);
}

CASE(pause_returns_eintr_after_a_handler) {
  catch_signal(SIGUSR1, SA_RESTART);
  pid_t child = signal_in(20, SIGUSR1);
  EXPECT_ERRNO(pause(), EINTR);
  EXPECT_EXIT(child, 0);
}

CASE(sigsuspend_waits_with_another_mask) {
  sigset_t empty, now;
  sigemptyset(&empty);
  catch_signal(SIGUSR1, 0);
  block(SIGUSR1);
  raise(SIGUSR1);
  EXPECT_EQ(count, 0);
  EXPECT_ERRNO(sigsuspend(&empty), EINTR);
  EXPECT_EQ(count, 1);
  OK(sigprocmask(SIG_BLOCK, NULL, &now));
  EXPECT_EQ(sigismember(&now, SIGUSR1), 1);
}

CASE(sigtimedwait_times_out_with_eagain) {
  sigset_t set;
  struct timespec t = {0, 10000000};
  block(SIGUSR1);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  EXPECT_ERRNO(sigtimedwait(&set, NULL, &t), EAGAIN);
}

CASE(sigtimedwait_takes_a_signal_that_comes) {
  sigset_t set;
  siginfo_t info;
  struct timespec t = {3, 0};
  block(SIGUSR1);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pid_t child = signal_in(10, SIGUSR1);
  EXPECT_EQ(sigtimedwait(&set, &info, &t), SIGUSR1);
  EXPECT_EQ(info.si_pid, child);
  EXPECT(!is_pending(SIGUSR1));
  EXPECT_EXIT(child, 0);
}

CASE(ppoll_sets_the_mask_while_it_waits) {
  sigset_t empty;
  sigemptyset(&empty);
  struct timespec t = {3, 0};
  catch_signal(SIGUSR1, 0);
  block(SIGUSR1);
  raise(SIGUSR1);
  EXPECT_ERRNO(ppoll(NULL, 0, &t, &empty), EINTR);
  EXPECT_EQ(count, 1);
}

CASE(pselect_sets_the_mask_while_it_waits) {
  sigset_t empty;
  sigemptyset(&empty);
  struct timespec t = {3, 0};
  catch_signal(SIGUSR1, 0);
  block(SIGUSR1);
  raise(SIGUSR1);
  EXPECT_ERRNO(pselect(0, NULL, NULL, NULL, &t, &empty), EINTR);
  EXPECT_EQ(count, 1);
}

CASE(signalfd_reads_pending_signals) {
  sigset_t set;
  struct signalfd_siginfo info;
  block(SIGUSR1);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  int fd = (int)OK(signalfd(-1, &set, SFD_CLOEXEC));
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(read(fd, &info, sizeof info), sizeof info);
  EXPECT_EQ(info.ssi_signo, SIGUSR1);
  EXPECT_EQ(info.ssi_pid, getpid());
  EXPECT(!is_pending(SIGUSR1));
}

CASE(signalfd_nonblocking_without_signals_is_eagain) {
  sigset_t set;
  struct signalfd_siginfo info;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  int fd = (int)OK(signalfd(-1, &set, SFD_NONBLOCK));
  EXPECT_ERRNO(read(fd, &info, sizeof info), EAGAIN);
}

CASE(signalfd_is_pollable) {
  sigset_t set;
  block(SIGUSR1);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  int fd = (int)OK(signalfd(-1, &set, 0));
  struct pollfd poll_fd = {fd, POLLIN, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 0), 0);
  pid_t child = signal_in(10, SIGUSR1);
  EXPECT_EQ(poll(&poll_fd, 1, 3000), 1);
  EXPECT_EXIT(child, 0);
}

CASE(signalfd_short_buffer_is_einval) {
  sigset_t set;
  char small[10];
  sigemptyset(&set);
  int fd = (int)OK(signalfd(-1, &set, SFD_NONBLOCK));
  EXPECT_ERRNO(read(fd, small, sizeof small), EINVAL);
}

CASE(setitimer_real_sends_sigalrm) {
  struct itimerval timer = {.it_value = {0, 10000}};
  catch_signal(SIGALRM, 0);
  OK(setitimer(ITIMER_REAL, &timer, NULL));
  EXPECT_ERRNO(pause(), EINTR);
  EXPECT_EQ(last_signal, SIGALRM);
}

// Faults.

static sigjmp_buf jump;
static void jump_out(int signal, siginfo_t* info, void* context) {
  last_signal = signal;
  last_info = *info;
  siglongjmp(jump, 1);
}
static void catch_and_jump(int signal) {
  struct sigaction action = {.sa_sigaction = jump_out, .sa_flags = SA_SIGINFO};
  OK(sigaction(signal, &action, NULL));
}

CASE(null_dereference_is_sigsegv_with_its_address) {
  catch_and_jump(SIGSEGV);
  if (sigsetjmp(jump, 1) == 0) *(volatile int*)0x10 = 1;
  EXPECT_EQ(last_signal, SIGSEGV);
  EXPECT_EQ(last_info.si_code, SEGV_MAPERR);
  EXPECT(last_info.si_addr == (void*)0x10);
}

CASE(non_canonical_address_is_sigsegv_by_the_kernel) {
  catch_and_jump(SIGSEGV);
  if (sigsetjmp(jump, 1) == 0) *(volatile int*)0x8000000000000000UL = 1;
  EXPECT_EQ(last_signal, SIGSEGV);
  EXPECT_EQ(last_info.si_code, SI_KERNEL);
}

CASE(division_by_zero_is_sigfpe) {
  catch_and_jump(SIGFPE);
  if (sigsetjmp(jump, 1) == 0)
    __asm__ volatile("xor %%ecx, %%ecx; mov $1, %%eax; cdq; idiv %%ecx" ::: "eax", "ecx", "edx");
  EXPECT_EQ(last_signal, SIGFPE);
  EXPECT_EQ(last_info.si_code, FPE_INTDIV);
}

CASE(undefined_instruction_is_sigill) {
  catch_and_jump(SIGILL);
  if (sigsetjmp(jump, 1) == 0) __asm__ volatile("ud2");
  EXPECT_EQ(last_signal, SIGILL);
  EXPECT_EQ(last_info.si_code, ILL_ILLOPN);
}

CASE(breakpoint_is_sigtrap) {
  catch_signal(SIGTRAP, SA_SIGINFO);
  __asm__ volatile("int3");
  EXPECT_EQ(count, 1);
  EXPECT_EQ(last_signal, SIGTRAP);
}

CASE(privileged_instruction_is_sigsegv) {
  catch_and_jump(SIGSEGV);
  if (sigsetjmp(jump, 1) == 0) __asm__ volatile("hlt");
  EXPECT_EQ(last_signal, SIGSEGV);
}

CASE(blocked_fault_ends_the_process) {
  pid_t child = IN_CHILD({
    catch_signal(SIGSEGV, 0);
    block(SIGSEGV);
    *(volatile int*)0x10 = 1;
  });
  EXPECT_KILLED(child, SIGSEGV);
}

CASE(ignored_fault_ends_the_process) {
  pid_t child = IN_CHILD({
    signal(SIGSEGV, SIG_IGN);
    *(volatile int*)0x10 = 1;
  });
  EXPECT_KILLED(child, SIGSEGV);
}

static void fix_register(int signal, siginfo_t* info, void* context) {
  static int target = 0;
  ((ucontext_t*)context)->uc_mcontext.gregs[REG_RAX] = (long)&target;
  count++;
}

CASE(handler_may_repair_registers_in_its_frame) {
  struct sigaction action = {.sa_sigaction = fix_register, .sa_flags = SA_SIGINFO};
  OK(sigaction(SIGSEGV, &action, NULL));
  __asm__ volatile("mov $0x10, %%rax; movl $1, (%%rax)" ::: "rax", "memory");
  EXPECT_EQ(count, 1);
}

static long frame_error, frame_trap, frame_cr2;
static void skip_instruction(int signal, siginfo_t* info, void* context) {
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  frame_error = registers[REG_ERR];
  frame_trap = registers[REG_TRAPNO];
  frame_cr2 = registers[REG_CR2];
  registers[REG_RIP] += 2;  // movl %ecx, (%rax)
}

CASE(fault_frame_has_error_code_trap_number_and_cr2) {
  struct sigaction action = {.sa_sigaction = skip_instruction, .sa_flags = SA_SIGINFO};
  OK(sigaction(SIGSEGV, &action, NULL));
  __asm__ volatile("mov $0x20, %%rax; movl %%ecx, (%%rax)" ::: "rax", "memory");
  EXPECT_EQ(frame_trap, 14);
  EXPECT_EQ(frame_cr2, 0x20);
  EXPECT_EQ(frame_error, 6);
}

static void clobber_vectors(int signal) {
  count++;
  __asm__ volatile("pxor %%xmm0, %%xmm0; pxor %%xmm7, %%xmm7; pxor %%xmm15, %%xmm15" ::: "xmm0", "xmm7", "xmm15");
}

CASE(vector_registers_survive_a_handler) {
  signal(SIGUSR1, clobber_vectors);
  uint64_t in = 0x1122334455667788, out7 = 0, out15 = 0;
  long pid = getpid(), result;
  __asm__ volatile(
      "movq %[in], %%xmm7; movq %[in], %%xmm15; mov $62, %%eax; syscall; movq %%xmm7, %[out7]; movq %%xmm15, %[out15]"
      : [out7] "=r"(out7), [out15] "=r"(out15), "=&a"(result)
      : [in] "r"(in), "D"(pid), "S"((long)SIGUSR1)
      : "rcx", "r11", "xmm7", "xmm15", "memory");
  EXPECT_EQ(result, 0);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(out7, in);
  EXPECT_EQ(out15, in);
}

static void clobber_avx(int signal) {
  count++;
  __asm__ volatile("vzeroall" ::: "xmm0", "xmm6");
}

CASE(upper_halves_of_avx_registers_survive_a_handler) {
  if (!__builtin_cpu_supports("avx")) SKIP("no AVX");
  signal(SIGUSR1, clobber_avx);
  uint64_t in[4] = {1, 2, 3, 4}, out[4] = {0};
  long pid = getpid(), result;
  __asm__ volatile("vmovdqu (%[in]), %%ymm6; mov $62, %%eax; syscall; vmovdqu %%ymm6, (%[out])"
                   : "=&a"(result)
                   : [in] "r"(in), [out] "r"(out), "D"(pid), "S"((long)SIGUSR1)
                   : "rcx", "r11", "xmm6", "memory");
  EXPECT_EQ(result, 0);
  EXPECT_EQ(count, 1);
  EXPECT(memcmp(in, out, sizeof in) == 0);
}

static void change_xmm_in_frame(int signal, siginfo_t* info, void* context) {
  fpregset_t fp = ((ucontext_t*)context)->uc_mcontext.fpregs;
  memset(&fp->_xmm[5], 0x5a, 16);
}

CASE(handler_may_change_vector_registers_in_its_frame) {
  struct sigaction action = {.sa_sigaction = change_xmm_in_frame, .sa_flags = SA_SIGINFO};
  OK(sigaction(SIGUSR1, &action, NULL));
  uint64_t out = 0;
  long pid = getpid(), result;
  __asm__ volatile("pxor %%xmm5, %%xmm5; mov $62, %%eax; syscall; movq %%xmm5, %[out]"
                   : [out] "=r"(out), "=&a"(result)
                   : "D"(pid), "S"((long)SIGUSR1)
                   : "rcx", "r11", "xmm5", "memory");
  EXPECT_EQ(out, 0x5a5a5a5a5a5a5a5a);
}

CASE(red_zone_survives_a_handler) {
  signal(SIGUSR1, on_signal);
  uint64_t out = 0;
  long pid = getpid(), result;
  __asm__ volatile("movq $77, -64(%%rsp); mov $62, %%eax; syscall; movq -64(%%rsp), %[out]"
                   : [out] "=r"(out), "=&a"(result)
                   : "D"(pid), "S"((long)SIGUSR1)
                   : "rcx", "r11", "memory");
  EXPECT_EQ(count, 1);
  EXPECT_EQ(out, 77);
}

static uint64_t flags_in_handler;
static void save_flags(int signal) { flags_in_handler = __builtin_ia32_readeflags_u64(); }

CASE(direction_flag_is_clear_in_a_handler) {
  signal(SIGUSR1, save_flags);
  long pid = getpid(), result;
  __asm__ volatile("std; mov $62, %%eax; syscall; cld"
                   : "=&a"(result)
                   : "D"(pid), "S"((long)SIGUSR1)
                   : "rcx", "r11", "memory", "cc");
  EXPECT_EQ(flags_in_handler & 0x400, 0);
}

CASE(system_call_clobbers_only_rax_rcx_r11) {
  uint64_t rbx, rdx, rsi, rdi, r8, r10, r12, r15;
  __asm__ volatile(
      "mov $1, %%rbx; mov $2, %%rdx; mov $3, %%rsi; mov $4, %%rdi; mov $5, %%r8; mov $6, %%r10; mov $7, %%r12; mov $8, "
      "%%r15;"
      "mov $39, %%eax; syscall;"
      "mov %%rbx, %0; mov %%rdx, %1; mov %%rsi, %2; mov %%rdi, %3; mov %%r8, %4; mov %%r10, %5; mov %%r12, %6; mov "
      "%%r15, %7"
      : "=m"(rbx), "=m"(rdx), "=m"(rsi), "=m"(rdi), "=m"(r8), "=m"(r10), "=m"(r12), "=m"(r15)
      :
      : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r15", "memory");
  EXPECT(rbx == 1 && rdx == 2 && rsi == 3 && rdi == 4 && r8 == 5 && r10 == 6 && r12 == 7 && r15 == 8);
}

CASE(unknown_system_call_is_enosys) {
  EXPECT_ERRNO(syscall(1000), ENOSYS);
  EXPECT_ERRNO(syscall(-1), ENOSYS);
}

CASE(longjmp_out_of_a_handler_and_again) {
  for (int i = 0; i < 10; i++) {
    catch_and_jump(SIGSEGV);
    if (sigsetjmp(jump, 1) == 0) {
      *(volatile int*)0x10 = 1;
      FAIL("no fault");
    }
  }
}

CASE(busy_loop_is_interrupted) {
  struct itimerval timer = {.it_value = {0, 20000}};
  catch_signal(SIGALRM, 0);
  OK(setitimer(ITIMER_REAL, &timer, NULL));
  while (count == 0) __asm__ volatile("" ::: "memory");
}

CASE(busy_loop_of_another_process_is_killed) {
  pid_t child = IN_CHILD({
    for (;;) __asm__ volatile("" ::: "memory");
  });
  sleep_ms(20);
  OK(kill(child, SIGKILL));
  EXPECT_KILLED(child, SIGKILL);
}

CASE(busy_loop_of_another_process_is_stopped_and_goes_on) {
  volatile long* counter = MAP(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t child = IN_CHILD({
    for (;;) ++*counter;
  });
  EVENTUALLY(*counter > 0);
  OK(kill(child, SIGSTOP));
  int status;
  EXPECT_EQ(waitpid(child, &status, WUNTRACED), child);
  long then = *counter;
  sleep_ms(10);
  EXPECT_EQ(*counter, then);
  OK(kill(child, SIGCONT));
  EVENTUALLY(*counter > then);
  OK(kill(child, SIGKILL));
  EXPECT_KILLED(child, SIGKILL);
}

CASE(sigcont_discards_pending_stops) {
  block(SIGTSTP);
  raise(SIGTSTP);
  EXPECT(is_pending(SIGTSTP));
  raise(SIGCONT);
  EXPECT(!is_pending(SIGTSTP));
}

CASE(kill_of_a_negative_pid_signals_the_group) {
  int p[2];
  char byte;
  OK(pipe(p));
  pid_t child = IN_CHILD({
    setpgid(0, 0);
    for (int i = 0; i < 2; i++) {
      IN_CHILD({
        OK(write(p[1], "r", 1));
        for (;;) pause();
      });
    }
    for (;;) pause();
  });
  OK(read(p[0], &byte, 1));
  OK(read(p[0], &byte, 1));
  OK(kill(-child, SIGTERM));
  EXPECT_KILLED(child, SIGTERM);
  close(p[1]);
  EXPECT_EQ(read(p[0], &byte, 1), 0);
}

CASE(kill_of_an_empty_group_is_esrch) { EXPECT_ERRNO(kill(-3999999, SIGTERM), ESRCH); }

CASE(unprivileged_may_not_signal_root) {
  if (geteuid() != 0) SKIP("needs root");
  pid_t parent = getppid();
  pid_t child = IN_CHILD({
    OK(setresuid(65534, 65534, 65534));
    EXPECT_ERRNO(kill(parent, SIGUSR1), EPERM);
  });
  EXPECT_EXIT(child, 0);
}

CASE(frame_on_a_bad_stack_ends_the_process) {
  pid_t child = IN_CHILD({
    catch_signal(SIGUSR1, 0);
    long pid = getpid();
    __asm__ volatile("mov $8, %%rsp; mov $62, %%eax; syscall; hlt" ::"D"(pid), "S"((long)SIGUSR1) : "memory");
  });
  EXPECT_KILLED(child, SIGSEGV);
}

CASE(sigreturn_with_a_bad_frame_ends_the_process) {
  pid_t child = IN_CHILD({ __asm__ volatile("mov $8, %%rsp; mov $15, %%eax; syscall; hlt" ::: "memory"); });
  EXPECT_KILLED(child, SIGSEGV);
}

static volatile int thread_got_signal;
static pthread_t signalled_thread;
static void note_thread(int signal) { thread_got_signal = pthread_equal(pthread_self(), signalled_thread) ? 1 : 2; }
static void* wait_for_signal(void* unused) {
  while (!thread_got_signal) sleep_ms(1);
  return NULL;
}

CASE(pthread_kill_runs_the_handler_in_that_thread) {
  signal(SIGUSR1, note_thread);
  EXPECT_ZERO(pthread_create(&signalled_thread, NULL, wait_for_signal, NULL));
  EXPECT_ZERO(pthread_kill(signalled_thread, SIGUSR1));
  EXPECT_ZERO(pthread_join(signalled_thread, NULL));
  EXPECT_EQ(thread_got_signal, 1);
}

CASE(process_signal_goes_to_a_thread_that_does_not_block_it) {
  signal(SIGUSR1, note_thread);
  EXPECT_ZERO(pthread_create(&signalled_thread, NULL, wait_for_signal, NULL));
  block(SIGUSR1);
  kill(getpid(), SIGUSR1);
  EXPECT_ZERO(pthread_join(signalled_thread, NULL));
  EXPECT_EQ(thread_got_signal, 1);
}

CASE(thousand_signals_in_a_row) {
  catch_signal(SIGUSR1, 0);
  for (int i = 0; i < 1000; i++) raise(SIGUSR1);
  EXPECT_EQ(count, 1000);
}

CASE(two_processes_signal_each_other) {
  sigset_t set;
  block(SIGUSR1);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pid_t parent = getpid();
  pid_t child = IN_CHILD({
    for (int i = 0; i < 100; i++) {
      int got;
      EXPECT_ZERO(sigwait(&set, &got));
      kill(parent, SIGUSR1);
    }
  });
  for (int i = 0; i < 100; i++) {
    int got;
    kill(child, SIGUSR1);
    EXPECT_ZERO(sigwait(&set, &got));
  }
  EXPECT_EXIT(child, 0);
}

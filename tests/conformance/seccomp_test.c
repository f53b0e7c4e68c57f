// seccomp(2) and prctl(PR_SET_SECCOMP): filters, their precedence, inheritance, and what is refused.
#include "conformance.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_ARGUMENT(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * (n))
#define IF_EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define GIVE(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define PROGRAM(...)                         \
  struct sock_filter code[] = {__VA_ARGS__}; \
  struct sock_fprog program = {sizeof code / sizeof *code, code}

static long set_filter(unsigned flags, struct sock_fprog* program) {
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
}

static void allow_filters(void) { OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); }

// Everything passes but `number`, which gets `action`.
static void install(int number, unsigned action) {
  PROGRAM(LOAD(nr), IF_EQUAL(number, 0, 1), GIVE(action), GIVE(SECCOMP_RET_ALLOW));
  OK(set_filter(0, &program));
}

CASE(errno_action_gives_its_error) {
  allow_filters();
  install(SYS_getppid, SECCOMP_RET_ERRNO | 77);
  for (int n = 0; n < 30; ++n) EXPECT_ERRNO(syscall(SYS_getppid), 77);
  OK(syscall(SYS_getpgrp));
}

CASE(errno_zero_is_success_without_the_call) {
  allow_filters();
  install(SYS_chdir, SECCOMP_RET_ERRNO);
  EXPECT_EQ(chdir("/no/such/directory"), 0);
}

CASE(errno_is_capped) {
  allow_filters();
  install(SYS_getppid, SECCOMP_RET_ERRNO | 0xffff);
  EXPECT_ERRNO(syscall(SYS_getppid), 4095);
}

CASE(trivial_calls_are_seen) {
  int const numbers[] = {SYS_getpid, SYS_getuid,      SYS_getgid,         SYS_geteuid,         SYS_getegid, SYS_getppid,
                         SYS_gettid, SYS_sched_yield, SYS_rt_sigprocmask, SYS_set_robust_list, SYS_madvise, SYS_rseq};
  for (size_t n = 0; n < sizeof numbers / sizeof *numbers; ++n) {
    pid_t child = IN_CHILD({
      for (int i = 0; i < 20; ++i) syscall(numbers[n]);
      allow_filters();
      install(numbers[n], SECCOMP_RET_ERRNO | 55);
      for (int i = 0; i < 20; ++i) EXPECT_ERRNO(syscall(numbers[n]), 55);
    });
    EXPECT_EXIT(child, 0);
  }
}

CASE(arguments_decide) {
  allow_filters();
  PROGRAM(LOAD(nr), IF_EQUAL(SYS_getppid, 0, 3), LOAD_ARGUMENT(5), IF_EQUAL(7, 0, 1), GIVE(SECCOMP_RET_ERRNO | 66),
          GIVE(SECCOMP_RET_ALLOW));
  OK(set_filter(0, &program));
  EXPECT_ERRNO(syscall(SYS_getppid, 0, 0, 0, 0, 0, 7), 66);
  OK(syscall(SYS_getppid, 7, 7, 7, 7, 7, 8));
}

static void* wait_on(void* word) {
  while (__atomic_load_n((int*)word, __ATOMIC_SEQ_CST) == 0) syscall(SYS_futex, word, 0, 0, NULL, NULL, 0);
  return NULL;
}

CASE(futexes_work_under_a_filter_that_looks_at_them) {
  allow_filters();
  PROGRAM(LOAD(nr), IF_EQUAL(SYS_futex, 0, 3), LOAD_ARGUMENT(2), IF_EQUAL(0x1234567, 0, 1),
          GIVE(SECCOMP_RET_ERRNO | 66), GIVE(SECCOMP_RET_ALLOW));
  OK(set_filter(0, &program));
  int word = 0;
  EXPECT_ERRNO(syscall(SYS_futex, &word, 0, 0x1234567, NULL, NULL, 0), 66);
  EXPECT_ERRNO(syscall(SYS_futex, &word, 0, 1, NULL, NULL, 0), EAGAIN);
  struct timespec soon = {0, 1000000};
  EXPECT_ERRNO(syscall(SYS_futex, &word, 0, 0, &soon, NULL, 0), ETIMEDOUT);
  for (int round = 0; round < 50; ++round) {
    word = 0;
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, wait_on, &word), 0);
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    OK(syscall(SYS_futex, &word, 1, 1, NULL, NULL, 0));
    EXPECT_EQ(pthread_join(thread, NULL), 0);
  }
  EXPECT_ERRNO(syscall(SYS_futex, (int*)8, 0, 0, NULL, NULL, 0), EFAULT);
  // Arguments that a wait does not have.
  EXPECT_ERRNO(syscall(SYS_futex, &word, 0, 0, NULL, -1L, -1), EAGAIN);
}

CASE(yielding_works_under_a_filter_that_looks_at_it) {
  allow_filters();
  PROGRAM(LOAD(nr), IF_EQUAL(SYS_sched_yield, 0, 3), LOAD_ARGUMENT(0), IF_EQUAL(7, 0, 1), GIVE(SECCOMP_RET_ERRNO | 66),
          GIVE(SECCOMP_RET_ALLOW));
  OK(set_filter(0, &program));
  EXPECT_ERRNO(syscall(SYS_sched_yield, 7), 66);
  OK(syscall(SYS_sched_yield, 8));
}

static volatile siginfo_t seen;
static void on_sigsys(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  memcpy((void*)&seen, info, sizeof seen);
}

CASE(trap_raises_sigsys_with_the_facts) {
  struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
  OK(sigaction(SIGSYS, &action, NULL));
  allow_filters();
  install(SYS_getppid, SECCOMP_RET_TRAP | 42);
  // The handler leaves the registers as they were: the number of the call stands in rax.
  EXPECT_EQ(syscall(SYS_getppid), SYS_getppid);
  EXPECT_EQ(seen.si_signo, SIGSYS);
  EXPECT_EQ(seen.si_code, 1);
  EXPECT_EQ(seen.si_errno, 42);
  EXPECT_EQ(seen.si_syscall, SYS_getppid);
  EXPECT_EQ(seen.si_arch, AUDIT_ARCH_X86_64);
  EXPECT(seen.si_call_addr != NULL);
}

CASE(kill_process_ends_all_threads_by_sigsys) {
  pid_t child = IN_CHILD({
    signal(SIGSYS, SIG_IGN);
    int word = 0;
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, wait_on, &word), 0);
    allow_filters();
    install(SYS_getppid, SECCOMP_RET_KILL_PROCESS);
    syscall(SYS_getppid);
  });
  EXPECT_KILLED(child, SIGSYS);
}

CASE(kill_of_a_single_thread_ends_the_process) {
  pid_t child = IN_CHILD({
    allow_filters();
    install(SYS_getppid, SECCOMP_RET_KILL_THREAD);
    syscall(SYS_getppid);
  });
  EXPECT_KILLED(child, SIGSYS);
}

static void* kill_self(void* unused) {
  (void)unused;
  syscall(SYS_getppid);
  return NULL;
}

CASE(kill_of_one_of_two_threads_leaves_the_other) {
  allow_filters();
  install(SYS_getppid, SECCOMP_RET_KILL_THREAD);
  pthread_t thread;
  EXPECT_EQ(pthread_create(&thread, NULL, kill_self, NULL), 0);
  EXPECT_EQ(pthread_join(thread, NULL), 0);
}

CASE(trace_without_tracer_is_enosys) {
  allow_filters();
  install(SYS_getppid, SECCOMP_RET_TRACE);
  EXPECT_ERRNO(syscall(SYS_getppid), ENOSYS);
}

CASE(log_lets_the_call_pass) {
  allow_filters();
  install(SYS_getppid, SECCOMP_RET_LOG);
  OK(syscall(SYS_getppid));
}

CASE(the_most_severe_of_several_filters_wins) {
  allow_filters();
  install(SYS_getppid, SECCOMP_RET_ERRNO | 11);
  install(SYS_getppid, SECCOMP_RET_LOG);
  EXPECT_ERRNO(syscall(SYS_getppid), 11);
  // Of two with the same action the one that was installed last.
  install(SYS_getppid, SECCOMP_RET_ERRNO | 12);
  EXPECT_ERRNO(syscall(SYS_getppid), 12);
  pid_t child = IN_CHILD({
    install(SYS_getppid, SECCOMP_RET_KILL_PROCESS);
    syscall(SYS_getppid);
  });
  EXPECT_KILLED(child, SIGSYS);
}

CASE(filters_are_inherited_over_fork_and_exec) {
  allow_filters();
  install(SYS_getppid, SECCOMP_RET_ERRNO | 77);
  pid_t child = IN_CHILD({ EXPECT_ERRNO(syscall(SYS_getppid), 77); });
  EXPECT_EXIT(child, 0);
  child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", "grep -q '^Seccomp:.2$' /proc/self/status", NULL);
    _exit(99);
  }
  EXPECT_EXIT(child, 0);
}

static int go;
static void* child_thread(void* result) {
  while (!__atomic_load_n(&go, __ATOMIC_SEQ_CST)) sched_yield();
  errno = 0;
  syscall(SYS_getppid);
  *(int*)result = errno;
  return NULL;
}

CASE(threads_get_it_by_tsync_only) {
  allow_filters();
  for (unsigned flags = 0; flags <= SECCOMP_FILTER_FLAG_TSYNC; flags += SECCOMP_FILTER_FLAG_TSYNC) {
    int result = -1;
    go = 0;
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, child_thread, &result), 0);
    PROGRAM(LOAD(nr), IF_EQUAL(SYS_getppid, 0, 1), GIVE(SECCOMP_RET_ERRNO | 70), GIVE(SECCOMP_RET_ALLOW));
    if (flags == 0) {
      pid_t child = IN_CHILD({ OK(set_filter(0, &program)); });
      EXPECT_EXIT(child, 0);
    } else {
      OK(set_filter(flags, &program));
    }
    __atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(result, flags ? 70 : 0);
  }
}

CASE(a_filter_needs_no_new_privs_or_the_capability) {
  if (geteuid() != 0) SKIP("needs root");
  pid_t child = IN_CHILD({
    OK(setresuid(65534, 65534, 65534));
    PROGRAM(GIVE(SECCOMP_RET_ALLOW));
    EXPECT_ERRNO(set_filter(0, &program), EACCES);
    allow_filters();
    OK(set_filter(0, &program));
  });
  EXPECT_EXIT(child, 0);
}

CASE(strict_mode_allows_four_calls) {
  pid_t child = IN_CHILD({
    OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    syscall(SYS_exit, 5);
  });
  EXPECT_EXIT(child, 5);
  child = IN_CHILD({
    OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    syscall(SYS_getpid);
  });
  EXPECT_KILLED(child, SIGKILL);
}

CASE(get_seccomp_tells_the_mode) {
  EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
  allow_filters();
  install(SYS_getppid, SECCOMP_RET_ERRNO);
  EXPECT_EQ(prctl(PR_GET_SECCOMP), 2);
  EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL), EINVAL);
}

static void expect_refused(struct sock_filter* code, unsigned short length) {
  struct sock_fprog program = {length, code};
  EXPECT_ERRNO(set_filter(0, &program), EINVAL);
}

CASE(wrong_programs_are_refused) {
  allow_filters();
  struct sock_filter allow = GIVE(SECCOMP_RET_ALLOW);
  expect_refused(&allow, 0);
  struct sock_filter no_end[] = {LOAD(nr)};
  expect_refused(no_end, 1);
  struct sock_filter jump_out[] = {IF_EQUAL(1, 1, 0), allow};
  expect_refused(jump_out, 2);
  struct sock_filter beyond[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, sizeof(struct seccomp_data)), allow};
  expect_refused(beyond, 2);
  struct sock_filter unaligned[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), allow};
  expect_refused(unaligned, 2);
  struct sock_filter bytes[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), allow};
  expect_refused(bytes, 2);
  struct sock_filter by_zero[] = {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), allow};
  expect_refused(by_zero, 2);
  struct sock_filter far_shift[] = {BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), allow};
  expect_refused(far_shift, 2);
  struct sock_filter unwritten[] = {BPF_STMT(BPF_LD | BPF_MEM, 3), allow};
  expect_refused(unwritten, 2);
  struct sock_filter half_written[] = {LOAD(nr), IF_EQUAL(1, 0, 1), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3),
                                       allow};
  expect_refused(half_written, 5);
  EXPECT_ERRNO(set_filter(1u << 30, &(struct sock_fprog){1, &allow}), EINVAL);
  EXPECT_ERRNO(set_filter(0, (struct sock_fprog*)8), EFAULT);
  EXPECT_ERRNO(set_filter(0, &(struct sock_fprog){1, (struct sock_filter*)8}), EFAULT);
}

CASE(arithmetic_is_the_kernels) {
  allow_filters();
  // ((nr * 3 - 1) ^ 5) / x with x = 1 by memory; division by a zero x ends the program with 0: kill.
  pid_t child = IN_CHILD({
    PROGRAM(LOAD(nr), BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3), BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 1),
            BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 5), BPF_STMT(BPF_ST, 15), BPF_STMT(BPF_LDX | BPF_IMM, 1),
            BPF_STMT(BPF_LD | BPF_MEM, 15), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
            IF_EQUAL((SYS_getppid * 3 - 1) ^ 5, 0, 1), GIVE(SECCOMP_RET_ERRNO | 44), GIVE(SECCOMP_RET_ALLOW));
    OK(set_filter(0, &program));
    EXPECT_ERRNO(syscall(SYS_getppid), 44);
  });
  EXPECT_EXIT(child, 0);
  child = IN_CHILD({
    PROGRAM(LOAD(nr), IF_EQUAL(SYS_getppid, 0, 1), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), GIVE(SECCOMP_RET_ALLOW));
    OK(set_filter(0, &program));
    OK(syscall(SYS_getpgrp));
    syscall(SYS_getppid);
  });
  EXPECT_KILLED(child, SIGSYS);
}

CASE(actions_can_be_asked_for) {
  unsigned const there[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,
                            SECCOMP_RET_ERRNO,        SECCOMP_RET_LOG,         SECCOMP_RET_ALLOW};
  for (size_t n = 0; n < sizeof there / sizeof *there; ++n)
    OK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &there[n]));
  unsigned unknown = 0x12340000;
  EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &unknown), EOPNOTSUPP);
  EXPECT_ERRNO(syscall(SYS_seccomp, 99, 0, NULL), EINVAL);
}

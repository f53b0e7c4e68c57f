// fork, vfork, clone, clone3, the wait family, pidfd, exit.
#include "conformance.h"

#include <linux/sched.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static long clone3(struct clone_args* args, size_t size) { return syscall(SYS_clone3, args, size); }
static int pidfd_open(pid_t pid, unsigned flags) { return (int)syscall(SYS_pidfd_open, pid, flags); }

CASE(fork_returns_the_pid_to_the_parent_and_zero_to_the_child) {
  pid_t parent = getpid();
  pid_t child = IN_CHILD({
    EXPECT_EQ(getppid(), parent);
    EXPECT(getpid() != parent);
  });
  EXPECT_EXIT(child, 0);
}

CASE(exit_code_is_the_low_byte) {
  pid_t child = IN_CHILD({ _exit(0x1ff); });
  EXPECT_EXIT(child, 0xff);
}

CASE(child_ended_by_a_signal_is_told_so) {
  pid_t child = IN_CHILD({ raise(SIGTERM); });
  EXPECT_KILLED(child, SIGTERM);
}

CASE(waitpid_without_children_is_echild) { EXPECT_ERRNO(waitpid(-1, NULL, 0), ECHILD); }

CASE(waitpid_for_a_process_that_is_no_child_is_echild) { EXPECT_ERRNO(waitpid(getppid(), NULL, 0), ECHILD); }

CASE(waitpid_nohang_with_a_running_child_is_zero) {
  pid_t child = IN_CHILD({ pause(); });
  EXPECT_EQ(waitpid(child, NULL, WNOHANG), 0);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

CASE(waitpid_unknown_option_is_einval) { EXPECT_ERRNO(waitpid(-1, NULL, 0x100), EINVAL); }

CASE(a_child_is_waited_for_once) {
  pid_t child = IN_CHILD({});
  EXPECT_EXIT(child, 0);
  EXPECT_ERRNO(waitpid(child, NULL, 0), ECHILD);
}

CASE(zombie_keeps_its_pid_until_it_is_waited_for) {
  pid_t child = IN_CHILD({});
  EVENTUALLY(process_state(child) == 'Z');
  EXPECT_EQ(kill(child, 0), 0);
  EXPECT_EXIT(child, 0);
  EXPECT_ERRNO(kill(child, 0), ESRCH);
}

CASE(waitid_reports_exit_without_reaping_on_wnowait) {
  siginfo_t info = {0};
  pid_t child = IN_CHILD({ _exit(3); });
  OK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
  EXPECT_EQ(info.si_pid, child);
  EXPECT_EQ(info.si_code, CLD_EXITED);
  EXPECT_EQ(info.si_status, 3);
  EXPECT_EQ(info.si_signo, SIGCHLD);
  EXPECT_EXIT(child, 3);
}

CASE(waitid_without_any_of_the_events_is_einval) { EXPECT_ERRNO(waitid(P_ALL, 0, NULL, WNOHANG), EINVAL); }

CASE(waitid_nohang_with_nothing_to_tell_clears_the_pid) {
  siginfo_t info;
  memset(&info, 0xff, sizeof info);
  pid_t child = IN_CHILD({ pause(); });
  OK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG));
  EXPECT_EQ(info.si_pid, 0);
  EXPECT_EQ(info.si_signo, 0);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

CASE(waitid_tells_killed_and_dumped_apart) {
  siginfo_t info = {0};
  pid_t child = IN_CHILD({ raise(SIGKILL); });
  OK(waitid(P_PID, (id_t)child, &info, WEXITED));
  EXPECT_EQ(info.si_code, CLD_KILLED);
  EXPECT_EQ(info.si_status, SIGKILL);
}

CASE(stop_and_continue_are_reported_on_request) {
  int status;
  pid_t child = IN_CHILD({
    raise(SIGSTOP);
    pause();
  });
  EXPECT_EQ(waitpid(child, &status, WUNTRACED), child);
  EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  EXPECT_EQ(process_state(child), 'T');
  OK(kill(child, SIGCONT));
  EXPECT_EQ(waitpid(child, &status, WCONTINUED), child);
  EXPECT(WIFCONTINUED(status));
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

CASE(wait_for_any_child_gets_each_of_them) {
  int seen = 0;
  for (int i = 0; i < 5; i++) IN_CHILD({ _exit(i); });
  for (int i = 0; i < 5; i++) {
    int status;
    OK(wait(&status));
    seen |= 1 << WEXITSTATUS(status);
  }
  EXPECT_EQ(seen, 31);
  EXPECT_ERRNO(wait(NULL), ECHILD);
}

CASE(waitpid_by_process_group) {
  pid_t other = IN_CHILD({
    setpgid(0, 0);
    _exit(1);
  });
  setpgid(other, other);
  pid_t own = IN_CHILD({ _exit(2); });
  int status;
  EXPECT_EQ(waitpid(-other, &status, 0), other);
  EXPECT_EQ(waitpid(0, &status, 0), own);
}

CASE(wait4_gives_the_usage_of_the_child) {
  struct rusage usage;
  memset(&usage, 0xff, sizeof usage);
  pid_t child = IN_CHILD({
    struct timespec t;
    do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    while (t.tv_nsec < 30000000);
  });
  EXPECT_EQ(wait4(child, NULL, 0, &usage), child);
  EXPECT(usage.ru_utime.tv_sec == 0 && usage.ru_stime.tv_sec == 0);
  EXPECT(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec >= 20000);
}

CASE(ignored_sigchld_reaps_children_by_itself) {
  signal(SIGCHLD, SIG_IGN);
  pid_t child = IN_CHILD({});
  EXPECT_ERRNO(waitpid(child, NULL, 0), ECHILD);
}

CASE(sa_nocldwait_reaps_children_by_itself) {
  struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
  OK(sigaction(SIGCHLD, &action, NULL));
  pid_t child = IN_CHILD({});
  EXPECT_ERRNO(waitpid(child, NULL, 0), ECHILD);
}

CASE(orphan_is_adopted) {
  int p[2];
  OK(pipe(p));
  pid_t child = IN_CHILD({
    pid_t me = getpid();
    IN_CHILD({
      for (int i = 0; i < 3000 && getppid() == me; i++) sleep_ms(1);
      char changed = getppid() != me;
      OK(write(p[1], &changed, 1));
    });
  });
  char changed = 0;
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(read(p[0], &changed, 1), 1);
  EXPECT_EQ(changed, 1);
}

CASE(vfork_shares_memory_and_runs_the_child_first) {
  volatile int shared = 0;
  pid_t child = vfork();
  if (child == 0) {
    shared = 1;
    _exit(7);
  }
  EXPECT_EQ(shared, 1);
  EXPECT_EXIT(child, 7);
}

CASE(vfork_parent_waits_for_exec) {
  pid_t child = vfork();
  if (child == 0) {
    execl("/bin/true", "true", (char*)NULL);
    _exit(126);
  }
  OK(child);
  EXPECT_EXIT(child, 0);
}

static char clone_stack[65536] __attribute__((aligned(16)));
static volatile int clone_value;
static int set_clone_value(void* value) {
  clone_value = (int)(intptr_t)value;
  return 5;
}

CASE(clone_vm_shares_memory) {
  pid_t child = (pid_t)OK(clone(set_clone_value, clone_stack + sizeof clone_stack, CLONE_VM | SIGCHLD, (void*)9));
  EXPECT_EXIT(child, 5);
  EXPECT_EQ(clone_value, 9);
}

CASE(clone_without_vm_copies_memory) {
  pid_t child = (pid_t)OK(clone(set_clone_value, clone_stack + sizeof clone_stack, SIGCHLD, (void*)9));
  EXPECT_EXIT(child, 5);
  EXPECT_EQ(clone_value, 0);
}

static int close_the_pipe(void* fd) {
  close((int)(intptr_t)fd);
  return 0;
}

CASE(clone_files_shares_descriptors) {
  int fd = dup(0);
  pid_t child =
      (pid_t)OK(clone(close_the_pipe, clone_stack + sizeof clone_stack, CLONE_FILES | SIGCHLD, (void*)(intptr_t)fd));
  EXPECT_EXIT(child, 0);
  EXPECT_ERRNO(fcntl(fd, F_GETFD), EBADF);
}

CASE(clone_without_files_copies_descriptors) {
  int fd = dup(0);
  pid_t child = (pid_t)OK(clone(close_the_pipe, clone_stack + sizeof clone_stack, SIGCHLD, (void*)(intptr_t)fd));
  EXPECT_EXIT(child, 0);
  EXPECT(fcntl(fd, F_GETFD) >= 0);
}

static int go_to_root(void* unused) { return chdir("/proc"); }

CASE(clone_fs_shares_the_working_directory) {
  char where[256];
  OK(chdir("/"));
  pid_t child = (pid_t)OK(clone(go_to_root, clone_stack + sizeof clone_stack, CLONE_FS | SIGCHLD, NULL));
  EXPECT_EXIT(child, 0);
  EXPECT_STR(getcwd(where, sizeof where), "/proc");
}

CASE(clone_with_another_exit_signal_needs_wclone) {
  pid_t child = (pid_t)OK(clone(set_clone_value, clone_stack + sizeof clone_stack, 0, (void*)1));
  EXPECT_ERRNO(waitpid(child, NULL, WNOHANG), ECHILD);
  int status;
  EXPECT_EQ(waitpid(child, &status, __WCLONE), child);
  EXPECT_EQ(WEXITSTATUS(status), 5);
}

CASE(clone_thread_without_sighand_is_einval) {
  EXPECT_ERRNO(clone(set_clone_value, clone_stack + sizeof clone_stack, CLONE_THREAD, NULL), EINVAL);
}

CASE(clone_sighand_without_vm_is_einval) {
  EXPECT_ERRNO(clone(set_clone_value, clone_stack + sizeof clone_stack, CLONE_SIGHAND | SIGCHLD, NULL), EINVAL);
}

CASE(clone_parent_settid_and_child_settid_write_the_id) {
  static pid_t parent_tid, child_tid;
  pid_t child =
      (pid_t)syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, NULL, &parent_tid, &child_tid, 0);
  if (child == 0) _exit(child_tid == getpid() ? 0 : 1);
  OK(child);
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(parent_tid, child);
  EXPECT_EQ(child_tid, 0);
}

CASE(clone_parent_makes_a_sibling) {
  pid_t parent = getppid();
  pid_t child = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0);
  if (child == 0) _exit(0);
  OK(child);
  EXPECT_ERRNO(waitpid(child, NULL, 0), ECHILD);
  EXPECT_EQ(getppid(), parent);
}

CASE(clone3_forks) {
  struct clone_args args = {.exit_signal = SIGCHLD};
  pid_t child = (pid_t)clone3(&args, sizeof args);
  if (child == 0) _exit(4);
  OK(child);
  EXPECT_EXIT(child, 4);
}

CASE(clone3_gives_a_pidfd) {
  int pidfd = -1;
  struct clone_args args = {.exit_signal = SIGCHLD, .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd};
  pid_t child = (pid_t)clone3(&args, sizeof args);
  if (child == 0) _exit(4);
  OK(child);
  EXPECT(pidfd >= 0);
  EXPECT_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
  siginfo_t info = {0};
  OK(waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED));
  EXPECT_EQ(info.si_pid, child);
  EXPECT_EQ(info.si_status, 4);
}

CASE(clone3_too_small_is_einval) {
  struct clone_args args = {.exit_signal = SIGCHLD};
  EXPECT_ERRNO(clone3(&args, 8), EINVAL);
}

CASE(clone3_larger_with_zeros_behind_is_accepted) {
  struct {
    struct clone_args args;
    uint64_t more[4];
  } wide = {.args = {.exit_signal = SIGCHLD}};
  pid_t child = (pid_t)clone3(&wide.args, sizeof wide);
  if (child == 0) _exit(0);
  OK(child);
  EXPECT_EXIT(child, 0);
}

CASE(clone3_larger_with_something_behind_is_e2big) {
  struct {
    struct clone_args args;
    uint64_t more[4];
  } wide = {.args = {.exit_signal = SIGCHLD}, .more = {1}};
  EXPECT_ERRNO(clone3(&wide.args, sizeof wide), E2BIG);
}

CASE(clone3_bad_address_is_efault) { EXPECT_ERRNO(clone3((struct clone_args*)8, sizeof(struct clone_args)), EFAULT); }

CASE(pidfd_is_readable_when_the_process_ends) {
  int gate[2];
  OK(pipe(gate));
  pid_t child = IN_CHILD({
    char byte;
    close(gate[1]);
    read(gate[0], &byte, 1);
  });
  int pidfd = (int)OK(pidfd_open(child, 0));
  struct pollfd poll_fd = {pidfd, POLLIN, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 0), 0);
  close(gate[1]);
  EXPECT_EQ(poll(&poll_fd, 1, 3000), 1);
  EXPECT(poll_fd.revents & POLLIN);
  EXPECT_EXIT(child, 0);
}

CASE(pidfd_send_signal_reaches_the_process) {
  pid_t child = IN_CHILD({
    for (;;) pause();
  });
  int pidfd = (int)OK(pidfd_open(child, 0));
  OK(syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, NULL, 0));
  EXPECT_KILLED(child, SIGUSR1);
  EXPECT_ERRNO(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0), ESRCH);
}

CASE(pidfd_open_of_no_process_is_esrch) { EXPECT_ERRNO(pidfd_open(4000000, 0), ESRCH); }

CASE(pidfd_open_of_an_invalid_pid_is_einval) {
  EXPECT_ERRNO(pidfd_open(0, 0), EINVAL);
  EXPECT_ERRNO(pidfd_open(-1, 0), EINVAL);
}

CASE(pidfd_open_unknown_flag_is_einval) { EXPECT_ERRNO(pidfd_open(getpid(), 1), EINVAL); }

CASE(pidfd_getfd_takes_a_descriptor_of_a_child) {
  int p[2], gate[2];
  char byte;
  OK(pipe(p));
  OK(pipe(gate));
  pid_t child = IN_CHILD({
    OK(dup2(p[0], 77));
    OK(write(gate[1], "r", 1));
    for (;;) pause();
  });
  OK(read(gate[0], &byte, 1));
  int pidfd = (int)OK(pidfd_open(child, 0));
  int fd = (int)OK(syscall(SYS_pidfd_getfd, pidfd, 77, 0));
  OK(write(p[1], "v", 1));
  EXPECT_EQ(read(fd, &byte, 1), 1);
  EXPECT_EQ(byte, 'v');
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

CASE(subreaper_adopts_grandchildren) {
  OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  pid_t child = IN_CHILD({
    IN_CHILD({
      sleep_ms(10);
      _exit(9);
    });
  });
  EXPECT_EXIT(child, 0);
  int status;
  EXPECT(waitpid(-1, &status, 0) > 0);
  EXPECT_EQ(WEXITSTATUS(status), 9);
}

CASE(parent_death_signal_is_sent) {
  int p[2];
  OK(pipe(p));
  pid_t child = IN_CHILD({
    IN_CHILD({
      close(p[0]);
      OK(prctl(PR_SET_PDEATHSIG, SIGKILL));
      OK(write(p[1], "r", 1));
      for (;;) pause();
    });
    char byte;
    OK(read(p[0], &byte, 1));
  });
  close(p[1]);
  EXPECT_EXIT(child, 0);
  char byte;
  EXPECT_EQ(read(p[0], &byte, 1), 0);  // the grandchild's end is closed when it dies
}

CASE(nofile_limit_zero_still_forks) {
  struct rlimit limit = {0, 0};
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  pid_t child = IN_CHILD({});
  EXPECT_EXIT(child, 0);
}

CASE(hundred_children_at_once) {
  pid_t children[100];
  for (int i = 0; i < 100; i++) children[i] = IN_CHILD({ _exit(i); });
  for (int i = 99; i >= 0; i--) EXPECT_EXIT(children[i], i);
}

CASE(chain_of_twenty_generations) {
  int depth = 0;
  while (depth < 20) {
    pid_t child = (pid_t)OK(fork());
    if (child != 0) {
      int status = wait_status(child);
      EXPECT(WIFEXITED(status));
      _exit(depth == 0 ? WEXITSTATUS(status) != 20 : WEXITSTATUS(status));
    }
    depth++;
  }
  _exit(depth);
}

CASE(fork_copies_pending_timers_not_at_all) {
  struct itimerval timer = {.it_value = {100, 0}};
  OK(setitimer(ITIMER_REAL, &timer, NULL));
  pid_t child = IN_CHILD({
    struct itimerval left;
    OK(getitimer(ITIMER_REAL, &left));
    EXPECT_EQ(left.it_value.tv_sec, 0);
  });
  EXPECT_EXIT(child, 0);
}

CASE(fork_does_not_copy_pending_signals) {
  sigset_t set, pending;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  raise(SIGUSR1);
  pid_t child = IN_CHILD({
    OK(sigpending(&pending));
    EXPECT_EQ(sigismember(&pending, SIGUSR1), 0);
    OK(sigprocmask(SIG_BLOCK, NULL, &pending));
    EXPECT_EQ(sigismember(&pending, SIGUSR1), 1);
  });
  EXPECT_EXIT(child, 0);
}

CASE(floating_point_and_vector_state_survives_fork) {
  double x = 1.5;
  __asm__ volatile("movsd %0, %%xmm9" ::"m"(x) : "xmm9");
  long child = syscall(SYS_fork);
  double y = 0;
  __asm__ volatile("movsd %%xmm9, %0" : "=m"(y));
  if (child == 0) _exit(y == 1.5 ? 0 : 1);
  EXPECT_EXIT((pid_t)child, 0);
  EXPECT(y == 1.5);
}

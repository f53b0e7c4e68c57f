// pid_namespaces(7): numbers in each namespace, init's protection, the end of a namespace, what others are told.
#include "conformance.h"

#include <linux/nsfs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static void need_root(void) {
  if (geteuid() != 0) SKIP("needs root");
}
static long clone_with(unsigned long flags) { return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0); }
// Runs the block as init of a new namespace; gives its pid here.
#define IN_NAMESPACE(...)                       \
  ({                                            \
    long child_ = OK(clone_with(CLONE_NEWPID)); \
    if (child_ == 0) {                          \
      __VA_ARGS__                               \
      _exit(0);                                 \
    }                                           \
    (pid_t) child_;                             \
  })
static int own_pid(void) { return (int)syscall(SYS_getpid); }
static int one(int fd) {
  char c = 0;
  return read(fd, &c, 1) == 1 ? c : -1;
}
static void tell(int fd) { OK(write(fd, "x", 1)); }
static bool number_line(pid_t pid, const char* name, char* to, size_t size) {
  char path[64], text[8192];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  if (read_file(path, text, sizeof text) < 0) return false;
  char* at = strstr(text, name);
  if (!at) return false;
  at += strlen(name) + 1;
  snprintf(to, size, "%.*s", (int)strcspn(at, "\n"), at);
  return true;
}

CASE(the_first_process_is_1_and_has_no_parent_there) {
  need_root();
  pid_t const init = IN_NAMESPACE({
    EXPECT_EQ(own_pid(), 1);
    EXPECT_EQ(syscall(SYS_gettid), 1);
    EXPECT_EQ(getppid(), 0);
    pid_t const child = IN_CHILD({
      EXPECT_EQ(own_pid(), 2);
      EXPECT_EQ(getppid(), 1);
    });
    EXPECT_EQ(child, 2);
    EXPECT_EXIT(child, 0);
  });
  EXPECT(init > 1);
  EXPECT_EXIT(init, 0);
}
CASE(group_and_session_of_the_outside_are_0_inside) {
  need_root();
  pid_t const init = IN_NAMESPACE({
    EXPECT_EQ(getpgrp(), 0);
    EXPECT_EQ(getsid(0), 0);
    EXPECT_EQ(setsid(), 1);
    EXPECT_EQ(getpgrp(), 1);
    EXPECT_EQ(getsid(0), 1);
  });
  EXPECT_EXIT(init, 0);
}
CASE(unshare_is_for_children) {
  need_root();
  int const before = own_pid();
  OK(unshare(CLONE_NEWPID));
  EXPECT_EQ(own_pid(), before);
  pid_t const init = IN_CHILD({
    EXPECT_EQ(own_pid(), 1);
    sleep_ms(20000);
  });
  pid_t const second = IN_CHILD({
    EXPECT_EQ(own_pid(), 2);
    EXPECT_EQ(getppid(), 0);
  });
  EXPECT_EXIT(second, 0);
  OK(kill(init, SIGKILL));
  EXPECT_KILLED(init, SIGKILL);
}
CASE(after_inits_end_nobody_can_be_made) {
  need_root();
  OK(unshare(CLONE_NEWPID));
  pid_t const init = IN_CHILD({});
  EXPECT_EXIT(init, 0);
  EXPECT_ERRNO(fork(), ENOMEM);
}
CASE(a_second_unshare_before_the_first_child) {
  need_root();
  OK(unshare(CLONE_NEWPID));
  EXPECT_ERRNO(unshare(CLONE_NEWPID), EINVAL);
}
CASE(threads_are_not_made_into_another_namespace) {
  need_root();
  EXPECT_ERRNO(clone_with(CLONE_NEWPID | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM), EINVAL);
  OK(unshare(CLONE_NEWPID));
  EXPECT_ERRNO(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, 0, 0, 0, 0), EINVAL);
}
CASE(init_has_no_siblings) {
  need_root();
  pid_t const init = IN_NAMESPACE({ EXPECT_ERRNO(clone_with(CLONE_PARENT), EINVAL); });
  EXPECT_EXIT(init, 0);
}
CASE(the_link_for_children_shows_when_the_first_is_there) {
  need_root();
  char text[64];
  struct stat mine, theirs;
  OK(stat("/proc/self/ns/pid", &mine));
  OK(unshare(CLONE_NEWPID));
  EXPECT_ERRNO(readlink("/proc/self/ns/pid_for_children", text, sizeof text), ENOENT);
  pid_t const init = IN_CHILD({ sleep_ms(20000); });
  OK(stat("/proc/self/ns/pid_for_children", &theirs));
  EXPECT(theirs.st_ino != mine.st_ino);
  OK(kill(init, SIGKILL));
  EXPECT_KILLED(init, SIGKILL);
}

// ---- the end

CASE(what_is_left_dies_with_init) {
  need_root();
  int pair[2];
  OK(pipe(pair));
  pid_t const init = IN_NAMESPACE({
    for (int i = 0; i < 5; i++)
      (void)IN_CHILD({
        tell(pair[1]);
        sleep_ms(20000);
      });
    for (int i = 0; i < 5; i++) EXPECT_EQ(one(pair[0]), 'x');
  });
  EXPECT_EXIT(init, 0);
  close(pair[1]);
  EXPECT_EQ(one(pair[0]), -1);  // every holder of the other end has gone by the time that init's end is told
}
CASE(orphans_become_inits_children) {
  need_root();
  pid_t const init = IN_NAMESPACE({
    int pair[2];
    OK(pipe(pair));
    pid_t const middle = IN_CHILD({
      (void)IN_CHILD({
        EVENTUALLY(getppid() == 1);
        tell(pair[1]);
        _exit(7);
      });
    });
    EXPECT_EXIT(middle, 0);
    EXPECT_EQ(one(pair[0]), 'x');
    EXPECT_EXIT(3, 7);
  });
  EXPECT_EXIT(init, 0);
}
CASE(a_subreaper_outside_does_not_get_them) {
  need_root();
  OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  pid_t const init = IN_NAMESPACE({
    pid_t const middle = IN_CHILD({
      (void)IN_CHILD({
        EVENTUALLY(getppid() == 1);
        _exit(7);
      });
    });
    EXPECT_EXIT(middle, 0);
    EXPECT_EXIT(3, 7);
  });
  EXPECT_EXIT(init, 0);
}

// ---- signals

CASE(from_inside_init_gets_what_it_handles_alone) {
  need_root();
  pid_t const init = IN_NAMESPACE({
    pid_t const child = IN_CHILD({
      OK(kill(1, SIGTERM));
      OK(kill(1, SIGKILL));
      OK(kill(1, SIGSTOP));
    });
    EXPECT_EXIT(child, 0);
    sleep_ms(20);
    _exit(5);
  });
  EXPECT_EXIT(init, 5);
}
static volatile sig_atomic_t heard;
static volatile pid_t sender;
static void note(int signal, siginfo_t* info, void* context) {
  sender = info->si_pid;
  heard = signal;
}
static void listen_to(int signal) {
  struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
  OK(sigaction(signal, &action, NULL));
}
CASE(a_handler_of_inits_runs) {
  need_root();
  pid_t const init = IN_NAMESPACE({
    listen_to(SIGUSR1);
    pid_t const child = IN_CHILD({ OK(kill(1, SIGUSR1)); });
    EXPECT_EXIT(child, 0);
    EVENTUALLY(heard == SIGUSR1);
    EXPECT_EQ(sender, 2);
  });
  EXPECT_EXIT(init, 0);
}
CASE(from_above_kill_and_stop_reach_init) {
  need_root();
  pid_t const init = IN_NAMESPACE({ sleep_ms(20000); });
  OK(kill(init, SIGTERM));  // not handled: nothing
  sleep_ms(20);
  OK(kill(init, 0));
  OK(kill(init, SIGSTOP));
  int status;
  EXPECT_EQ(waitpid(init, &status, WUNTRACED), init);
  EXPECT(WIFSTOPPED(status));
  OK(kill(init, SIGKILL));
  EXPECT_KILLED(init, SIGKILL);
}
CASE(the_sender_is_0_where_it_cannot_be_seen) {
  need_root();
  int pair[2];
  OK(pipe(pair));
  pid_t const init = IN_NAMESPACE({
    listen_to(SIGUSR2);
    tell(pair[1]);
    EVENTUALLY(heard == SIGUSR2);
    EXPECT_EQ(sender, 0);
  });
  EXPECT_EQ(one(pair[0]), 'x');
  OK(kill(init, SIGUSR2));
  EXPECT_EXIT(init, 0);
}
CASE(a_parent_outside_is_told_its_own_number) {
  need_root();
  listen_to(SIGCHLD);
  pid_t const init = IN_NAMESPACE({ EXPECT_EQ(own_pid(), 1); });
  EVENTUALLY(heard == SIGCHLD);
  EXPECT_EQ(sender, init);
  EXPECT_EXIT(init, 0);
}
CASE(kill_of_all_stays_in_the_namespace_and_spares_init) {
  need_root();
  pid_t const outside = IN_CHILD({ sleep_ms(20000); });
  pid_t const init = IN_NAMESPACE({
    pid_t const a = IN_CHILD({ sleep_ms(20000); });
    pid_t const killer = IN_CHILD({ OK(kill(-1, SIGKILL)); });
    EXPECT_KILLED(a, SIGKILL);
    EXPECT_EXIT(killer, 0);
  });
  EXPECT_EXIT(init, 0);
  OK(kill(outside, 0));
  OK(kill(outside, SIGKILL));
  EXPECT_KILLED(outside, SIGKILL);
}
CASE(numbers_of_the_outside_name_nobody_inside) {
  need_root();
  pid_t const outside = own_pid();
  pid_t const init = IN_NAMESPACE({
    if (outside > 2) {
      EXPECT_ERRNO(kill(outside, 0), ESRCH);
      EXPECT_ERRNO(getpgid(outside), ESRCH);
      EXPECT_ERRNO(syscall(SYS_pidfd_open, outside, 0), ESRCH);
      EXPECT_ERRNO(sched_getscheduler(outside), ESRCH);
    }
  });
  EXPECT_EXIT(init, 0);
}

// ---- nesting

CASE(each_level_has_a_number_for_those_below) {
  need_root();
  int up[2], down[2];
  OK(pipe(up));
  OK(pipe(down));
  pid_t inner_here = 0;
  int numbers[2];
  OK(pipe(numbers));
  pid_t const outer = IN_NAMESPACE({
    pid_t const inner = IN_NAMESPACE({
      EXPECT_EQ(own_pid(), 1);
      tell(up[1]);
      EXPECT_EQ(one(down[0]), 'x');
    });
    EXPECT_EQ(inner, 2);
    EXPECT_EXIT(inner, 0);
  });
  EXPECT_EQ(one(up[0]), 'x');
  char path[64], text[256];
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", outer, outer);
  if (read_file(path, text, sizeof text) <= 0) SKIP("no children files here");
  inner_here = atoi(text);
  char line[100], wanted[100];
  EXPECT(number_line(inner_here, "NSpid:", line, sizeof line));
  snprintf(wanted, sizeof wanted, "%d\t2\t1", inner_here);
  char* tail = strstr(line, wanted);
  EXPECT(tail && strcmp(tail, wanted) == 0);
  EXPECT(number_line(inner_here, "NStgid:", line, sizeof line));
  EXPECT(strstr(line, wanted));
  tell(down[1]);
  EXPECT_EXIT(outer, 0);
}
CASE(the_end_of_an_outer_namespace_ends_the_inner) {
  need_root();
  int pair[2];
  OK(pipe(pair));
  pid_t const outer = IN_NAMESPACE({
    (void)IN_NAMESPACE({
      (void)IN_CHILD({
        tell(pair[1]);
        sleep_ms(20000);
      });
      sleep_ms(20000);
    });
    EXPECT_EQ(one(pair[0]), 'x');
  });
  EXPECT_EXIT(outer, 0);
  close(pair[1]);
  EXPECT_EQ(one(pair[0]), -1);
}
CASE(there_are_32_levels) {
  need_root();
  pid_t const child = IN_CHILD({
    for (int level = 0; level < 40; level++) {
      if (unshare(CLONE_NEWPID) != 0) {
        EXPECT(errno == ENOSPC);
        _exit(level > 20 ? 0 : 9);
      }
      pid_t const next = fork();
      EXPECT(next >= 0);
      if (next != 0) {
        int status;
        while (waitpid(next, &status, 0) < 0) {
        }
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 8);
      }
    }
    _exit(10);
  });
  EXPECT_EXIT(child, 0);
}
CASE(setns_goes_down_and_never_up) {
  need_root();
  int up[2], down[2];
  OK(pipe(up));
  OK(pipe(down));
  int const mine = (int)OK(open("/proc/self/ns/pid", O_RDONLY));
  pid_t const init = IN_NAMESPACE({
    EXPECT_ERRNO(setns(mine, CLONE_NEWPID), EINVAL);
    tell(up[1]);
    EXPECT_EQ(one(down[0]), 'x');
  });
  EXPECT_EQ(one(up[0]), 'x');
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/pid", init);
  int const fd = (int)OK(open(path, O_RDONLY));
  int const before = own_pid();
  OK(setns(fd, CLONE_NEWPID));
  EXPECT_EQ(own_pid(), before);
  pid_t const child = IN_CHILD({
    EXPECT_EQ(own_pid(), 2);
    EXPECT_EQ(getppid(), 0);
    OK(kill(1, 0));
  });
  EXPECT_EXIT(child, 0);
  OK(setns(mine, CLONE_NEWPID));
  pid_t const back = IN_CHILD({ EXPECT_EQ(getppid(), before); });
  EXPECT_EXIT(back, 0);
  tell(down[1]);
  EXPECT_EXIT(init, 0);
}

// ---- what is told of processes

CASE(proc_is_of_the_namespace_that_it_was_mounted_in) {
  need_root();
  char place[] = "/tmp/proc-XXXXXX";
  EXPECT(mkdtemp(place));
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  pid_t const init = IN_NAMESPACE({
    char text[64], path[128];
    // The outer procfs does not know us by our number; a new one does.
    OK(mount("proc", place, "proc", 0, NULL));
    snprintf(path, sizeof path, "%s/self", place);
    ssize_t n = OK(readlink(path, text, sizeof text - 1));
    text[n] = 0;
    EXPECT_STR(text, "1");
    pid_t const child = IN_CHILD({ sleep_ms(20000); });
    DIR* directory = opendir(place);
    EXPECT(directory);
    int processes = 0;
    struct dirent* entry;
    while ((entry = readdir(directory)) != NULL)
      if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') processes++;
    EXPECT_EQ(processes, 2);
    closedir(directory);
    char line[8192];
    snprintf(path, sizeof path, "%s/2/status", place);
    OK(read_file(path, line, sizeof line));
    EXPECT(strstr(line, "\nPPid:\t1\n"));
    EXPECT(strstr(line, "\nNSpid:\t2\n"));
    n = OK(readlink("/proc/self", text, sizeof text - 1));
    text[n] = 0;
    EXPECT(strcmp(text, "1") != 0);
    OK(kill(child, SIGKILL));
    EXPECT_KILLED(child, SIGKILL);
    OK(umount2(place, MNT_DETACH));
  });
  EXPECT_EXIT(init, 0);
  rmdir(place);
}
CASE(self_of_a_namespace_that_one_is_not_in) {
  need_root();
  char place[] = "/tmp/proc-XXXXXX";
  EXPECT(mkdtemp(place));
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  int up[2], down[2];
  OK(pipe(up));
  OK(pipe(down));
  pid_t const init = IN_NAMESPACE({
    OK(mount("proc", place, "proc", 0, NULL));
    tell(up[1]);
    EXPECT_EQ(one(down[0]), 'x');
    OK(umount2(place, MNT_DETACH));
  });
  EXPECT_EQ(one(up[0]), 'x');
  char path[128], text[64];
  snprintf(path, sizeof path, "%s/self", place);
  EXPECT_ERRNO(readlink(path, text, sizeof text), ENOENT);
  snprintf(path, sizeof path, "%s/1/stat", place);
  char stat_text[1024];
  OK(read_file(path, stat_text, sizeof stat_text));
  EXPECT(strncmp(stat_text, "1 (", 3) == 0);
  tell(down[1]);
  EXPECT_EXIT(init, 0);
  rmdir(place);
}
static pid_t received_pid(int socket) {
  char c;
  struct iovec part = {&c, 1};
  char control[CMSG_SPACE(sizeof(struct ucred))];
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  EXPECT_EQ(recvmsg(socket, &m, 0), 1);
  struct cmsghdr* h = CMSG_FIRSTHDR(&m);
  EXPECT(h && h->cmsg_type == SCM_CREDENTIALS);
  struct ucred u;
  memcpy(&u, CMSG_DATA(h), sizeof u);
  return u.pid;
}
CASE(credentials_on_sockets_are_in_the_receivers_numbers) {
  need_root();
  int pair[2];
  int const on = 1;
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  OK(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  OK(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  pid_t const outside = own_pid();
  pid_t const init = IN_NAMESPACE({
    tell(pair[1]);
    EXPECT_EQ(received_pid(pair[1]), 0);
    struct ucred u;
    socklen_t size = sizeof u;
    OK(getsockopt(pair[1], SOL_SOCKET, SO_PEERCRED, &u, &size));
    EXPECT_EQ(u.pid, 0);
  });
  EXPECT_EQ(received_pid(pair[0]), init);
  tell(pair[0]);
  struct ucred u;
  socklen_t size = sizeof u;
  OK(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &u, &size));
  EXPECT_EQ(u.pid, outside);
  EXPECT_EXIT(init, 0);
}
CASE(locks_tell_the_holder_in_the_askers_numbers) {
  need_root();
  char name[] = "/tmp/lock-XXXXXX";
  int const file = mkstemp(name);
  EXPECT(file >= 0);
  unlink(name);
  struct flock mine = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
  OK(fcntl(file, F_SETLK, &mine));
  pid_t const init = IN_NAMESPACE({
    struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    OK(fcntl(file, F_GETLK, &asked));
    EXPECT_EQ(asked.l_type, F_WRLCK);
    EXPECT_EQ(asked.l_pid, 0);
  });
  EXPECT_EXIT(init, 0);
  pid_t const holder = IN_NAMESPACE({
    struct flock theirs = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 20, .l_len = 10};
    OK(fcntl(file, F_SETLK, &theirs));
    sleep_ms(20000);
  });
  struct flock asked;
  EVENTUALLY((asked = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 20, .l_len = 10},
              fcntl(file, F_GETLK, &asked) == 0 && asked.l_type == F_WRLCK));
  EXPECT_EQ(asked.l_pid, holder);
  OK(kill(holder, SIGKILL));
  EXPECT_KILLED(holder, SIGKILL);
}
CASE(the_owner_of_a_file_is_told_in_the_askers_numbers) {
  need_root();
  int pair[2];
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  OK(fcntl(pair[0], F_SETOWN, own_pid()));
  pid_t const init = IN_NAMESPACE({
    EXPECT_EQ(fcntl(pair[0], F_GETOWN), 0);
    OK(fcntl(pair[1], F_SETOWN, 1));
    sleep_ms(20000);
  });
  EVENTUALLY(fcntl(pair[1], F_GETOWN) == init);
  EXPECT_EQ(fcntl(pair[0], F_GETOWN), own_pid());
  OK(kill(init, SIGKILL));
  EXPECT_KILLED(init, SIGKILL);
}
CASE(a_pidfd_crosses_namespaces) {
  need_root();
  int pair[2];
  OK(pipe(pair));
  pid_t const init = IN_NAMESPACE({
    listen_to(SIGUSR1);
    tell(pair[1]);
    EVENTUALLY(heard == SIGUSR1);
    _exit(3);
  });
  int const fd = (int)OK(syscall(SYS_pidfd_open, init, 0));
  EXPECT_EQ(one(pair[0]), 'x');
  char path[64], text[256], wanted[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  OK(read_file(path, text, sizeof text));
  snprintf(wanted, sizeof wanted, "Pid:\t%d\n", init);
  EXPECT(strstr(text, wanted));
  EXPECT(strstr(text, "\t1\n"));
  OK(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0));
  siginfo_t info;
  OK(waitid(3 /* P_PIDFD */, (id_t)fd, &info, WEXITED));
  EXPECT_EQ(info.si_pid, init);
  EXPECT_EQ(info.si_status, 3);
}
CASE(exec_by_a_thread_keeps_the_number) {
  need_root();
  pid_t const init = IN_NAMESPACE({
    EXPECT_EQ(own_pid(), 1);
    // Only the number matters: `sh` tells its own.
    execl("/bin/sh", "sh", "-c", "test $$ = 1", (char*)NULL);
  });
  EXPECT_EXIT(init, 0);
}
CASE(ioctls_translate_numbers) {
  need_root();
  int pair[2];
  OK(pipe(pair));
  pid_t const init = IN_NAMESPACE({ EXPECT_EQ(one(pair[0]), 'x'); });
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/pid", init);
  int const fd = (int)OK(open(path, O_RDONLY));
  long const from = ioctl(fd, _IOR(NSIO, 6, int), 1);
  if (from < 0 && errno == ENOTTY) SKIP("a kernel before 6.11");
  EXPECT_EQ(from, init);
  EXPECT_EQ(ioctl(fd, _IOR(NSIO, 7, int), 1), init);
  EXPECT_EQ(ioctl(fd, _IOR(NSIO, 8, int), init), 1);
  EXPECT_EQ(ioctl(fd, _IOR(NSIO, 9, int), init), 1);
  EXPECT_ERRNO(ioctl(fd, _IOR(NSIO, 8, int), own_pid()), ESRCH);
  int const parent = (int)OK(ioctl(fd, NS_GET_PARENT));
  struct stat mine, theirs;
  OK(stat("/proc/self/ns/pid", &mine));
  OK(fstat(parent, &theirs));
  EXPECT_EQ(theirs.st_ino, mine.st_ino);
  EXPECT_ERRNO(ioctl(parent, NS_GET_PARENT), EPERM);
  tell(pair[1]);
  EXPECT_EXIT(init, 0);
}
static long clone3_with(uint64_t flags, int32_t const* numbers, size_t count) {
  struct {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size;
  } a = {.flags = flags, .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)numbers, .set_tid_size = count};
  return syscall(SYS_clone3, &a, sizeof a);
}
CASE(clone3_takes_numbers_that_are_asked_for) {
  need_root();
  pid_t const init = IN_NAMESPACE({
    int32_t const wanted[] = {1234};
    long const child = OK(clone3_with(0, wanted, 1));
    if (child == 0) {
      EXPECT_EQ(own_pid(), 1234);
      sleep_ms(20000);
    }
    EXPECT_EQ(child, 1234);
    EXPECT_ERRNO(clone3_with(0, wanted, 1), EEXIST);
    int32_t const zero[] = {0};
    EXPECT_ERRNO(clone3_with(0, zero, 1), EINVAL);
    int32_t const not_init[] = {5};
    EXPECT_ERRNO(clone3_with(CLONE_NEWPID, not_init, 1), EINVAL);
  });
  EXPECT_EXIT(init, 0);
}
static void* end_thread(void* unused) {
  EVENTUALLY(process_state(own_pid()) != 0);
  sleep_ms(30);
  syscall(SYS_exit, 6);
  return unused;
}
CASE(an_init_whose_leader_thread_ended_ends_with_its_last_thread) {
  need_root();
  int pair[2];
  OK(pipe(pair));
  pid_t const init = IN_NAMESPACE({
    (void)IN_CHILD({
      tell(pair[1]);
      sleep_ms(20000);
    });
    EXPECT_EQ(one(pair[0]), 'x');
    pthread_t thread;
    EXPECT_ZERO(pthread_create(&thread, NULL, end_thread, NULL));
    syscall(SYS_exit, 4);
  });
  EXPECT_EXIT(init, 6);
}

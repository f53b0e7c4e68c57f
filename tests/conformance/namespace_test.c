// namespaces(7), uts_namespaces(7), ipc_namespaces(7), mount_namespaces(7): unshare(2), clone(2), setns(2),
// /proc/PID/ns and ioctl_nsfs(2). Pid namespaces: pid_namespace_test.c.
#define CONFORMANCE_FILES
#include "conformance.h"

#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <termios.h>

static void need_root(void) {
  if (geteuid() != 0) SKIP("needs root");
}
static ino_t space_of(const char* path) {
  struct stat st;
  OK(stat(path, &st));
  return st.st_ino;
}
static ino_t own_space(const char* kind) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
  return space_of(path);
}
static int open_space(const char* kind) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
  return (int)OK(open(path, O_RDONLY | O_CLOEXEC));
}
static long clone_with(unsigned long flags) { return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0); }
static void drop_capability(int number) {
  struct {
    uint32_t version;
    int pid;
  } header = {0x20080522, 0};
  struct {
    uint32_t effective, permitted, inheritable;
  } data[2];
  OK(syscall(SYS_capget, &header, data));
  data[number / 32].effective &= ~(1u << number % 32);
  OK(syscall(SYS_capset, &header, data));
}
enum { ADMIN = 21, CHROOT = 18 };
// Linux of late gives mount namespaces their order by CPU.
static void stay_on_one_cpu(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  OK(sched_setaffinity(0, sizeof set, &set));
}
static void hostname_is(const char* wanted) {
  struct utsname u;
  OK(uname(&u));
  EXPECT_STR(u.nodename, wanted);
}
// A mount namespace of the case's own, private from top to bottom, and a tmpfs to work in.
static void private_mounts(void) {
  need_root();
  // On one CPU: Linux numbers namespaces in the order of their making only there, and one can be bound only in an
  // older.
  int cpu = sched_getcpu();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET((unsigned)cpu, &one);
  OK(sched_setaffinity(0, sizeof one, &one));
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  OK(mkdir("work", 0755));
  OK(mount("none", "work", "tmpfs", 0, ""));
  OK(chdir("work"));
}

// ---- UTS

CASE(a_new_uts_namespace_begins_with_the_old_names_and_keeps_its_own) {
  need_root();
  struct utsname before, inside;
  OK(uname(&before));
  pid_t child = IN_CHILD({
    OK(unshare(CLONE_NEWUTS));
    OK(uname(&inside));
    EXPECT_STR(inside.nodename, before.nodename);
    OK(sethostname("inner", 5));
    OK(setdomainname("domain", 6));
    hostname_is("inner");
    char text[100];
    OK(read_file("/proc/sys/kernel/hostname", text, sizeof text));
    EXPECT_STR(text, "inner\n");
    OK(read_file("/proc/sys/kernel/domainname", text, sizeof text));
    EXPECT_STR(text, "domain\n");
  });
  EXPECT_EXIT(child, 0);
  hostname_is(before.nodename);
}
CASE(children_inherit_the_uts_namespace) {
  need_root();
  OK(unshare(CLONE_NEWUTS));
  OK(sethostname("parent", 6));
  pid_t child = IN_CHILD({
    hostname_is("parent");
    OK(sethostname("changed", 7));
  });
  EXPECT_EXIT(child, 0);
  hostname_is("changed");
}
CASE(clone_newuts_gives_the_child_its_own) {
  need_root();
  ino_t const mine = own_space("uts");
  long const child = OK(clone_with(CLONE_NEWUTS));
  if (child == 0) {
    EXPECT(own_space("uts") != mine);
    OK(sethostname("child", 5));
    _exit(0);
  }
  EXPECT_EXIT((pid_t)child, 0);
  EXPECT_EQ(own_space("uts"), mine);
}
CASE(setns_goes_back_to_a_namespace_that_a_descriptor_holds) {
  need_root();
  struct utsname before;
  OK(uname(&before));
  ino_t const first = own_space("uts");
  int const old = open_space("uts");
  OK(unshare(CLONE_NEWUTS));
  EXPECT(own_space("uts") != first);
  OK(sethostname("away", 4));
  OK(setns(old, CLONE_NEWUTS));
  EXPECT_EQ(own_space("uts"), first);
  hostname_is(before.nodename);
}
CASE(setns_joins_the_namespace_of_another_process) {
  need_root();
  int ready[2], done[2];
  OK(pipe(ready));
  OK(pipe(done));
  char c = 0;
  pid_t const other = IN_CHILD({
    OK(unshare(CLONE_NEWUTS));
    OK(sethostname("other", 5));
    OK(write(ready[1], "x", 1));
    close(done[1]);
    OK(read(done[0], &c, 1));
  });
  OK(read(ready[0], &c, 1));
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/uts", other);
  int const fd = (int)OK(open(path, O_RDONLY));
  OK(setns(fd, 0));
  hostname_is("other");
  close(done[1]);
  close(done[0]);
  EXPECT_EXIT(other, 0);
  hostname_is("other");  // it lives on in us
}
CASE(an_open_file_keeps_a_namespace_without_processes) {
  need_root();
  int pair[2];
  OK(pipe(pair));
  char c = 0;
  pid_t const other = IN_CHILD({
    OK(unshare(CLONE_NEWUTS));
    OK(sethostname("kept", 4));
    OK(write(pair[1], "x", 1));
    sleep_ms(20000);
  });
  OK(read(pair[0], &c, 1));
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/uts", other);
  int const fd = (int)OK(open(path, O_RDONLY));
  OK(kill(other, SIGKILL));
  EXPECT_KILLED(other, SIGKILL);
  OK(setns(fd, CLONE_NEWUTS));
  hostname_is("kept");
}
CASE(a_pidfd_names_all_namespaces_of_a_process) {
  need_root();
  int ready[2];
  OK(pipe(ready));
  char c = 0;
  pid_t const other = IN_CHILD({
    OK(unshare(CLONE_NEWUTS | CLONE_NEWIPC));
    OK(sethostname("byfd", 4));
    OK(write(ready[1], "x", 1));
    sleep_ms(20000);
  });
  OK(read(ready[0], &c, 1));
  int const fd = (int)OK(syscall(SYS_pidfd_open, other, 0));
  EXPECT_ERRNO(setns(fd, 0), EINVAL);
  EXPECT_ERRNO(setns(fd, CLONE_VM), EINVAL);
  OK(setns(fd, CLONE_NEWUTS | CLONE_NEWIPC));
  hostname_is("byfd");
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/ipc", other);
  EXPECT_EQ(own_space("ipc"), space_of(path));
  OK(kill(other, SIGKILL));
  EXPECT_KILLED(other, SIGKILL);
  EXPECT_ERRNO(setns(fd, CLONE_NEWUTS), ESRCH);
}

// ---- errors

CASE(new_namespaces_need_cap_sys_admin) {
  need_root();
  int const fd = open_space("uts");
  drop_capability(ADMIN);
  for (unsigned long kind = 0, kinds[] = {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWCGROUP};
       kind < 5; kind++) {
    EXPECT_ERRNO(unshare((int)kinds[kind]), EPERM);
    EXPECT_ERRNO(clone_with(kinds[kind]), EPERM);
  }
  EXPECT_ERRNO(setns(fd, CLONE_NEWUTS), EPERM);
}
CASE(setns_of_what_is_no_namespace) {
  need_root();
  int const file = (int)OK(open("file", O_RDWR | O_CREAT, 0644));
  EXPECT_ERRNO(setns(file, 0), EINVAL);
  EXPECT_ERRNO(setns(-1, 0), EBADF);
  EXPECT_ERRNO(setns(open_space("uts"), CLONE_NEWIPC), EINVAL);
  EXPECT_ERRNO(setns(open_space("user"), 0), EINVAL);
}
CASE(flags_that_exclude_each_other) {
  need_root();
  EXPECT_ERRNO(clone_with(CLONE_NEWNS | CLONE_FS), EINVAL);
  EXPECT_ERRNO(clone_with(CLONE_NEWIPC | CLONE_SYSVSEM), EINVAL);
  EXPECT_ERRNO(unshare(0x1), EINVAL);
  EXPECT_ERRNO(unshare(CLONE_PARENT), EINVAL);
}

// ---- /proc/PID/ns

CASE(links_name_kind_and_number) {
  const char* names[][2] = {{"cgroup", "cgroup"}, {"ipc", "ipc"}, {"mnt", "mnt"},
                            {"net", "net"},       {"pid", "pid"}, {"pid_for_children", "pid"},
                            {"user", "user"},     {"uts", "uts"}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[64], text[64], wanted[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", names[i][0]);
    ssize_t const n = OK(readlink(path, text, sizeof text - 1));
    text[n] = 0;
    snprintf(wanted, sizeof wanted, "%s:[%lu]", names[i][1], (unsigned long)space_of(path));
    EXPECT_STR(text, wanted);
  }
}
CASE(the_file_of_a_namespace_is_of_nsfs_and_cannot_be_read) {
  int const fd = open_space("uts");
  struct statfs s;
  OK(fstatfs(fd, &s));
  EXPECT_EQ(s.f_type, 0x6e736673);
  struct stat st;
  OK(fstat(fd, &st));
  EXPECT(S_ISREG(st.st_mode));
  char c;
  EXPECT_ERRNO(read(fd, &c, 1), EINVAL);
  char path[64], text[64], wanted[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t const n = OK(readlink(path, text, sizeof text - 1));
  text[n] = 0;
  snprintf(wanted, sizeof wanted, "uts:[%lu]", (unsigned long)st.st_ino);
  EXPECT_STR(text, wanted);
}
CASE(ioctls_tell_kind_owner_and_parent) {
  int const uts = open_space("uts"), user = open_space("user"), mnt = open_space("mnt");
  EXPECT_EQ(ioctl(uts, NS_GET_NSTYPE), CLONE_NEWUTS);
  EXPECT_EQ(ioctl(mnt, NS_GET_NSTYPE), CLONE_NEWNS);
  EXPECT_EQ(ioctl(user, NS_GET_NSTYPE), CLONE_NEWUSER);
  int const owner = (int)OK(ioctl(uts, NS_GET_USERNS));
  struct stat st;
  OK(fstat(owner, &st));
  EXPECT_EQ(st.st_ino, own_space("user"));
  EXPECT_EQ(fcntl(owner, F_GETFD), FD_CLOEXEC);
  EXPECT_ERRNO(ioctl(uts, NS_GET_PARENT), EINVAL);
  EXPECT_ERRNO(ioctl(user, NS_GET_PARENT), EPERM);
  uid_t uid = 77;
  OK(ioctl(user, NS_GET_OWNER_UID, &uid));
  EXPECT_EQ(uid, 0);
  EXPECT_ERRNO(ioctl(uts, NS_GET_OWNER_UID, &uid), EINVAL);
  EXPECT_ERRNO(ioctl(uts, TIOCGPGRP, &uid), ENOTTY);
}
CASE(a_cgroup_namespace_has_a_number_of_its_own) {
  need_root();
  ino_t const before = own_space("cgroup");
  OK(unshare(CLONE_NEWCGROUP));
  EXPECT(own_space("cgroup") != before);
}

// ---- IPC

CASE(keys_of_system_v_ipc_are_a_namespaces_own) {
  need_root();
  OK(unshare(CLONE_NEWIPC));
  key_t const key = 0x5a5a1234;
  int const shm = (int)OK(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600));
  int const sem = (int)OK(semget(key, 1, IPC_CREAT | IPC_EXCL | 0600));
  int const msg = (int)OK(msgget(key, IPC_CREAT | IPC_EXCL | 0600));
  pid_t const child = IN_CHILD({
    OK(unshare(CLONE_NEWIPC));
    EXPECT_ERRNO(shmget(key, 4096, 0), ENOENT);
    EXPECT_ERRNO(semget(key, 1, 0), ENOENT);
    EXPECT_ERRNO(msgget(key, 0), ENOENT);
    OK(shmget(key, 8192, IPC_CREAT | IPC_EXCL | 0600));
  });
  EXPECT_EXIT(child, 0);
  OK(shmctl(shm, IPC_RMID, NULL));
  OK(semctl(sem, 0, IPC_RMID));
  OK(msgctl(msg, IPC_RMID, NULL));
}
CASE(mapped_segments_stay_when_their_namespace_is_left) {
  need_root();
  OK(unshare(CLONE_NEWIPC));
  int const shm = (int)OK(shmget(IPC_PRIVATE, 4096, 0600));
  char* const at = shmat(shm, NULL, 0);
  EXPECT(at != (char*)-1);
  strcpy(at, "kept");
  OK(unshare(CLONE_NEWIPC));
  EXPECT_STR(at, "kept");
  EXPECT_ERRNO(shmat(shm, NULL, 0) == (void*)-1 ? -1 : 0, EINVAL);
  OK(shmdt(at));
}
CASE(settings_of_ipc_are_a_namespaces_own) {
  need_root();
  OK(unshare(CLONE_NEWIPC));
  if (access("/proc/sys/kernel/shmmni", W_OK) != 0) SKIP("/proc/sys is read-only");
  write_file("/proc/sys/kernel/shmmni", "100");
  pid_t const child = IN_CHILD({
    OK(unshare(CLONE_NEWIPC));
    char text[32];
    OK(read_file("/proc/sys/kernel/shmmni", text, sizeof text));
    EXPECT_STR(text, "4096\n");
    write_file("/proc/sys/kernel/shmmni", "7");
  });
  EXPECT_EXIT(child, 0);
  char text[32];
  OK(read_file("/proc/sys/kernel/shmmni", text, sizeof text));
  EXPECT_STR(text, "100\n");
}
CASE(leaving_a_namespace_makes_the_undo_of_semaphores) {
  need_root();
  OK(unshare(CLONE_NEWIPC));
  int const sem = (int)OK(semget(IPC_PRIVATE, 1, 0600));
  int const home = open_space("ipc");
  struct sembuf up = {0, 3, SEM_UNDO};
  pid_t const child = IN_CHILD({
    OK(semop(sem, &up, 1));
    OK(unshare(CLONE_NEWIPC));
    OK(setns(home, CLONE_NEWIPC));
    EXPECT_EQ(semctl(sem, 0, GETVAL), 0);
  });
  EXPECT_EXIT(child, 0);
}
CASE(proc_sysvipc_shows_the_readers_namespace) {
  need_root();
  OK(unshare(CLONE_NEWIPC));
  OK(shmget(0x77001, 4096, IPC_CREAT | 0600));
  char text[4096];
  OK(read_file("/proc/sysvipc/shm", text, sizeof text));
  EXPECT(strstr(text, "487425"));
  OK(unshare(CLONE_NEWIPC));
  OK(read_file("/proc/sysvipc/shm", text, sizeof text));
  EXPECT(!strstr(text, "487425"));
}

// ---- mounts

CASE(what_is_mounted_in_a_copy_is_not_seen_in_the_original) {
  private_mounts();
  OK(mkdir("m", 0755));
  pid_t const child = IN_CHILD({
    OK(unshare(CLONE_NEWNS));
    OK(mount("none", "m", "tmpfs", 0, ""));
    write_file("m/inside", "x");
  });
  EXPECT_EXIT(child, 0);
  EXPECT_ERRNO(access("m/inside", F_OK), ENOENT);
}
CASE(a_copy_has_the_mounts_of_the_original_and_lives_apart) {
  private_mounts();
  OK(mkdir("m", 0755));
  OK(mount("none", "m", "tmpfs", 0, ""));
  write_file("m/file", "x");
  pid_t const child = IN_CHILD({
    OK(unshare(CLONE_NEWNS));
    OK(access("m/file", F_OK));
    write_file("m/shared", "same file system");
    OK(umount("m"));
    EXPECT_ERRNO(access("m/file", F_OK), ENOENT);
  });
  EXPECT_EXIT(child, 0);
  OK(access("m/file", F_OK));
  OK(access("m/shared", F_OK));
}
CASE(root_and_working_directory_move_into_the_copy) {
  private_mounts();
  pid_t const child = IN_CHILD({
    OK(unshare(CLONE_NEWNS));
    // Relative to where we are: it would be a mount of the other namespace if the directory had stayed there.
    OK(mkdir("here", 0755));
    OK(mount("none", "here", "tmpfs", 0, ""));
    char text[65536];
    OK(read_file("/proc/self/mountinfo", text, sizeof text));
    EXPECT(strstr(text, "/work/here "));
    OK(umount("here"));
  });
  EXPECT_EXIT(child, 0);
}
CASE(shared_mounts_pass_on_between_namespaces) {
  private_mounts();
  OK(mkdir("s", 0755));
  OK(mount("none", "s", "tmpfs", 0, ""));
  OK(mount(NULL, "s", NULL, MS_SHARED, NULL));
  OK(mkdir("s/a", 0755));
  OK(mkdir("s/b", 0755));
  int go[2], back[2];
  OK(pipe(go));
  OK(pipe(back));
  char c;
  pid_t const child = IN_CHILD({
    OK(unshare(CLONE_NEWNS));
    OK(mount("none", "s/a", "tmpfs", 0, ""));
    write_file("s/a/from-child", "x");
    OK(write(go[1], "x", 1));
    OK(read(back[0], &c, 1));
    OK(access("s/b/from-parent", F_OK));
    OK(umount("s/a"));
    OK(write(go[1], "x", 1));
    OK(read(back[0], &c, 1));
  });
  OK(read(go[0], &c, 1));
  OK(access("s/a/from-child", F_OK));
  OK(mount("none", "s/b", "tmpfs", 0, ""));
  write_file("s/b/from-parent", "x");
  OK(write(back[1], "x", 1));
  OK(read(go[0], &c, 1));
  EXPECT_ERRNO(access("s/a/from-child", F_OK), ENOENT);
  OK(write(back[1], "x", 1));
  EXPECT_EXIT(child, 0);
}
CASE(a_slave_namespace_hears_and_does_not_tell) {
  private_mounts();
  OK(mkdir("s", 0755));
  OK(mount("none", "s", "tmpfs", 0, ""));
  OK(mount(NULL, "s", NULL, MS_SHARED, NULL));
  OK(mkdir("s/a", 0755));
  OK(mkdir("s/b", 0755));
  int go[2], back[2];
  OK(pipe(go));
  OK(pipe(back));
  char c;
  pid_t const child = IN_CHILD({
    OK(unshare(CLONE_NEWNS));
    OK(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
    OK(mount("none", "s/a", "tmpfs", 0, ""));
    write_file("s/a/own", "x");
    OK(write(go[1], "x", 1));
    OK(read(back[0], &c, 1));
    OK(access("s/b/heard", F_OK));
    char text[65536];
    OK(read_file("/proc/self/mountinfo", text, sizeof text));
    EXPECT(strstr(text, "master:"));
  });
  OK(read(go[0], &c, 1));
  EXPECT_ERRNO(access("s/a/own", F_OK), ENOENT);
  OK(mount("none", "s/b", "tmpfs", 0, ""));
  write_file("s/b/heard", "x");
  OK(write(back[1], "x", 1));
  EXPECT_EXIT(child, 0);
}
CASE(proc_shows_the_mounts_of_each_process) {
  private_mounts();
  OK(mkdir("m", 0755));
  int go[2], back[2];
  OK(pipe(go));
  OK(pipe(back));
  char c;
  pid_t const child = IN_CHILD({
    OK(unshare(CLONE_NEWNS));
    OK(mount("marked", "m", "tmpfs", 0, ""));
    OK(write(go[1], "x", 1));
    OK(read(back[0], &c, 1));
  });
  OK(read(go[0], &c, 1));
  char path[64], text[65536];
  snprintf(path, sizeof path, "/proc/%d/mounts", child);
  OK(read_file(path, text, sizeof text));
  EXPECT(strstr(text, "marked "));
  OK(read_file("/proc/self/mounts", text, sizeof text));
  EXPECT(!strstr(text, "marked "));
  // Through its root the other's tree can be walked.
  char here[256], through[512];
  EXPECT(getcwd(here, sizeof here));
  snprintf(through, sizeof through, "/proc/%d/root%s/m", child, here);
  struct statfs s;
  OK(statfs(through, &s));
  EXPECT_EQ(s.f_type, 0x01021994);
  // And nothing be mounted or taken off there.
  EXPECT_ERRNO(mount("none", through, "tmpfs", 0, ""), EINVAL);
  EXPECT_ERRNO(umount(through), EINVAL);
  EXPECT_ERRNO(mount(through, "m", NULL, MS_BIND, NULL), EINVAL);
  OK(write(back[1], "x", 1));
  EXPECT_EXIT(child, 0);
}
CASE(setns_into_a_mount_namespace_goes_to_its_root) {
  private_mounts();
  OK(mkdir("m", 0755));
  int go[2], back[2];
  OK(pipe(go));
  OK(pipe(back));
  char c, here[256];
  EXPECT(getcwd(here, sizeof here));
  pid_t const child = IN_CHILD({
    OK(unshare(CLONE_NEWNS));
    OK(mount("none", "m", "tmpfs", 0, ""));
    write_file("m/inside", "x");
    OK(write(go[1], "x", 1));
    OK(read(back[0], &c, 1));
  });
  OK(read(go[0], &c, 1));
  char path[64], inside[512];
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", child);
  int const fd = (int)OK(open(path, O_RDONLY));
  OK(setns(fd, CLONE_NEWNS));
  char now[256];
  EXPECT(getcwd(now, sizeof now));
  EXPECT_STR(now, "/");
  snprintf(inside, sizeof inside, "%s/m/inside", here);
  OK(access(inside, F_OK));
  OK(write(back[1], "x", 1));
  EXPECT_EXIT(child, 0);
  OK(access(inside, F_OK));
}
CASE(setns_into_a_mount_namespace_needs_a_root_of_ones_own_and_chroot) {
  private_mounts();
  int const fd = open_space("mnt");
  long const child = OK(clone_with(CLONE_FS));
  if (child == 0) {
    EXPECT_ERRNO(setns(fd, CLONE_NEWNS), EINVAL);
    _exit(0);
  }
  EXPECT_EXIT((pid_t)child, 0);
  drop_capability(CHROOT);
  EXPECT_ERRNO(setns(fd, CLONE_NEWNS), EPERM);
}
CASE(unshare_of_mounts_ends_the_sharing_of_root_and_directory) {
  private_mounts();
  OK(mkdir("d", 0755));
  long const child = OK(clone_with(CLONE_FS));
  if (child == 0) {
    OK(unshare(CLONE_NEWNS));
    OK(chdir("d"));
    _exit(0);
  }
  EXPECT_EXIT((pid_t)child, 0);
  char here[256];
  EXPECT(getcwd(here, sizeof here));
  EXPECT(strcmp(here + strlen(here) - 5, "/work") == 0);
}
CASE(a_bound_file_keeps_a_namespace_and_shows_as_nsfs) {
  private_mounts();
  write_file("at", "");
  pid_t child = IN_CHILD({
    OK(unshare(CLONE_NEWUTS));
    OK(sethostname("bound", 5));
    OK(mount("/proc/self/ns/uts", "at", NULL, MS_BIND, NULL));
  });
  EXPECT_EXIT(child, 0);
  struct statfs s;
  OK(statfs("at", &s));
  EXPECT_EQ(s.f_type, 0x6e736673);
  char text[65536], wanted[64];
  OK(read_file("/proc/self/mountinfo", text, sizeof text));
  snprintf(wanted, sizeof wanted, " uts:[%lu] ", (unsigned long)space_of("at"));
  EXPECT(strstr(text, wanted));
  EXPECT(strstr(text, " - nsfs nsfs rw"));
  int const fd = (int)OK(open("at", O_RDONLY));
  OK(setns(fd, CLONE_NEWUTS));
  hostname_is("bound");
  close(fd);
  OK(umount("at"));
}
// Each is mounted by its file in the one before, and nothing else holds it.
CASE(a_long_chain_of_mount_namespaces_ends_at_once) {
  char place[512], file[64];
  stay_on_one_cpu();
  private_mounts();
  EXPECT(getcwd(place, sizeof place - 8) != NULL);
  strcat(place, "/file");
  close((int)OK(open(place, O_CREAT | O_RDWR, 0600)));
  int first = open_space("mnt"), last = (int)OK(fcntl(first, F_DUPFD_CLOEXEC, 0));
  for (int i = 0; i < 2500; ++i) {
    OK(unshare(CLONE_NEWNS));
    int next = open_space("mnt");
    snprintf(file, sizeof file, "/proc/self/fd/%d", next);
    OK(setns(last, CLONE_NEWNS));
    OK(mount(file, place, NULL, MS_BIND, NULL));
    OK(setns(next, CLONE_NEWNS));
    close(last);
    last = next;
  }
  close(first);
  EXPECT_ERRNO(umount2(place, MNT_DETACH), EINVAL);  // here nothing was mounted
}
CASE(a_mount_namespace_cannot_be_bound_in_itself_or_a_younger_one) {
  stay_on_one_cpu();
  private_mounts();
  write_file("at", "");
  EXPECT_ERRNO(mount("/proc/self/ns/mnt", "at", NULL, MS_BIND, NULL), EINVAL);
  int const old = open_space("mnt");
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", old);
  pid_t const child = IN_CHILD({
    OK(unshare(CLONE_NEWNS));
    EXPECT_ERRNO(mount(link, "at", NULL, MS_BIND, NULL), EINVAL);
  });
  EXPECT_EXIT(child, 0);
}
CASE(an_older_namespace_may_bind_a_younger_one) {
  stay_on_one_cpu();
  private_mounts();
  write_file("at", "");
  OK(mkdir("m", 0755));
  int go[2], back[2];
  OK(pipe(go));
  OK(pipe(back));
  char c, here[256];
  EXPECT(getcwd(here, sizeof here));
  pid_t const child = IN_CHILD({
    OK(unshare(CLONE_NEWNS));
    OK(mount("none", "m", "tmpfs", 0, ""));
    write_file("m/inside", "x");
    OK(write(go[1], "x", 1));
    OK(read(back[0], &c, 1));
  });
  OK(read(go[0], &c, 1));
  char path[64], inside[512];
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", child);
  OK(mount(path, "at", NULL, MS_BIND, NULL));
  OK(write(back[1], "x", 1));
  EXPECT_EXIT(child, 0);
  int const fd = (int)OK(open("at", O_RDONLY));
  OK(setns(fd, CLONE_NEWNS));
  snprintf(inside, sizeof inside, "%s/m/inside", here);
  OK(access(inside, F_OK));
}
CASE(pivot_root_moves_others_of_the_namespace_along) {
  private_mounts();
  OK(mkdir("new", 0755));
  OK(mount("none", "new", "tmpfs", 0, ""));
  OK(mkdir("new/old", 0755));
  OK(mkdir("new/proc", 0755));
  OK(mount("/proc", "new/proc", NULL, MS_BIND | MS_REC, NULL));
  int go[2], back[2];
  OK(pipe(go));
  OK(pipe(back));
  char c;
  OK(chdir("/"));
  pid_t const child = IN_CHILD({
    OK(read(back[0], &c, 1));
    OK(access("/old", F_OK));
    EXPECT_ERRNO(access("/usr", F_OK), ENOENT);
  });
  char path[300];
  // The case's own directory, by way of the mount table.
  char text[65536];
  OK(read_file("/proc/self/mounts", text, sizeof text));
  char* found = strstr(text, "/work/new ");
  EXPECT(found);
  char* start = found;
  while (start > text && start[-1] != ' ') start--;
  snprintf(path, sizeof path, "%.*s", (int)(found + strlen("/work/new") - start), start);
  OK(chdir(path));
  OK(syscall(SYS_pivot_root, ".", "old"));
  OK(write(back[1], "x", 1));
  EXPECT_EXIT(child, 0);
}
CASE(the_end_of_a_namespace_takes_its_mounts_off) {
  private_mounts();
  OK(mkdir("m", 0755));
  OK(mount("none", "m", "tmpfs", 0, ""));
  for (int i = 0; i < 20; i++) {
    pid_t const child = IN_CHILD({
      OK(unshare(CLONE_NEWNS));
      for (int n = 0; n < 20; n++) OK(mount("none", "m", "tmpfs", 0, ""));
    });
    EXPECT_EXIT(child, 0);
  }
  OK(umount("m"));  // nobody else holds it
  OK(rmdir("m"));
}
// A process in a mount namespace of its own, until it is told to end.
static pid_t in_new_mount_namespace(int held) {
  int made[2];
  char c;
  OK(pipe(made));
  pid_t const child = IN_CHILD({
    OK(unshare(CLONE_NEWNS));
    OK(write(made[1], "x", 1));
    OK(read(held, &c, 1));
  });
  OK(read(made[0], &c, 1));
  return child;
}
CASE(a_copied_mount_namespace_has_no_files_of_mount_namespaces) {
  private_mounts();
  int hold[2];
  OK(pipe(hold));
  pid_t const child = in_new_mount_namespace(hold[0]);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", child);
  write_file("mnt", "");
  write_file("uts", "");
  OK(mount(path, "mnt", NULL, MS_BIND, NULL));
  OK(mount("/proc/self/ns/uts", "uts", NULL, MS_BIND, NULL));
  pid_t const copy = IN_CHILD({
    OK(unshare(CLONE_NEWNS));
    EXPECT_ERRNO(umount("mnt"), EINVAL);
    OK(umount("uts"));
  });
  EXPECT_EXIT(copy, 0);
  OK(umount("mnt"));
  OK(write(hold[1], "x", 1));
  EXPECT_EXIT(child, 0);
}
CASE(the_file_of_a_mount_namespace_is_not_propagated) {
  private_mounts();
  OK(mkdir("m", 0755));
  OK(mount("none", "m", "tmpfs", 0, ""));
  OK(mount(NULL, "m", NULL, MS_SHARED, NULL));
  write_file("m/mnt", "");
  write_file("m/uts", "");
  int hold[2], go[2], back[2];
  OK(pipe(hold));
  OK(pipe(go));
  OK(pipe(back));
  char c;
  pid_t const peer = IN_CHILD({
    OK(unshare(CLONE_NEWNS));
    OK(write(go[1], "x", 1));
    OK(read(back[0], &c, 1));
    EXPECT_ERRNO(umount("m/mnt"), EINVAL);
    OK(umount("m/uts"));
  });
  OK(read(go[0], &c, 1));
  pid_t const child = in_new_mount_namespace(hold[0]);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", child);
  EXPECT_ERRNO(mount(path, "m/mnt", NULL, MS_BIND, NULL), EINVAL);
  EXPECT_ERRNO(umount("m/mnt"), EINVAL);
  OK(mount("/proc/self/ns/uts", "m/uts", NULL, MS_BIND, NULL));
  OK(write(back[1], "x", 1));
  EXPECT_EXIT(peer, 0);
  // Moved from a private place it is refused as well, and stays where it was.
  pid_t const second = in_new_mount_namespace(back[0]);
  write_file("own", "");
  OK(mount(path, "own", NULL, MS_BIND, NULL));
  EXPECT_ERRNO(mount("own", "m/mnt", NULL, MS_MOVE, NULL), EINVAL);
  OK(umount("own"));
  OK(write(back[1], "x", 1));
  EXPECT_EXIT(second, 0);
  OK(write(hold[1], "x", 1));
  EXPECT_EXIT(child, 0);
}

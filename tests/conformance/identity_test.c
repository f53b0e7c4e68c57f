// Users, groups, capabilities, limits, prctl, scheduling and affinity, and what uname, sysinfo and getrandom tell.
#include "conformance.h"

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

static void need_root(void) {
  if (geteuid() != 0) SKIP("needs root");
}
static void expect_uids(uid_t real, uid_t effective, uid_t saved) {
  uid_t r, e, s;
  OK(getresuid(&r, &e, &s));
  EXPECT_EQ(r, real);
  EXPECT_EQ(e, effective);
  EXPECT_EQ(s, saved);
}
static struct __user_cap_data_struct caps[2];
static struct __user_cap_header_struct cap_header = {_LINUX_CAPABILITY_VERSION_3, 0};
static void get_caps(void) { OK(syscall(SYS_capget, &cap_header, caps)); }
static uint64_t effective_caps(void) {
  get_caps();
  return caps[0].effective | (uint64_t)caps[1].effective << 32;
}

CASE(setuid_by_root_sets_all_three) {
  need_root();
  OK(syscall(SYS_setuid, 1234));
  expect_uids(1234, 1234, 1234);
  EXPECT_ERRNO(syscall(SYS_setuid, 0), EPERM);
}
CASE(seteuid_and_back) {
  need_root();
  OK(syscall(SYS_setresuid, -1, 1234, -1));
  expect_uids(0, 1234, 0);
  OK(syscall(SYS_setresuid, -1, 0, -1));
  expect_uids(0, 0, 0);
}
CASE(setreuid_swaps) {
  need_root();
  OK(syscall(SYS_setresuid, 11, 22, 33));
  expect_uids(11, 22, 33);
  OK(syscall(SYS_setreuid, 22, 11));
  expect_uids(22, 11, 11);
}
CASE(unprivileged_sets_only_its_own_ids) {
  need_root();
  OK(syscall(SYS_setresuid, 11, 22, 33));
  EXPECT_ERRNO(syscall(SYS_setresuid, 44, -1, -1), EPERM);
  OK(syscall(SYS_setresuid, 33, 11, 22));
  expect_uids(33, 11, 22);
}
CASE(setgid_family) {
  need_root();
  gid_t r, e, s;
  OK(syscall(SYS_setresgid, 11, 22, 33));
  OK(getresgid(&r, &e, &s));
  EXPECT(r == 11 && e == 22 && s == 33);
  OK(syscall(SYS_setresuid, 1, 1, 1));
  EXPECT_ERRNO(syscall(SYS_setgid, 44), EPERM);
  OK(syscall(SYS_setgid, 33));
  EXPECT_EQ(getegid(), 33);
}
CASE(supplementary_groups_are_set_and_read) {
  need_root();
  gid_t groups[3] = {5, 6, 7}, got[8];
  OK(syscall(SYS_setgroups, 3, groups));
  EXPECT_EQ(getgroups(0, NULL), 3);
  EXPECT_EQ(getgroups(8, got), 3);
  EXPECT_EQ(got[2], 7);
  EXPECT_ERRNO(getgroups(2, got), EINVAL);
  OK(syscall(SYS_setresuid, 1, 1, 1));
  EXPECT_ERRNO(syscall(SYS_setgroups, 0, NULL), EPERM);
}
CASE(setfsuid_returns_the_old_one) {
  need_root();
  EXPECT_EQ(setfsuid(77), 0);
  EXPECT_EQ(setfsuid((uid_t)-1), 77);
}
CASE(ids_of_minus_one_are_einval) { EXPECT_ERRNO(syscall(SYS_setuid, -1), EINVAL); }

CASE(root_has_capabilities_and_loses_them_with_its_uid) {
  need_root();
  EXPECT(effective_caps() & (1 << CAP_SETUID));
  OK(syscall(SYS_setresuid, 1, 1, 1));
  EXPECT_EQ(effective_caps(), 0);
}
CASE(keepcaps_keeps_the_permitted_set) {
  need_root();
  OK(prctl(PR_SET_KEEPCAPS, 1));
  OK(syscall(SYS_setresuid, 1, 1, 1));
  EXPECT_EQ(effective_caps(), 0);
  EXPECT(caps[0].permitted & (1 << CAP_CHOWN));
}
CASE(capset_drops_and_cannot_regain) {
  need_root();
  get_caps();
  caps[0].permitted = caps[0].effective = 1 << CAP_KILL;
  caps[1].permitted = caps[1].effective = 0;
  caps[0].inheritable = caps[1].inheritable = 0;
  OK(syscall(SYS_capset, &cap_header, caps));
  EXPECT_EQ(effective_caps(), 1 << CAP_KILL);
  caps[0].permitted = 1 << CAP_KILL | 1 << CAP_CHOWN;
  EXPECT_ERRNO(syscall(SYS_capset, &cap_header, caps), EPERM);
}
CASE(capget_of_an_unknown_version_tells_its_own) {
  struct __user_cap_header_struct header = {0x1234, 0};
  EXPECT_ERRNO(syscall(SYS_capget, &header, caps), EINVAL);
  EXPECT_EQ(header.version, _LINUX_CAPABILITY_VERSION_3);
}
CASE(bounding_set_can_be_dropped) {
  need_root();
  EXPECT_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 1);
  OK(prctl(PR_CAPBSET_DROP, CAP_CHOWN));
  EXPECT_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 0);
  EXPECT_ERRNO(prctl(PR_CAPBSET_READ, 63), EINVAL);
}
CASE(capabilities_are_in_proc_status) {
  char text[4096], *line;
  EXPECT(read_file("/proc/self/status", text, sizeof text) > 0);
  line = strstr(text, "CapEff:\t");
  EXPECT(line);
  EXPECT_EQ(strtoull(line + 8, NULL, 16), effective_caps());
}
CASE(ambient_capabilities_need_inheritable) {
  need_root();
  EXPECT_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0), EPERM);
  get_caps();
  caps[0].inheritable |= 1 << CAP_KILL;
  OK(syscall(SYS_capset, &cap_header, caps));
  OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
  EXPECT_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 1);
}

CASE(limit_can_be_lowered_and_raised_to_the_hard_one) {
  struct rlimit limit;
  OK(getrlimit(RLIMIT_NOFILE, &limit));
  rlim_t hard = limit.rlim_max;
  limit.rlim_cur = 20;
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  OK(getrlimit(RLIMIT_NOFILE, &limit));
  EXPECT_EQ(limit.rlim_cur, 20);
  limit.rlim_cur = hard;
  OK(setrlimit(RLIMIT_NOFILE, &limit));
}
CASE(unprivileged_cannot_raise_the_hard_limit) {
  struct rlimit limit = {20, 20};
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  if (geteuid() == 0) OK(setresuid(1, 1, 1));
  limit.rlim_max = 30;
  EXPECT_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
}
CASE(soft_above_hard_is_einval) {
  struct rlimit limit = {30, 20};
  EXPECT_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
  EXPECT_ERRNO(syscall(SYS_getrlimit, 99, &limit), EINVAL);
}
CASE(limits_are_inherited) {
  struct rlimit limit = {33, 44};
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  pid_t child = IN_CHILD({
    OK(getrlimit(RLIMIT_NOFILE, &limit));
    EXPECT_EQ(limit.rlim_cur, 33);
    EXPECT_EQ(limit.rlim_max, 44);
  });
  EXPECT_EXIT(child, 0);
}
CASE(prlimit_changes_a_child) {
  pid_t child = IN_CHILD({ pause(); });
  struct rlimit limit = {21, 22}, old;
  OK(prlimit(child, RLIMIT_NOFILE, &limit, NULL));
  OK(prlimit(child, RLIMIT_NOFILE, NULL, &old));
  EXPECT_EQ(old.rlim_cur, 21);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}
CASE(process_limit_stops_fork) {
  need_root();
  struct rlimit limit = {1, 1};
  OK(setresuid(54322, 54322, 54322));
  OK(setrlimit(RLIMIT_NPROC, &limit));
  EXPECT_ERRNO(fork(), EAGAIN);
}
CASE(core_limit_and_dumpable) {
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 1);
  OK(prctl(PR_SET_DUMPABLE, 0));
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
  EXPECT_ERRNO(prctl(PR_SET_DUMPABLE, 5), EINVAL);
}

CASE(name_is_set_read_and_cut) {
  char name[32] = {0}, text[64];
  OK(prctl(PR_SET_NAME, "a-name-of-more-than-15-bytes"));
  OK(prctl(PR_GET_NAME, name));
  EXPECT_STR(name, "a-name-of-more-");
  EXPECT(read_file("/proc/self/comm", text, sizeof text) > 0);
  EXPECT_STR(text, "a-name-of-more-\n");
}
CASE(no_new_privs_cannot_be_taken_back) {
  EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
  EXPECT_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
}
CASE(subreaper_flag) {
  int value = -1;
  OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  OK(prctl(PR_GET_CHILD_SUBREAPER, &value));
  EXPECT_EQ(value, 1);
}
CASE(parent_death_signal_is_read_back) {
  int value = -1;
  OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
  OK(prctl(PR_GET_PDEATHSIG, &value));
  EXPECT_EQ(value, SIGUSR1);
  EXPECT_ERRNO(prctl(PR_SET_PDEATHSIG, 100), EINVAL);
}
CASE(timer_slack_is_kept) {
  OK(prctl(PR_SET_TIMERSLACK, 12345));
  EXPECT_EQ(prctl(PR_GET_TIMERSLACK), 12345);
}
CASE(unknown_prctl_is_einval) { EXPECT_ERRNO(prctl(987654), EINVAL); }

CASE(affinity_is_a_non_empty_set_and_can_be_narrowed) {
  cpu_set_t set, one;
  int first = -1;
  OK(sched_getaffinity(0, sizeof set, &set));
  EXPECT(CPU_COUNT(&set) >= 1);
  for (int i = 0; i < CPU_SETSIZE && first < 0; i++) {
    if (CPU_ISSET(i, &set)) first = i;
  }
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  OK(sched_setaffinity(0, sizeof one, &one));
  OK(sched_getaffinity(0, sizeof set, &set));
  EXPECT_EQ(CPU_COUNT(&set), 1);
  EXPECT(CPU_ISSET(first, &set));
  EXPECT_EQ(sched_getcpu(), first);
}
CASE(affinity_errors) {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_ERRNO(sched_setaffinity(0, sizeof set, &set), EINVAL);
  EXPECT_ERRNO(sched_getaffinity(3999999, sizeof set, &set), ESRCH);
  EXPECT_ERRNO(syscall(SYS_sched_getaffinity, 0, 1, &set), EINVAL);
}
CASE(affinity_is_inherited) {
  cpu_set_t set, got;
  OK(sched_getaffinity(0, sizeof set, &set));
  int last = 0;
  for (int i = 0; i < CPU_SETSIZE; i++) {
    if (CPU_ISSET(i, &set)) last = i;
  }
  CPU_ZERO(&set);
  CPU_SET(last, &set);
  OK(sched_setaffinity(0, sizeof set, &set));
  pid_t child = IN_CHILD({
    OK(sched_getaffinity(0, sizeof got, &got));
    EXPECT(CPU_EQUAL(&set, &got));
  });
  EXPECT_EXIT(child, 0);
}
CASE(nice_changes_the_priority) {
  // Who runs the tests may have a priority of their own.
  EXPECT(getpriority(PRIO_PROCESS, 0) >= -20);
  OK(setpriority(PRIO_PROCESS, 0, 5));
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 5);
  EXPECT_EQ(syscall(SYS_getpriority, PRIO_PROCESS, 0), 15);
  EXPECT_ERRNO(getpriority(99, 0), EINVAL);
}
CASE(scheduler_is_normal) {
  struct sched_param parameter = {-1};
  EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  OK(sched_getparam(0, &parameter));
  EXPECT_EQ(parameter.sched_priority, 0);
  EXPECT_EQ(sched_get_priority_max(SCHED_FIFO), 99);
  EXPECT_EQ(sched_get_priority_min(SCHED_OTHER), 0);
  EXPECT_ERRNO(sched_get_priority_max(77), EINVAL);
}
CASE(sched_yield_succeeds) { EXPECT_EQ(sched_yield(), 0); }
CASE(getcpu_is_in_range) {
  unsigned cpu = 999999;
  OK(syscall(SYS_getcpu, &cpu, NULL, NULL));
  EXPECT(cpu < 4096);
}

CASE(uname_is_linux_on_x86_64) {
  struct utsname name;
  OK(uname(&name));
  EXPECT_STR(name.sysname, "Linux");
  EXPECT_STR(name.machine, "x86_64");
  EXPECT(atoi(name.release) >= 4);
  EXPECT_ERRNO(syscall(SYS_uname, 8), EFAULT);
}
CASE(sysinfo_is_sane) {
  struct sysinfo info;
  OK(sysinfo(&info));
  EXPECT(info.totalram > 0 && info.freeram <= info.totalram);
  EXPECT(info.mem_unit > 0 && info.procs > 0);
}
CASE(getrandom_fills_and_differs) {
  unsigned char a[32] = {0}, b[32] = {0};
  EXPECT_EQ(getrandom(a, 32, 0), 32);
  EXPECT_EQ(getrandom(b, 32, GRND_NONBLOCK), 32);
  EXPECT(memcmp(a, b, 32) != 0);
  EXPECT_ERRNO(getrandom(a, 32, 0x100), EINVAL);
  EXPECT_ERRNO(syscall(SYS_getrandom, 8, 32, 0), EFAULT);
}
CASE(number_of_processors_agrees) {
  cpu_set_t set;
  OK(sched_getaffinity(0, sizeof set, &set));
  EXPECT(sysconf(_SC_NPROCESSORS_ONLN) >= CPU_COUNT(&set));
}
CASE(sethostname_by_an_unprivileged_user_is_eperm) {
  if (geteuid() == 0) OK(setresuid(1, 1, 1));
  EXPECT_ERRNO(sethostname("x", 1), EPERM);
}
CASE(reboot_by_an_unprivileged_user_is_eperm) {
  if (geteuid() == 0) OK(setresuid(1, 1, 1));
  EXPECT_ERRNO(syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL), EPERM);
}
CASE(personality_can_be_asked_for) { EXPECT_EQ(syscall(SYS_personality, 0xffffffff), 0); }

// The system and scheduling: uname, sysinfo, random bytes, affinity, policies, priorities.
#include "conformance.h"

#include <sys/personality.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

CASE(uname_is_linux_on_x86_64) {
  struct utsname u;
  OK(uname(&u));
  EXPECT_STR(u.sysname, "Linux");
  EXPECT_STR(u.machine, "x86_64");
  EXPECT(u.release[0] >= '5' && u.release[1] == '.');
  EXPECT_ERRNO(uname((void*)1), EFAULT);
}

CASE(personality_of_linux32_changes_the_machine) {
  pid_t child = IN_CHILD({
    struct utsname u;
    EXPECT_EQ(personality(0xffffffff), PER_LINUX);
    EXPECT_EQ(personality(PER_LINUX32), PER_LINUX);
    OK(uname(&u));
    EXPECT_STR(u.machine, "i686");
  });
  EXPECT_EXIT(child, 0);
}

CASE(sysinfo_is_sane) {
  struct sysinfo s;
  OK(sysinfo(&s));
  EXPECT(s.mem_unit >= 1 && s.totalram > 0 && s.freeram <= s.totalram && s.procs >= 1);
}

CASE(getrandom_gives_bytes) {
  unsigned char a[300] = {0}, b[300] = {0};
  EXPECT_EQ(getrandom(a, 300, 0), 300);
  EXPECT_EQ(getrandom(b, 300, GRND_NONBLOCK), 300);
  EXPECT(memcmp(a, b, 300) != 0);
  EXPECT_EQ(getrandom(a, 0, 0), 0);
  EXPECT_ERRNO(getrandom(a, 1, 8), EINVAL);
  EXPECT_ERRNO(syscall(SYS_getrandom, 8L, 100L, 0), EFAULT);
}

CASE(affinity_of_the_caller) {
  cpu_set_t set, one;
  EXPECT(sched_getaffinity(0, sizeof set, &set) == 0);
  EXPECT(CPU_COUNT(&set) >= 1);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &set)) ++cpu;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  OK(sched_setaffinity(0, sizeof one, &one));
  EXPECT(sched_getaffinity(getpid(), sizeof set, &set) == 0);
  EXPECT(CPU_EQUAL(&set, &one));
  EXPECT_EQ(sched_getcpu(), cpu);
  CPU_ZERO(&one);
  EXPECT_ERRNO(sched_setaffinity(0, sizeof one, &one), EINVAL);
  EXPECT_ERRNO(sched_getaffinity(0, 0, &one), EINVAL);
  EXPECT_ERRNO(sched_getaffinity(0, 12, &one), EINVAL);
  EXPECT_ERRNO(sched_setaffinity(0x3fffffff, sizeof set, &set), ESRCH);
  EXPECT_ERRNO(syscall(SYS_sched_setaffinity, 0, 8, (void*)8), EFAULT);
}

CASE(affinity_is_inherited_by_fork) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) SKIP("no CPU 0");
  pid_t child = IN_CHILD({
    cpu_set_t set;
    EXPECT(sched_getaffinity(0, sizeof set, &set) == 0);
    EXPECT(CPU_EQUAL(&set, &one));
  });
  EXPECT_EXIT(child, 0);
}

CASE(scheduler_policies) {
  struct sched_param p = {0};
  EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  OK(sched_setscheduler(0, SCHED_BATCH, &p));
  EXPECT_EQ(sched_getscheduler(0), SCHED_BATCH);
  OK(sched_getparam(0, &p));
  EXPECT_EQ(p.sched_priority, 0);
  p.sched_priority = 1;
  EXPECT_ERRNO(sched_setscheduler(0, SCHED_OTHER, &p), EINVAL);
  EXPECT_ERRNO(sched_setscheduler(0, 77, &p), EINVAL);
  EXPECT_ERRNO(sched_setscheduler(-1, SCHED_OTHER, &p), EINVAL);
  EXPECT_ERRNO(sched_setscheduler(0x3fffffff, SCHED_FIFO, &p), ESRCH);
  EXPECT_EQ(sched_get_priority_max(SCHED_FIFO), 99);
  EXPECT_EQ(sched_get_priority_min(SCHED_RR), 1);
  EXPECT_EQ(sched_get_priority_max(SCHED_OTHER), 0);
  EXPECT_ERRNO(sched_get_priority_max(99), EINVAL);
}

CASE(sched_yield_succeeds) { OK(sched_yield()); }

CASE(niceness) {
  errno = 0;
  int before = getpriority(PRIO_PROCESS, 0);
  EXPECT_EQ(errno, 0);
  OK(setpriority(PRIO_PROCESS, 0, before + 3));
  EXPECT_EQ(getpriority(PRIO_PROCESS, getpid()), before + 3);
  OK(setpriority(PRIO_PROCESS, 0, 100));
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19);
  EXPECT_ERRNO(getpriority(7, 0), EINVAL);
  EXPECT_ERRNO(setpriority(PRIO_PROCESS, 0x3fffffff, 0), ESRCH);
  pid_t child = IN_CHILD({ EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19); });
  EXPECT_EXIT(child, 0);
}

CASE(io_priority) {
  EXPECT_EQ(syscall(SYS_ioprio_get, 1, 0), 0);
  OK(syscall(SYS_ioprio_set, 1, 0, (2 << 13) | 6));
  EXPECT_EQ(syscall(SYS_ioprio_get, 1, 0), (2 << 13) | 6);
  EXPECT_ERRNO(syscall(SYS_ioprio_set, 1, 0, 1), EINVAL);
  EXPECT_ERRNO(syscall(SYS_ioprio_set, 1, 0, 7 << 13), EINVAL);
  EXPECT_ERRNO(syscall(SYS_ioprio_get, 9, 0), EINVAL);
}

CASE(getcpu_names_a_cpu) {
  unsigned cpu = 1000, node = 1000;
  OK(syscall(SYS_getcpu, &cpu, &node, NULL));
  EXPECT(cpu < 1000 && node < 1000);
  OK(syscall(SYS_getcpu, NULL, NULL, NULL));
}

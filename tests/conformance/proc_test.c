// What programs read of /proc, /dev and /sys.
#include "conformance.h"

#include <pthread.h>
#include <sys/sysmacros.h>

static char text[262144];
static const char* field(const char* path, const char* name) {
  if (read_file(path, text, sizeof text) < 0) FAIL("%s: %s", path, strerror(errno));
  char want[64];
  snprintf(want, sizeof want, "%s:", name);
  char* line = strncmp(text, want, strlen(want)) == 0 ? text : NULL;
  if (!line) {
    snprintf(want, sizeof want, "\n%s:", name);
    line = strstr(text, want);
    if (line) line++;
  }
  if (!line) FAIL("%s has no %s", path, name);
  line += strlen(name) + 1;
  while (*line == '\t' || *line == ' ') line++;
  char* end = strchr(line, '\n');
  if (end) *end = 0;
  return line;
}
static void expect_device(const char* path, unsigned major_number, unsigned minor_number) {
  struct stat st;
  OK(stat(path, &st));
  EXPECT(S_ISCHR(st.st_mode));
  EXPECT_EQ(major(st.st_rdev), major_number);
  EXPECT_EQ(minor(st.st_rdev), minor_number);
}
static void expect_link(const char* path, const char* wanted) {
  char target[4096] = {0};
  OK(readlink(path, target, sizeof target - 1));
  EXPECT_STR(target, wanted);
}

CASE(dev_null_swallows_and_is_empty) {
  char byte;
  int fd = (int)OK(open("/dev/null", O_RDWR));
  EXPECT_EQ(write(fd, "abc", 3), 3);
  EXPECT_EQ(read(fd, &byte, 1), 0);
  expect_device("/dev/null", 1, 3);
}
CASE(dev_zero_gives_zeros) {
  char block[100];
  memset(block, 1, sizeof block);
  int fd = (int)OK(open("/dev/zero", O_RDONLY));
  EXPECT_EQ(read(fd, block, sizeof block), sizeof block);
  for (unsigned i = 0; i < sizeof block; i++) EXPECT_EQ(block[i], 0);
  expect_device("/dev/zero", 1, 5);
}
CASE(dev_full_is_enospc) {
  int fd = (int)OK(open("/dev/full", O_RDWR));
  EXPECT_ERRNO(write(fd, "x", 1), ENOSPC);
}
CASE(dev_urandom_differs) {
  uint64_t a = 0, b = 0;
  int fd = (int)OK(open("/dev/urandom", O_RDONLY));
  EXPECT_EQ(read(fd, &a, 8), 8);
  EXPECT_EQ(read(fd, &b, 8), 8);
  EXPECT(a != b);
}
CASE(dev_fd_and_stdin_are_links) {
  expect_link("/dev/fd", "/proc/self/fd");
  expect_link("/dev/stdin", "/proc/self/fd/0");
}
CASE(dev_shm_is_writable_memory) {
  int fd = (int)OK(open("/dev/shm/conformance-test", O_RDWR | O_CREAT | O_TRUNC, 0600));
  EXPECT_EQ(write(fd, "x", 1), 1);
  OK(unlink("/dev/shm/conformance-test"));
}
CASE(dev_ptmx_is_there) {
  struct stat st;
  OK(stat("/dev/ptmx", &st));
  EXPECT(S_ISCHR(st.st_mode));
}

CASE(self_is_the_pid_of_the_reader) {
  char want[16];
  snprintf(want, sizeof want, "%d", getpid());
  expect_link("/proc/self", want);
  pid_t child = IN_CHILD({
    snprintf(want, sizeof want, "%d", getpid());
    expect_link("/proc/self", want);
  });
  EXPECT_EXIT(child, 0);
}
CASE(thread_self_is_the_thread) {
  char want[64];
  snprintf(want, sizeof want, "%d/task/%ld", getpid(), syscall(SYS_gettid));
  expect_link("/proc/thread-self", want);
}
CASE(status_has_name_pids_and_ids) {
  EXPECT_EQ(atoi(field("/proc/self/status", "Pid")), getpid());
  EXPECT_EQ(atoi(field("/proc/self/status", "PPid")), getppid());
  EXPECT_EQ(atoi(field("/proc/self/status", "Tgid")), getpid());
  EXPECT_EQ(atoi(field("/proc/self/status", "Threads")), 1);
  EXPECT_EQ(atoi(field("/proc/self/status", "Uid")), (int)getuid());
  EXPECT_EQ(field("/proc/self/status", "State")[0], 'R');
  EXPECT(atol(field("/proc/self/status", "VmRSS")) > 0);
}
CASE(status_shows_signal_masks) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  signal(SIGUSR2, SIG_IGN);
  raise(SIGUSR1);
  EXPECT_EQ(strtoull(field("/proc/self/status", "SigBlk"), NULL, 16), 1 << (SIGUSR1 - 1));
  EXPECT_EQ(strtoull(field("/proc/self/status", "SigPnd"), NULL, 16), 1 << (SIGUSR1 - 1));
  EXPECT(strtoull(field("/proc/self/status", "SigIgn"), NULL, 16) & 1 << (SIGUSR2 - 1));
}
CASE(stat_has_52_fields) {
  EXPECT(read_file("/proc/self/stat", text, sizeof text) > 0);
  char* at = strrchr(text, ')');
  EXPECT(at);
  int fields = 2;
  for (char* word = strtok(at + 1, " \n"); word; word = strtok(NULL, " \n")) fields++;
  EXPECT_EQ(fields, 52);
  EXPECT_EQ(atoi(text), getpid());
}
CASE(stat_has_parent_group_session) {
  int ppid, pgrp, session;
  char state;
  EXPECT(read_file("/proc/self/stat", text, sizeof text) > 0);
  EXPECT_EQ(sscanf(strrchr(text, ')') + 2, "%c %d %d %d", &state, &ppid, &pgrp, &session), 4);
  EXPECT_EQ(ppid, getppid());
  EXPECT_EQ(pgrp, getpgrp());
  EXPECT_EQ(session, getsid(0));
}
CASE(exe_cwd_and_root_are_links) {
  char target[4096] = {0}, here[4096];
  OK(readlink("/proc/self/exe", target, sizeof target - 1));
  EXPECT(strstr(target, "/proc."));
  OK(chdir("/proc"));
  expect_link("/proc/self/cwd", getcwd(here, sizeof here));
  expect_link("/proc/self/root", "/");
}
CASE(fd_lists_open_descriptors) {
  int fd = (int)OK(dup2(0, 55));
  DIR* directory = opendir("/proc/self/fd");
  EXPECT(directory);
  bool found = false;
  struct dirent* entry;
  while ((entry = readdir(directory))) found |= atoi(entry->d_name) == fd;
  EXPECT(found);
}
CASE(fdinfo_tells_position_and_flags) {
  int fd = (int)OK(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  char path[64];
  OK(lseek(fd, 123, SEEK_SET));
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  EXPECT_EQ(atoi(field(path, "pos")), 123);
  EXPECT_EQ(strtol(field(path, "flags"), NULL, 8) & O_CLOEXEC, O_CLOEXEC);
}
static void* wait_here(void* unused) {
  sleep_ms(3000);
  return NULL;
}
CASE(task_lists_threads) {
  pthread_t thread;
  EXPECT_ZERO(pthread_create(&thread, NULL, wait_here, NULL));
  DIR* directory = opendir("/proc/self/task");
  int n = 0;
  while (readdir(directory)) n++;
  EXPECT_EQ(n, 4);
  EXPECT_EQ(atoi(field("/proc/self/status", "Threads")), 2);
}
CASE(pid_directory_goes_with_the_process) {
  char path[64];
  struct stat st;
  pid_t child = IN_CHILD({ pause(); });
  snprintf(path, sizeof path, "/proc/%d", child);
  OK(stat(path, &st));
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
  EXPECT_ERRNO(stat(path, &st), ENOENT);
}
CASE(pids_are_listed) {
  DIR* directory = opendir("/proc");
  struct dirent* entry;
  bool found = false;
  while ((entry = readdir(directory))) found |= atoi(entry->d_name) == getpid();
  EXPECT(found);
}
CASE(children_zombie_is_state_z) {
  char path[64];
  pid_t child = IN_CHILD({});
  snprintf(path, sizeof path, "/proc/%d/status", child);
  EVENTUALLY(process_state(child) == 'Z');
  EXPECT_EQ(field(path, "State")[0], 'Z');
}
CASE(a_process_that_makes_calls_is_in_state_r) {
  int p[2], zero = (int)OK(open("/dev/zero", O_RDONLY));
  char byte;
  OK(pipe(p));
  pid_t child = IN_CHILD({
    OK(write(p[1], "r", 1));
    for (;;) OK(read(zero, &byte, 1));
  });
  OK(read(p[0], &byte, 1));
  for (int i = 0; i < 300; i++) EXPECT_EQ(process_state(child), 'R');
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}
CASE(a_process_in_a_futex_wait_is_in_state_s) {
  static unsigned word;
  pid_t child = IN_CHILD({
    for (;;) syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0);
  });
  EVENTUALLY(process_state(child) == 'S');
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}
CASE(missing_pid_is_enoent) {
  struct stat st;
  EXPECT_ERRNO(stat("/proc/3999999", &st), ENOENT);
}
CASE(cpuinfo_lists_processors) {
  EXPECT(read_file("/proc/cpuinfo", text, sizeof text) > 0);
  EXPECT(strstr(text, "processor\t: 0"));
  EXPECT(strstr(text, "flags\t"));
}
CASE(meminfo_has_total_and_available) {
  EXPECT(atol(field("/proc/meminfo", "MemTotal")) > 0);
  EXPECT(atol(field("/proc/meminfo", "MemAvailable")) > 0);
}
CASE(version_agrees_with_uname) {
  EXPECT(read_file("/proc/version", text, sizeof text) > 0);
  EXPECT(strncmp(text, "Linux version ", 14) == 0);
  static char release[128];
  EXPECT(read_file("/proc/sys/kernel/osrelease", release, sizeof release) > 0);
  release[strcspn(release, "\n")] = 0;
  EXPECT(strstr(text, release));
}
CASE(stat_of_the_system_has_cpu_and_btime) {
  EXPECT(read_file("/proc/stat", text, sizeof text) > 0);
  EXPECT(strncmp(text, "cpu ", 4) == 0);
  EXPECT(strstr(text, "\nbtime "));
}
CASE(loadavg_and_uptime_parse) {
  double a, b, c;
  EXPECT(read_file("/proc/loadavg", text, sizeof text) > 0);
  EXPECT_EQ(sscanf(text, "%lf %lf %lf", &a, &b, &c), 3);
  EXPECT(read_file("/proc/uptime", text, sizeof text) > 0);
  EXPECT_EQ(sscanf(text, "%lf %lf", &a, &b), 2);
}
CASE(filesystems_and_mounts_are_readable) {
  EXPECT(read_file("/proc/filesystems", text, sizeof text) > 0);
  EXPECT(strstr(text, "proc"));
  EXPECT(read_file("/proc/self/mounts", text, sizeof text) > 0);
  EXPECT(strstr(text, " / "));
  EXPECT(read_file("/proc/self/mountinfo", text, sizeof text) > 0);
  EXPECT(strstr(text, " / / "));
}
CASE(kernel_limits_in_sys) {
  EXPECT(read_file("/proc/sys/kernel/pid_max", text, sizeof text) > 0);
  EXPECT(atoi(text) >= 1024);
  EXPECT(read_file("/proc/sys/vm/overcommit_memory", text, sizeof text) > 0);
  EXPECT(read_file("/proc/sys/kernel/ngroups_max", text, sizeof text) > 0);
  EXPECT_EQ(atoi(text), 65536);
}
CASE(random_uuid_has_its_form) {
  EXPECT_EQ(read_file("/proc/sys/kernel/random/uuid", text, sizeof text), 37);
  EXPECT_EQ(text[8], '-');
  EXPECT_EQ(text[14], '4');
}
CASE(limits_file_lists_open_files) {
  EXPECT(read_file("/proc/self/limits", text, sizeof text) > 0);
  EXPECT(strstr(text, "Max open files"));
}
CASE(comm_can_be_written) {
  write_file("/proc/self/comm", "renamed");
  EXPECT(read_file("/proc/self/comm", text, sizeof text) > 0);
  EXPECT_STR(text, "renamed\n");
}
CASE(oom_score_adj_can_be_raised) {
  write_file("/proc/self/oom_score_adj", "500");
  EXPECT(read_file("/proc/self/oom_score_adj", text, sizeof text) > 0);
  EXPECT_EQ(atoi(text), 500);
}
CASE(mem_of_self_reads_memory) {
  static char secret[] = "in memory";
  char got[sizeof secret];
  int fd = (int)OK(open("/proc/self/mem", O_RDONLY));
  EXPECT_EQ(pread(fd, got, sizeof got, (off_t)(uintptr_t)secret), sizeof got);
  EXPECT_STR(got, "in memory");
}
CASE(smaps_adds_up_rss) {
  EXPECT(read_file("/proc/self/smaps", text, sizeof text) > 0);
  EXPECT(strstr(text, "\nRss:"));
}
CASE(files_cannot_be_made_in_proc) {
  EXPECT(open("/proc/new", O_WRONLY | O_CREAT, 0600) < 0);
  EXPECT(mkdir("/proc/new", 0755) < 0);
}
CASE(reading_in_small_pieces_gives_the_whole) {
  static char whole[4096], pieces[4096];
  ssize_t length = read_file("/proc/version", whole, sizeof whole), have = 0;
  int fd = (int)OK(open("/proc/version", O_RDONLY));
  while (read(fd, pieces + have, 1) == 1) have++;
  EXPECT_EQ(have, length);
  EXPECT_STR(pieces, whole);
}
CASE(sys_cpu_online_is_readable) {
  EXPECT(read_file("/sys/devices/system/cpu/online", text, sizeof text) > 0);
  EXPECT_EQ(text[0], '0');
}

static long long io_count(const char* name) {
  char text[1024], wanted[64];
  EXPECT(read_file("/proc/self/io", text, sizeof text) > 0);
  snprintf(wanted, sizeof wanted, "%s: ", name);
  char* line = strstr(text, wanted);
  EXPECT(line != NULL);
  return atoll(line + strlen(wanted));
}

CASE(io_counts_calls_and_bytes_of_all_threads) {
  long long read_before = io_count("rchar"), written_before = io_count("wchar"), calls_before = io_count("syscw");
  int ends[2];
  char bytes[100] = "";
  OK(pipe(ends));
  for (int i = 0; i < 10; i++) {
    EXPECT_EQ(write(ends[1], bytes, sizeof bytes), 100);
    EXPECT_EQ(read(ends[0], bytes, sizeof bytes), 100);
  }
  EXPECT_EQ(io_count("wchar") - written_before, 1000);
  EXPECT_EQ(io_count("syscw") - calls_before, 10);
  EXPECT(io_count("rchar") - read_before >= 1000);
  EXPECT(io_count("read_bytes") >= 0);
}

CASE(io_of_another_user_is_eacces) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/io", getpid());
  EXPECT_EXIT(IN_CHILD({
                OK(setresuid(65534, 65534, 65534));
                EXPECT_ERRNO(open(path, O_RDONLY), EACCES);
              }),
              0);
}

CASE(cgroups_begins_with_its_heading) {
  char text[4096];
  EXPECT(read_file("/proc/cgroups", text, sizeof text) > 0);
  EXPECT(strncmp(text, "#subsys_name\thierarchy\tnum_cgroups\tenabled\n", 43) == 0);
}

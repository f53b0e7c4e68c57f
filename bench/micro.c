// What a system call, a process, a thread costs: one program, run natively and in each runtime.
//
//   micro all              every measurement, one line each: NAME NANOSECONDS
//   micro NAME...          only these
//   micro distance         how long a cache line takes to another CPU and back, as "distance NANOSECONDS"; 0 with one
//   CPU micro time COMMAND...  runs a command and tells its wall time as "command NANOSECONDS"
//
// Each number is the median of several batches; a batch is long enough for the clock. Linux only, no libraries.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 7, PAGE = 4096 };
static const int64_t batch_ns = 40 * 1000 * 1000;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void check(int ok, const char* what) {
  if (!ok) {
    perror(what);
    _exit(1);
  }
}

static char block[PAGE];
static int zero_fd, file_fd, pipe_fds[2];
static char file_name[] = "/tmp/micro.XXXXXX";

static void set_up(void) {
  zero_fd = open("/dev/zero", O_RDONLY);
  check(zero_fd >= 0, "open /dev/zero");
  file_fd = mkstemp(file_name);
  check(file_fd >= 0, "mkstemp in /tmp");
  check(write(file_fd, block, PAGE) == PAGE, "write");
  check(pipe(pipe_fds) == 0, "pipe");
}

static void do_getpid(long n) {
  while (n-- > 0) check(getpid() > 0, "getpid");
}
static void do_read_zero(long n) {
  while (n-- > 0) check(read(zero_fd, block, 1) == 1, "read");
}
static void do_pread(long n) {
  while (n-- > 0) check(pread(file_fd, block, PAGE, 0) == PAGE, "pread");
}
static void do_stat(long n) {
  struct stat st;
  while (n-- > 0) check(stat("/usr/bin/env", &st) == 0, "stat");
}
static void do_stat_missing(long n) {
  struct stat st;
  while (n-- > 0) check(stat("/usr/bin/no-such-file", &st) != 0, "stat of a missing file");
}
static void do_open_close(long n) {
  while (n-- > 0) {
    int fd = open("/usr/bin/env", O_RDONLY);
    check(fd >= 0, "open");
    close(fd);
  }
}
static void do_pipe(long n) {
  while (n-- > 0) {
    check(write(pipe_fds[1], block, 1) == 1, "write");
    check(read(pipe_fds[0], block, 1) == 1, "read");
  }
}
static void do_mmap(long n) {
  while (n-- > 0) {
    char* p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(p != MAP_FAILED, "mmap");
    *(volatile char*)p = 1;
    munmap(p, PAGE);
  }
}
static void do_fork(long n) {
  while (n-- > 0) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    check(child > 0 && waitpid(child, NULL, 0) == child, "fork");
  }
}
static void do_vfork_exec(long n) {
  while (n-- > 0) {
    pid_t child = vfork();
    if (child == 0) {
      execl("/bin/true", "true", (char*)NULL);
      _exit(126);
    }
    check(child > 0 && waitpid(child, NULL, 0) == child, "vfork");
  }
}
static void* nothing(void* unused) { return unused; }
static void do_thread(long n) {
  while (n-- > 0) {
    pthread_t thread;
    check(pthread_create(&thread, NULL, nothing, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
  }
}

// Two threads hand a turn to each other through futexes alone.
static _Atomic uint32_t turn;
static void futex_wait(_Atomic uint32_t* word, uint32_t value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}
static void futex_wake(_Atomic uint32_t* word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); }
static void play(uint32_t me, long n) {
  while (n-- > 0) {
    while (atomic_load(&turn) != me) futex_wait(&turn, 1 - me);
    atomic_store(&turn, 1 - me);
    futex_wake(&turn);
  }
}
static void* play_second(void* n) {
  play(1, (long)n);
  return NULL;
}
static void do_futex(long n) {
  pthread_t thread;
  turn = 0;
  check(pthread_create(&thread, NULL, play_second, (void*)n) == 0, "pthread_create");
  play(0, n);
  pthread_join(thread, NULL);
}

// A barrier as OpenMP runtimes have it: spin for a while, then sleep on a futex.
static _Atomic uint32_t arrived, generation;
static void barrier(void) {
  uint32_t mine = atomic_load(&generation);
  if (atomic_fetch_add(&arrived, 1) == 1) {
    atomic_store(&arrived, 0);
    atomic_fetch_add(&generation, 1);
    futex_wake(&generation);
    return;
  }
  for (int spins = 0; spins < 2000; spins++) {
    if (atomic_load(&generation) != mine) return;
    __builtin_ia32_pause();
  }
  while (atomic_load(&generation) == mine) futex_wait(&generation, mine);
}
static void work_and_meet(long n) {
  while (n-- > 0) {
    for (volatile int i = 0; i < 500; i++) {
    }
    barrier();
  }
}
static void* meet_second(void* n) {
  work_and_meet((long)n);
  return NULL;
}
static void do_barrier(long n) {
  pthread_t thread;
  check(pthread_create(&thread, NULL, meet_second, (void*)n) == 0, "pthread_create");
  work_and_meet(n);
  pthread_join(thread, NULL);
}

// The first two CPUs that we may use, one thread on each.
static void pin(int which) {
  cpu_set_t allowed, one;
  CPU_ZERO(&one);
  check(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "sched_getaffinity");
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &allowed) && which-- == 0) CPU_SET(cpu, &one);
  check(sched_setaffinity(0, sizeof one, &one) == 0, "sched_setaffinity");
}
static _Alignas(64) _Atomic long asked;
static _Alignas(64) _Atomic long answered;
static void* answer(void* rounds) {
  pin(1);
  for (long n = 1; n <= (long)rounds; n++) {
    while (atomic_load(&asked) != n) __builtin_ia32_pause();
    atomic_store(&answered, n);
  }
  return NULL;
}
static double distance(void) {
  enum { ROUNDS = 200000 };
  cpu_set_t allowed;
  check(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "sched_getaffinity");
  if (CPU_COUNT(&allowed) < 2) return 0;
  pthread_t thread;
  check(pthread_create(&thread, NULL, answer, (void*)(long)ROUNDS) == 0, "pthread_create");
  pin(0);
  int64_t start = 0;
  for (long n = 1; n <= ROUNDS; n++) {
    if (n == ROUNDS / 10) start = now_ns();  // the threads are in place by then
    atomic_store(&asked, n);
    while (atomic_load(&answered) != n) __builtin_ia32_pause();
  }
  int64_t end = now_ns();
  pthread_join(thread, NULL);
  return (double)(end - start) / (ROUNDS - ROUNDS / 10);
}

static const struct {
  const char* name;
  void (*run)(long n);
} measurements[] = {
    {"getpid", do_getpid},
    {"read_zero", do_read_zero},
    {"pread_4k", do_pread},
    {"stat", do_stat},
    {"stat_missing", do_stat_missing},
    {"open_close", do_open_close},
    {"pipe", do_pipe},
    {"mmap", do_mmap},
    {"fork", do_fork},
    {"vfork_exec", do_vfork_exec},
    {"thread", do_thread},
    {"futex_pingpong", do_futex},
    {"barrier", do_barrier},
};
enum { MEASUREMENTS = sizeof measurements / sizeof *measurements };

static int by_value(const void* a, const void* b) {
  double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static double measure(void (*run)(long)) {
  long n = 1;
  int64_t took;
  // Warm up, and find how many make a batch.
  for (;;) {
    int64_t start = now_ns();
    run(n);
    took = now_ns() - start;
    if (took > batch_ns / 8) break;
    n *= 2;
  }
  n = (long)((double)n * (double)batch_ns / (double)took) + 1;
  double batches[BATCHES];
  for (int i = 0; i < BATCHES; i++) {
    int64_t start = now_ns();
    run(n);
    batches[i] = (double)(now_ns() - start) / (double)n;
  }
  qsort(batches, BATCHES, sizeof *batches, by_value);
  return batches[BATCHES / 2];
}

static int time_command(char** command) {
  int64_t start = now_ns();
  pid_t child = fork();
  if (child == 0) {
    // What the command says goes to standard error: our line is all that standard output has.
    dup2(2, 1);
    execvp(command[0], command);
    _exit(127);
  }
  int status;
  check(child > 0 && waitpid(child, &status, 0) == child, "fork");
  int64_t took = now_ns() - start;
  if (status != 0) {
    fprintf(stderr, "micro: %s ended with status 0x%x\n", command[0], status);
    return 1;
  }
  printf("command %lld\n", (long long)took);
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: micro all | NAME... | time COMMAND...\n");
    return 2;
  }
  if (strcmp(argv[1], "time") == 0 && argc > 2) return time_command(argv + 2);
  if (strcmp(argv[1], "distance") == 0) return printf("distance %.1f\n", distance()) < 0;
  set_up();
  for (int m = 0; m < MEASUREMENTS; m++) {
    int wanted = strcmp(argv[1], "all") == 0;
    for (int i = 1; i < argc; i++) wanted |= strcmp(argv[i], measurements[m].name) == 0;
    if (!wanted) continue;
    double ns = measure(measurements[m].run);
    printf("%s %.1f\n", measurements[m].name, ns);
    fflush(stdout);
  }
  unlink(file_name);
  return 0;
}

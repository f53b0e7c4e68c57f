// A hostile guest: makes system calls of every number with arguments that tend to hurt. The sandbox must outlive it:
// whatever happens to this program, the sentry must not die, hang or leak.
//
//   syscall_fuzz SEED CALLS [MAX_NUMBER]     prints "survived" when all its children have come to an end
//
// Each child makes a batch of calls and is killed after a while if it got stuck in one that blocks.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t state;
static uint64_t next_random(void) {  // xorshift64*
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 2685821657736338717ull;
}

static unsigned char* arena;  // readable and writable, followed by a page that is neither
enum { arena_size = 1 << 16 };
static char const* const paths[] = {".",
                                    "/",
                                    "/tmp",
                                    "/proc/self/status",
                                    "/proc/self/fd/0",
                                    "/dev/zero",
                                    "/dev/null",
                                    "/nonexistent",
                                    "f",
                                    "d/e",
                                    "/proc/self/mem",
                                    "/dev/ptmx",
                                    "/proc/sys/kernel/hostname",
                                    "..",
                                    "",
                                    "/etc/passwd"};

static uint64_t argument(void) {
  uint64_t r = next_random();
  switch (r % 14) {
    case 0:
      return next_random() % 16;  // descriptors, small counts
    case 1:
      return (uint64_t)-(int64_t)(next_random() % 4);  // -1, -2, …
    case 2:
      return (uint64_t)(arena + next_random() % arena_size);
    case 3:
      return (uint64_t)(arena + arena_size - next_random() % 64);  // runs into the hole
    case 4:
      return 1ull << (next_random() % 64);
    case 5:
      return (1ull << (next_random() % 64)) - 1;
    case 6:
      return next_random();
    case 7:
      return 0;
    case 8:
      return (uint64_t)paths[next_random() % (sizeof paths / sizeof *paths)];
    case 9:
      return 4096 * (next_random() % 64);
    case 10:
      return 0x7fff00000000ull + (next_random() % (1ull << 32));  // where a platform may keep its own things
    case 11:
      return (uint64_t)-100;  // AT_FDCWD
    case 12:
      return (uint64_t)&argument;  // text
    default:
      return next_random() & 0xffff;
  }
}

static int spared(long number) {
  switch (number) {
    case SYS_exit:
    case SYS_exit_group:  // would only end the batch
    case SYS_kill:
    case SYS_tkill:
    case SYS_tgkill:
    case SYS_rt_sigqueueinfo:
    case SYS_rt_tgsigqueueinfo:  // of the harness
    case SYS_pidfd_send_signal:
    case SYS_setpgid:
    case SYS_setsid:
    case SYS_reboot:
    case SYS_fork:
    case SYS_vfork:
    case SYS_clone:
    case SYS_clone3:  // bombs; see storm()
      return 1;
    default:
      return 0;
  }
}

static void fill_arena(void) {
  for (int i = 0; i < 64; ++i) {
    uint64_t v = argument();
    memcpy(arena + next_random() % (arena_size - 8), &v, 8);
  }
}

static void* idle_thread(void* unused) {
  (void)unused;
  for (int i = 0; i < 200; ++i) {
    memset(arena + (i * 97) % (arena_size - 64), i, 64);  // changes arguments under the kernel's hands
    usleep(100);
  }
  return NULL;
}

static void batch(uint64_t seed, long calls, long max_number) {
  state = seed | 1;
  arena = mmap(NULL, arena_size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (arena == MAP_FAILED) _exit(3);
  mprotect(arena + arena_size, 4096, PROT_NONE);
  struct rlimit files = {256, 256}, size = {16 << 20, 16 << 20}, memory = {1ul << 32, 1ul << 32};
  setrlimit(RLIMIT_NOFILE, &files);
  setrlimit(RLIMIT_FSIZE, &size);
  setrlimit(RLIMIT_AS, &memory);
  for (int s = 1; s < 32; ++s)
    if (s != SIGKILL && s != SIGSTOP && s != SIGALRM && s != SIGSEGV && s != SIGBUS) signal(s, SIG_IGN);
  alarm(3);
  pthread_t thread;
  if (seed % 3 == 0) pthread_create(&thread, NULL, idle_thread, NULL);
  for (long i = 0; i < calls; ++i) {
    if (i % 8 == 0) fill_arena();
    long number = (long)(next_random() % (uint64_t)max_number);
    if (spared(number)) continue;
    syscall(number, argument(), argument(), argument(), argument(), argument(), argument());
  }
  _exit(0);
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: syscall_fuzz SEED CALLS [MAX_NUMBER]\n");
    return 2;
  }
  uint64_t seed = strtoull(argv[1], NULL, 0);
  long calls = strtol(argv[2], NULL, 0), max_number = argc > 3 ? strtol(argv[3], NULL, 0) : 470;
  long const per_batch = 200;
  char directory[] = "/tmp/fuzz.XXXXXX";
  if (!mkdtemp(directory) || chdir(directory)) {
    perror("syscall_fuzz: work directory");
    return 2;
  }
  for (long done = 0, n = 0; done < calls; done += per_batch, ++n) {
    pid_t child = fork();
    if (child == 0) batch(seed * 1000003 + (uint64_t)n, per_batch, max_number);
    if (child < 0) {
      perror("syscall_fuzz: fork");
      return 1;
    }
    int status;
    for (int waited = 0; waitpid(child, &status, WNOHANG) == 0; ++waited) {
      if (waited > 5000) kill(child, SIGKILL);
      usleep(1000);
    }
    while (waitpid(-1, &status, WNOHANG) > 0) continue;  // what a batch left behind
  }
  printf("survived\n");
  return 0;
}

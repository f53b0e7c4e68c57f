// The harness of the conformance programs: ordinary Linux programs that pass natively first.
//
//   #include "conformance.h"
//   CASE(read_at_end_of_file_returns_zero) { ... EXPECT_EQ(read(fd, buffer, 1), 0); }
//
// Each file is a program of its own with main() from here. A case runs in a child process with a process group, a
// time-out and, in programs that define CONFORMANCE_FILES before including this, an empty working directory of its
// own (below $CONFORMANCE_DIRECTORY, else /tmp). The first EXPECT that does not hold ends its case. Output is TAP;
// `--list`, `--filter TEXT` and `--from N` choose.
//
// The harness itself uses as little of the system as it can: fork, waitpid, nanosleep, clock_gettime, write, kill.
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CASE_FAILED = 1, CASE_SKIPPED = 77, CASE_LIMIT_SECONDS = 30, CASE_MAX = 512 };

struct conformance_case {
  const char* name;
  void (*run)(void);
};

static struct conformance_case conformance_cases[CASE_MAX];
static int conformance_case_count;

__attribute__((unused)) static void conformance_register(const char* name, void (*run)(void)) {
  if (conformance_case_count == CASE_MAX) abort();
  conformance_cases[conformance_case_count++] = (struct conformance_case){name, run};
}

#define CASE(name)                                                                                             \
  static void case_##name(void);                                                                               \
  __attribute__((constructor)) static void register_##name(void) { conformance_register(#name, case_##name); } \
  static void case_##name(void)

// One line to standard output by one write, whichever process or thread says it.
__attribute__((unused, format(printf, 1, 2))) static void conformance_say(const char* format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof line - 1) length = sizeof line - 1;
  if (write(STDOUT_FILENO, line, (size_t)length) != length) _exit(CASE_FAILED);
}

#define FAIL(...)                                                          \
  do {                                                                     \
    char fail_text_[512];                                                  \
    snprintf(fail_text_, sizeof fail_text_, __VA_ARGS__);                  \
    conformance_say("# %s:%d: %s\n", __FILE_NAME__, __LINE__, fail_text_); \
    _exit(CASE_FAILED);                                                    \
  } while (0)

#define SKIP(...)                                         \
  do {                                                    \
    char skip_text_[256];                                 \
    snprintf(skip_text_, sizeof skip_text_, __VA_ARGS__); \
    conformance_say("# skip: %s\n", skip_text_);          \
    _exit(CASE_SKIPPED);                                  \
  } while (0)

#define EXPECT(condition)                                   \
  do {                                                      \
    if (!(condition)) FAIL("%s does not hold", #condition); \
  } while (0)

#define EXPECT_EQ(actual, wanted)                                                                                      \
  do {                                                                                                                 \
    errno = 0;                                                                                                         \
    long long actual_ = (long long)(actual), wanted_ = (long long)(wanted);                                            \
    if (actual_ != wanted_)                                                                                            \
      FAIL("%s is %lld (0x%llx), not %s = %lld (errno %d %s)", #actual, actual_, (unsigned long long)actual_, #wanted, \
           wanted_, errno, strerror(errno));                                                                           \
  } while (0)

#define EXPECT_STR(actual, wanted)                                                                  \
  do {                                                                                              \
    const char *actual_ = (actual), *wanted_ = (wanted);                                            \
    if (strcmp(actual_, wanted_) != 0) FAIL("%s is \"%s\", not \"%s\"", #actual, actual_, wanted_); \
  } while (0)

// A call that must succeed: gives its value (>= 0).
#define OK(call)                                                                      \
  ({                                                                                  \
    errno = 0;                                                                        \
    long ok_value_ = (long)(call);                                                    \
    if (ok_value_ < 0) FAIL("%s failed: errno %d %s", #call, errno, strerror(errno)); \
    ok_value_;                                                                        \
  })

// A call that must fail with this errno.
#define EXPECT_ERRNO(call, wanted)                                                                          \
  do {                                                                                                      \
    errno = 0;                                                                                              \
    long value_ = (long)(call);                                                                             \
    int errno_ = errno;                                                                                     \
    if (value_ != -1) FAIL("%s gave %ld, not an error %s", #call, value_, #wanted);                         \
    if (errno_ != (wanted)) FAIL("%s: errno is %d (%s), not %s", #call, errno_, strerror(errno_), #wanted); \
  } while (0)

// For calls that return the error number (pthread_*, posix_*).
#define EXPECT_ZERO(call)                                                   \
  do {                                                                      \
    int zero_ = (call);                                                     \
    if (zero_ != 0) FAIL("%s gave %d (%s)", #call, zero_, strerror(zero_)); \
  } while (0)

// mmap that must succeed.
#define MAP(address, length, protection, flags, fd, offset)                                                     \
  ({                                                                                                            \
    void* map_ = mmap((address), (length), (protection), (flags), (fd), (offset));                              \
    if (map_ == MAP_FAILED) FAIL("mmap(%s, %s, %s) failed: %s", #length, #protection, #flags, strerror(errno)); \
    map_;                                                                                                       \
  })

enum { PAGE = 4096 };

// Forks and runs the following block in the child, which then exits 0: `pid_t p = IN_CHILD({ ... });`
#define IN_CHILD(...)                                         \
  ({                                                          \
    pid_t child_ = fork();                                    \
    if (child_ == 0) {                                        \
      __VA_ARGS__                                             \
      _exit(0);                                               \
    }                                                         \
    if (child_ < 0) FAIL("fork failed: %s", strerror(errno)); \
    child_;                                                   \
  })

__attribute__((unused)) static int wait_status(pid_t pid) {
  int status = -1;
  pid_t got;
  do got = waitpid(pid, &status, __WALL);
  while (got < 0 && errno == EINTR);
  if (got != pid) FAIL("waitpid(%d) gave %d: %s", pid, got, strerror(errno));
  return status;
}

// The child must have exited with this code, or been ended by this signal.
#define EXPECT_EXIT(pid, code)                                                        \
  do {                                                                                \
    int exit_status_ = wait_status(pid);                                              \
    if (!WIFEXITED(exit_status_) || WEXITSTATUS(exit_status_) != (code))              \
      FAIL("child %s has status 0x%x, not exit %d", #pid, exit_status_, (int)(code)); \
  } while (0)
#define EXPECT_KILLED(pid, signal_number)                                                     \
  do {                                                                                        \
    int kill_status_ = wait_status(pid);                                                      \
    if (!WIFSIGNALED(kill_status_) || WTERMSIG(kill_status_) != (signal_number))              \
      FAIL("child %s has status 0x%x, not killed by %s", #pid, kill_status_, #signal_number); \
  } while (0)

__attribute__((unused)) static void sleep_ms(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&t, &t) != 0 && errno == EINTR) {
  }
}

__attribute__((unused)) static int64_t now_ns(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t) != 0) FAIL("clock_gettime(%d): %s", (int)clock, strerror(errno));
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Waits, bounded, until a condition holds that another process or thread makes true.
#define EVENTUALLY(condition)                                                     \
  do {                                                                            \
    int eventually_left_ = 3000;                                                  \
    while (!(condition) && --eventually_left_ > 0) sleep_ms(1);                   \
    if (eventually_left_ == 0) FAIL("%s did not become true in 3 s", #condition); \
  } while (0)

// Reads a small file (of /proc, say) whole; gives its length. The text is terminated.
__attribute__((unused)) static ssize_t read_file(const char* path, char* buffer, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  size_t have = 0;
  while (have < size - 1) {
    ssize_t got = read(fd, buffer + have, size - 1 - have);
    if (got < 0) {
      close(fd);
      return -1;
    }
    if (got == 0) break;
    have += (size_t)got;
  }
  buffer[have] = 0;
  close(fd);
  return (ssize_t)have;
}

__attribute__((unused)) static void write_file(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) FAIL("open(%s) to write: %s", path, strerror(errno));
  if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) FAIL("write(%s): %s", path, strerror(errno));
  close(fd);
}

// The state letter of /proc/PID/stat: R, S, T, Z ...; 0 when there is no such process.
__attribute__((unused)) static char process_state(pid_t pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (read_file(path, text, sizeof text) <= 0) return 0;
  char* end = strrchr(text, ')');
  return end ? end[2] : 0;
}

#ifdef CONFORMANCE_FILES
static char conformance_directory[64];

static void conformance_remove_tree(const char* path, int depth) {
  if (depth < 8 && unlink(path) != 0 && (errno == EISDIR || errno == EPERM || errno == ENOTEMPTY)) {
    DIR* directory = opendir(path);
    if (directory) {
      struct dirent* entry;
      while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char below[4096 + 300];
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        conformance_remove_tree(below, depth + 1);
      }
      closedir(directory);
    }
    rmdir(path);
  }
}
#endif

static void conformance_run_child(const struct conformance_case* c, int number) {
  (void)number;
  setpgid(0, 0);
  // Whoever started us may ignore or block signals (nohup does).
  for (int signal_number = 1; signal_number <= SIGRTMAX; signal_number++) signal(signal_number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
#ifdef CONFORMANCE_FILES
  umask(022);
  char directory[128];
  snprintf(directory, sizeof directory, "%s/%d", conformance_directory, number);
  if (mkdir(directory, 0777) != 0 || chdir(directory) != 0) FAIL("cannot make %s: %s", directory, strerror(errno));
#endif
  c->run();
  _exit(0);
}

// The exit status, or -1 after a time-out.
static int conformance_wait(pid_t child) {
  struct timespec start, now, pause = {0, 200000};
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (;;) {
    int status;
    pid_t got = waitpid(child, &status, WNOHANG);
    if (got == child) return status;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - start.tv_sec >= CASE_LIMIT_SECONDS) break;
    nanosleep(&pause, NULL);
    if (pause.tv_nsec < 4000000) pause.tv_nsec *= 2;
  }
  kill(-child, SIGKILL);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  return -1;
}

static bool conformance_run_case(const struct conformance_case* c, int number) {
  conformance_say("# run %s\n", c->name);
  pid_t child = fork();
  if (child < 0) {
    conformance_say("not ok %d - %s # fork: %s\n", number, c->name, strerror(errno));
    return false;
  }
  if (child == 0) conformance_run_child(c, number);
  int status = conformance_wait(child);
  kill(-child, SIGKILL);  // what the case left behind
  if (status == 0) {
    conformance_say("ok %d - %s\n", number, c->name);
  } else if (status == -1) {
    conformance_say("not ok %d - %s # timed out after %d s\n", number, c->name, CASE_LIMIT_SECONDS);
  } else if (WIFEXITED(status) && WEXITSTATUS(status) == CASE_SKIPPED) {
    conformance_say("ok %d - %s # SKIP\n", number, c->name);
    return true;
  } else if (WIFSIGNALED(status)) {
    conformance_say("not ok %d - %s # ended by signal %d\n", number, c->name, WTERMSIG(status));
  } else {
    conformance_say("not ok %d - %s # exit %d\n", number, c->name, WEXITSTATUS(status));
  }
  return status == 0;
}

// A program that runs itself again (execve of /proc/self/exe) is told apart by its first argument.
#ifdef CONFORMANCE_REEXEC
static int reexec_main(int argc, char** argv);
#endif

int main(int argc, char** argv) {
#ifdef CONFORMANCE_REEXEC
  if (argc > 1 && strncmp(argv[1], "reexec", 6) == 0) return reexec_main(argc, argv);
#endif
  const char* filter = NULL;
  const char* only = NULL;
  int from = 1;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--list") == 0) {
      for (int n = 0; n < conformance_case_count; n++) conformance_say("%s\n", conformance_cases[n].name);
      return 0;
    }
    if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc) {
      filter = argv[++i];
    } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
      only = argv[++i];
    } else if (strcmp(argv[i], "--from") == 0 && i + 1 < argc) {
      from = atoi(argv[++i]);
    } else {
      conformance_say("usage: %s [--list] [--filter TEXT] [--only NAME] [--from N]\n", argv[0]);
      return 2;
    }
  }
#ifdef CONFORMANCE_FILES
  // Where the cases work: on the file system that is to be tested.
  const char* place = getenv("CONFORMANCE_DIRECTORY");
  snprintf(conformance_directory, sizeof conformance_directory, "%s/conformance.XXXXXX", place ? place : "/tmp");
  if (!mkdtemp(conformance_directory)) {
    conformance_say("Bail out! cannot make %s: %s\n", conformance_directory, strerror(errno));
    return 1;
  }
  chmod(conformance_directory, 0755);
#endif
  bool all_ok = true;
  conformance_say("1..%d\n", conformance_case_count);
  for (int n = 0; n < conformance_case_count; n++) {
    if (n + 1 < from || (filter && !strstr(conformance_cases[n].name, filter)) ||
        (only && strcmp(only, conformance_cases[n].name) != 0))
      continue;
    all_ok &= conformance_run_case(&conformance_cases[n], n + 1);
  }
#ifdef CONFORMANCE_FILES
  conformance_remove_tree(conformance_directory, 0);
#endif
  return all_ok ? 0 : 1;
}

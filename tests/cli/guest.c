// The guest of the command-line tests: one static program that does what its first argument says.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t got;
static void on_signal(int s) { got = s; }

static const char* const ways_out[] = {"../secret",
                                       "../../secret",
                                       "a/../../secret",
                                       "a/b/../../../secret",
                                       "to-secret",
                                       "to-parent/secret",
                                       "to-root/secret",
                                       "a/b/c/../../../../secret",
                                       "/proc/self/root/secret",
                                       "/proc/self/cwd/../secret",
                                       "/proc/1/root/../secret"};

// Tries to read the file `secret` that lies beside the mount's source on the host, from within the mount: by "..", by
// links that the host made, and while directories are moved away under the walk. 1: it was found.
static int escape(char const* mount) {
  if (chdir(mount) != 0 || mkdir("a", 0755) != 0 || mkdir("a/b", 0755) != 0 || mkdir("a/b/c", 0755) != 0)
    return perror(mount), 2;
  pid_t mover = fork();
  if (mover == 0)
    for (;;) {
      rename("a/b/c", "c");
      rename("c", "a/b/c");
      rename("a/b", "b");
      rename("b", "a/b");
    }
  int held = open("a/b/c", O_PATH | O_DIRECTORY), found = 0;
  for (int round = 0; round < 300 && !found; ++round)
    for (size_t n = 0; n < sizeof ways_out / sizeof *ways_out; ++n) {
      struct stat st;
      found |= open(ways_out[n], O_RDONLY) >= 0 || stat(ways_out[n], &st) == 0;
      found |= openat(held, "../../../../secret", O_RDONLY) >= 0 || openat(held, "../../../secret", O_RDONLY) >= 0;
      found |= chdir("a/b/c") == 0 && open("../../../../secret", O_RDONLY) >= 0;
      if (chdir(mount) != 0) found |= 2;
    }
  kill(mover, SIGKILL);
  waitpid(mover, 0, 0);
  return found;
}

static int listener(int type, int port) {
  int fd = socket(AF_INET6, type, 0), on = 1;
  struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr*)&at, sizeof at) != 0 || (type == SOCK_STREAM && listen(fd, 8) != 0)) {
    perror("echo");
    exit(1);
  }
  return fd;
}

// Gives back what comes, on TCP and UDP of both families.
static int echo(int port) {
  static char bytes[1 << 17];
  int stream = listener(SOCK_STREAM, port), datagrams = listener(SOCK_DGRAM, port);
  printf("ready\n");
  fflush(stdout);
  if (fork() == 0) {
    for (;;) {
      struct sockaddr_storage from;
      socklen_t length = sizeof from;
      ssize_t n = recvfrom(datagrams, bytes, sizeof bytes, 0, (struct sockaddr*)&from, &length);
      if (n >= 0) sendto(datagrams, bytes, (size_t)n, 0, (struct sockaddr*)&from, length);
    }
  }
  for (;;) {
    int fd = accept(stream, NULL, NULL);
    if (fd < 0) return perror("accept"), 1;
    for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;)
      for (ssize_t done = 0, m; done < n && (m = write(fd, bytes + done, (size_t)(n - done))) > 0;) done += m;
    close(fd);
  }
}

static int fetch(char const* address, int port) {
  char reply[256];
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  inet_pton(AF_INET, address, &at.sin_addr);
  if (connect(fd, (struct sockaddr*)&at, sizeof at) != 0) return printf("errno %d\n", errno), 0;
  if (write(fd, "hello", 5) != 5 || shutdown(fd, SHUT_WR) != 0) return perror("write"), 1;
  for (ssize_t n; (n = read(fd, reply, sizeof reply)) > 0;) fwrite(reply, 1, (size_t)n, stdout);
  putchar('\n');
  return 0;
}

// Works on names below the mount which the host exchanges with links and directories of its own at the same time. The
// test looks at what came of it outside; printed is what was read here.
static int race(char const* mount) {
  int inside = 0, private = 0, other = 0;
  if (chdir(mount) != 0) return perror(mount), 2;
  for (int round = 0; round < 1500; ++round) {
    static char const* const files[] = {"swapped/file", "file", "deep/moved/file", "deep/moved/../../file"};
    for (size_t n = 0; n < sizeof files / sizeof *files; ++n) {
      char text[16] = "";
      int fd = open(files[n], round % 2 ? O_RDWR : O_RDONLY);
      if (fd < 0) continue;
      if (read(fd, text, sizeof text - 1) < 0) text[0] = 0;
      if (!strcmp(text, "private"))
        ++private;
      else
        ++*(strcmp(text, "inside") ? &other : &inside);
      close(fd);
      chmod(files[n], 0604);
      chown(files[n], 7, 7);
      truncate(files[n], 6);
    }
    struct stat st;
    close(open("swapped/made", O_CREAT | O_WRONLY | O_TRUNC, 0666));
    mkdir("swapped/directory", 0777);
    symlink("x", "swapped/link");
    link("file", "swapped/linked");
    rename("swapped/made", "swapped/renamed");
    rename("swapped/renamed", "deep/moved/renamed");
    unlink("swapped/file2");
    unlink("swapped/linked");
    rmdir("swapped/directory2");
    lstat("swapped/file", &st);
    utimensat(AT_FDCWD, "swapped/file", 0, 0);
  }
  printf("inside %d private %d other %d\n", inside > 0, private, other);
  return 0;
}

// A listening socket in the abstract name space, shared memory by key, a file: what another sandbox must not find.
static struct sockaddr_un const name = {.sun_family = AF_UNIX, .sun_path = "\0cofferdam-wall"};
enum { name_size = sizeof(sa_family_t) + 15, shm_key = 0x77616c6c };
static int make_findable(void) {
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(s, (struct sockaddr const*)&name, name_size) != 0 || listen(s, 1) != 0) return perror("socket"), 1;
  if (shmget(shm_key, 4096, IPC_CREAT | 0666) < 0) return perror("shmget"), 1;
  if (open("/tmp/found", O_CREAT | O_WRONLY, 0666) < 0) return perror("/tmp/found"), 1;
  puts("made"), fflush(stdout);
  for (;;) pause();
}
static int look(void) {
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  printf("socket %d\n", connect(s, (struct sockaddr const*)&name, name_size) == 0);
  printf("memory %d\n", shmget(shm_key, 4096, 0) >= 0);
  printf("file %d\n", access("/tmp/found", F_OK) == 0);
  for (int pid = 2; pid < 300; ++pid)
    if (kill(pid, 0) == 0 || errno != ESRCH) printf("process %d\n", pid);
  return 0;
}

int main(int argc, char** argv, char** envp) {
  char const* what = argc > 1 ? argv[1] : "true";
  char const* more = argc > 2 ? argv[2] : "";
  if (!strcmp(what, "true")) return 0;
  if (!strcmp(what, "exit")) return atoi(more);
  if (!strcmp(what, "die")) {
    // Init is shielded from signals that it does not handle; a child is not.
    pid_t child = fork();
    if (child == 0) {
      raise(atoi(more));
      _exit(1);
    }
    return 0;
  }
  if (!strcmp(what, "sleep"))
    for (;;) pause();
  if (!strcmp(what, "spin"))
    for (;;) got++;
  if (!strcmp(what, "read-zeros")) {  // by read(2), with calls of getpid(2) between
    int fd = open("/dev/zero", O_RDONLY);
    for (char byte; read(fd, &byte, 1) == 1;)
      if (syscall(SYS_getpid) < 1) return 1;
    return 2;
  }
  if (!strcmp(what, "fork-and-sleep")) {
    for (int n = 0; n < 3; ++n)
      if (fork() == 0)
        for (;;) pause();
    for (;;) pause();
  }
  if (!strcmp(what, "forks")) {  // COUNT: children that sleep, until all are there or the first cannot be made
    int made = 0, wanted = atoi(more);
    for (pid_t child; made < wanted && (child = fork()) >= 0; ++made)
      if (child == 0)
        for (;;) pause();
    if (made < wanted)
      puts(strerror(errno));
    else
      printf("%d\n", made);
    fflush(stdout);
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (wait(0) > 0);
    return 0;
  }
  if (!strcmp(what, "leave-child")) {
    if (fork() == 0)
      for (;;) pause();
    return 7;
  }
  if (!strcmp(what, "list")) {  // DIRECTORY: its names
    DIR* directory = opendir(more);
    if (!directory) return perror(more), 1;
    for (struct dirent* entry; (entry = readdir(directory));) puts(entry->d_name);
    return 0;
  }
  if (!strcmp(what, "trap")) {  // exits with the number of the signal that came
    struct sigaction action = {.sa_handler = on_signal};
    for (int s = 1; s < 32; ++s) sigaction(s, &action, 0);
    if (write(1, "ready\n", 6) != 6) return 99;
    while (!got) usleep(1000);
    return got;
  }
  if (!strcmp(what, "echo")) {
    for (int n = 2; n < argc; ++n) printf("%s%s", argv[n], n + 1 < argc ? " " : "\n");
    return 0;
  }
  if (!strcmp(what, "error")) {
    fprintf(stderr, "%s\n", more);
    return 0;
  }
  if (!strcmp(what, "env")) {
    for (char** e = envp; *e; ++e) puts(*e);
    return 0;
  }
  if (!strcmp(what, "ids")) {
    char host[65] = "", cwd[4096] = "";
    gethostname(host, sizeof host);
    if (!getcwd(cwd, sizeof cwd)) strcpy(cwd, "?");
    printf("uid %d gid %d pid %d host %s cwd %s\n", getuid(), getgid(), getpid(), host, cwd);
    return 0;
  }
  if (!strcmp(what, "link")) {
    char to[256] = {0};
    return readlink(more, to, sizeof to - 1) < 0 ? 1 : puts(to) < 0;
  }
  if (!strcmp(what, "cat")) {
    int fd = *more ? open(more, O_RDONLY) : 0;
    if (fd < 0) return perror(more), 1;
    char buffer[4096];
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;)
      if (write(1, buffer, (size_t)n) != n) return 1;
    return 0;
  }
  if (!strcmp(what, "write")) {
    int fd = open(more, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    if (fd < 0) return fprintf(stderr, "%s\n", strerror(errno)), errno;
    return write(fd, "x", 1) == 1 ? 0 : errno;
  }
  if (!strcmp(what, "tty")) {
    printf("tty %d %s\n", isatty(0), ttyname(0) ? ttyname(0) : "none");
    return 0;
  }
  if (!strcmp(what, "escape")) return escape(more);
  if (!strcmp(what, "race")) return race(more);
  if (!strcmp(what, "make")) return make_findable();
  if (!strcmp(what, "look")) return look();
  if (!strcmp(what, "call")) {  // NUMBER ARGUMENT…: a raw system call; numbers of any base
    long a[7] = {0};
    for (int n = 2; n < argc && n < 9; ++n) a[n - 2] = (long)strtoull(argv[n], 0, 0);
    long result = syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
    if (result < 0)
      printf("errno %d\n", errno);
    else
      printf("result %s\n", result ? "positive" : "0");
    return 0;
  }
  if (!strcmp(what, "calls")) {  // the same call as a child's, told by how the child ends
    pid_t child = fork();
    if (child == 0) {
      syscall(strtol(more, 0, 0), 0, 0, 0, 0, 0, 0);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    printf("%s %d\n", WIFSIGNALED(status) ? "signal" : "exit",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return 0;
  }
  if (!strcmp(what, "line")) {  // FILE PREFIX: the lines that begin with it
    FILE* file = fopen(more, "r");
    char line[4096];
    if (!file) return perror(more), 1;
    while (fgets(line, sizeof line, file))
      if (argc < 4 || !strncmp(line, argv[3], strlen(argv[3]))) fputs(line, stdout);
    return 0;
  }
  if (!strcmp(what, "owner")) {
    struct stat st;
    if (stat(more, &st) != 0) return perror(more), 1;
    printf("%u %u %o\n", st.st_uid, st.st_gid, st.st_mode & 07777);
    return 0;
  }
  if (!strcmp(what, "clocks")) {
    struct timespec monotonic, boot;
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    printf("%ld %ld\n", (long)monotonic.tv_sec, (long)boot.tv_sec);
    return 0;
  }
  if (!strcmp(what, "machine")) {
    struct utsname names;
    uname(&names);
    printf("%s %s %s\n", names.machine, names.nodename, names.domainname);
    return 0;
  }
  if (!strcmp(what, "net-echo")) return echo(atoi(more));
  if (!strcmp(what, "net-bind")) {  // PORT
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(more))};
    int result = bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr*)&a, sizeof a);
    return printf("%s\n", result == 0 ? "bound" : strerror(errno)) < 0;
  }
  if (!strcmp(what, "net-raw")) return printf("%s\n", socket(AF_INET, SOCK_RAW, 1) >= 0 ? "raw" : strerror(errno)) < 0;
  if (!strcmp(what, "net-fetch") && argc > 3) return fetch(more, atoi(argv[3]));  // ADDRESS PORT: what it says to hello
  if (!strcmp(what, "shmget")) {
    int id = shmget(IPC_PRIVATE, strtoul(more, 0, 0), IPC_CREAT | 0600);
    printf(id < 0 ? "errno %d\n" : "ok\n", errno);
    return 0;
  }
  if (!strcmp(what, "open")) {
    int fd = open(more, argc > 3 && strchr(argv[3], 'w') ? O_RDWR : O_RDONLY);
    printf(fd < 0 ? "errno %d\n" : "ok\n", errno);
    return 0;
  }
  if (!strcmp(what, "append")) {  // FILE TEXT, and what stands on standard input, if anything does
    FILE* file = fopen(more, "a");
    if (!file) return perror(more), 1;
    fprintf(file, "%s %d %d\n", argc > 3 ? argv[3] : "", getpid() == 1, getuid());
    return fclose(file);
  }
  if (!strcmp(what, "save")) {  // FILE: standard input goes there
    int fd = open(more, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    char buffer[4096];
    if (fd < 0) return perror(more), 1;
    for (ssize_t n; (n = read(0, buffer, sizeof buffer)) > 0;)
      if (write(fd, buffer, (size_t)n) != n) return 1;
    return 0;
  }
  if (!strcmp(what, "count")) {  // FILE: grows by a byte at a time while this runs
    int fd = open(more, O_CREAT | O_WRONLY | O_APPEND, 0644);
    if (fd < 0) return perror(more), 1;
    for (;;) {
      if (write(fd, "x", 1) != 1) return 1;
      usleep(1000);
    }
  }
  if (!strcmp(what, "eat")) {  // MEGABYTES in a child, told by how it ends
    pid_t child = fork();
    if (child == 0) {
      for (long n = strtol(more, 0, 0); n > 0; --n) {
        char* block = malloc(1 << 20);
        if (!block) _exit(7);
        memset(block, 1, 1 << 20);
      }
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    printf("%s %d\n", WIFSIGNALED(status) ? "signal" : "exit",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return 0;
  }
  fprintf(stderr, "guest: unknown word %s\n", what);
  return 98;
}

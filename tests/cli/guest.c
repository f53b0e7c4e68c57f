// The guest of the command-line tests: one static program that does what its first argument says.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static volatile sig_atomic_t got;
static void on_signal(int s) { got = s; }

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
  if (!strcmp(what, "fork-and-sleep")) {
    for (int n = 0; n < 3; ++n)
      if (fork() == 0)
        for (;;) pause();
    for (;;) pause();
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
  fprintf(stderr, "guest: unknown word %s\n", what);
  return 98;
}

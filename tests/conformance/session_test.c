// Sessions, process groups, job control, terminals (pseudo-terminals of /dev/ptmx).
#include "conformance.h"

#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static int open_pty(int* slave) {
  int master, unlock = 0, number;
  char name[32];
  master = (int)OK(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  OK(ioctl(master, TIOCSPTLCK, &unlock));
  OK(ioctl(master, TIOCGPTN, &number));
  snprintf(name, sizeof name, "/dev/pts/%d", number);
  *slave = (int)OK(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  return master;
}

// Runs the block in a new session whose controlling terminal is `slave`.
#define IN_SESSION(slave, ...)      \
  IN_CHILD({                        \
    OK(setsid());                   \
    OK(ioctl(slave, TIOCSCTTY, 0)); \
    __VA_ARGS__                     \
  })

static void raw(int fd) {
  struct termios t;
  OK(tcgetattr(fd, &t));
  cfmakeraw(&t);
  OK(tcsetattr(fd, TCSANOW, &t));
}

// Reads exactly n bytes, in 3 s at most.
static void read_exactly(int fd, char* buffer, size_t n) {
  size_t have = 0;
  while (have < n) {
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, 3000) != 1) FAIL("only %zu of %zu bytes came", have, n);
    ssize_t got = read(fd, buffer + have, n - have);
    if (got <= 0) FAIL("read: %s", strerror(errno));
    have += (size_t)got;
  }
  buffer[n] = 0;
}

CASE(setsid_makes_a_session_and_a_group) {
  pid_t child = IN_CHILD({
    EXPECT_EQ(setsid(), getpid());
    EXPECT_EQ(getsid(0), getpid());
    EXPECT_EQ(getpgrp(), getpid());
  });
  EXPECT_EXIT(child, 0);
}

CASE(setsid_of_a_group_leader_is_eperm) { EXPECT_ERRNO(setsid(), EPERM); }  // each case leads a group

CASE(children_inherit_group_and_session) {
  pid_t group = getpgrp(), session = getsid(0);
  pid_t child = IN_CHILD({
    EXPECT_EQ(getpgrp(), group);
    EXPECT_EQ(getsid(0), session);
  });
  EXPECT_EXIT(child, 0);
}

CASE(setpgid_moves_a_child_to_a_group_of_its_own) {
  pid_t child = IN_CHILD({ pause(); });
  OK(setpgid(child, child));
  EXPECT_EQ(getpgid(child), child);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

CASE(setpgid_of_a_child_after_exec_is_eacces) {
  int p[2];
  char byte;
  OK(pipe2(p, O_CLOEXEC));
  pid_t child = IN_CHILD({ execl("/bin/sleep", "sleep", "10", (char*)NULL); });
  close(p[1]);
  EXPECT_EQ(read(p[0], &byte, 1), 0);
  EXPECT_ERRNO(setpgid(child, child), EACCES);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

CASE(setpgid_of_a_stranger_is_esrch) { EXPECT_ERRNO(setpgid(getppid(), 0), ESRCH); }

CASE(setpgid_to_a_group_that_is_not_there_is_eperm) {
  pid_t child = IN_CHILD({ EXPECT_ERRNO(setpgid(0, 3999999), EPERM); });
  EXPECT_EXIT(child, 0);
}

CASE(setpgid_of_a_session_leader_is_eperm) {
  pid_t child = IN_CHILD({
    OK(setsid());
    EXPECT_ERRNO(setpgid(0, 0), EPERM);
  });
  EXPECT_EXIT(child, 0);
}

CASE(setpgid_negative_is_einval) { EXPECT_ERRNO(setpgid(0, -1), EINVAL); }

CASE(getpgid_and_getsid_of_nobody_are_esrch) {
  EXPECT_ERRNO(getpgid(3999999), ESRCH);
  EXPECT_ERRNO(getsid(3999999), ESRCH);
}

CASE(isatty_of_a_pipe_is_enotty) {
  int p[2];
  struct termios t;
  OK(pipe(p));
  EXPECT_ERRNO(tcgetattr(p[0], &t), ENOTTY);
  EXPECT_EQ(isatty(p[0]), 0);
}

CASE(pty_slave_is_a_terminal_with_a_name) {
  int slave, master = open_pty(&slave);
  char* name = ttyname(slave);
  EXPECT(name && strncmp(name, "/dev/pts/", 9) == 0);
  EXPECT_EQ(isatty(slave), 1);
  EXPECT_EQ(isatty(master), 1);
}

CASE(locked_pty_slave_cannot_be_opened) {
  int number, master = (int)OK(open("/dev/ptmx", O_RDWR | O_NOCTTY));
  char name[32];
  OK(ioctl(master, TIOCGPTN, &number));
  snprintf(name, sizeof name, "/dev/pts/%d", number);
  EXPECT_ERRNO(open(name, O_RDWR | O_NOCTTY), EIO);
}

CASE(pty_carries_bytes_both_ways) {
  int slave, master = open_pty(&slave);
  char text[8];
  raw(slave);
  OK(write(master, "in", 2));
  read_exactly(slave, text, 2);
  EXPECT_STR(text, "in");
  OK(write(slave, "out", 3));
  read_exactly(master, text, 3);
  EXPECT_STR(text, "out");
}

CASE(canonical_mode_gives_lines) {
  int slave, master = open_pty(&slave);
  char text[16] = {0};
  struct pollfd p = {slave, POLLIN, 0};
  OK(write(master, "abc", 3));
  EXPECT_EQ(poll(&p, 1, 20), 0);
  OK(write(master, "\n", 1));
  EXPECT_EQ(read(slave, text, sizeof text), 4);
  EXPECT_STR(text, "abc\n");
}

CASE(input_is_echoed) {
  int slave, master = open_pty(&slave);
  char text[8];
  OK(write(master, "hi\n", 3));
  read_exactly(master, text, 4);
  EXPECT_STR(text, "hi\r\n");
}

CASE(erase_removes_a_character) {
  int slave, master = open_pty(&slave);
  char text[16] = {0};
  OK(write(master, "abX\177c\n", 6));
  EXPECT_EQ(read(slave, text, sizeof text), 4);
  EXPECT_STR(text, "abc\n");
}

CASE(kill_character_removes_the_line) {
  int slave, master = open_pty(&slave);
  char text[16] = {0};
  OK(write(master, "junk\025ok\n", 8));
  EXPECT_EQ(read(slave, text, sizeof text), 3);
  EXPECT_STR(text, "ok\n");
}

CASE(end_of_file_character_ends_a_read) {
  int slave, master = open_pty(&slave);
  char text[16];
  OK(write(master, "\004", 1));
  EXPECT_EQ(read(slave, text, sizeof text), 0);
}

CASE(output_newline_becomes_carriage_return_newline) {
  int slave, master = open_pty(&slave);
  char text[8];
  OK(write(slave, "a\n", 2));
  read_exactly(master, text, 3);
  EXPECT_STR(text, "a\r\n");
}

CASE(input_carriage_return_becomes_newline) {
  int slave, master = open_pty(&slave);
  char text[8] = {0};
  OK(write(master, "a\r", 2));
  EXPECT_EQ(read(slave, text, sizeof text), 2);
  EXPECT_STR(text, "a\n");
}

CASE(raw_mode_with_min_zero_and_time_zero_does_not_wait) {
  int slave, master = open_pty(&slave);
  struct termios t;
  char byte;
  (void)master;
  OK(tcgetattr(slave, &t));
  cfmakeraw(&t);
  t.c_cc[VMIN] = 0;
  t.c_cc[VTIME] = 0;
  OK(tcsetattr(slave, TCSANOW, &t));
  EXPECT_EQ(read(slave, &byte, 1), 0);
}

CASE(settings_are_read_back) {
  int slave, master = open_pty(&slave);
  struct termios t, again;
  (void)master;
  OK(tcgetattr(slave, &t));
  t.c_lflag &= ~(tcflag_t)ECHO;
  t.c_cc[VINTR] = 7;
  OK(tcsetattr(slave, TCSADRAIN, &t));
  OK(tcgetattr(slave, &again));
  EXPECT_EQ(again.c_lflag & ECHO, 0);
  EXPECT_EQ(again.c_cc[VINTR], 7);
}

CASE(window_size_is_kept_and_signalled) {
  int slave, master = open_pty(&slave), p[2];
  struct winsize size = {.ws_row = 33, .ws_col = 99}, got;
  char byte;
  OK(pipe(p));
  OK(ioctl(master, TIOCSWINSZ, &size));
  OK(ioctl(slave, TIOCGWINSZ, &got));
  EXPECT_EQ(got.ws_row, 33);
  EXPECT_EQ(got.ws_col, 99);
  pid_t child = IN_SESSION(slave, {
    sigset_t set;
    int signal;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    OK(write(p[1], "r", 1));
    sigwait(&set, &signal);
  });
  OK(read(p[0], &byte, 1));
  size.ws_row = 44;
  OK(ioctl(master, TIOCSWINSZ, &size));
  EXPECT_EXIT(child, 0);
}

CASE(session_leader_gets_a_controlling_terminal) {
  int slave, master = open_pty(&slave);
  (void)master;
  pid_t child = IN_SESSION(slave, {
    EXPECT_EQ(tcgetpgrp(slave), getpid());
    EXPECT_EQ(tcgetsid(slave), getpid());
    int tty = (int)OK(open("/dev/tty", O_RDWR));
    EXPECT_EQ(isatty(tty), 1);
  });
  EXPECT_EXIT(child, 0);
}

CASE(opening_a_terminal_makes_it_controlling) {
  int slave, master = open_pty(&slave);
  char name[32];
  (void)master;
  EXPECT_ZERO(ttyname_r(slave, name, sizeof name));
  pid_t child = IN_CHILD({
    OK(setsid());
    OK(open(name, O_RDWR));
    OK(open("/dev/tty", O_RDWR));
  });
  EXPECT_EXIT(child, 0);
}

CASE(dev_tty_without_a_controlling_terminal_is_enxio) {
  pid_t child = IN_CHILD({
    OK(setsid());
    EXPECT_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
  });
  EXPECT_EXIT(child, 0);
}

CASE(tcgetpgrp_of_a_foreign_terminal_is_enotty) {
  int slave, master = open_pty(&slave);
  (void)master;
  EXPECT_ERRNO(tcgetpgrp(slave), ENOTTY);
}

CASE(interrupt_character_signals_the_foreground_group) {
  int slave, master = open_pty(&slave), p[2];
  char byte;
  OK(pipe(p));
  pid_t child = IN_SESSION(slave, {
    OK(write(p[1], "r", 1));
    for (;;) pause();
  });
  OK(read(p[0], &byte, 1));
  OK(write(master, "\003", 1));
  EXPECT_KILLED(child, SIGINT);
}

CASE(quit_character_sends_sigquit) {
  int slave, master = open_pty(&slave), p[2];
  char byte;
  OK(pipe(p));
  pid_t child = IN_SESSION(slave, {
    OK(write(p[1], "r", 1));
    for (;;) pause();
  });
  OK(read(p[0], &byte, 1));
  OK(write(master, "\034", 1));
  EXPECT_KILLED(child, SIGQUIT);
}

CASE(foreground_group_can_be_changed_and_gets_the_interrupt) {
  int slave, master = open_pty(&slave), p[2];
  char byte;
  OK(pipe(p));
  pid_t child = IN_SESSION(slave, {
    signal(SIGTTOU, SIG_IGN);
    pid_t job = IN_CHILD({
      setpgid(0, 0);
      for (;;) pause();
    });
    setpgid(job, job);
    OK(tcsetpgrp(slave, job));
    EXPECT_EQ(tcgetpgrp(slave), job);
    OK(write(p[1], "r", 1));
    EXPECT_KILLED(job, SIGINT);
  });
  OK(read(p[0], &byte, 1));
  OK(write(master, "\003", 1));
  EXPECT_EXIT(child, 0);
}

CASE(background_read_stops_the_group) {
  int slave, master = open_pty(&slave);
  (void)master;
  pid_t child = IN_SESSION(slave, {
    pid_t job = IN_CHILD({
      char byte;
      setpgid(0, 0);
      read(slave, &byte, 1);
    });
    int status;
    EXPECT_EQ(waitpid(job, &status, WUNTRACED), job);
    EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
    kill(job, SIGKILL);
    EXPECT_KILLED(job, SIGKILL);
  });
  EXPECT_EXIT(child, 0);
}

CASE(background_read_of_an_orphaned_group_is_eio) {
  int slave, master = open_pty(&slave);
  (void)master;
  pid_t child = IN_SESSION(slave, {
    pid_t job = IN_CHILD({
      char byte;
      setpgid(0, 0);
      signal(SIGTTIN, SIG_IGN);
      EXPECT_ERRNO(read(slave, &byte, 1), EIO);
    });
    EXPECT_EXIT(job, 0);
  });
  EXPECT_EXIT(child, 0);
}

CASE(background_write_with_tostop_stops_the_group) {
  int slave, master = open_pty(&slave);
  struct termios t;
  (void)master;
  OK(tcgetattr(slave, &t));
  t.c_lflag |= TOSTOP;
  OK(tcsetattr(slave, TCSANOW, &t));
  pid_t child = IN_SESSION(slave, {
    pid_t job = IN_CHILD({
      setpgid(0, 0);
      write(slave, "x", 1);
    });
    int status;
    EXPECT_EQ(waitpid(job, &status, WUNTRACED), job);
    EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
    kill(job, SIGKILL);
    EXPECT_KILLED(job, SIGKILL);
  });
  EXPECT_EXIT(child, 0);
}

CASE(closing_the_master_hangs_up_the_session) {
  int slave, master = open_pty(&slave), p[2];
  char byte;
  OK(pipe(p));
  pid_t child = IN_SESSION(slave, {
    close(master);
    OK(write(p[1], "r", 1));
    for (;;) pause();
  });
  close(slave);
  OK(read(p[0], &byte, 1));
  close(master);
  EXPECT_KILLED(child, SIGHUP);
}

CASE(slave_read_after_the_master_closed_is_end_of_file) {
  int slave, master = open_pty(&slave);
  char byte;
  close(master);
  EXPECT_EQ(read(slave, &byte, 1), 0);
  EXPECT_ERRNO(write(slave, "x", 1), EIO);
}

CASE(master_read_after_the_last_slave_closed_is_eio) {
  int slave, master = open_pty(&slave);
  char byte;
  close(slave);
  EXPECT_ERRNO(read(master, &byte, 1), EIO);
}

CASE(session_leaders_exit_hangs_up_the_foreground_group) {
  int slave, master = open_pty(&slave), p[2];
  char byte;
  (void)master;
  OK(pipe(p));
  pid_t child = IN_SESSION(slave, {
    IN_CHILD({
      close(p[0]);
      OK(write(p[1], "r", 1));
      for (;;) pause();
    });
    OK(read(p[0], &byte, 1));
  });
  EXPECT_EXIT(child, 0);
  close(p[1]);
  EXPECT_EQ(read(p[0], &byte, 1), 0);  // the job was ended by SIGHUP
}

CASE(stopped_orphaned_group_gets_hangup_and_continue) {
  int p[2];
  char byte;
  OK(pipe(p));
  pid_t child = IN_CHILD({
    setpgid(0, 0);
    pid_t job = IN_CHILD({
      close(p[0]);
      raise(SIGSTOP);
      OK(write(p[1], "c", 1));
    });
    int status;
    EXPECT_EQ(waitpid(job, &status, WUNTRACED), job);
  });
  EXPECT_EXIT(child, 0);
  close(p[1]);
  EXPECT_EQ(read(p[0], &byte, 1), 0);  // SIGHUP ended it before it could write
}

CASE(tiocnotty_gives_the_terminal_up) {
  int slave, master = open_pty(&slave);
  (void)master;
  pid_t child = IN_SESSION(slave, {
    signal(SIGHUP, SIG_IGN);
    OK(ioctl(slave, TIOCNOTTY));
    EXPECT_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
  });
  EXPECT_EXIT(child, 0);
}

CASE(fionread_counts_waiting_input) {
  int slave, master = open_pty(&slave), n = -1;
  raw(slave);
  OK(write(master, "abc", 3));
  EVENTUALLY(ioctl(slave, FIONREAD, &n) == 0 && n == 3);
}

CASE(tcflush_drops_waiting_input) {
  int slave, master = open_pty(&slave), n = -1;
  raw(slave);
  OK(write(master, "abc", 3));
  EVENTUALLY(ioctl(slave, FIONREAD, &n) == 0 && n == 3);
  OK(tcflush(slave, TCIFLUSH));
  OK(ioctl(slave, FIONREAD, &n));
  EXPECT_EQ(n, 0);
}

CASE(packet_mode_marks_data) {
  int slave, master = open_pty(&slave), on = 1;
  char text[8];
  raw(slave);
  OK(ioctl(master, TIOCPKT, &on));
  OK(write(slave, "x", 1));
  read_exactly(master, text, 2);
  EXPECT_EQ(text[0], TIOCPKT_DATA);
  EXPECT_EQ(text[1], 'x');
}

CASE(lseek_of_a_terminal_is_espipe) {
  int slave, master = open_pty(&slave);
  (void)master;
  EXPECT_ERRNO(lseek(slave, 0, SEEK_CUR), ESPIPE);
}

CASE(nonblocking_read_without_input_is_eagain) {
  int slave, master = open_pty(&slave);
  char byte;
  (void)master;
  OK(fcntl(slave, F_SETFL, O_NONBLOCK));
  EXPECT_ERRNO(read(slave, &byte, 1), EAGAIN);
}

CASE(stop_character_is_handled_by_signals) {
  int slave, master = open_pty(&slave), p[2];
  char byte;
  OK(pipe(p));
  pid_t child = IN_SESSION(slave, {
    pid_t job = IN_CHILD({
      setpgid(0, 0);
      for (;;) pause();
    });
    setpgid(job, job);
    signal(SIGTTOU, SIG_IGN);
    OK(tcsetpgrp(slave, job));
    OK(write(p[1], "r", 1));
    int status;
    EXPECT_EQ(waitpid(job, &status, WUNTRACED), job);
    EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
    OK(kill(job, SIGCONT));
    EXPECT_EQ(waitpid(job, &status, WCONTINUED), job);
    kill(job, SIGKILL);
    EXPECT_KILLED(job, SIGKILL);
  });
  OK(read(p[0], &byte, 1));
  OK(write(master, "\032", 1));
  EXPECT_EXIT(child, 0);
}

CASE(shell_runs_a_command_on_a_terminal) {
  int slave, master = open_pty(&slave);
  char text[64];
  pid_t child = IN_SESSION(slave, {
    for (int i = 0; i < 3; i++) OK(dup2(slave, i));
    execl("/bin/sh", "sh", "-c", "read x; echo got $x", (char*)NULL);
    _exit(120);
  });
  close(slave);
  OK(write(master, "word\n", 5));
  read_exactly(master, text, 6 + 10);
  EXPECT_STR(text, "word\r\ngot word\r\n");
  EXPECT_EXIT(child, 0);
}

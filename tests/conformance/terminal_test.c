// Terminals: the line discipline, pseudoterminals, packet mode, sizes, hang-up (termios(3), ioctl_tty(2), pty(7)).
#include "conformance.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;

static void open_pair(void) {
  master = (int)OK(open("/dev/ptmx", O_RDWR | O_NOCTTY));
  int unlock = 0, number;
  OK(ioctl(master, TIOCSPTLCK, &unlock));
  OK(ioctl(master, TIOCGPTN, &number));
  char name[64];
  snprintf(name, sizeof name, "/dev/pts/%d", number);
  slave = (int)OK(open(name, O_RDWR | O_NOCTTY));
}
static struct termios modes(void) {
  struct termios t;
  OK(tcgetattr(slave, &t));
  return t;
}
static void set(struct termios t) { OK(tcsetattr(slave, TCSANOW, &t)); }
static void without(tcflag_t input, tcflag_t output, tcflag_t local) {
  struct termios t = modes();
  t.c_iflag &= ~input;
  t.c_oflag &= ~output;
  t.c_lflag &= ~local;
  set(t);
}
static void with(tcflag_t input, tcflag_t output, tcflag_t local) {
  struct termios t = modes();
  t.c_iflag |= input;
  t.c_oflag |= output;
  t.c_lflag |= local;
  set(t);
}
static void type(const char* text) { EXPECT_EQ(write(master, text, strlen(text)), (ssize_t)strlen(text)); }
static bool readable(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, 0) == 1;
}
// What is there now, up to the buffer.
static const char* take(int fd) {
  static char text[4096];
  text[0] = 0;
  if (!readable(fd)) return text;
  ssize_t n = OK(read(fd, text, sizeof text - 1));
  text[n] = 0;
  return text;
}
// What the master has got, waited for: output of a slave may come by way of the kernel's worker.
static const char* shown(size_t length) {
  static char text[4096];
  size_t have = 0;
  for (int left = 2000; have < length && left > 0; left--) {
    if (!readable(master)) {
      sleep_ms(1);
      continue;
    }
    have += (size_t)OK(read(master, text + have, sizeof text - 1 - have));
  }
  text[have] = 0;
  return text;
}
static const char* echo_of(const char* typed, size_t length) {
  type(typed);
  return shown(length);
}
static bool line_ready(void) {
  struct pollfd p = {.fd = slave, .events = POLLIN};
  return poll(&p, 1, 1000) == 1;
}

CASE(a_line_is_read_when_it_is_ended) {
  open_pair();
  without(0, 0, ECHO);
  type("abc");
  EXPECT(!readable(slave));
  type("\n");
  EXPECT(line_ready());
  EXPECT_STR(take(slave), "abc\n");
}
CASE(one_read_gives_one_line_at_most) {
  open_pair();
  without(0, 0, ECHO);
  type("one\ntwo\n");
  EXPECT(line_ready());
  char text[16] = {0};
  EXPECT_EQ(read(slave, text, 2), 2);
  EXPECT_EQ(read(slave, text, 16), 2);
  EXPECT_EQ(read(slave, text, 16), 4);
}
CASE(carriage_return_becomes_newline) {
  open_pair();
  without(0, 0, ECHO);
  type("a\r");
  EXPECT(line_ready());
  EXPECT_STR(take(slave), "a\n");
  with(IGNCR, 0, 0);
  type("b\r\n");
  EXPECT(line_ready());
  EXPECT_STR(take(slave), "b\n");
}
CASE(inlcr_turns_newline_round) {
  open_pair();
  without(ICRNL, 0, ECHO | ICANON);
  with(INLCR, 0, 0);
  type("a\n");
  EXPECT(line_ready());
  EXPECT_STR(take(slave), "a\r");
}
CASE(erase_kill_and_word_erase_edit_the_line) {
  open_pair();
  without(0, 0, ECHO);
  type(
      "abx\x7f"
      "c\n");
  EXPECT(line_ready());
  EXPECT_STR(take(slave), "abc\n");
  type(
      "nonsense\x15"
      "good\n");
  EXPECT(line_ready());
  EXPECT_STR(take(slave), "good\n");
  type(
      "two words\x17"
      "one\n");
  EXPECT(line_ready());
  EXPECT_STR(take(slave), "two one\n");
}
CASE(lnext_takes_the_next_character_as_it_is) {
  open_pair();
  without(0, 0, ECHO);
  type("a\x16\x7f\n");
  EXPECT(line_ready());
  EXPECT_STR(take(slave), "a\x7f\n");
}
CASE(end_of_file_ends_a_line_without_itself) {
  open_pair();
  without(0, 0, ECHO);
  type("abc\x04");
  EXPECT(line_ready());
  EXPECT_STR(take(slave), "abc");
  type("\x04");
  EXPECT(line_ready());
  char byte;
  EXPECT_EQ(read(slave, &byte, 1), 0);
}
CASE(eol_characters_end_a_line_too) {
  open_pair();
  struct termios t = modes();
  t.c_lflag &= ~(tcflag_t)ECHO;
  t.c_cc[VEOL] = ';';
  set(t);
  type("a;");
  EXPECT(line_ready());
  EXPECT_STR(take(slave), "a;");
}
CASE(echo_shows_what_is_typed) {
  open_pair();
  EXPECT_STR(echo_of("ab", 2), "ab");
  EXPECT_STR(echo_of("\n", 2), "\r\n");
  EXPECT_STR(echo_of("x\x7f", 4), "x\b \b");
  EXPECT_STR(echo_of("\x01", 2), "^A");
  EXPECT_STR(echo_of("\x7f", 6), "\b \b\b \b");
}
CASE(echo_of_kill_and_of_a_tab) {
  open_pair();
  EXPECT_STR(echo_of("abc", 3), "abc");
  EXPECT_STR(echo_of("\x15", 9), "\b \b\b \b\b \b");
}
CASE(echonl_shows_the_newline_alone) {
  open_pair();
  without(0, 0, ECHO);
  with(0, 0, ECHONL);
  EXPECT_STR(echo_of("ab\n", 2), "\r\n");
}
CASE(output_newline_gets_a_carriage_return) {
  open_pair();
  EXPECT_EQ(write(slave, "a\nb", 3), 3);
  EXPECT_STR(shown(4), "a\r\nb");
  without(0, OPOST, 0);
  EXPECT_EQ(write(slave, "a\nb", 3), 3);
  EXPECT_STR(shown(3), "a\nb");
}
CASE(output_flags_translate) {
  open_pair();
  without(0, ONLCR, 0);
  with(0, OCRNL, 0);
  EXPECT_EQ(write(slave, "a\rb", 3), 3);
  EXPECT_STR(shown(3), "a\nb");
  without(0, OCRNL, 0);
  with(0, ONOCR, 0);
  EXPECT_EQ(write(slave, "\n\rx\ry", 5), 5);
}
CASE(tabs_become_spaces) {
  open_pair();
  struct termios t = modes();
  t.c_oflag = (t.c_oflag & ~(tcflag_t)TABDLY) | XTABS;
  set(t);
  EXPECT_EQ(write(slave, "ab\tc", 4), 4);
  EXPECT_STR(shown(9), "ab      c");
}
CASE(noncanonical_reads_follow_vmin_and_vtime) {
  open_pair();
  struct termios t = modes();
  t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  t.c_cc[VMIN] = 0;
  t.c_cc[VTIME] = 0;
  set(t);
  char text[8];
  EXPECT_EQ(read(slave, text, 8), 0);
  type("ab");
  EXPECT(line_ready());
  EXPECT_EQ(read(slave, text, 8), 2);
  t.c_cc[VTIME] = 1;
  set(t);
  int64_t before = now_ns(CLOCK_MONOTONIC);
  EXPECT_EQ(read(slave, text, 8), 0);
  EXPECT(now_ns(CLOCK_MONOTONIC) - before >= 80000000);
  t.c_cc[VMIN] = 3;
  t.c_cc[VTIME] = 0;
  set(t);
  pid_t child = IN_CHILD({
    sleep_ms(20);
    type("x");
    sleep_ms(20);
    type("yz");
  });
  EXPECT_EQ(read(slave, text, 8), 3);
  EXPECT_EXIT(child, 0);
}
CASE(vtime_between_characters_ends_a_read) {
  open_pair();
  struct termios t = modes();
  t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  t.c_cc[VMIN] = 10;
  t.c_cc[VTIME] = 1;
  set(t);
  type("ab");
  char text[16];
  EXPECT_EQ(read(slave, text, 16), 2);
}
CASE(raw_mode_passes_every_byte) {
  open_pair();
  struct termios t = modes();
  cfmakeraw(&t);
  set(t);
  char all[256], back[256];
  for (int i = 0; i < 256; i++) all[i] = (char)i;
  EXPECT_EQ(write(master, all, 256), 256);
  size_t have = 0;
  while (have < 256) have += (size_t)OK(read(slave, back + have, sizeof back - have));
  EXPECT_EQ(memcmp(all, back, 256), 0);
  EXPECT_EQ(write(slave, all, 256), 256);
  for (have = 0; have < 256;) have += (size_t)OK(read(master, back + have, sizeof back - have));
  EXPECT_EQ(memcmp(all, back, 256), 0);
}
CASE(istrip_and_iuclc_change_input) {
  open_pair();
  without(0, 0, ECHO);
  with(ISTRIP, 0, 0);
  type("\xe1\n");
  EXPECT(line_ready());
  EXPECT_STR(take(slave), "a\n");
  without(ISTRIP, 0, 0);
  with(IUCLC, 0, IEXTEN);
  type("ABC\n");
  EXPECT(line_ready());
  EXPECT_STR(take(slave), "abc\n");
}
CASE(a_line_of_more_than_4095_bytes_is_cut) {
  open_pair();
  without(0, 0, ECHO);
  char block[1000];
  memset(block, 'x', sizeof block);
  for (int i = 0; i < 5; i++) EXPECT(write(master, block, sizeof block) > 0);
  type("\n");
  EXPECT(line_ready());
  static char line[8192];
  EXPECT_EQ(read(slave, line, sizeof line), 4096);
  EXPECT_EQ(line[4095], '\n');
}
CASE(fionread_and_tiocoutq_count) {
  open_pair();
  without(0, 0, ECHO);
  int n = -1;
  type("abc\n");
  EXPECT(line_ready());
  OK(ioctl(slave, FIONREAD, &n));
  EXPECT_EQ(n, 4);
  OK(ioctl(slave, TIOCOUTQ, &n));
  EXPECT_EQ(n, 0);
}
CASE(tcflush_drops_input) {
  open_pair();
  without(0, 0, ECHO);
  type("abc\n");
  EXPECT(line_ready());
  OK(tcflush(slave, TCIFLUSH));
  EXPECT(!readable(slave));
  EXPECT_ERRNO(tcflush(slave, 17), EINVAL);
}
CASE(tcsaflush_drops_what_was_typed) {
  open_pair();
  without(0, 0, ECHO);
  type("abc\n");
  EXPECT(line_ready());
  struct termios t = modes();
  OK(tcsetattr(slave, TCSAFLUSH, &t));
  EXPECT(!readable(slave));
}
CASE(window_size_is_shared_and_kept) {
  open_pair();
  struct winsize size = {.ws_row = 33, .ws_col = 99, .ws_xpixel = 5, .ws_ypixel = 6}, back = {0};
  OK(ioctl(master, TIOCSWINSZ, &size));
  OK(ioctl(slave, TIOCGWINSZ, &back));
  EXPECT_EQ(back.ws_row, 33);
  EXPECT_EQ(back.ws_col, 99);
  EXPECT_EQ(back.ws_xpixel, 5);
}
CASE(packet_mode_tells_of_flushes_and_flow) {
  open_pair();
  int on = 1;
  OK(ioctl(master, TIOCPKT, &on));
  EXPECT_EQ(write(slave, "ab", 2), 2);
  char text[16] = {0};
  struct pollfd p = {.fd = master, .events = POLLIN | POLLPRI};
  EXPECT_EQ(poll(&p, 1, 1000), 1);
  EXPECT_EQ(read(master, text, sizeof text), 3);
  EXPECT_EQ(text[0], TIOCPKT_DATA);
  EXPECT_EQ(memcmp(text + 1, "ab", 2), 0);
  OK(tcflush(slave, TCOFLUSH));
  EXPECT_EQ(poll(&p, 1, 1000), 1);
  EXPECT(p.revents & POLLPRI);
  EXPECT_EQ(read(master, text, sizeof text), 1);
  EXPECT(text[0] & TIOCPKT_FLUSHWRITE);
  without(IXON, 0, 0);
  EXPECT_EQ(poll(&p, 1, 1000), 1);
  EXPECT_EQ(read(master, text, sizeof text), 1);
  EXPECT(text[0] & TIOCPKT_NOSTOP);
}
CASE(closing_the_master_hangs_up) {
  open_pair();
  OK(close(master));
  char byte;
  EXPECT_EQ(read(slave, &byte, 1), 0);
  EXPECT_ERRNO(write(slave, "x", 1), EIO);
  struct termios t;
  EXPECT_ERRNO(tcgetattr(slave, &t), EIO);
  struct pollfd p = {.fd = slave, .events = POLLIN};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT(p.revents & POLLHUP);
}
CASE(closing_the_last_slave_is_eio_for_the_master) {
  open_pair();
  EXPECT_EQ(write(slave, "x", 1), 1);
  OK(close(slave));
  char byte;
  EXPECT_EQ(read(master, &byte, 1), 1);
  EXPECT_ERRNO(read(master, &byte, 1), EIO);
  struct pollfd p = {.fd = master, .events = POLLIN};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT(p.revents & POLLHUP);
}
CASE(a_locked_slave_cannot_be_opened) {
  int m = (int)OK(open("/dev/ptmx", O_RDWR | O_NOCTTY)), number, locked;
  OK(ioctl(m, TIOCGPTN, &number));
  OK(ioctl(m, TIOCGPTLCK, &locked));
  EXPECT_EQ(locked, 1);
  char name[64];
  snprintf(name, sizeof name, "/dev/pts/%d", number);
  EXPECT_ERRNO(open(name, O_RDWR | O_NOCTTY), EIO);
}
CASE(tiocgptpeer_opens_the_slave) {
  open_pair();
  int peer = (int)OK(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
  struct stat a, b;
  OK(fstat(peer, &a));
  OK(fstat(slave, &b));
  EXPECT_EQ(a.st_rdev, b.st_rdev);
}
CASE(exclusive_mode_refuses_other_opens) {
  open_pair();
  OK(ioctl(slave, TIOCEXCL));
  int number, on = 0;
  OK(ioctl(slave, TIOCGEXCL, &on));
  EXPECT_EQ(on, 1);
  OK(ioctl(master, TIOCGPTN, &number));
  char name[64];
  snprintf(name, sizeof name, "/dev/pts/%d", number);
  pid_t child = IN_CHILD({
    if (setresuid(1234, 1234, 1234) != 0) _exit(77);
    int fd = open(name, O_RDWR | O_NOCTTY);
    EXPECT(fd < 0 && (errno == EBUSY || errno == EACCES));
  });
  int status = wait_status(child);
  if (WEXITSTATUS(status) == 77) SKIP("not root");
  EXPECT_EQ(status, 0);
  OK(ioctl(slave, TIOCNXCL));
}
CASE(a_session_leader_gets_its_terminal_and_its_signals) {
  open_pair();
  pid_t child = IN_CHILD({
    OK(setsid());
    OK(ioctl(slave, TIOCSCTTY, 0));
    OK(close(master));
    EXPECT_EQ(tcgetpgrp(slave), getpid());
    EXPECT_EQ(tcgetsid(slave), getpid());
    OK(close((int)OK(open("/dev/tty", O_RDWR))));
    signal(SIGINT, SIG_DFL);
    EXPECT_EQ(write(slave, "r", 1), 1);
    pause();
  });
  EXPECT_STR(shown(1), "r");
  type("\x03");
  EXPECT_KILLED(child, SIGINT);
}
CASE(quit_and_stop_characters_send_their_signals) {
  open_pair();
  pid_t child = IN_CHILD({
    OK(setsid());
    OK(ioctl(slave, TIOCSCTTY, 0));
    pid_t job = IN_CHILD({
      setpgid(0, 0);
      pause();
    });
    setpgid(job, job);
    OK(tcsetpgrp(slave, job));
    EXPECT_EQ(write(slave, "r", 1), 1);
    int status;
    EXPECT_EQ(waitpid(job, &status, WUNTRACED), job);
    EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
    EXPECT_EQ(write(slave, "s", 1), 1);
    kill(job, SIGCONT);
    EXPECT_EQ(waitpid(job, &status, 0), job);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGQUIT);
  });
  EXPECT_STR(shown(1), "r");
  type("\x1a");
  size_t left = 3;
  char text[64];
  while (left-- > 0) {
    const char* got = shown(1);
    snprintf(text, sizeof text, "%s", got);
    if (strchr(text, 's')) break;
  }
  type("\x1c");
  EXPECT_EXIT(child, 0);
}
CASE(a_background_reader_is_stopped_by_sigttin) {
  open_pair();
  pid_t child = IN_CHILD({
    OK(setsid());
    OK(ioctl(slave, TIOCSCTTY, 0));
    pid_t job = IN_CHILD({
      setpgid(0, 0);
      char byte;
      (void)!read(slave, &byte, 1);
    });
    setpgid(job, job);
    int status;
    EXPECT_EQ(waitpid(job, &status, WUNTRACED), job);
    EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
    kill(job, SIGKILL);
    waitpid(job, &status, 0);
  });
  EXPECT_EXIT(child, 0);
}
CASE(a_background_writer_is_stopped_only_with_tostop) {
  open_pair();
  with(0, 0, TOSTOP);
  pid_t child = IN_CHILD({
    OK(setsid());
    OK(ioctl(slave, TIOCSCTTY, 0));
    pid_t job = IN_CHILD({
      setpgid(0, 0);
      (void)!write(slave, "x", 1);
    });
    setpgid(job, job);
    int status;
    EXPECT_EQ(waitpid(job, &status, WUNTRACED), job);
    EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
    kill(job, SIGKILL);
    waitpid(job, &status, 0);
  });
  EXPECT_EXIT(child, 0);
}
CASE(a_resize_sends_sigwinch_to_the_foreground) {
  open_pair();
  pid_t child = IN_CHILD({
    OK(setsid());
    OK(ioctl(slave, TIOCSCTTY, 0));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    EXPECT_EQ(write(slave, "r", 1), 1);
    int got;
    EXPECT_EQ(sigwait(&set, &got), 0);
    EXPECT_EQ(got, SIGWINCH);
  });
  EXPECT_STR(shown(1), "r");
  struct winsize size = {.ws_row = 10, .ws_col = 20};
  OK(ioctl(master, TIOCSWINSZ, &size));
  EXPECT_EXIT(child, 0);
}
CASE(hang_up_sends_sighup_to_the_session_leader) {
  open_pair();
  pid_t child = IN_CHILD({
    OK(setsid());
    OK(ioctl(slave, TIOCSCTTY, 0));
    OK(close(master));
    EXPECT_EQ(write(slave, "r", 1), 1);
    for (;;) pause();
  });
  EXPECT_STR(shown(1), "r");
  OK(close(master));
  EXPECT_KILLED(child, SIGHUP);
}
CASE(tiocnotty_gives_the_terminal_up) {
  open_pair();
  pid_t child = IN_CHILD({
    OK(setsid());
    OK(ioctl(slave, TIOCSCTTY, 0));
    signal(SIGHUP, SIG_IGN);
    OK(ioctl(slave, TIOCNOTTY));
    EXPECT_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
  });
  EXPECT_EXIT(child, 0);
}
CASE(the_foreground_group_must_be_of_the_session) {
  open_pair();
  pid_t child = IN_CHILD({
    OK(setsid());
    EXPECT_ERRNO(tcgetpgrp(slave), ENOTTY);
    OK(ioctl(slave, TIOCSCTTY, 0));
    EXPECT_ERRNO(tcsetpgrp(slave, 1), EPERM);
    EXPECT_ERRNO(tcsetpgrp(slave, -1), EINVAL);
    OK(tcsetpgrp(slave, getpid()));
  });
  EXPECT_EXIT(child, 0);
}
CASE(ixon_stops_and_starts_output) {
  open_pair();
  without(0, 0, ECHO);
  type("\x13");
  sleep_ms(20);
  OK(fcntl(slave, F_SETFL, O_NONBLOCK));
  (void)!write(slave, "held", 4);
  sleep_ms(20);
  EXPECT(!readable(master));
  type("\x11");
  OK(fcntl(slave, F_SETFL, 0));
  EXPECT_EQ(write(slave, "go", 2), 2);
  struct pollfd p = {.fd = master, .events = POLLIN};
  EXPECT_EQ(poll(&p, 1, 1000), 1);
}
CASE(terminal_ioctls_of_other_files_are_enotty) {
  int ends[2];
  OK(pipe(ends));
  struct termios t;
  EXPECT_ERRNO(tcgetattr(ends[0], &t), ENOTTY);
  EXPECT_EQ(isatty(ends[0]), 0);
  struct winsize size;
  EXPECT_ERRNO(ioctl(ends[0], TIOCGWINSZ, &size), ENOTTY);
}
CASE(terminals_show_their_names) {
  open_pair();
  char link[64] = {0}, path[64], name[64];
  int number;
  snprintf(path, sizeof path, "/proc/self/fd/%d", slave);
  OK(readlink(path, link, sizeof link - 1));
  OK(ioctl(master, TIOCGPTN, &number));
  snprintf(name, sizeof name, "/dev/pts/%d", number);
  EXPECT_STR(link, name);
  struct stat st;
  OK(stat(name, &st));
  EXPECT(S_ISCHR(st.st_mode));
  EXPECT_EQ(st.st_rdev >> 8, 136);
  OK(close(slave));
  OK(close(master));
  EXPECT_ERRNO(stat(name, &st), ENOENT);
}
CASE(speeds_and_control_characters_are_kept) {
  open_pair();
  struct termios t = modes();
  cfsetspeed(&t, B9600);
  t.c_cc[VINTR] = 'Q';
  set(t);
  t = modes();
  EXPECT_EQ(cfgetospeed(&t), B9600);
  EXPECT_EQ(t.c_cc[VINTR], 'Q');
}

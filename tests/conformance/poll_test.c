// poll, select, epoll, eventfd.
#include "conformance.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>

enum { MS = 1000000 };
static int p[2];
static void make_pipe(void) { OK(pipe(p)); }
static void write_byte(int fd) { EXPECT_EQ(write(fd, "x", 1), 1); }
static void read_byte(int fd) {
  char byte;
  EXPECT_EQ(read(fd, &byte, 1), 1);
}
// A child that writes a byte in a while.
static pid_t write_in(long ms, int fd) {
  return IN_CHILD({
    sleep_ms(ms);
    write_byte(fd);
  });
}

CASE(poll_times_out) {
  make_pipe();
  struct pollfd fd = {p[0], POLLIN, 0x7f};
  int64_t before = now_ns(CLOCK_MONOTONIC);
  EXPECT_EQ(poll(&fd, 1, 20), 0);
  EXPECT(now_ns(CLOCK_MONOTONIC) - before >= 20 * MS);
  EXPECT_EQ(fd.revents, 0);
}
CASE(poll_is_woken) {
  make_pipe();
  struct pollfd fd = {p[0], POLLIN, 0};
  pid_t child = write_in(10, p[1]);
  EXPECT_EQ(poll(&fd, 1, -1), 1);
  EXPECT_EQ(fd.revents, POLLIN);
  EXPECT_EXIT(child, 0);
}
CASE(poll_marks_bad_descriptors_and_skips_negative_ones) {
  struct pollfd fds[2] = {{999, POLLIN, 0}, {-1, POLLIN, 0x7f}};
  EXPECT_EQ(poll(fds, 2, 0), 1);
  EXPECT_EQ(fds[0].revents, POLLNVAL);
  EXPECT_EQ(fds[1].revents, 0);
}
CASE(poll_of_more_than_the_descriptor_limit_is_einval) {
  static struct pollfd fds[100];
  struct rlimit limit = {50, 50};
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  EXPECT_ERRNO(poll(fds, 100, 0), EINVAL);
}
CASE(a_file_with_o_async_signals_its_owner) {
  int ends[2];
  OK(pipe(ends));
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGIO);
  sigaddset(&set, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &set, NULL);
  OK(fcntl(ends[0], F_SETOWN, getpid()));
  OK(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK));
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  siginfo_t info;
  struct timespec limit = {.tv_sec = 5};
  EXPECT_EQ(sigtimedwait(&set, &info, &limit), SIGIO);
  OK(fcntl(ends[0], F_SETSIG, SIGRTMIN));
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  EXPECT_EQ(sigtimedwait(&set, &info, &limit), SIGRTMIN);
  EXPECT_EQ(info.si_fd, ends[0]);
  EXPECT_EQ(info.si_code, POLL_IN);
  EXPECT(info.si_band & POLLIN);
  OK(fcntl(ends[0], F_SETFL, O_NONBLOCK));
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  limit = (struct timespec){.tv_nsec = 50000000};
  EXPECT_ERRNO(sigtimedwait(&set, &info, &limit), EAGAIN);
}
CASE(epoll_wait_at_a_bad_address_keeps_the_events) {
  int ep = (int)OK(epoll_create1(0)), ends[2];
  OK(pipe(ends));
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = 5}, out;
  OK(epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &event));
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  EXPECT_ERRNO(syscall(SYS_epoll_wait, ep, 8, 1, 0), EFAULT);
  EXPECT_EQ(epoll_wait(ep, &out, 1, 0), 1);
  EXPECT_EQ(epoll_wait(ep, &out, 1, 0), 0);
  event.events = EPOLLIN | EPOLLONESHOT;
  OK(epoll_ctl(ep, EPOLL_CTL_MOD, ends[0], &event));
  EXPECT_ERRNO(syscall(SYS_epoll_wait, ep, 8, 1, 0), EFAULT);
  EXPECT_EQ(epoll_wait(ep, &out, 1, 0), 1);
  EXPECT_EQ(epoll_wait(ep, &out, 1, 0), 0);
}
CASE(poll_at_a_bad_address_is_efault) { EXPECT_ERRNO(syscall(SYS_poll, 8, 1, 0), EFAULT); }
CASE(ppoll_with_a_bad_time_is_einval) {
  struct timespec bad = {0, 1000 * MS};
  EXPECT_ERRNO(ppoll(NULL, 0, &bad, NULL), EINVAL);
}
CASE(regular_file_is_always_ready) {
  int fd = (int)OK(open("/proc/self/exe", O_RDONLY));
  struct pollfd poll_fd = {fd, POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
  EXPECT_EQ(poll_fd.revents, POLLIN | POLLOUT);
}

CASE(select_finds_the_ready_descriptor) {
  make_pipe();
  fd_set in, out;
  FD_ZERO(&in);
  FD_ZERO(&out);
  FD_SET(p[0], &in);
  FD_SET(p[1], &out);
  EXPECT_EQ(select(p[1] + 1, &in, &out, NULL, NULL), 1);
  EXPECT(!FD_ISSET(p[0], &in));
  EXPECT(FD_ISSET(p[1], &out));
}
CASE(select_times_out_and_writes_the_time_left) {
  make_pipe();
  struct timeval t = {0, 10000};
  fd_set in;
  FD_ZERO(&in);
  FD_SET(p[0], &in);
  EXPECT_EQ(select(p[0] + 1, &in, NULL, NULL, &t), 0);
  EXPECT(t.tv_sec == 0 && t.tv_usec == 0);
  EXPECT(!FD_ISSET(p[0], &in));
}
CASE(select_of_a_bad_descriptor_is_ebadf) {
  int closed = dup(0);
  fd_set in;
  close(closed);
  FD_ZERO(&in);
  FD_SET(closed, &in);
  EXPECT_ERRNO(select(closed + 1, &in, NULL, NULL, NULL), EBADF);
}
CASE(select_of_a_negative_count_is_einval) { EXPECT_ERRNO(select(-1, NULL, NULL, NULL, NULL), EINVAL); }

CASE(eventfd_adds_and_reads) {
  uint64_t value = 0;
  int fd = (int)OK(eventfd(3, EFD_CLOEXEC));
  value = 4;
  EXPECT_EQ(write(fd, &value, 8), 8);
  EXPECT_EQ(read(fd, &value, 8), 8);
  EXPECT_EQ(value, 7);
}
CASE(eventfd_semaphore_takes_one) {
  uint64_t value;
  int fd = (int)OK(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
  EXPECT_EQ(read(fd, &value, 8), 8);
  EXPECT_EQ(value, 1);
  EXPECT_EQ(read(fd, &value, 8), 8);
  EXPECT_ERRNO(read(fd, &value, 8), EAGAIN);
}
CASE(eventfd_empty_nonblocking_read_is_eagain) {
  uint64_t value;
  int fd = (int)OK(eventfd(0, EFD_NONBLOCK));
  EXPECT_ERRNO(read(fd, &value, 8), EAGAIN);
}
CASE(eventfd_overflow_nonblocking_is_eagain) {
  uint64_t value = UINT64_MAX - 1;
  int fd = (int)OK(eventfd(0, EFD_NONBLOCK));
  EXPECT_EQ(write(fd, &value, 8), 8);
  value = 1;
  EXPECT_ERRNO(write(fd, &value, 8), EAGAIN);
}
CASE(eventfd_of_all_ones_is_einval) {
  uint64_t value = UINT64_MAX;
  int fd = (int)OK(eventfd(0, 0));
  EXPECT_ERRNO(write(fd, &value, 8), EINVAL);
}
CASE(eventfd_short_buffers_are_einval) {
  uint64_t value = 1;
  int fd = (int)OK(eventfd(1, 0));
  EXPECT_ERRNO(read(fd, &value, 4), EINVAL);
  EXPECT_ERRNO(write(fd, &value, 4), EINVAL);
}
CASE(eventfd_unknown_flag_is_einval) { EXPECT_ERRNO(eventfd(0, 0x10), EINVAL); }
CASE(eventfd_blocked_reader_is_woken) {
  uint64_t value = 1;
  int fd = (int)OK(eventfd(0, 0));
  pid_t child = IN_CHILD({
    sleep_ms(10);
    uint64_t five = 5;
    OK(write(fd, &five, 8));
  });
  EXPECT_EQ(read(fd, &value, 8), 8);
  EXPECT_EQ(value, 5);
  EXPECT_EXIT(child, 0);
}

static int ep;
static struct epoll_event events[8];
static void add(int fd, uint32_t mask, uint64_t data) {
  struct epoll_event event = {.events = mask, .data = {.u64 = data}};
  OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
}
static void make_epoll(void) {
  ep = (int)OK(epoll_create1(EPOLL_CLOEXEC));
  make_pipe();
}

CASE(epoll_reports_ready_descriptors_with_their_data) {
  make_epoll();
  add(p[0], EPOLLIN, 0xdeadbeef12345678);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 0);
  write_byte(p[1]);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 1);
  EXPECT_EQ(events[0].events, EPOLLIN);
  EXPECT_EQ(events[0].data.u64, 0xdeadbeef12345678);
}
CASE(epoll_level_triggered_reports_again) {
  make_epoll();
  add(p[0], EPOLLIN, 1);
  write_byte(p[1]);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 1);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 1);
  read_byte(p[0]);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 0);
}
CASE(epoll_edge_triggered_reports_once_per_arrival) {
  make_epoll();
  add(p[0], EPOLLIN | EPOLLET, 1);
  write_byte(p[1]);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 1);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 0);
  write_byte(p[1]);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 1);
}
CASE(epoll_oneshot_is_disarmed_until_modified) {
  make_epoll();
  add(p[0], EPOLLIN | EPOLLONESHOT, 1);
  write_byte(p[1]);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 1);
  write_byte(p[1]);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 0);
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
  OK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &event));
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 1);
}
CASE(epoll_ctl_errors) {
  make_epoll();
  struct epoll_event event = {.events = EPOLLIN};
  add(p[0], EPOLLIN, 1);
  EXPECT_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &event), EEXIST);
  EXPECT_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, p[1], &event), ENOENT);
  EXPECT_ERRNO(epoll_ctl(ep, EPOLL_CTL_DEL, p[1], &event), ENOENT);
  EXPECT_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, 999, &event), EBADF);
  EXPECT_ERRNO(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &event), EINVAL);
  EXPECT_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &event), EINVAL);
  EXPECT_ERRNO(epoll_ctl(ep, 77, p[0], &event), EINVAL);
}
CASE(epoll_of_a_regular_file_is_eperm) {
  make_epoll();
  struct epoll_event event = {.events = EPOLLIN};
  int fd = (int)OK(open("/proc/self/exe", O_RDONLY));
  EXPECT_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), EPERM);
}
CASE(epoll_wait_with_no_room_is_einval) {
  make_epoll();
  EXPECT_ERRNO(epoll_wait(ep, events, 0, 0), EINVAL);
  EXPECT_ERRNO(epoll_wait(p[0], events, 1, 0), EINVAL);
}
CASE(epoll_wait_is_woken) {
  make_epoll();
  add(p[0], EPOLLIN, 5);
  pid_t child = write_in(10, p[1]);
  EXPECT_EQ(epoll_wait(ep, events, 8, -1), 1);
  EXPECT_EQ(events[0].data.u64, 5);
  EXPECT_EXIT(child, 0);
}
CASE(epoll_wait_times_out) {
  make_epoll();
  add(p[0], EPOLLIN, 5);
  int64_t before = now_ns(CLOCK_MONOTONIC);
  EXPECT_EQ(epoll_wait(ep, events, 8, 20), 0);
  EXPECT(now_ns(CLOCK_MONOTONIC) - before >= 19 * MS);
}
CASE(epoll_hangup_is_reported_unasked) {
  make_epoll();
  add(p[0], 0, 5);
  close(p[1]);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 1);
  EXPECT_EQ(events[0].events, EPOLLHUP);
}
CASE(closed_descriptor_leaves_epoll) {
  make_epoll();
  add(p[0], EPOLLIN, 5);
  write_byte(p[1]);
  close(p[0]);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 0);
}
CASE(descriptor_with_a_duplicate_stays_in_epoll_after_close) {
  make_epoll();
  add(p[0], EPOLLIN, 5);
  write_byte(p[1]);
  OK(dup(p[0]));
  close(p[0]);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 1);
}
CASE(epoll_is_pollable_and_nests) {
  make_epoll();
  add(p[0], EPOLLIN, 5);
  int outer = (int)OK(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = 9}};
  OK(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &event));
  EXPECT_EQ(epoll_wait(outer, events, 8, 0), 0);
  write_byte(p[1]);
  EXPECT_EQ(epoll_wait(outer, events, 8, 0), 1);
  EXPECT_EQ(events[0].data.u64, 9);
  struct pollfd fd = {ep, POLLIN, 0};
  EXPECT_EQ(poll(&fd, 1, 0), 1);
}
CASE(epoll_loop_is_eloop) {
  make_epoll();
  int other = (int)OK(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN};
  OK(epoll_ctl(other, EPOLL_CTL_ADD, ep, &event));
  EXPECT_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, other, &event), ELOOP);
}
CASE(epoll_gives_at_most_as_many_as_asked_and_the_rest_later) {
  make_epoll();
  int fds[5];
  for (int i = 0; i < 5; i++) {
    fds[i] = (int)OK(eventfd(1, 0));
    add(fds[i], EPOLLIN | EPOLLET, (uint64_t)i);
  }
  int seen = 0;
  for (int round = 0; round < 3; round++) {
    int n = epoll_wait(ep, events, 2, 0);
    for (int i = 0; i < n; i++) seen |= 1 << events[i].data.u64;
  }
  EXPECT_EQ(seen, 31);
}
CASE(epoll_out_of_a_full_pipe_comes_back) {
  static char block[65536];
  make_epoll();
  OK(write(p[1], block, sizeof block));
  add(p[1], EPOLLOUT | EPOLLET, 3);
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 0);
  OK(read(p[0], block, sizeof block));
  EXPECT_EQ(epoll_wait(ep, events, 8, 0), 1);
  EXPECT_EQ(events[0].events, EPOLLOUT);
}
CASE(epoll_pwait2_takes_nanoseconds) {
  make_epoll();
  struct timespec t = {0, 5 * MS};
  EXPECT_EQ(syscall(SYS_epoll_pwait2, ep, events, 8, &t, NULL, 0), 0);
}

static void* waiter(void* unused) {
  struct epoll_event event;
  return (void*)(intptr_t)epoll_wait(ep, &event, 1, 300);
}
CASE(epoll_exclusive_edge_wakes_one_of_two_waiters) {
  pthread_t threads[2];
  void* results[2];
  make_epoll();
  add(p[0], EPOLLIN | EPOLLET, 1);
  for (int i = 0; i < 2; i++) EXPECT_ZERO(pthread_create(&threads[i], NULL, waiter, NULL));
  sleep_ms(30);
  write_byte(p[1]);
  for (int i = 0; i < 2; i++) EXPECT_ZERO(pthread_join(threads[i], &results[i]));
  EXPECT_EQ((intptr_t)results[0] + (intptr_t)results[1], 1);
}

static volatile long taken;
static void* take_all(void* instance) {
  struct epoll_event got[4];
  for (;;) {
    int n = epoll_wait((int)(intptr_t)instance, got, 4, 5000);
    if (n <= 0) return NULL;
    for (int i = 0; i < n; i++) {
      uint64_t value;
      if (got[i].data.fd < 0) return NULL;
      if (read(got[i].data.fd, &value, sizeof value) == sizeof value) __sync_fetch_and_add(&taken, (long)value);
    }
  }
}
CASE(epoll_with_many_waiters_loses_nothing) {
  enum { FILES = 8, ROUNDS = 4000, THREADS = 4 };
  int instance = (int)OK(epoll_create1(0)), files[FILES];
  pthread_t threads[THREADS];
  for (int i = 0; i < FILES; i++) {
    files[i] = (int)OK(eventfd(0, EFD_NONBLOCK));
    struct epoll_event e = {.events = EPOLLIN | (i & 1 ? EPOLLET : 0), .data.fd = files[i]};
    OK(epoll_ctl(instance, EPOLL_CTL_ADD, files[i], &e));
  }
  for (int i = 0; i < THREADS; i++) EXPECT_ZERO(pthread_create(&threads[i], NULL, take_all, (void*)(intptr_t)instance));
  for (int i = 0; i < ROUNDS; i++) {
    uint64_t one = 1;
    EXPECT_EQ(write(files[i % FILES], &one, sizeof one), sizeof one);
  }
  for (int i = 0; i < 500 && taken < ROUNDS; i++) sleep_ms(10);
  EXPECT_EQ(taken, ROUNDS);
  struct epoll_event stop = {.events = EPOLLIN, .data.fd = -1};
  OK(epoll_ctl(instance, EPOLL_CTL_ADD, (int)OK(eventfd(1, 0)), &stop));
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}
CASE(epoll_chain_of_six_is_eloop) {
  struct epoll_event e = {.events = EPOLLIN};
  int inner = (int)OK(epoll_create1(0));
  for (int i = 2; i <= 5; i++) {
    int outer = (int)OK(epoll_create1(0));
    OK(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &e));
    inner = outer;
  }
  EXPECT_ERRNO(epoll_ctl((int)OK(epoll_create1(0)), EPOLL_CTL_ADD, inner, &e), ELOOP);
}
CASE(select_reports_each_set_and_ignores_hangup_when_waiting_to_write) {
  fd_set in, out, except;
  int s[2];
  struct timeval now = {0, 0};
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
  write_byte(s[1]);
  FD_ZERO(&in);
  FD_ZERO(&out);
  FD_ZERO(&except);
  FD_SET(s[0], &in);
  FD_SET(s[0], &out);
  FD_SET(s[0], &except);
  EXPECT_EQ(select(s[0] + 1, &in, &out, &except, &now), 2);
  EXPECT(FD_ISSET(s[0], &in) && FD_ISSET(s[0], &out) && !FD_ISSET(s[0], &except));
  make_pipe();
  close(p[1]);
  FD_ZERO(&out);
  FD_SET(p[0], &out);
  EXPECT_EQ(select(p[0] + 1, NULL, &out, NULL, &now), 0);
}
CASE(poll_restarts_after_a_stop_with_the_time_that_is_left) {
  make_pipe();
  pid_t child = IN_CHILD({
    struct pollfd look = {p[0], POLLIN, 0};
    EXPECT_EQ(poll(&look, 1, 5000), 1);
  });
  sleep_ms(50);
  OK(kill(child, SIGSTOP));
  sleep_ms(20);
  OK(kill(child, SIGCONT));
  sleep_ms(20);
  write_byte(p[1]);
  EXPECT_EXIT(child, 0);
}

// TCP sockets over the loopback: IPv4, IPv6 and both at once. Each case runs for the families it says.
#include "conformance.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

static int client, server, lister;

static struct sockaddr_storage loopback(int family, int port) {
  struct sockaddr_storage a = {.ss_family = (sa_family_t)family};
  if (family == AF_INET) {
    ((struct sockaddr_in*)&a)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ((struct sockaddr_in*)&a)->sin_port = htons((uint16_t)port);
  } else {
    ((struct sockaddr_in6*)&a)->sin6_addr = in6addr_loopback;
    ((struct sockaddr_in6*)&a)->sin6_port = htons((uint16_t)port);
  }
  return a;
}
static socklen_t length_of(int family) {
  return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}
static int port_of(int fd) {
  struct sockaddr_storage a;
  socklen_t length = sizeof a;
  OK(getsockname(fd, (struct sockaddr*)&a, &length));
  return ntohs(((struct sockaddr_in*)&a)->sin_port);
}
static int listening(int family) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  struct sockaddr_storage a = loopback(family, 0);
  OK(bind(fd, (struct sockaddr*)&a, length_of(family)));
  OK(listen(fd, 16));
  return fd;
}
static int connected_to(int family, int port) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  struct sockaddr_storage a = loopback(family, port);
  OK(connect(fd, (struct sockaddr*)&a, length_of(family)));
  return fd;
}
static void make_pair(int family) {
  lister = listening(family);
  client = connected_to(family, port_of(lister));
  server = (int)OK(accept(lister, NULL, NULL));
}
static int events_of(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP | POLLPRI};
  OK(poll(&p, 1, 0));
  return p.revents;
}
static void wait_for(int fd, int events) {
  struct pollfd p = {.fd = fd, .events = (short)events};
  EXPECT_EQ(poll(&p, 1, 5000), 1);
}
static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  OK(getsockopt(fd, level, name, &value, &length));
  return value;
}
static void set(int fd, int level, int name, int value) { OK(setsockopt(fd, level, name, &value, sizeof value)); }
static int unused_port(int family) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  struct sockaddr_storage a = loopback(family, 0);
  OK(bind(fd, (struct sockaddr*)&a, length_of(family)));
  int port = port_of(fd);
  close(fd);
  return port;
}

#define BOTH(name)                         \
  static void name##_on(int family);       \
  CASE(name##_v4) { name##_on(AF_INET); }  \
  CASE(name##_v6) { name##_on(AF_INET6); } \
  static void name##_on(int family)

BOTH(bytes_go_both_ways) {
  char text[8] = {0};
  make_pair(family);
  EXPECT_EQ(write(client, "abc", 3), 3);
  EXPECT_EQ(read(server, text, 8), 3);
  EXPECT_STR(text, "abc");
  EXPECT_EQ(send(server, "de", 2, 0), 2);
  EXPECT_EQ(recv(client, text, 8, 0), 2);
}
BOTH(stream_has_no_message_borders) {
  char text[8] = {0};
  make_pair(family);
  OK(write(client, "ab", 2));
  OK(write(client, "cd", 2));
  EXPECT_EQ(recv(server, text, 4, MSG_WAITALL), 4);
  EXPECT_STR(text, "abcd");
}
BOTH(names_of_both_ends_agree) {
  struct sockaddr_storage a = {0}, b = {0};
  socklen_t la = sizeof a, lb = sizeof b;
  make_pair(family);
  OK(getsockname(client, (struct sockaddr*)&a, &la));
  OK(getpeername(server, (struct sockaddr*)&b, &lb));
  EXPECT_EQ(la, length_of(family));
  EXPECT_EQ(lb, la);
  EXPECT(memcmp(&a, &b, la) == 0);
  EXPECT_EQ(a.ss_family, family);
}
BOTH(accept_tells_who_it_is) {
  struct sockaddr_storage a = {0}, b = {0};
  socklen_t la = sizeof a, lb = sizeof b;
  lister = listening(family);
  client = connected_to(family, port_of(lister));
  server = (int)OK(accept(lister, (struct sockaddr*)&a, &la));
  OK(getsockname(client, (struct sockaddr*)&b, &lb));
  EXPECT_EQ(la, lb);
  EXPECT(memcmp(&a, &b, la) == 0);
}
BOTH(connect_to_nobody_is_refused) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  struct sockaddr_storage a = loopback(family, unused_port(family));
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&a, length_of(family)), ECONNREFUSED);
}
BOTH(connect_again_after_refusal_works) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  struct sockaddr_storage a = loopback(family, unused_port(family));
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&a, length_of(family)), ECONNREFUSED);
  lister = listening(family);
  a = loopback(family, port_of(lister));
  OK(connect(fd, (struct sockaddr*)&a, length_of(family)));
}
BOTH(nonblocking_connect_is_einprogress_then_writable) {
  lister = listening(family);
  int fd = (int)OK(socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0));
  struct sockaddr_storage a = loopback(family, port_of(lister));
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&a, length_of(family)), EINPROGRESS);
  wait_for(fd, POLLOUT);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_ERROR), 0);
  OK(connect(fd, (struct sockaddr*)&a, length_of(family)));  // once more it says that it is done
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&a, length_of(family)), EISCONN);
}
BOTH(nonblocking_connect_refused_is_in_so_error) {
  int fd = (int)OK(socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0));
  struct sockaddr_storage a = loopback(family, unused_port(family));
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&a, length_of(family)), EINPROGRESS);
  wait_for(fd, POLLOUT);
  EXPECT(events_of(fd) & POLLERR);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_ERROR), 0);
}
BOTH(accept_without_anybody_is_eagain) {
  lister = listening(family);
  OK(fcntl(lister, F_SETFL, O_NONBLOCK));
  EXPECT_ERRNO(accept(lister, NULL, NULL), EAGAIN);
}
BOTH(accept4_gives_flags) {
  lister = listening(family);
  client = connected_to(family, port_of(lister));
  server = (int)OK(accept4(lister, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
  EXPECT_EQ(OK(fcntl(server, F_GETFD)), FD_CLOEXEC);
  EXPECT(OK(fcntl(server, F_GETFL)) & O_NONBLOCK);
  char c;
  EXPECT_ERRNO(read(server, &c, 1), EAGAIN);
}
BOTH(accepted_socket_does_not_inherit_nonblocking) {
  lister = listening(family);
  client = connected_to(family, port_of(lister));
  OK(fcntl(lister, F_SETFL, O_NONBLOCK));
  wait_for(lister, POLLIN);
  server = (int)OK(accept(lister, NULL, NULL));
  EXPECT(!(OK(fcntl(server, F_GETFL)) & O_NONBLOCK));
}
BOTH(accept_on_a_socket_that_does_not_listen_is_einval) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  EXPECT_ERRNO(accept(fd, NULL, NULL), EINVAL);
}
BOTH(end_of_stream_after_close) {
  char c;
  make_pair(family);
  close(client);
  EXPECT_EQ(read(server, &c, 1), 0);
  EXPECT_EQ(read(server, &c, 1), 0);
}
BOTH(half_close_lets_the_other_half_go_on) {
  char text[8] = {0};
  make_pair(family);
  OK(shutdown(client, SHUT_WR));
  EXPECT_EQ(read(server, text, 8), 0);
  EXPECT_EQ(write(server, "late", 4), 4);
  EXPECT_EQ(read(client, text, 8), 4);
  EXPECT_STR(text, "late");
}
BOTH(write_after_shutdown_is_epipe) {
  make_pair(family);
  OK(shutdown(client, SHUT_WR));
  EXPECT_ERRNO(send(client, "x", 1, MSG_NOSIGNAL), EPIPE);
}
static volatile sig_atomic_t pipes;
static void on_pipe(int s) { pipes++; }
BOTH(sigpipe_comes_unless_msg_nosignal) {
  make_pair(family);
  signal(SIGPIPE, on_pipe);
  OK(shutdown(client, SHUT_WR));
  EXPECT_ERRNO(send(client, "x", 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_EQ(pipes, 0);
  EXPECT_ERRNO(write(client, "x", 1), EPIPE);
  EXPECT_EQ(pipes, 1);
}
BOTH(close_with_unread_data_resets) {
  char c;
  make_pair(family);
  OK(write(client, "abc", 3));
  wait_for(server, POLLIN);
  close(server);
  wait_for(client, POLLIN);
  EXPECT_ERRNO(read(client, &c, 1), ECONNRESET);
  EXPECT_EQ(read(client, &c, 1), 0);
}
BOTH(linger_zero_resets) {
  char c;
  make_pair(family);
  struct linger l = {1, 0};
  OK(setsockopt(client, SOL_SOCKET, SO_LINGER, &l, sizeof l));
  close(client);
  wait_for(server, POLLIN);
  EXPECT_ERRNO(read(server, &c, 1), ECONNRESET);
}
BOTH(write_to_a_closed_peer_is_reset_then_epipe) {
  make_pair(family);
  close(server);
  EXPECT_EQ(send(client, "x", 1, MSG_NOSIGNAL), 1);
  wait_for(client, POLLERR | POLLHUP);
  ssize_t n = send(client, "x", 1, MSG_NOSIGNAL);
  EXPECT(n == -1 && (errno == EPIPE || errno == ECONNRESET));
  EXPECT_ERRNO(send(client, "x", 1, MSG_NOSIGNAL), EPIPE);
}
BOTH(send_on_an_unconnected_socket_is_epipe) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  EXPECT_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
}
BOTH(recv_on_an_unconnected_socket_is_enotconn) {
  char c;
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  EXPECT_ERRNO(recv(fd, &c, 1, 0), ENOTCONN);
}
BOTH(getpeername_of_an_unconnected_socket_is_enotconn) {
  struct sockaddr_storage a;
  socklen_t length = sizeof a;
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  EXPECT_ERRNO(getpeername(fd, (struct sockaddr*)&a, &length), ENOTCONN);
  EXPECT_ERRNO(shutdown(fd, SHUT_RDWR), ENOTCONN);
}
BOTH(getsockname_of_a_fresh_socket_is_any) {
  struct sockaddr_storage a = {0};
  socklen_t length = sizeof a;
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  OK(getsockname(fd, (struct sockaddr*)&a, &length));
  EXPECT_EQ(length, length_of(family));
  EXPECT_EQ(a.ss_family, family);
  EXPECT_EQ(((struct sockaddr_in*)&a)->sin_port, 0);
}
BOTH(peek_leaves_the_bytes) {
  char text[8] = {0};
  make_pair(family);
  OK(write(client, "abc", 3));
  EXPECT_EQ(recv(server, text, 2, MSG_PEEK), 2);
  EXPECT_EQ(recv(server, text, 8, 0), 3);
  EXPECT_STR(text, "abc");
}
BOTH(msg_trunc_throws_bytes_away) {
  char text[8] = {0};
  make_pair(family);
  OK(write(client, "abcdef", 6));
  wait_for(server, POLLIN);
  EXPECT_EQ(recv(server, NULL, 4, MSG_TRUNC), 4);
  EXPECT_EQ(recv(server, text, 8, 0), 2);
  EXPECT_STR(text, "ef");
}
BOTH(dontwait_on_an_empty_stream_is_eagain) {
  char c;
  make_pair(family);
  EXPECT_ERRNO(recv(client, &c, 1, MSG_DONTWAIT), EAGAIN);
}
BOTH(receive_timeout_is_eagain) {
  char c;
  make_pair(family);
  struct timeval t = {0, 20000};
  OK(setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
  EXPECT_ERRNO(recv(client, &c, 1, 0), EAGAIN);
}
BOTH(scatter_and_gather) {
  char a[2], b[4] = {0};
  make_pair(family);
  struct iovec out[2] = {{(char*)"abc", 3}, {(char*)"de", 2}}, in[2] = {{a, 2}, {b, 3}};
  EXPECT_EQ(writev(client, out, 2), 5);
  wait_for(server, POLLIN);
  EXPECT_EQ(readv(server, in, 2), 5);
  EXPECT(memcmp(a, "ab", 2) == 0);
  EXPECT_STR(b, "cde");
}
BOTH(a_full_queue_is_eagain_and_drains) {
  static char block[65536];
  make_pair(family);
  OK(fcntl(client, F_SETFL, O_NONBLOCK));
  long sent = 0, got = 0;
  ssize_t n;
  for (int i = 0; i < 2000 && (n = write(client, block, sizeof block)) > 0; ++i) sent += n;
  EXPECT(n == -1 && errno == EAGAIN);
  EXPECT(!(events_of(client) & POLLOUT));
  OK(shutdown(client, SHUT_WR));
  while ((n = read(server, block, sizeof block)) > 0) got += n;
  EXPECT_EQ(n, 0);
  EXPECT_EQ(got, sent);
}
// Long before a send would say EAGAIN, poll says that there is too little room to be worth it.
BOTH(who_waits_for_room_before_the_queue_is_full_is_told_of_it) {
  static char block[4096];
  make_pair(family);
  OK(fcntl(client, F_SETFL, O_NONBLOCK));
  for (int i = 0; i < 20000 && (events_of(client) & POLLOUT); ++i)
    EXPECT_EQ(write(client, block, sizeof block), (ssize_t)sizeof block);
  EXPECT(!(events_of(client) & POLLOUT));
  pid_t child = (pid_t)OK(fork());
  if (child == 0) {
    usleep(100000);
    close(client);
    while (read(server, block, sizeof block) > 0) continue;
    _exit(0);
  }
  struct timespec before, after;  // when the time is over, poll looks again and would find room
  OK(clock_gettime(CLOCK_MONOTONIC, &before));
  wait_for(client, POLLOUT);
  OK(clock_gettime(CLOCK_MONOTONIC, &after));
  EXPECT(after.tv_sec - before.tv_sec < 4);
  OK(close(client));
  OK(close(server));
  OK(waitpid(child, NULL, 0));
}
BOTH(megabytes_arrive_as_they_were) {
  make_pair(family);
  enum { total = 8 << 20 };
  pid_t child = fork();
  if (child == 0) {
    static unsigned char out[70001];
    uint32_t x = 1;
    for (long at = 0; at < total;) {
      size_t n = (size_t)(1 + x % sizeof out);
      if ((long)n > total - at) n = (size_t)(total - at);
      for (size_t i = 0; i < n; ++i) out[i] = (unsigned char)((at + (long)i) * 131 >> 3);
      for (size_t done = 0; done < n;) {
        ssize_t w = write(client, out + done, n - done);
        if (w <= 0) _exit(1);
        done += (size_t)w;
      }
      at += (long)n;
      x = x * 1103515245u + 12345u;
    }
    _exit(0);
  }
  close(client);
  static unsigned char in[100000];
  long at = 0;
  ssize_t n;
  while ((n = read(server, in, sizeof in)) > 0) {
    for (ssize_t i = 0; i < n; ++i) EXPECT_EQ(in[i], (unsigned char)((at + i) * 131 >> 3));
    at += n;
  }
  EXPECT_EQ(at, total);
  int status;
  OK(waitpid(child, &status, 0));
  EXPECT_EQ(status, 0);
}
BOTH(poll_of_a_fresh_socket_is_out_and_hup) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  EXPECT_EQ(events_of(fd), POLLOUT | POLLHUP);
}
BOTH(poll_of_a_connection) {
  make_pair(family);
  EXPECT_EQ(events_of(client), POLLOUT);
  OK(write(server, "x", 1));
  wait_for(client, POLLIN);
  EXPECT_EQ(events_of(client), POLLIN | POLLOUT);
}
BOTH(poll_of_a_half_closed_connection) {
  make_pair(family);
  OK(shutdown(server, SHUT_WR));
  wait_for(client, POLLIN);
  EXPECT_EQ(events_of(client), POLLIN | POLLOUT | POLLRDHUP);
}
BOTH(poll_of_a_closed_connection) {
  make_pair(family);
  OK(shutdown(client, SHUT_WR));
  OK(shutdown(server, SHUT_WR));
  wait_for(client, POLLHUP);
  EXPECT_EQ(events_of(client), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
}
BOTH(poll_of_a_listener) {
  lister = listening(family);
  EXPECT_EQ(events_of(lister), 0);
  client = connected_to(family, port_of(lister));
  wait_for(lister, POLLIN);
  EXPECT_EQ(events_of(lister), POLLIN);
}
BOTH(edge_triggered_epoll_tells_each_arrival_once) {
  make_pair(family);
  int e = (int)OK(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN | EPOLLET}, got;
  OK(epoll_ctl(e, EPOLL_CTL_ADD, server, &event));
  EXPECT_EQ(epoll_wait(e, &got, 1, 0), 0);
  OK(write(client, "a", 1));
  EXPECT_EQ(epoll_wait(e, &got, 1, 5000), 1);
  EXPECT_EQ(epoll_wait(e, &got, 1, 0), 0);
  OK(write(client, "b", 1));
  EXPECT_EQ(epoll_wait(e, &got, 1, 5000), 1);
}
BOTH(a_blocked_reader_is_woken) {
  make_pair(family);
  pid_t child = fork();
  if (child == 0) {
    usleep(20000);
    _exit(write(client, "x", 1) == 1 ? 0 : 1);
  }
  char c;
  EXPECT_EQ(read(server, &c, 1), 1);
  OK(waitpid(child, NULL, 0));
}
BOTH(bind_twice_is_einval_and_in_use_is_eaddrinuse) {
  lister = listening(family);
  struct sockaddr_storage a = loopback(family, port_of(lister)), other = loopback(family, 0);
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&a, length_of(family)), EADDRINUSE);
  OK(bind(fd, (struct sockaddr*)&other, length_of(family)));
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&other, length_of(family)), EINVAL);
}
BOTH(reuse_address_binds_beside_a_finished_connection) {
  make_pair(family);
  int port = port_of(lister);
  close(server);
  close(lister);
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  struct sockaddr_storage a = loopback(family, port);
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&a, length_of(family)), EADDRINUSE);
  close(fd);
  // The first listener must have said it too.
  lister = (int)OK(socket(family, SOCK_STREAM, 0));
  set(lister, SOL_SOCKET, SO_REUSEADDR, 1);
  a = loopback(family, 0);
  OK(bind(lister, (struct sockaddr*)&a, length_of(family)));
  OK(listen(lister, 1));
  port = port_of(lister);
  client = connected_to(family, port);
  server = (int)OK(accept(lister, NULL, NULL));
  close(server);
  close(lister);
  fd = (int)OK(socket(family, SOCK_STREAM, 0));
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  a = loopback(family, port);
  OK(bind(fd, (struct sockaddr*)&a, length_of(family)));
  OK(listen(fd, 1));
}
BOTH(reuse_port_shares_connections) {
  int a = (int)OK(socket(family, SOCK_STREAM, 0)), b = (int)OK(socket(family, SOCK_STREAM, 0));
  set(a, SOL_SOCKET, SO_REUSEPORT, 1);
  set(b, SOL_SOCKET, SO_REUSEPORT, 1);
  struct sockaddr_storage at = loopback(family, 0);
  OK(bind(a, (struct sockaddr*)&at, length_of(family)));
  OK(listen(a, 64));
  at = loopback(family, port_of(a));
  OK(bind(b, (struct sockaddr*)&at, length_of(family)));
  OK(listen(b, 64));
  for (int i = 0; i < 40; ++i) connected_to(family, port_of(a));
  int seen[2] = {0, 0};
  int fds[2] = {a, b};
  for (int i = 0; i < 2; ++i) {
    OK(fcntl(fds[i], F_SETFL, O_NONBLOCK));
    while (accept(fds[i], NULL, NULL) >= 0) seen[i]++;
  }
  EXPECT_EQ(seen[0] + seen[1], 40);
  EXPECT(seen[0] > 0 && seen[1] > 0);
}
BOTH(a_foreign_address_is_eaddrnotavail) {
  struct sockaddr_storage a = loopback(family, 0);
  if (family == AF_INET)
    OK(inet_pton(AF_INET, "203.0.113.9", &((struct sockaddr_in*)&a)->sin_addr));
  else
    OK(inet_pton(AF_INET6, "2001:db8::9", &((struct sockaddr_in6*)&a)->sin6_addr));
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&a, length_of(family)), EADDRNOTAVAIL);
}
BOTH(short_addresses_and_wrong_families_are_refused) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  struct sockaddr_storage a = loopback(family, 1);
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&a, 8), EINVAL);
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&a, 8), EINVAL);
  a.ss_family = AF_UNIX;
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&a, length_of(family)), EAFNOSUPPORT);
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&a, length_of(family)), EAFNOSUPPORT);
}
BOTH(listen_without_bind_takes_a_port) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  OK(listen(fd, 1));
  EXPECT(port_of(fd) != 0);
  connected_to(family, port_of(fd));
}
BOTH(connect_on_a_listener_is_eisconn) {
  lister = listening(family);
  struct sockaddr_storage a = loopback(family, 1);
  EXPECT_ERRNO(connect(lister, (struct sockaddr*)&a, length_of(family)), EISCONN);
}
BOTH(shutdown_of_a_listener_ends_accept) {
  lister = listening(family);
  OK(shutdown(lister, SHUT_RD));
  EXPECT_ERRNO(accept(lister, NULL, NULL), EINVAL);
}
BOTH(disconnect_by_af_unspec) {
  make_pair(family);
  struct sockaddr a = {.sa_family = AF_UNSPEC};
  OK(connect(client, &a, sizeof a));
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  EXPECT_ERRNO(getpeername(client, (struct sockaddr*)&peer, &length), ENOTCONN);
  struct sockaddr_storage again = loopback(family, port_of(lister));
  OK(connect(client, (struct sockaddr*)&again, length_of(family)));
}
BOTH(queue_sizes_by_ioctl) {
  int n = -1;
  make_pair(family);
  OK(write(client, "abcd", 4));
  wait_for(server, POLLIN);
  OK(ioctl(server, FIONREAD, &n));
  EXPECT_EQ(n, 4);
  OK(ioctl(client, TIOCOUTQ, &n));
  EXPECT(n >= 0);
  EXPECT_ERRNO(ioctl(lister, FIONREAD, &n), EINVAL);
}
BOTH(socket_facts) {
  make_pair(family);
  EXPECT_EQ(option(client, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(option(client, SOL_SOCKET, SO_DOMAIN), family);
  EXPECT_EQ(option(client, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
  EXPECT_EQ(option(client, SOL_SOCKET, SO_ACCEPTCONN), 0);
  EXPECT_EQ(option(lister, SOL_SOCKET, SO_ACCEPTCONN), 1);
}
BOTH(tcp_options_are_kept) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
  set(fd, IPPROTO_TCP, TCP_NODELAY, 7);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 7200);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 75);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 9);
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 12345);
  set(fd, IPPROTO_TCP, TCP_CORK, 1);
  set(fd, IPPROTO_TCP, TCP_SYNCNT, 2);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 60);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_CORK), 1);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_SYNCNT), 2);
  int bad = 0;
  EXPECT_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &bad, sizeof bad), EINVAL);
  EXPECT_ERRNO(setsockopt(fd, IPPROTO_TCP, 9999, &bad, sizeof bad), ENOPROTOOPT);
  EXPECT_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &bad, 2), EINVAL);
}
BOTH(options_are_inherited_by_accepted_sockets) {
  lister = listening(family);
  set(lister, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(lister, IPPROTO_TCP, TCP_NODELAY, 1);
  client = connected_to(family, port_of(lister));
  server = (int)OK(accept(lister, NULL, NULL));
  EXPECT_EQ(option(server, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(server, IPPROTO_TCP, TCP_NODELAY), 1);
}
BOTH(tcp_info_knows_the_state) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  make_pair(family);
  OK(getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &length));
  EXPECT_EQ(info.tcpi_state, TCP_ESTABLISHED);
  EXPECT(info.tcpi_snd_mss > 1000);
  length = sizeof info;
  OK(getsockopt(lister, IPPROTO_TCP, TCP_INFO, &info, &length));
  EXPECT_EQ(info.tcpi_state, TCP_LISTEN);
}
BOTH(congestion_control_has_a_name) {
  char name[16] = {0};
  socklen_t length = sizeof name;
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  OK(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
  OK(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length));
  EXPECT_STR(name, "reno");
  EXPECT_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nosuch", 6), ENOENT);
}
BOTH(buffer_sizes_are_doubled) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  set(fd, SOL_SOCKET, SO_SNDBUF, 50000);
  set(fd, SOL_SOCKET, SO_RCVBUF, 60000);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_SNDBUF), 100000);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_RCVBUF), 120000);
}
BOTH(a_port_below_1024_is_eacces_for_others) {
  if (geteuid() != 0) SKIP("not root");
  OK(setuid(12345));
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  struct sockaddr_storage a = loopback(family, 81);
  int limit = open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_RDONLY);
  char text[16] = {0};
  if (limit >= 0 && read(limit, text, 15) > 0 && atoi(text) < 1024) SKIP("the port is free for all here");
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&a, length_of(family)), EACCES);
}
BOTH(many_connections_at_once) {
  enum { count = 200 };
  static int a[count], b[count];
  lister = (int)OK(socket(family, SOCK_STREAM, 0));
  struct sockaddr_storage at = loopback(family, 0);
  OK(bind(lister, (struct sockaddr*)&at, length_of(family)));
  OK(listen(lister, 512));
  for (int i = 0; i < count; ++i) a[i] = connected_to(family, port_of(lister));
  for (int i = 0; i < count; ++i) b[i] = (int)OK(accept(lister, NULL, NULL));
  for (int i = 0; i < count; ++i) OK(write(a[i], &i, sizeof i));
  for (int i = 0; i < count; ++i) {
    int value = -1;
    EXPECT_EQ(recv(b[i], &value, sizeof value, MSG_WAITALL), (long)sizeof value);
    EXPECT_EQ(value, i);
  }
}
BOTH(connect_and_close_many_times) {
  lister = listening(family);
  for (int i = 0; i < 300; ++i) {
    client = connected_to(family, port_of(lister));
    server = (int)OK(accept(lister, NULL, NULL));
    close(client);
    close(server);
  }
}
BOTH(a_socket_connected_to_itself) {
  int fd = (int)OK(socket(family, SOCK_STREAM, 0));
  struct sockaddr_storage a = loopback(family, 0);
  OK(bind(fd, (struct sockaddr*)&a, length_of(family)));
  a = loopback(family, port_of(fd));
  OK(connect(fd, (struct sockaddr*)&a, length_of(family)));
  char text[8] = {0};
  OK(write(fd, "me", 2));
  EXPECT_EQ(read(fd, text, 8), 2);
  EXPECT_STR(text, "me");
}

CASE(a_dual_stack_listener_takes_ipv4) {
  lister = (int)OK(socket(AF_INET6, SOCK_STREAM, 0));
  struct sockaddr_in6 any = {.sin6_family = AF_INET6}, peer;
  socklen_t length = sizeof peer;
  OK(bind(lister, (struct sockaddr*)&any, sizeof any));
  OK(listen(lister, 4));
  client = connected_to(AF_INET, port_of(lister));
  server = (int)OK(accept(lister, (struct sockaddr*)&peer, &length));
  EXPECT(IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr));
  client = connected_to(AF_INET6, port_of(lister));
  OK(accept(lister, NULL, NULL));
}
CASE(a_v6_only_listener_does_not_take_ipv4) {
  lister = (int)OK(socket(AF_INET6, SOCK_STREAM, 0));
  struct sockaddr_in6 any = {.sin6_family = AF_INET6};
  set(lister, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  OK(bind(lister, (struct sockaddr*)&any, sizeof any));
  OK(listen(lister, 4));
  int fd = (int)OK(socket(AF_INET, SOCK_STREAM, 0));
  struct sockaddr_storage a = loopback(AF_INET, port_of(lister));
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&a, sizeof(struct sockaddr_in)), ECONNREFUSED);
}
CASE(v6_only_cannot_change_after_bind) {
  int fd = listening(AF_INET6), on = 1;
  EXPECT_ERRNO(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on), EINVAL);
}
CASE(a_mapped_address_reaches_an_ipv4_listener) {
  lister = listening(AF_INET);
  int fd = (int)OK(socket(AF_INET6, SOCK_STREAM, 0));
  struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port_of(lister))};
  OK(inet_pton(AF_INET6, "::ffff:127.0.0.1", &a.sin6_addr));
  OK(connect(fd, (struct sockaddr*)&a, sizeof a));
}
CASE(connect_to_any_goes_to_loopback) {
  lister = listening(AF_INET);
  int fd = (int)OK(socket(AF_INET, SOCK_STREAM, 0));
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port_of(lister))}, peer;
  OK(connect(fd, (struct sockaddr*)&a, sizeof a));
  socklen_t length = sizeof peer;
  OK(getpeername(fd, (struct sockaddr*)&peer, &length));
  EXPECT_EQ(ntohl(peer.sin_addr.s_addr), INADDR_LOOPBACK);
}
CASE(all_of_127_is_this_host) {
  int fd = (int)OK(socket(AF_INET, SOCK_STREAM, 0));
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f010203)};
  OK(bind(fd, (struct sockaddr*)&a, sizeof a));
  OK(listen(fd, 1));
  a.sin_port = htons((uint16_t)port_of(fd));
  client = (int)OK(socket(AF_INET, SOCK_STREAM, 0));
  OK(connect(client, (struct sockaddr*)&a, sizeof a));
}
CASE(unknown_types_and_protocols_are_refused) {
  EXPECT_ERRNO(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
  EXPECT_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
  EXPECT_ERRNO(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
}

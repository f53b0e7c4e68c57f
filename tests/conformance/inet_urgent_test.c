// Urgent data of TCP (tcp(7), sockatmark(3)), and what a stream's reader and sender can be told beside the bytes:
// TCP_INQ, completions of MSG_ZEROCOPY, the headers of a SYN, what is left after a bad buffer.
#include "inet.h"

#include <linux/errqueue.h>
#include <sys/mman.h>
#include <sys/select.h>

enum { INQ = 36, ZEROCOPY = 60, NO_COOKIE = 34 };

static int mark_of(int fd) {
  int mark = -1;
  OK(ioctl(fd, SIOCATMARK, &mark));
  return mark;
}
static void send_urgent(int fd, const char* text) { EXPECT_EQ(send(fd, text, strlen(text), MSG_OOB), strlen(text)); }

EACH(urgent_byte_can_be_peeked_and_read_once) {
  char room[8] = {0};
  make_pair(way);
  send_urgent(client, "abc");
  wait_for(server, POLLPRI);
  EXPECT_EQ(recv(server, room, 8, MSG_OOB | MSG_PEEK), 1);
  EXPECT_EQ(room[0], 'c');
  EXPECT_EQ(recv(server, room, 8, MSG_OOB), 1);
  EXPECT_EQ(room[0], 'c');
  EXPECT_ERRNO(recv(server, room, 8, MSG_OOB), EINVAL);
  EXPECT_EQ(events_of(server) & POLLPRI, 0);
}
EACH(urgent_byte_comes_with_MSG_OOB_in_the_flags) {
  make_pair(way);
  send_urgent(client, "x");
  wait_for(server, POLLPRI);
  struct message m;
  EXPECT_EQ(receive_message(server, &m, MSG_OOB), 1);
  EXPECT_EQ(m.header.msg_flags & MSG_OOB, MSG_OOB);
}
EACH(urgent_byte_without_room_is_truncated) {
  char byte;
  make_pair(way);
  send_urgent(client, "x");
  wait_for(server, POLLPRI);
  struct iovec none = {&byte, 0};
  struct msghdr h = {.msg_iov = &none, .msg_iovlen = 1};
  EXPECT_EQ(recvmsg(server, &h, MSG_OOB), 0);
  EXPECT_EQ(h.msg_flags & MSG_TRUNC, MSG_TRUNC);
}
EACH(urgent_byte_alone_is_nothing_to_read) {
  char room[8];
  make_pair(way);
  send_urgent(client, "x");
  wait_for(server, POLLPRI);
  EXPECT_EQ(events_of(server) & POLLIN, 0);
  EXPECT_EQ(mark_of(server), 1);
  EXPECT_ERRNO(recv(server, room, 8, MSG_DONTWAIT), EAGAIN);
}
EACH(waiting_for_all_stops_at_the_mark) {
  char room[8] = {0};
  make_pair(way);
  send_urgent(client, "abc");
  OK(send(client, "def", 3, 0));
  wait_for(server, POLLPRI);
  sleep_ms(20);
  EXPECT_EQ(recv(server, room, 5, MSG_WAITALL), 2);
  EXPECT_EQ(mark_of(server), 1);
  EXPECT_EQ(recv(server, room, 3, MSG_WAITALL), 3);
  EXPECT(memcmp(room, "def", 3) == 0);
}
EACH(peeking_stops_at_the_mark) {
  char room[8] = {0};
  make_pair(way);
  send_urgent(client, "abc");
  OK(send(client, "def", 3, 0));
  wait_for(server, POLLPRI);
  sleep_ms(20);
  EXPECT_EQ(recv(server, room, 8, MSG_PEEK), 2);
  EXPECT_EQ(mark_of(server), 0);
  EXPECT_EQ(recv(server, room, 8, 0), 2);
  EXPECT_EQ(recv(server, room, 8, MSG_PEEK), 3);
}
EACH(later_urgent_byte_takes_the_place_of_an_earlier_one) {
  char room[8] = {0};
  make_pair(way);
  send_urgent(client, "a");
  wait_for(server, POLLPRI);
  send_urgent(client, "b");
  for (int i = 0; i < 200 && (recv(server, room, 1, MSG_OOB | MSG_PEEK) != 1 || room[0] != 'b'); i++) sleep_ms(5);
  EXPECT_EQ(room[0], 'b');
}
EACH(waiting_bytes_are_counted_up_to_the_mark) {
  int n = 0;
  make_pair(way);
  send_urgent(client, "abc");
  OK(send(client, "def", 3, 0));
  wait_for(server, POLLPRI);
  sleep_ms(20);
  OK(ioctl(server, FIONREAD, &n));
  EXPECT_EQ(n, 2);
}
EACH(select_finds_urgent_data_exceptional) {
  make_pair(way);
  fd_set except;
  FD_ZERO(&except);
  FD_SET(server, &except);
  struct timeval none = {0, 0}, second = {1, 0};
  EXPECT_EQ(select(server + 1, NULL, NULL, &except, &none), 0);
  send_urgent(client, "x");
  FD_SET(server, &except);
  EXPECT_EQ(select(server + 1, NULL, NULL, &except, &second), 1);
  EXPECT(FD_ISSET(server, &except));
}
EACH(epoll_tells_of_urgent_data) {
  make_pair(way);
  int e = (int)OK(epoll_create1(EPOLL_CLOEXEC));
  struct epoll_event event = {.events = EPOLLPRI | EPOLLET};
  OK(epoll_ctl(e, EPOLL_CTL_ADD, server, &event));
  EXPECT_EQ(epoll_wait(e, &event, 1, 0), 0);
  send_urgent(client, "x");
  EXPECT_EQ(epoll_wait(e, &event, 1, 1000), 1);
  EXPECT_EQ(event.events, EPOLLPRI);
  EXPECT_EQ(epoll_wait(e, &event, 1, 0), 0);
}
EACH(accepted_sockets_take_oobinline_from_the_listener) {
  char room[4] = {0};
  lister = listening(way);
  set(lister, SOL_SOCKET, SO_OOBINLINE, 1);
  client = connected(way, SOCK_STREAM, port_of(lister));
  server = (int)OK(accept(lister, NULL, NULL));
  EXPECT_EQ(get(server, SOL_SOCKET, SO_OOBINLINE), 1);
  send_urgent(client, "x");
  wait_for(server, POLLIN);
  EXPECT_EQ(recv(server, room, 4, 0), 1);
  EXPECT_EQ(room[0], 'x');
}
EACH(large_urgent_send_has_its_last_byte_urgent) {
  static char block[50000];
  char byte = 0;
  make_pair(way);
  memset(block, 'a', sizeof block);
  block[sizeof block - 1] = 'z';
  EXPECT_EQ(send(client, block, sizeof block, MSG_OOB), sizeof block);
  drain(server, sizeof block - 1);
  wait_for(server, POLLPRI);
  EXPECT_EQ(recv(server, &byte, 1, MSG_OOB), 1);
  EXPECT_EQ(byte, 'z');
}
EACH(mark_is_not_set_without_urgent_data) {
  make_pair(way);
  EXPECT_EQ(mark_of(server), 0);
  OK(send(client, "abc", 3, 0));
  wait_for(server, POLLIN);
  EXPECT_EQ(mark_of(server), 0);
}
BOTH(listener_has_no_urgent_data) {
  char byte;
  EXPECT_ERRNO(recv(listening(way), &byte, 1, MSG_OOB), ENOTCONN);
}

// --- TCP_INQ ---
EACH(inq_tells_what_is_left) {
  make_pair(way);
  set(server, IPPROTO_TCP, INQ, 1);
  OK(send(client, "abcdef", 6, 0));
  wait_for(server, POLLIN);
  char room[2];
  struct iovec part = {room, 2};
  union {
    char bytes[64];
    struct cmsghdr align;
  } control;
  struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
  EXPECT_EQ(recvmsg(server, &h, 0), 2);
  struct cmsghdr* c = CMSG_FIRSTHDR(&h);
  EXPECT(c != NULL);
  EXPECT_EQ(c->cmsg_level, IPPROTO_TCP);
  EXPECT_EQ(c->cmsg_type, INQ);
  int left;
  memcpy(&left, CMSG_DATA(c), sizeof left);
  EXPECT_EQ(left, 4);
}
EACH(inq_at_the_end_of_the_stream_is_1) {
  make_pair(way);
  set(server, IPPROTO_TCP, INQ, 1);
  OK(send(client, "ab", 2, 0));
  OK(shutdown(client, SHUT_WR));
  wait_for(server, POLLRDHUP);
  struct message m;
  EXPECT_EQ(receive_message(server, &m, 0), 2);
  EXPECT_EQ(control_int(&m, IPPROTO_TCP, INQ), 1);
}

// --- MSG_ZEROCOPY ---
static void want_zerocopy(int fd) {
  if (try_set(fd, SOL_SOCKET, ZEROCOPY, 1) != 0 && errno == ENOPROTOOPT) SKIP("no SO_ZEROCOPY here");
  EXPECT_EQ(get(fd, SOL_SOCKET, ZEROCOPY), 1);
}
static void expect_completion(int fd, enum way way, uint32_t first, uint32_t last) {
  struct message m;
  wait_for(fd, POLLERR);
  EXPECT_EQ(receive_message(fd, &m, MSG_ERRQUEUE), 0);
  EXPECT_EQ(m.header.msg_flags & MSG_ERRQUEUE, MSG_ERRQUEUE);
  struct cmsghdr* c = way == V4 ? control_of(&m, IPPROTO_IP, IP_RECVERR) : control_of(&m, IPPROTO_IPV6, IPV6_RECVERR);
  EXPECT(c != NULL);
  struct sock_extended_err e;
  memcpy(&e, CMSG_DATA(c), sizeof e);
  EXPECT_EQ(e.ee_errno, 0);
  EXPECT_EQ(e.ee_origin, SO_EE_ORIGIN_ZEROCOPY);
  EXPECT_EQ(e.ee_code, SO_EE_CODE_ZEROCOPY_COPIED);
  EXPECT_EQ(e.ee_info, first);
  EXPECT_EQ(e.ee_data, last);
}
BOTH_KINDS(zerocopy_sends_are_numbered) {
  make_pair_of(way, type);
  want_zerocopy(client);
  for (uint32_t i = 0; i < 3; i++) {
    EXPECT_EQ(send(client, "hello", 5, MSG_ZEROCOPY), 5);
    drain(server, 5);
    expect_completion(client, way, i, i);
  }
  EXPECT_EQ(events_of(client) & POLLERR, 0);
  char byte;
  EXPECT_ERRNO(recv(client, &byte, 1, MSG_ERRQUEUE), EAGAIN);
}
BOTH(neighbours_of_zerocopy_are_told_of_together) {
  make_pair(way);
  want_zerocopy(client);
  for (int i = 0; i < 4; i++) {
    EXPECT_EQ(send(client, "hello", 5, MSG_ZEROCOPY), 5);
    drain(server, 5);
  }
  sleep_ms(50);
  expect_completion(client, way, 0, 3);
}
BOTH_KINDS(zerocopy_without_the_option_tells_nothing) {
  make_pair_of(way, type);
  EXPECT_EQ(send(client, "hello", 5, MSG_ZEROCOPY), 5);
  drain(server, 5);
  EXPECT_EQ(events_of(client) & POLLERR, 0);
  EXPECT_EQ(try_set(client, SOL_SOCKET, ZEROCOPY, 2), -1);
  EXPECT(errno == EINVAL || errno == ENOPROTOOPT);
}

// --- bad buffers ---
EACH(bytes_behind_the_end_of_a_buffer_stay) {
  char room[16] = {0};
  make_pair(way);
  char* two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(two != MAP_FAILED);
  OK(munmap(two + 4096, 4096));
  OK(send(client, "abcdefgh", 8, 0));
  wait_for(server, POLLIN);
  struct iovec parts[2] = {{room, 3}, {two + 4096, 5}};
  ssize_t n = readv(server, parts, 2);
  EXPECT(n == 3 || (n == -1 && errno == EFAULT));
  size_t left = n == 3 ? 5 : 8;
  EXPECT_EQ(recv(server, room, sizeof room, MSG_DONTWAIT), left);
  EXPECT(memcmp(room, &"abcdefgh"[8 - left], left) == 0);
}
EACH(bytes_for_read_only_memory_are_not_lost) {
  char room[4];
  make_pair(way);
  char* page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  OK(send(server, "abc", 3, 0));
  wait_for(client, POLLIN);
  EXPECT_ERRNO(read(client, page, 10), EFAULT);
  EXPECT_EQ(recv(client, room, 3, MSG_DONTWAIT), 3);
}

// --- fast open, as peers without a cookie see it; headers of a SYN ---
EACH(fastopen_of_a_connected_socket_is_EISCONN) {
  make_pair(way);
  struct name n = loopback(way, port_of(lister));
  EXPECT_ERRNO(sendto(client, "x", 1, MSG_FASTOPEN, SA(n), n.length), EISCONN);
}
EACH(fastopen_options_belong_to_closed_sockets) {
  make_pair(way);
  EXPECT_EQ(try_set(client, IPPROTO_TCP, TCP_FASTOPEN, 5), -1);
  EXPECT(errno == EINVAL);
  EXPECT_EQ(try_set(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1), -1);
  EXPECT(errno == EINVAL);
  EXPECT_EQ(try_set(client, IPPROTO_TCP, NO_COOKIE, 1), -1);
  EXPECT(errno == EINVAL);
}
EACH(fastopen_to_nobody_is_ECONNREFUSED) {
  int fd = new_socket(way, SOCK_STREAM);
  struct name n = loopback(way, unused_port(way, SOCK_STREAM));
  EXPECT_ERRNO(sendto(fd, "x", 1, MSG_FASTOPEN, SA(n), n.length), ECONNREFUSED);
}
CASE(saved_syn_of_ipv6_has_its_header) {
  unsigned char syn[200];
  socklen_t length = 10;
  lister = bound(V6, SOCK_STREAM);
  set(lister, IPPROTO_TCP, TCP_SAVE_SYN, 1);
  OK(listen(lister, 4));
  client = connected(V6, SOCK_STREAM, port_of(lister));
  server = (int)OK(accept(lister, NULL, NULL));
  EXPECT_ERRNO(getsockopt(server, IPPROTO_TCP, TCP_SAVED_SYN, syn, &length), EINVAL);
  length = sizeof syn;
  OK(getsockopt(server, IPPROTO_TCP, TCP_SAVED_SYN, syn, &length));
  EXPECT(length >= 60 && length <= 100);
  EXPECT_EQ(syn[0] >> 4, 6);
  EXPECT_EQ(syn[6], IPPROTO_TCP);
  EXPECT_EQ(syn[40] << 8 | syn[41], port_of(client));
  EXPECT_EQ(syn[53] & 2, 2);  // SYN
}
EACH(saved_syn_is_nothing_without_the_option) {
  unsigned char syn[200];
  socklen_t length = sizeof syn;
  make_pair(way);
  OK(getsockopt(server, IPPROTO_TCP, TCP_SAVED_SYN, syn, &length));
  EXPECT_EQ(length, 0);
}

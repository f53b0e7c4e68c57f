// AF_UNIX sockets: stream, datagram and sequenced packets; names, credentials, passing of descriptors.
#define CONFORMANCE_FILES
#include "conformance.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

static int s[2];
static void make_pair(int type) { OK(socketpair(AF_UNIX, type, 0, s)); }
static struct sockaddr_un named(const char* name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, name);
  return address;
}
static int listener(const char* name, int type) {
  struct sockaddr_un address = named(name);
  int fd = (int)OK(socket(AF_UNIX, type, 0));
  OK(bind(fd, (struct sockaddr*)&address, sizeof address));
  if (type != SOCK_DGRAM) OK(listen(fd, 8));
  return fd;
}
static int connected(const char* name, int type) {
  struct sockaddr_un address = named(name);
  int fd = (int)OK(socket(AF_UNIX, type, 0));
  OK(connect(fd, (struct sockaddr*)&address, sizeof address));
  return fd;
}

CASE(pair_carries_bytes_both_ways) {
  char text[8] = {0};
  make_pair(SOCK_STREAM);
  EXPECT_EQ(write(s[0], "ab", 2), 2);
  EXPECT_EQ(read(s[1], text, 8), 2);
  EXPECT_EQ(send(s[1], "cde", 3, 0), 3);
  EXPECT_EQ(recv(s[0], text, 8, 0), 3);
  EXPECT_STR(text, "cde");
}
CASE(stream_has_no_message_borders) {
  char text[8] = {0};
  make_pair(SOCK_STREAM);
  OK(write(s[0], "ab", 2));
  OK(write(s[0], "cd", 2));
  EXPECT_EQ(read(s[1], text, 3), 3);
  EXPECT_STR(text, "abc");
}
CASE(datagrams_keep_their_borders_and_are_cut) {
  char text[8] = {0};
  make_pair(SOCK_DGRAM);
  OK(write(s[0], "abcd", 4));
  OK(write(s[0], "ef", 2));
  EXPECT_EQ(recv(s[1], text, 2, 0), 2);
  EXPECT_EQ(recv(s[1], text, 8, 0), 2);
  EXPECT(memcmp(text, "ef", 2) == 0);
}
CASE(msg_trunc_tells_the_true_length) {
  char text[2];
  make_pair(SOCK_DGRAM);
  OK(write(s[0], "abcd", 4));
  EXPECT_EQ(recv(s[1], text, 2, MSG_TRUNC), 4);
}
CASE(seqpacket_keeps_borders_and_ends) {
  char text[8];
  make_pair(SOCK_SEQPACKET);
  OK(write(s[0], "abc", 3));
  OK(write(s[0], "d", 1));
  EXPECT_EQ(read(s[1], text, 8), 3);
  EXPECT_EQ(read(s[1], text, 8), 1);
  close(s[0]);
  EXPECT_EQ(read(s[1], text, 8), 0);
}
CASE(peek_leaves_the_data) {
  char byte;
  make_pair(SOCK_STREAM);
  OK(write(s[0], "a", 1));
  EXPECT_EQ(recv(s[1], &byte, 1, MSG_PEEK), 1);
  EXPECT_EQ(recv(s[1], &byte, 1, 0), 1);
  EXPECT_ERRNO(recv(s[1], &byte, 1, MSG_DONTWAIT), EAGAIN);
}
CASE(waitall_waits_for_all) {
  char text[8] = {0};
  make_pair(SOCK_STREAM);
  pid_t child = IN_CHILD({
    OK(write(s[0], "ab", 2));
    sleep_ms(10);
    OK(write(s[0], "cd", 2));
  });
  EXPECT_EQ(recv(s[1], text, 4, MSG_WAITALL), 4);
  EXPECT_STR(text, "abcd");
  EXPECT_EXIT(child, 0);
}
CASE(closed_peer_is_end_of_file_and_epipe) {
  char byte;
  make_pair(SOCK_STREAM);
  close(s[1]);
  EXPECT_EQ(read(s[0], &byte, 1), 0);
  EXPECT_ERRNO(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}
CASE(write_to_a_closed_peer_raises_sigpipe) {
  pid_t child = IN_CHILD({
    make_pair(SOCK_STREAM);
    close(s[1]);
    write(s[0], "x", 1);
  });
  EXPECT_KILLED(child, SIGPIPE);
}
CASE(peer_closed_with_unread_data_is_econnreset) {
  char byte;
  make_pair(SOCK_STREAM);
  OK(write(s[0], "x", 1));
  close(s[1]);
  EXPECT_ERRNO(read(s[0], &byte, 1), ECONNRESET);
}
CASE(shutdown_of_writing_is_end_of_file_for_the_peer) {
  char byte;
  make_pair(SOCK_STREAM);
  OK(shutdown(s[0], SHUT_WR));
  EXPECT_EQ(read(s[1], &byte, 1), 0);
  OK(write(s[1], "x", 1));
  EXPECT_EQ(read(s[0], &byte, 1), 1);
  EXPECT_ERRNO(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}
CASE(shutdown_with_an_unknown_way_is_einval) {
  make_pair(SOCK_STREAM);
  EXPECT_ERRNO(shutdown(s[0], 9), EINVAL);
}
CASE(poll_of_a_pair) {
  make_pair(SOCK_STREAM);
  struct pollfd fd = {s[0], POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&fd, 1, 0), 1);
  EXPECT_EQ(fd.revents, POLLOUT);
  OK(write(s[1], "x", 1));
  EXPECT_EQ(poll(&fd, 1, 0), 1);
  EXPECT_EQ(fd.revents, POLLIN | POLLOUT);
  close(s[1]);
  EXPECT_EQ(poll(&fd, 1, 0), 1);
  EXPECT(fd.revents & POLLHUP);
}
CASE(full_nonblocking_socket_is_eagain) {
  static char block[65536];
  ssize_t n;
  make_pair(SOCK_STREAM | SOCK_NONBLOCK);
  int rounds = 0;
  while ((n = write(s[0], block, sizeof block)) > 0 && ++rounds < 1000) {
  }
  EXPECT(n == -1 && errno == EAGAIN);
  struct pollfd fd = {s[0], POLLOUT, 0};
  EXPECT_EQ(poll(&fd, 1, 0), 0);
}
CASE(large_transfer_between_processes) {
  enum { N = 4 << 20 };
  static char block[65536];
  make_pair(SOCK_STREAM);
  pid_t child = IN_CHILD({
    close(s[1]);
    for (size_t sent = 0; sent < N; sent += sizeof block) {
      memset(block, (int)(sent / sizeof block), sizeof block);
      EXPECT_EQ(write(s[0], block, sizeof block), sizeof block);
    }
  });
  close(s[0]);
  size_t have = 0;
  for (;;) {
    ssize_t got = read(s[1], block, sizeof block);
    if (got == 0) break;
    EXPECT(got > 0);
    for (ssize_t i = 0; i < got; i += 4096) EXPECT_EQ((unsigned char)block[i], (have + (size_t)i) / sizeof block % 256);
    have += (size_t)got;
  }
  EXPECT_EQ(have, N);
  EXPECT_EXIT(child, 0);
}

CASE(listen_connect_accept) {
  char byte;
  int server = listener("socket", SOCK_STREAM);
  int client = connected("socket", SOCK_STREAM);
  int peer = (int)OK(accept(server, NULL, NULL));
  OK(write(client, "x", 1));
  EXPECT_EQ(read(peer, &byte, 1), 1);
  struct stat st;
  OK(stat("socket", &st));
  EXPECT(S_ISSOCK(st.st_mode));
}
CASE(accept_waits_for_a_client) {
  int server = listener("socket", SOCK_STREAM);
  pid_t child = IN_CHILD({
    sleep_ms(10);
    connected("socket", SOCK_STREAM);
  });
  OK(accept4(server, NULL, NULL, SOCK_CLOEXEC));
  EXPECT_EXIT(child, 0);
}
CASE(nonblocking_accept_without_a_client_is_eagain) {
  int server = listener("socket", SOCK_STREAM | SOCK_NONBLOCK);
  EXPECT_ERRNO(accept(server, NULL, NULL), EAGAIN);
}
CASE(listener_polls_readable_when_a_client_waits) {
  int server = listener("socket", SOCK_STREAM);
  struct pollfd fd = {server, POLLIN, 0};
  EXPECT_EQ(poll(&fd, 1, 0), 0);
  connected("socket", SOCK_STREAM);
  EXPECT_EQ(poll(&fd, 1, 0), 1);
}
CASE(connect_errors) {
  struct sockaddr_un missing = named("missing"), plain = named("plain"), dead = named("dead");
  int fd = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&missing, sizeof missing), ENOENT);
  write_file("plain", "");
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&plain, sizeof plain), ECONNREFUSED);
  close(listener("dead", SOCK_STREAM));
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&dead, sizeof dead), ECONNREFUSED);
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&dead, 1), EINVAL);
}
CASE(connect_of_another_type_is_eprototype) {
  listener("socket", SOCK_DGRAM);
  struct sockaddr_un address = named("socket");
  int fd = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&address, sizeof address), EPROTOTYPE);
}
CASE(connect_of_a_connected_socket_is_eisconn) {
  listener("socket", SOCK_STREAM);
  struct sockaddr_un address = named("socket");
  int fd = connected("socket", SOCK_STREAM);
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&address, sizeof address), EISCONN);
}
CASE(bind_of_a_taken_name_is_eaddrinuse) {
  listener("socket", SOCK_STREAM);
  struct sockaddr_un address = named("socket");
  int fd = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&address, sizeof address), EADDRINUSE);
}
CASE(bind_twice_is_einval) {
  struct sockaddr_un address = named("other");
  int fd = listener("socket", SOCK_STREAM);
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&address, sizeof address), EINVAL);
}
CASE(abstract_names_work_and_are_freed) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, "\0conformance-test", 17);
  socklen_t length = offsetof(struct sockaddr_un, sun_path) + 17;
  int server = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0)), client = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(bind(server, (struct sockaddr*)&address, length));
  OK(listen(server, 1));
  OK(connect(client, (struct sockaddr*)&address, length));
  close(server);
  int again = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(bind(again, (struct sockaddr*)&address, length));
}
CASE(getsockname_and_getpeername) {
  struct sockaddr_un name;
  socklen_t length = sizeof name;
  int server = listener("socket", SOCK_STREAM), client = connected("socket", SOCK_STREAM);
  memset(&name, 0, sizeof name);
  OK(getsockname(server, (struct sockaddr*)&name, &length));
  EXPECT_STR(name.sun_path, "socket");
  EXPECT_EQ(length, offsetof(struct sockaddr_un, sun_path) + 7);
  length = sizeof name;
  OK(getpeername(client, (struct sockaddr*)&name, &length));
  EXPECT_STR(name.sun_path, "socket");
  length = sizeof name;
  OK(getsockname(client, (struct sockaddr*)&name, &length));
  EXPECT_EQ(length, sizeof(sa_family_t));
  int lone = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(getpeername(lone, (struct sockaddr*)&name, &length), ENOTCONN);
}
CASE(datagram_to_a_name_tells_the_sender) {
  char text[8] = {0};
  struct sockaddr_un to = named("receiver"), from;
  socklen_t length = sizeof from;
  int receiver = listener("receiver", SOCK_DGRAM), sender = listener("sender", SOCK_DGRAM);
  memset(&from, 0, sizeof from);
  EXPECT_EQ(sendto(sender, "hi", 2, 0, (struct sockaddr*)&to, sizeof to), 2);
  EXPECT_EQ(recvfrom(receiver, text, 8, 0, (struct sockaddr*)&from, &length), 2);
  EXPECT_STR(from.sun_path, "sender");
}
CASE(send_without_a_connection_is_enotconn) {
  int fd = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), ENOTCONN);
}

static ssize_t send_fd(int socket_fd, int fd) {
  char byte = 'f';
  struct iovec data = {&byte, 1};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof(int));
  return sendmsg(socket_fd, &message, 0);
}
static int receive_fd(int socket_fd, int flags) {
  char byte;
  int fd = -1;
  struct iovec data = {&byte, 1};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  EXPECT_EQ(recvmsg(socket_fd, &message, flags), 1);
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(header), sizeof(int));
  return fd;
}

CASE(descriptors_are_passed) {
  int p[2];
  char byte;
  make_pair(SOCK_STREAM);
  OK(pipe(p));
  EXPECT_EQ(send_fd(s[0], p[0]), 1);
  close(p[0]);
  int fd = receive_fd(s[1], MSG_CMSG_CLOEXEC);
  EXPECT(fd >= 0);
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  OK(write(p[1], "x", 1));
  EXPECT_EQ(read(fd, &byte, 1), 1);
}
CASE(passed_descriptor_is_dropped_without_room_for_it) {
  int p[2];
  char byte;
  make_pair(SOCK_STREAM);
  OK(pipe(p));
  EXPECT_EQ(send_fd(s[0], p[0]), 1);
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  EXPECT_EQ(recvmsg(s[1], &message, 0), 1);
  EXPECT(message.msg_flags & MSG_CTRUNC);
}
CASE(passing_a_bad_descriptor_is_ebadf) {
  make_pair(SOCK_STREAM);
  EXPECT_ERRNO(send_fd(s[0], 999), EBADF);
}
CASE(descriptor_in_flight_keeps_its_pipe_open) {
  int p[2];
  char byte;
  make_pair(SOCK_STREAM);
  OK(pipe(p));
  EXPECT_EQ(send_fd(s[0], p[1]), 1);
  close(p[1]);
  OK(fcntl(p[0], F_SETFL, O_NONBLOCK));
  EXPECT_ERRNO(read(p[0], &byte, 1), EAGAIN);
  close(s[0]);
  close(s[1]);
  EXPECT_EQ(read(p[0], &byte, 1), 0);
}
CASE(peer_credentials_of_a_pair) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  make_pair(SOCK_STREAM);
  OK(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
  EXPECT_EQ(peer.pid, getpid());
  EXPECT_EQ(peer.uid, geteuid());
  EXPECT_EQ(peer.gid, getegid());
}
CASE(credentials_come_with_messages_on_request) {
  int on = 1;
  char byte;
  struct iovec data = {&byte, 1};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(struct ucred))];
  } control;
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct ucred who = {0};
  make_pair(SOCK_DGRAM);
  OK(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  OK(write(s[0], "x", 1));
  EXPECT_EQ(recvmsg(s[1], &message, 0), 1);
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  EXPECT(header && header->cmsg_type == SCM_CREDENTIALS);
  memcpy(&who, CMSG_DATA(header), sizeof who);
  EXPECT_EQ(who.pid, getpid());
}
CASE(socket_options_type_domain_error) {
  int value;
  socklen_t length = sizeof value;
  make_pair(SOCK_SEQPACKET);
  OK(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &value, &length));
  EXPECT_EQ(value, SOCK_SEQPACKET);
  OK(getsockopt(s[0], SOL_SOCKET, SO_DOMAIN, &value, &length));
  EXPECT_EQ(value, AF_UNIX);
  OK(getsockopt(s[0], SOL_SOCKET, SO_ERROR, &value, &length));
  EXPECT_EQ(value, 0);
  EXPECT_ERRNO(getsockopt(s[0], SOL_SOCKET, 9999, &value, &length), ENOPROTOOPT);
}
CASE(receive_timeout_is_eagain) {
  struct timeval t = {0, 10000};
  char byte;
  make_pair(SOCK_STREAM);
  OK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
  EXPECT_ERRNO(read(s[0], &byte, 1), EAGAIN);
}
CASE(socket_errors) {
  EXPECT_ERRNO(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
  EXPECT_ERRNO(socket(AF_UNIX, 77, 0), EINVAL);
  EXPECT_ERRNO(socket(AF_UNIX, SOCK_STREAM, 5), EPROTONOSUPPORT);
  EXPECT_ERRNO(bind(0, NULL, 0), ENOTSOCK);
  EXPECT_ERRNO(listen(999, 1), EBADF);
}
CASE(socket_flags) {
  int fd = (int)OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}
CASE(fionread_of_a_socket) {
  int n;
  make_pair(SOCK_STREAM);
  OK(write(s[0], "abc", 3));
  OK(ioctl(s[1], FIONREAD, &n));
  EXPECT_EQ(n, 3);
}
CASE(open_of_a_socket_file_is_enxio) {
  listener("socket", SOCK_STREAM);
  EXPECT_ERRNO(open("socket", O_RDWR), ENXIO);
}
CASE(sendmmsg_and_recvmmsg) {
  char a = 'a', b = 'b', in[2];
  struct iovec out_data[2] = {{&a, 1}, {&b, 1}}, in_data[2] = {{&in[0], 1}, {&in[1], 1}};
  struct mmsghdr out[2] = {{.msg_hdr = {.msg_iov = &out_data[0], .msg_iovlen = 1}},
                           {.msg_hdr = {.msg_iov = &out_data[1], .msg_iovlen = 1}}};
  struct mmsghdr got[2] = {{.msg_hdr = {.msg_iov = &in_data[0], .msg_iovlen = 1}},
                           {.msg_hdr = {.msg_iov = &in_data[1], .msg_iovlen = 1}}};
  make_pair(SOCK_DGRAM);
  EXPECT_EQ(sendmmsg(s[0], out, 2, 0), 2);
  EXPECT_EQ(recvmmsg(s[1], got, 2, 0, NULL), 2);
  EXPECT_EQ(in[1], 'b');
  EXPECT_EQ(got[0].msg_len, 1);
}
CASE(blocked_reader_is_woken_by_shutdown) {
  char byte;
  make_pair(SOCK_STREAM);
  pid_t child = IN_CHILD({
    sleep_ms(10);
    OK(shutdown(s[0], SHUT_RDWR));
  });
  EXPECT_EQ(read(s[0], &byte, 1), 0);
  EXPECT_EXIT(child, 0);
}
CASE(lseek_is_espipe) {
  make_pair(SOCK_STREAM);
  EXPECT_ERRNO(lseek(s[0], 0, SEEK_SET), ESPIPE);
}

static bool hangs_up(int fd) {
  struct pollfd look = {fd, POLLIN, 0};
  return poll(&look, 1, 10) == 1 && (look.revents & POLLHUP);
}
CASE(socket_that_only_its_own_queue_holds_is_collected) {
  int p[2];
  bool collected = false;
  make_pair(SOCK_STREAM);
  OK(pipe(p));
  EXPECT_EQ(send_fd(s[0], s[1]), 1);
  EXPECT_EQ(send_fd(s[0], p[1]), 1);
  close(p[1]);
  close(s[0]);
  close(s[1]);
  // Collecting is done on the occasion of another socket's end.
  for (int i = 0; i < 200 && !collected; i++) {
    make_pair(SOCK_STREAM);
    close(s[0]);
    close(s[1]);
    collected = hangs_up(p[0]);
  }
  EXPECT(collected);
}
CASE(socket_in_flight_that_can_be_reached_is_not_collected) {
  int inner[2];
  char byte;
  make_pair(SOCK_STREAM);
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, inner));
  EXPECT_EQ(send_fd(inner[0], inner[1]), 1);  // in its own queue, and
  EXPECT_EQ(send_fd(s[0], inner[1]), 1);      // in one that is open
  close(inner[1]);
  for (int i = 0; i < 20; i++) {
    int other[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, other));
    close(other[0]);
    close(other[1]);
  }
  EXPECT_EQ(write(inner[0], "x", 1), 1);
  int fd = receive_fd(s[1], 0);
  EXPECT(fd >= 0);
  EXPECT(receive_fd(fd, 0) >= 0);
  EXPECT_EQ(read(fd, &byte, 1), 1);
}
CASE(long_chain_of_sockets_in_sockets_ends) {
  int last = -1;
  for (int i = 0; i < 5000; i++) {
    make_pair(SOCK_DGRAM);
    if (last >= 0) {
      EXPECT_EQ(send_fd(s[0], last), 1);
      close(last);
    }
    close(s[0]);
    last = s[1];
  }
  close(last);
  make_pair(SOCK_STREAM);
  EXPECT_EQ(write(s[0], "x", 1), 1);
}
CASE(more_than_253_descriptors_are_einval) {
  enum { MANY = 254 };
  char byte = 'm';
  struct iovec data = {&byte, 1};
  static union {
    struct cmsghdr header;
    char space[CMSG_SPACE(MANY * sizeof(int))];
  } control;
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  make_pair(SOCK_STREAM);
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(MANY * sizeof(int));
  for (int i = 0; i < MANY; i++) memcpy(CMSG_DATA(header) + (size_t)i * sizeof(int), &s[0], sizeof(int));
  EXPECT_ERRNO(sendmsg(s[0], &message, 0), EINVAL);
  header->cmsg_len = CMSG_LEN((MANY - 1) * sizeof(int));
  message.msg_controllen = CMSG_SPACE((MANY - 1) * sizeof(int));
  EXPECT_EQ(sendmsg(s[0], &message, 0), 1);
}
CASE(wrong_ancillary_data_is_einval) {
  char byte = 'w';
  struct iovec data = {&byte, 1};
  struct cmsghdr header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &header, .msg_controllen = sizeof header};
  make_pair(SOCK_STREAM);
  header.cmsg_len = sizeof header - 1;
  EXPECT_ERRNO(sendmsg(s[0], &message, 0), EINVAL);
  header.cmsg_len = sizeof header + 100;
  EXPECT_ERRNO(sendmsg(s[0], &message, 0), EINVAL);
  header.cmsg_len = ~(size_t)0;
  EXPECT_ERRNO(sendmsg(s[0], &message, 0), EINVAL);
  header.cmsg_len = sizeof header;
  header.cmsg_type = 77;
  EXPECT_ERRNO(sendmsg(s[0], &message, 0), EINVAL);
}
CASE(full_backlog_makes_nonblocking_connect_eagain) {
  struct sockaddr_un address = named("busy");
  int fd = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(bind(fd, (struct sockaddr*)&address, sizeof address));
  OK(listen(fd, 1));
  connected("busy", SOCK_STREAM);
  connected("busy", SOCK_STREAM);
  int third = (int)OK(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
  EXPECT_ERRNO(connect(third, (struct sockaddr*)&address, sizeof address), EAGAIN);
  OK(accept(fd, NULL, NULL));
  OK(connect(third, (struct sockaddr*)&address, sizeof address));
}
CASE(closing_a_listener_resets_who_was_not_accepted) {
  char byte;
  int fd = listener("gone", SOCK_STREAM);
  int client = connected("gone", SOCK_STREAM);
  close(fd);
  EXPECT_ERRNO(read(client, &byte, 1), ECONNRESET);
  EXPECT_EQ(read(client, &byte, 1), 0);
}
CASE(full_datagram_queue_blocks_poll_and_send_until_read) {
  char byte;
  int receiver = listener("queue", SOCK_DGRAM);
  int sender = connected("queue", SOCK_DGRAM);
  int sent = 0;
  while (send(sender, "x", 1, MSG_DONTWAIT) == 1) sent++;
  EXPECT(errno == EAGAIN);
  EXPECT(sent >= 5 && sent < 1000);
  struct pollfd look = {sender, POLLOUT, 0};
  EXPECT_EQ(poll(&look, 1, 0), 0);
  pid_t child = IN_CHILD({
    sleep_ms(20);
    EXPECT_EQ(recv(receiver, &byte, 1, 0), 1);
  });
  EXPECT_EQ(poll(&look, 1, 5000), 1);
  EXPECT_EQ(send(sender, "y", 1, MSG_DONTWAIT), 1);
  EXPECT_EXIT(child, 0);
}
CASE(datagram_to_a_closed_peer_is_refused_then_unconnected) {
  make_pair(SOCK_DGRAM);
  close(s[1]);
  EXPECT_ERRNO(send(s[0], "x", 1, 0), ECONNREFUSED);
  EXPECT_ERRNO(send(s[0], "x", 1, 0), ENOTCONN);
}
CASE(binding_to_no_name_chooses_an_abstract_one) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  socklen_t length = sizeof address;
  int fd = (int)OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  OK(bind(fd, (struct sockaddr*)&address, sizeof(sa_family_t)));
  OK(getsockname(fd, (struct sockaddr*)&address, &length));
  EXPECT_EQ(length, sizeof(sa_family_t) + 6);
  EXPECT_EQ(address.sun_path[0], '\0');
}

CASE(stream_bytes_that_cannot_be_stored_stay) {
  int s[2];
  char bytes[100], got[200];
  char* page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(page != MAP_FAILED);
  OK(munmap(page + 4096, 4096));
  for (int i = 0; i < 100; i++) bytes[i] = (char)i;
  OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
  OK(write(s[1], bytes, 50));
  OK(write(s[1], bytes + 50, 50));
  EXPECT_ERRNO(read(s[0], page + 4096, 100), EFAULT);
  EXPECT_ERRNO(read(s[0], page + 4096 - 40, 100), EFAULT);
  EXPECT_EQ(read(s[0], page + 4096 - 60, 100), 50);  // the first message arrives
  EXPECT_EQ(read(s[0], got, 200), 50);
  EXPECT(memcmp(got, bytes + 50, 50) == 0);
}
CASE(a_datagram_that_cannot_be_stored_is_gone) {
  int s[2];
  char bytes[100] = {0};
  char* page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(page != MAP_FAILED);
  OK(munmap(page + 4096, 4096));
  OK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s));
  OK(write(s[1], bytes, sizeof bytes));
  EXPECT_ERRNO(read(s[0], page + 4096 - 40, 100), EFAULT);
  EXPECT_ERRNO(read(s[0], bytes, sizeof bytes), EAGAIN);
}

// What the programs about AF_INET and AF_INET6 share: sockets on the loopback, for each of the ways to speak there.
#pragma once

#include "conformance.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

// DUAL: a socket of AF_INET6 that speaks IPv4 (ipv6(7), IPv4-mapped addresses).
enum way { V4, V6, DUAL };

#define EACH(name)                       \
  static void name##_by(enum way way);   \
  CASE(name##_v4) { name##_by(V4); }     \
  CASE(name##_v6) { name##_by(V6); }     \
  CASE(name##_dual) { name##_by(DUAL); } \
  static void name##_by(enum way way)
#define BOTH(name)                     \
  static void name##_by(enum way way); \
  CASE(name##_v4) { name##_by(V4); }   \
  CASE(name##_v6) { name##_by(V6); }   \
  static void name##_by(enum way way)
// For streams and datagrams, by each way.
#define EACH_KIND(name)                                   \
  static void name##_by(enum way way, int type);          \
  CASE(name##_tcp_v4) { name##_by(V4, SOCK_STREAM); }     \
  CASE(name##_tcp_v6) { name##_by(V6, SOCK_STREAM); }     \
  CASE(name##_tcp_dual) { name##_by(DUAL, SOCK_STREAM); } \
  CASE(name##_udp_v4) { name##_by(V4, SOCK_DGRAM); }      \
  CASE(name##_udp_v6) { name##_by(V6, SOCK_DGRAM); }      \
  CASE(name##_udp_dual) { name##_by(DUAL, SOCK_DGRAM); }  \
  static void name##_by(enum way way, int type)
#define BOTH_KINDS(name)                              \
  static void name##_by(enum way way, int type);      \
  CASE(name##_tcp_v4) { name##_by(V4, SOCK_STREAM); } \
  CASE(name##_tcp_v6) { name##_by(V6, SOCK_STREAM); } \
  CASE(name##_udp_v4) { name##_by(V4, SOCK_DGRAM); }  \
  CASE(name##_udp_v6) { name##_by(V6, SOCK_DGRAM); }  \
  static void name##_by(enum way way, int type)

#define UNUSED __attribute__((unused))

struct name {
  struct sockaddr_storage at;
  socklen_t length;
};
#define SA(n) ((struct sockaddr*)&(n).at)

UNUSED static int domain_of(enum way way) { return way == V4 ? AF_INET : AF_INET6; }

UNUSED static struct name name_v4(uint32_t address, int port) {
  struct name n = {.length = sizeof(struct sockaddr_in)};
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(address)};
  memcpy(&n.at, &in, sizeof in);
  return n;
}
UNUSED static struct name name_v6(struct in6_addr address, int port) {
  struct name n = {.length = sizeof(struct sockaddr_in6)};
  struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = address};
  memcpy(&n.at, &in, sizeof in);
  return n;
}
UNUSED static struct in6_addr mapped(uint32_t address) {
  struct in6_addr a = {{{0}}};
  a.s6_addr[10] = a.s6_addr[11] = 0xff;
  for (int i = 0; i < 4; i++) a.s6_addr[12 + i] = (uint8_t)(address >> (24 - 8 * i));
  return a;
}
UNUSED static struct name loopback(enum way way, int port) {
  if (way == V4) return name_v4(INADDR_LOOPBACK, port);
  return name_v6(way == V6 ? in6addr_loopback : mapped(INADDR_LOOPBACK), port);
}
// Another address of this host's: of IPv6 there is one only.
UNUSED static struct name other_loopback(enum way way, int port) {
  if (way == V4) return name_v4(0x7f000002, port);
  return name_v6(way == V6 ? in6addr_loopback : mapped(0x7f000002), port);
}
UNUSED static struct name any(enum way way, int port) {
  return way == V4 ? name_v4(INADDR_ANY, port) : name_v6(in6addr_any, port);
}
UNUSED static int port_in(struct name const* n) {
  struct sockaddr_in in;  // the same place in both
  memcpy(&in, &n->at, sizeof in);
  return ntohs(in.sin_port);
}
UNUSED static struct name own_name(int fd) {
  struct name n = {.length = sizeof n.at};
  OK(getsockname(fd, SA(n), &n.length));
  return n;
}
UNUSED static struct name peer_name(int fd) {
  struct name n = {.length = sizeof n.at};
  OK(getpeername(fd, SA(n), &n.length));
  return n;
}
UNUSED static bool same_name(struct name a, struct name b) {
  if (a.length != b.length || a.at.ss_family != b.at.ss_family || port_in(&a) != port_in(&b)) return false;
  if (a.at.ss_family == AF_INET) return memcmp(&a.at, &b.at, 8) == 0;
  struct sockaddr_in6 x, y;
  memcpy(&x, &a.at, sizeof x);
  memcpy(&y, &b.at, sizeof y);
  return memcmp(&x.sin6_addr, &y.sin6_addr, 16) == 0 && x.sin6_scope_id == y.sin6_scope_id;
}
UNUSED static int port_of(int fd) {
  struct name n = own_name(fd);
  return port_in(&n);
}

UNUSED static int get(int fd, int level, int option) {
  int value = -1;
  socklen_t length = sizeof value;
  OK(getsockopt(fd, level, option, &value, &length));
  return value;
}
UNUSED static void set(int fd, int level, int option, int value) {
  OK(setsockopt(fd, level, option, &value, sizeof value));
}
UNUSED static int try_set(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value);
}

UNUSED static int new_socket(enum way way, int type) { return (int)OK(socket(domain_of(way), type, 0)); }
UNUSED static int try_bind(int fd, struct name n) { return bind(fd, SA(n), n.length); }
UNUSED static int try_connect(int fd, struct name n) { return connect(fd, SA(n), n.length); }
// Bound to a free port of the loopback.
UNUSED static int bound(enum way way, int type) {
  int fd = new_socket(way, type);
  OK(try_bind(fd, loopback(way, 0)));
  return fd;
}
UNUSED static int listening(enum way way) {
  int fd = bound(way, SOCK_STREAM);
  OK(listen(fd, 16));
  return fd;
}
UNUSED static int connected(enum way way, int type, int port) {
  int fd = new_socket(way, type);
  OK(try_connect(fd, loopback(way, port)));
  return fd;
}

static int client UNUSED, server UNUSED, lister UNUSED;
// A connection, or two datagram sockets that are connected to each other.
UNUSED static void make_pair_of(enum way way, int type) {
  if (type == SOCK_STREAM) {
    lister = listening(way);
    client = connected(way, SOCK_STREAM, port_of(lister));
    server = (int)OK(accept(lister, NULL, NULL));
    return;
  }
  server = bound(way, SOCK_DGRAM);
  client = connected(way, SOCK_DGRAM, port_of(server));
  OK(try_connect(server, loopback(way, port_of(client))));
}
UNUSED static void make_pair(enum way way) { make_pair_of(way, SOCK_STREAM); }
// A port that nobody listens at.
UNUSED static int unused_port(enum way way, int type) {
  int fd = bound(way, type), port = port_of(fd);
  close(fd);
  return port;
}

UNUSED static void nonblocking(int fd) { OK(fcntl(fd, F_SETFL, OK(fcntl(fd, F_GETFL)) | O_NONBLOCK)); }
UNUSED static int events_of(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
  OK(poll(&p, 1, 0));
  return p.revents;
}
UNUSED static void wait_for(int fd, int events) {
  struct pollfd p = {.fd = fd, .events = (short)events};
  EXPECT_EQ(poll(&p, 1, 5000), 1);
}
UNUSED static int wait_events(int fd, int events) {
  struct pollfd p = {.fd = fd, .events = (short)events};
  EXPECT_EQ(poll(&p, 1, 5000), 1);
  return p.revents;
}
// Sends what a stream's buffers take, and gives how much that was.
UNUSED static size_t fill(int fd) {
  static char block[65536];
  size_t whole = 0;
  ssize_t n;
  while ((n = send(fd, block, sizeof block, MSG_DONTWAIT)) > 0) whole += (size_t)n;
  EXPECT(errno == EAGAIN);
  return whole;
}
UNUSED static void drain(int fd, size_t n) {
  static char block[65536];
  while (n > 0) {
    ssize_t got = OK(recv(fd, block, n < sizeof block ? n : sizeof block, 0));
    EXPECT(got > 0);
    n -= (size_t)got;
  }
}

// --- ancillary data ---
struct message {
  struct msghdr header;
  struct iovec part;
  struct name from;
  union {
    char bytes[1024];
    struct cmsghdr align;
  } control;
  char data[2048];
};
UNUSED static ssize_t receive_message(int fd, struct message* m, int flags) {
  memset(m, 0, sizeof *m);
  m->part = (struct iovec){m->data, sizeof m->data};
  m->header = (struct msghdr){.msg_name = &m->from.at,
                              .msg_namelen = sizeof m->from.at,
                              .msg_iov = &m->part,
                              .msg_iovlen = 1,
                              .msg_control = m->control.bytes,
                              .msg_controllen = sizeof m->control.bytes};
  ssize_t n = recvmsg(fd, &m->header, flags);
  m->from.length = m->header.msg_namelen;
  return n;
}
UNUSED static struct cmsghdr* control_of(struct message* m, int level, int type) {
  for (struct cmsghdr* c = CMSG_FIRSTHDR(&m->header); c; c = CMSG_NXTHDR(&m->header, c))
    if (c->cmsg_level == level && c->cmsg_type == type) return c;
  return NULL;
}
UNUSED static int control_int(struct message* m, int level, int type) {
  struct cmsghdr* c = control_of(m, level, type);
  EXPECT(c != NULL);
  int value = 0;
  if (c->cmsg_len == CMSG_LEN(1)) return *CMSG_DATA(c);
  EXPECT_EQ(c->cmsg_len, CMSG_LEN(sizeof value));
  memcpy(&value, CMSG_DATA(c), sizeof value);
  return value;
}
// Sends `text` with one piece of ancillary data; `to` may be null.
UNUSED static ssize_t send_with(int fd, struct name const* to, const char* text, size_t size, int level, int type,
                                const void* value, size_t length) {
  union {
    char bytes[512];
    struct cmsghdr align;
  } control = {{0}};
  struct iovec part = {(char*)text, size};
  struct msghdr h = {.msg_iov = &part,
                     .msg_iovlen = 1,
                     .msg_control = control.bytes,
                     .msg_controllen = CMSG_SPACE(length),
                     .msg_name = to ? (void*)&to->at : NULL,
                     .msg_namelen = to ? to->length : 0};
  struct cmsghdr* c = CMSG_FIRSTHDR(&h);
  c->cmsg_level = level;
  c->cmsg_type = type;
  c->cmsg_len = CMSG_LEN(length);
  memcpy(CMSG_DATA(c), value, length);
  return sendmsg(fd, &h, 0);
}

// UDP sockets over the loopback, for IPv4 and IPv6.
#include "conformance.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

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
static int bound(int family) {
  int fd = (int)OK(socket(family, SOCK_DGRAM, 0));
  struct sockaddr_storage a = loopback(family, 0);
  OK(bind(fd, (struct sockaddr*)&a, length_of(family)));
  return fd;
}
static void send_to(int fd, int family, int port, const char* text) {
  struct sockaddr_storage a = loopback(family, port);
  EXPECT_EQ(sendto(fd, text, strlen(text), 0, (struct sockaddr*)&a, length_of(family)), (long)strlen(text));
}
static void join(int fd, int family, int port) {
  struct sockaddr_storage a = loopback(family, port);
  OK(connect(fd, (struct sockaddr*)&a, length_of(family)));
}
static void set(int fd, int level, int name, int value) { OK(setsockopt(fd, level, name, &value, sizeof value)); }

#define BOTH(name)                         \
  static void name##_on(int family);       \
  CASE(name##_v4) { name##_on(AF_INET); }  \
  CASE(name##_v6) { name##_on(AF_INET6); } \
  static void name##_on(int family)

BOTH(a_datagram_arrives_with_its_source) {
  int a = bound(family), b = bound(family);
  send_to(a, family, port_of(b), "hello");
  struct sockaddr_storage from = {0}, own = {0};
  socklen_t length = sizeof from, own_length = sizeof own;
  char text[16] = {0};
  EXPECT_EQ(recvfrom(b, text, 16, 0, (struct sockaddr*)&from, &length), 5);
  EXPECT_STR(text, "hello");
  OK(getsockname(a, (struct sockaddr*)&own, &own_length));
  EXPECT_EQ(length, own_length);
  EXPECT(memcmp(&from, &own, length) == 0);
}
BOTH(borders_are_kept_and_long_ones_cut) {
  int a = bound(family), b = bound(family);
  send_to(a, family, port_of(b), "abcdef");
  send_to(a, family, port_of(b), "gh");
  char text[8] = {0};
  EXPECT_EQ(recv(b, text, 3, 0), 3);
  EXPECT_EQ(recv(b, text, 8, 0), 2);
  EXPECT(memcmp(text, "gh", 2) == 0);
}
BOTH(msg_trunc_tells_the_true_length) {
  int a = bound(family), b = bound(family);
  send_to(a, family, port_of(b), "abcdef");
  char text[3];
  struct iovec v = {text, 3};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
  EXPECT_EQ(recvmsg(b, &m, MSG_PEEK), 3);
  EXPECT(m.msg_flags & MSG_TRUNC);
  EXPECT_EQ(recv(b, text, 3, MSG_TRUNC), 6);
}
BOTH(empty_datagrams_are_datagrams) {
  int a = bound(family), b = bound(family);
  send_to(a, family, port_of(b), "");
  char c;
  EXPECT_EQ(recv(b, &c, 1, 0), 0);
  EXPECT_ERRNO(recv(b, &c, 1, MSG_DONTWAIT), EAGAIN);
}
BOTH(send_without_address_is_edestaddrreq) {
  int a = bound(family);
  EXPECT_ERRNO(send(a, "x", 1, 0), EDESTADDRREQ);
}
BOTH(sending_takes_a_port) {
  int a = (int)OK(socket(family, SOCK_DGRAM, 0)), b = bound(family);
  EXPECT_EQ(port_of(a), 0);
  send_to(a, family, port_of(b), "x");
  EXPECT(port_of(a) != 0);
}
BOTH(connect_chooses_an_address) {
  int a = (int)OK(socket(family, SOCK_DGRAM, 0)), b = bound(family);
  join(a, family, port_of(b));
  struct sockaddr_storage own = {0}, want = loopback(family, port_of(a));
  socklen_t length = sizeof own;
  OK(getsockname(a, (struct sockaddr*)&own, &length));
  EXPECT(memcmp(&own, &want, length) == 0);
  EXPECT_EQ(send(a, "x", 1, 0), 1);
  char c;
  EXPECT_EQ(recv(b, &c, 1, 0), 1);
}
BOTH(connected_takes_from_its_peer_only) {
  int a = bound(family), b = bound(family), c = bound(family);
  join(a, family, port_of(b));
  send_to(c, family, port_of(a), "other");
  send_to(b, family, port_of(a), "peer");
  char text[8] = {0};
  EXPECT_EQ(recv(a, text, 8, 0), 4);
  EXPECT_STR(text, "peer");
  EXPECT_ERRNO(recv(a, text, 8, MSG_DONTWAIT), EAGAIN);
}
BOTH(disconnect_by_af_unspec) {
  int a = bound(family), b = bound(family);
  join(a, family, port_of(b));
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  OK(connect(a, &none, sizeof none));
  EXPECT_ERRNO(send(a, "x", 1, 0), EDESTADDRREQ);
}
BOTH(nobody_there_is_econnrefused_on_a_connected_socket) {
  int a = bound(family), b = bound(family);
  int port = port_of(b);
  close(b);
  join(a, family, port);
  EXPECT_EQ(send(a, "x", 1, 0), 1);
  struct pollfd p = {.fd = a, .events = POLLIN};
  EXPECT_EQ(poll(&p, 1, 5000), 1);
  char c;
  EXPECT_ERRNO(recv(a, &c, 1, 0), ECONNREFUSED);
  EXPECT_ERRNO(recv(a, &c, 1, MSG_DONTWAIT), EAGAIN);
}
BOTH(poll_says_out_always_and_in_when_something_came) {
  int a = bound(family), b = bound(family);
  struct pollfd p = {.fd = b, .events = POLLIN | POLLOUT};
  OK(poll(&p, 1, 0));
  EXPECT_EQ(p.revents, POLLOUT);
  send_to(a, family, port_of(b), "x");
  p.events = POLLIN;
  EXPECT_EQ(poll(&p, 1, 5000), 1);
}
BOTH(fionread_is_the_first_datagram) {
  int a = bound(family), b = bound(family), n = -1;
  OK(ioctl(b, FIONREAD, &n));
  EXPECT_EQ(n, 0);
  send_to(a, family, port_of(b), "abc");
  send_to(a, family, port_of(b), "defgh");
  OK(ioctl(b, FIONREAD, &n));
  EXPECT_EQ(n, 3);
}
BOTH(large_datagrams_arrive_whole) {
  static char out[60000], in[65536];
  for (size_t i = 0; i < sizeof out; ++i) out[i] = (char)(i * 7);
  int a = bound(family), b = bound(family);
  struct sockaddr_storage to = loopback(family, port_of(b));
  EXPECT_EQ(sendto(a, out, sizeof out, 0, (struct sockaddr*)&to, length_of(family)), (long)sizeof out);
  EXPECT_EQ(recv(b, in, sizeof in, 0), (long)sizeof out);
  EXPECT(memcmp(out, in, sizeof out) == 0);
}
BOTH(too_large_is_emsgsize) {
  static char out[70000];
  int a = bound(family), b = bound(family);
  struct sockaddr_storage to = loopback(family, port_of(b));
  EXPECT_ERRNO(sendto(a, out, sizeof out, 0, (struct sockaddr*)&to, length_of(family)), EMSGSIZE);
}
BOTH(a_full_queue_drops) {
  static char out[1000];
  int a = bound(family), b = bound(family), got = 0;
  set(b, SOL_SOCKET, SO_RCVBUF, 10000);
  struct sockaddr_storage to = loopback(family, port_of(b));
  for (int i = 0; i < 1000; ++i)
    EXPECT_EQ(sendto(a, out, sizeof out, 0, (struct sockaddr*)&to, length_of(family)), (long)sizeof out);
  while (recv(b, out, sizeof out, MSG_DONTWAIT) > 0) got++;
  EXPECT(got > 2 && got < 100);
}
BOTH(reuse_address_shares_and_in_use_is_told) {
  int a = (int)OK(socket(family, SOCK_DGRAM, 0)), b = (int)OK(socket(family, SOCK_DGRAM, 0));
  struct sockaddr_storage at = loopback(family, 0);
  set(a, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(bind(a, (struct sockaddr*)&at, length_of(family)));
  at = loopback(family, port_of(a));
  EXPECT_ERRNO(bind(b, (struct sockaddr*)&at, length_of(family)), EADDRINUSE);
  set(b, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(bind(b, (struct sockaddr*)&at, length_of(family)));
}
BOTH(many_messages_by_one_call) {
  int a = bound(family), b = bound(family);
  join(a, family, port_of(b));
  struct iovec v[3] = {{(char*)"one", 3}, {(char*)"two", 3}, {(char*)"four", 4}};
  struct mmsghdr m[3];
  memset(m, 0, sizeof m);
  for (int i = 0; i < 3; ++i) m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
  EXPECT_EQ(sendmmsg(a, m, 3, 0), 3);
  EXPECT_EQ(m[2].msg_len, 4);
  char in[4][8];
  struct iovec w[4];
  struct mmsghdr r[4];
  memset(r, 0, sizeof r);
  for (int i = 0; i < 4; ++i) {
    w[i] = (struct iovec){in[i], 8};
    r[i].msg_hdr = (struct msghdr){.msg_iov = &w[i], .msg_iovlen = 1};
  }
  EXPECT_EQ(recvmmsg(b, r, 4, MSG_DONTWAIT, NULL), 3);
  EXPECT_EQ(r[2].msg_len, 4);
}
BOTH(shutdown_wants_a_peer) {
  int a = bound(family), b = bound(family);
  EXPECT_ERRNO(shutdown(a, SHUT_RDWR), ENOTCONN);
  join(a, family, port_of(b));
  OK(shutdown(a, SHUT_WR));
  EXPECT_ERRNO(send(a, "x", 1, MSG_NOSIGNAL), EPIPE);
}
BOTH(stream_calls_are_eopnotsupp) {
  int a = bound(family);
  EXPECT_ERRNO(listen(a, 1), EOPNOTSUPP);
  EXPECT_ERRNO(accept(a, NULL, NULL), EOPNOTSUPP);
}

CASE(packet_information_v4) {
  int a = bound(AF_INET), b = bound(AF_INET);
  set(b, IPPROTO_IP, IP_PKTINFO, 1);
  set(b, IPPROTO_IP, IP_RECVTTL, 1);
  set(a, IPPROTO_IP, IP_TTL, 77);
  send_to(a, AF_INET, port_of(b), "x");
  char c, control[256];
  struct iovec v = {&c, 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  EXPECT_EQ(recvmsg(b, &m, 0), 1);
  int seen = 0;
  for (struct cmsghdr* h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
    if (h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo i;
      memcpy(&i, CMSG_DATA(h), sizeof i);
      EXPECT_EQ(ntohl(i.ipi_addr.s_addr), INADDR_LOOPBACK);
      EXPECT_EQ(i.ipi_ifindex, (int)if_nametoindex("lo"));
      seen |= 1;
    }
    if (h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_TTL) {
      int ttl;
      memcpy(&ttl, CMSG_DATA(h), sizeof ttl);
      EXPECT_EQ(ttl, 77);
      seen |= 2;
    }
  }
  EXPECT_EQ(seen, 3);
}
CASE(timestamps_come_with_the_datagram) {
  int a = bound(AF_INET), b = bound(AF_INET);
  set(b, SOL_SOCKET, SO_TIMESTAMP, 1);
  time_t before = time(NULL);
  send_to(a, AF_INET, port_of(b), "x");
  char c, control[256];
  struct iovec v = {&c, 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  EXPECT_EQ(recvmsg(b, &m, 0), 1);
  struct cmsghdr* h = CMSG_FIRSTHDR(&m);
  EXPECT(h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SO_TIMESTAMP);
  struct timeval t;
  memcpy(&t, CMSG_DATA(h), sizeof t);
  EXPECT(t.tv_sec >= before - 1 && t.tv_sec <= time(NULL) + 1);
}
CASE(dual_stack_socket_talks_to_ipv4) {
  int six = (int)OK(socket(AF_INET6, SOCK_DGRAM, 0)), four = bound(AF_INET);
  struct sockaddr_in6 any = {.sin6_family = AF_INET6}, from;
  OK(bind(six, (struct sockaddr*)&any, sizeof any));
  send_to(four, AF_INET, port_of(six), "x");
  char c;
  socklen_t length = sizeof from;
  EXPECT_EQ(recvfrom(six, &c, 1, 0, (struct sockaddr*)&from, &length), 1);
  EXPECT(IN6_IS_ADDR_V4MAPPED(&from.sin6_addr));
  EXPECT_EQ(sendto(six, "y", 1, 0, (struct sockaddr*)&from, length), 1);
  EXPECT_EQ(recv(four, &c, 1, 0), 1);
}
CASE(interfaces_by_ioctl) {
  int fd = (int)OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct ifreq r = {0};
  strcpy(r.ifr_name, "lo");
  OK(ioctl(fd, SIOCGIFFLAGS, &r));
  EXPECT((r.ifr_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING)) == (IFF_UP | IFF_LOOPBACK | IFF_RUNNING));
  OK(ioctl(fd, SIOCGIFADDR, &r));
  EXPECT_EQ(ntohl(((struct sockaddr_in*)&r.ifr_addr)->sin_addr.s_addr), INADDR_LOOPBACK);
  OK(ioctl(fd, SIOCGIFNETMASK, &r));
  EXPECT_EQ(ntohl(((struct sockaddr_in*)&r.ifr_netmask)->sin_addr.s_addr), 0xff000000u);
  OK(ioctl(fd, SIOCGIFMTU, &r));
  EXPECT_EQ(r.ifr_mtu, 65536);
  OK(ioctl(fd, SIOCGIFINDEX, &r));
  EXPECT_EQ(r.ifr_ifindex, 1);
  OK(ioctl(fd, SIOCGIFNAME, &r));
  EXPECT_STR(r.ifr_name, "lo");
  strcpy(r.ifr_name, "nosuch0");
  EXPECT_ERRNO(ioctl(fd, SIOCGIFFLAGS, &r), ENODEV);
}
CASE(interface_list_has_the_loopback) {
  int fd = (int)OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct ifreq list[16];
  struct ifconf c = {.ifc_len = sizeof list, .ifc_req = list};
  OK(ioctl(fd, SIOCGIFCONF, &c));
  EXPECT(c.ifc_len >= (int)sizeof list[0]);
  bool found = false;
  for (int i = 0; i < c.ifc_len / (int)sizeof list[0]; ++i) found |= strcmp(list[i].ifr_name, "lo") == 0;
  EXPECT(found);
}
CASE(broadcast_wants_permission) {
  int fd = bound(AF_INET);
  EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &(int){0}, sizeof(int)), 0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x7fffffff)};
  EXPECT_ERRNO(sendto(fd, "x", 1, 0, (struct sockaddr*)&a, sizeof a), EACCES);
}

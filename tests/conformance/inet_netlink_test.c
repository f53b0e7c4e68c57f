// Interfaces, addresses and sockets as NETLINK_ROUTE and /proc/net tell of them.
#include "conformance.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int route_socket(void) { return (int)OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)); }

struct request {
  struct nlmsghdr header;
  struct ifinfomsg link;
  struct rtattr attribute;
  char name[16];
};
static struct request link_request(const char* name) {
  struct request r = {
      .header = {.nlmsg_len = sizeof r, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = 77},
      .attribute = {.rta_len = sizeof(struct rtattr) + sizeof r.name, .rta_type = IFLA_IFNAME}};
  strcpy(r.name, name);
  return r;
}

CASE(getifaddrs_lists_the_loopback) {
  struct ifaddrs* list;
  OK(getifaddrs(&list));
  int seen = 0;
  for (struct ifaddrs* i = list; i; i = i->ifa_next) {
    if (strcmp(i->ifa_name, "lo") != 0 || !i->ifa_addr) continue;
    EXPECT(i->ifa_flags & IFF_LOOPBACK);
    if (i->ifa_addr->sa_family == AF_PACKET) seen |= 1;
    if (i->ifa_addr->sa_family == AF_INET) {
      EXPECT_EQ(ntohl(((struct sockaddr_in*)i->ifa_addr)->sin_addr.s_addr), INADDR_LOOPBACK);
      EXPECT_EQ(ntohl(((struct sockaddr_in*)i->ifa_netmask)->sin_addr.s_addr), 0xff000000u);
      seen |= 2;
    }
    if (i->ifa_addr->sa_family == AF_INET6) seen |= 4;
  }
  EXPECT_EQ(seen, 7);
}
CASE(names_and_indices) {
  char name[IF_NAMESIZE];
  EXPECT_EQ(if_nametoindex("lo"), 1u);
  EXPECT(if_indextoname(1, name) != NULL);
  EXPECT_STR(name, "lo");
  EXPECT_EQ(if_nametoindex("nosuch0"), 0u);
}
CASE(a_link_by_its_name) {
  int fd = route_socket();
  struct request r = link_request("lo");
  EXPECT_EQ(send(fd, &r, sizeof r, 0), (long)sizeof r);
  _Alignas(8) char answer[8192];
  ssize_t n = OK(recv(fd, answer, sizeof answer, 0));
  struct nlmsghdr* h = (struct nlmsghdr*)answer;
  EXPECT(NLMSG_OK(h, (unsigned)n));
  EXPECT_EQ(h->nlmsg_type, RTM_NEWLINK);
  EXPECT_EQ(h->nlmsg_seq, 77u);
  EXPECT_EQ(((struct ifinfomsg*)NLMSG_DATA(h))->ifi_index, 1);
}
CASE(an_unknown_link_is_enodev) {
  int fd = route_socket();
  struct request r = link_request("nosuch0");
  EXPECT_EQ(send(fd, &r, sizeof r, 0), (long)sizeof r);
  _Alignas(8) char answer[8192];
  OK(recv(fd, answer, sizeof answer, 0));
  struct nlmsghdr* h = (struct nlmsghdr*)answer;
  EXPECT_EQ(h->nlmsg_type, NLMSG_ERROR);
  EXPECT_EQ(((struct nlmsgerr*)NLMSG_DATA(h))->error, -ENODEV);
}
CASE(a_dump_ends_with_done) {
  int fd = route_socket();
  struct {
    struct nlmsghdr header;
    struct rtgenmsg body;
  } r = {{.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)),
          .nlmsg_type = RTM_GETADDR,
          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
          .nlmsg_seq = 5},
         {AF_UNSPEC}};
  OK(send(fd, &r, r.header.nlmsg_len, 0));
  _Alignas(8) char answer[65536];
  int addresses = 0;
  for (int i = 0; i < 100; ++i) {
    ssize_t n = OK(recv(fd, answer, sizeof answer, 0));
    unsigned left = (unsigned)n;
    for (struct nlmsghdr* h = (struct nlmsghdr*)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      EXPECT_EQ(h->nlmsg_seq, 5u);
      if (h->nlmsg_type == RTM_NEWADDR) ++addresses;
      if (h->nlmsg_type != NLMSG_DONE) continue;
      EXPECT(addresses >= 1);
      return;
    }
  }
  FAIL("no end");
}
CASE(nothing_asked_is_eagain) {
  char c;
  EXPECT_ERRNO(recv(route_socket(), &c, 1, MSG_DONTWAIT), EAGAIN);
}
CASE(other_addresses_are_refused) {
  int fd = route_socket();
  struct sockaddr_in a = {.sin_family = AF_INET};
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&a, sizeof a), EINVAL);
}
CASE(proc_net_tcp_lists_a_listener) {
  int fd = (int)OK(socket(AF_INET, SOCK_STREAM, 0));
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  OK(bind(fd, (struct sockaddr*)&a, sizeof a));
  OK(listen(fd, 5));
  socklen_t length = sizeof a;
  OK(getsockname(fd, (struct sockaddr*)&a, &length));
  char want[64], line[512];
  snprintf(want, sizeof want, "0100007F:%04X 00000000:0000 0A", ntohs(a.sin_port));
  FILE* f = fopen("/proc/net/tcp", "r");
  EXPECT(f != NULL);
  struct stat s;
  OK(fstat(fd, &s));
  bool found = false;
  while (fgets(line, sizeof line, f)) {
    if (!strstr(line, want)) continue;
    char inode[32];
    snprintf(inode, sizeof inode, " %lu ", (unsigned long)s.st_ino);
    EXPECT(strstr(line, inode) != NULL);
    EXPECT_EQ(strlen(line), 150u);
    found = true;
  }
  EXPECT(found);
}
CASE(proc_net_udp_lists_a_socket) {
  int fd = (int)OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  OK(bind(fd, (struct sockaddr*)&a, sizeof a));
  socklen_t length = sizeof a;
  OK(getsockname(fd, (struct sockaddr*)&a, &length));
  char want[64], line[512];
  snprintf(want, sizeof want, "0100007F:%04X 00000000:0000 07", ntohs(a.sin_port));
  FILE* f = fopen("/proc/net/udp", "r");
  EXPECT(f != NULL);
  bool found = false;
  while (fgets(line, sizeof line, f)) found |= strstr(line, want) != NULL;
  EXPECT(found);
}

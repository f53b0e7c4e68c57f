// Changing addresses, routes and links by NETLINK_ROUTE, hearing of it, and asking sock_diag(7) about sockets.
#include "conformance.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { LO = 1, ESTABLISHED = 1, LISTENS = 10, ALL_STATES = 0xfff };

struct message {
  struct nlmsghdr header;
  char body[512];
};

static int netlink(int protocol) {
  int fd = (int)OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  struct sockaddr_nl any = {.nl_family = AF_NETLINK};
  OK(bind(fd, (struct sockaddr*)&any, sizeof any));
  return fd;
}

static struct message begin(int type, int flags, const void* fixed, size_t size) {
  struct message m = {.header = {.nlmsg_len = (unsigned)NLMSG_LENGTH(size),
                                 .nlmsg_type = (unsigned short)type,
                                 .nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags),
                                 .nlmsg_seq = 42}};
  memcpy(m.body, fixed, size);
  return m;
}
static void add(struct message* m, int type, const void* value, size_t size) {
  struct rtattr* a = (struct rtattr*)((char*)m + NLMSG_ALIGN(m->header.nlmsg_len));
  *a = (struct rtattr){.rta_len = (unsigned short)RTA_LENGTH(size), .rta_type = (unsigned short)type};
  memcpy(RTA_DATA(a), value, size);
  m->header.nlmsg_len = NLMSG_ALIGN(m->header.nlmsg_len) + (unsigned)RTA_ALIGN(a->rta_len);
}

// The errno that the kernel acknowledges a request with.
static int acknowledged(int fd, struct message* m) {
  m->header.nlmsg_flags |= NLM_F_ACK;
  EXPECT_EQ(send(fd, m, m->header.nlmsg_len, 0), (long)m->header.nlmsg_len);
  _Alignas(8) char answer[4096];
  OK(recv(fd, answer, sizeof answer, 0));
  struct nlmsghdr* h = (struct nlmsghdr*)answer;
  EXPECT_EQ(h->nlmsg_type, NLMSG_ERROR);
  EXPECT_EQ(h->nlmsg_seq, 42u);
  return -((struct nlmsgerr*)NLMSG_DATA(h))->error;
}

static struct message address_message(int type, int flags, const char* text, int length) {
  struct ifaddrmsg a = {.ifa_family = AF_INET, .ifa_prefixlen = (unsigned char)length, .ifa_index = LO};
  struct message m = begin(type, flags, &a, sizeof a);
  struct in_addr in;
  EXPECT_EQ(inet_pton(AF_INET, text, &in), 1);
  add(&m, IFA_LOCAL, &in, sizeof in);
  add(&m, IFA_ADDRESS, &in, sizeof in);
  return m;
}
static int change_address(int fd, int type, int flags, const char* text, int length) {
  struct message m = address_message(type, flags, text, length);
  return acknowledged(fd, &m);
}

static struct message route_message(int type, int flags, const char* destination, int length) {
  struct rtmsg r = {.rtm_family = AF_INET,
                    .rtm_dst_len = (unsigned char)length,
                    .rtm_table = RT_TABLE_MAIN,
                    .rtm_protocol = type == RTM_NEWROUTE ? RTPROT_BOOT : RTPROT_UNSPEC,
                    .rtm_scope = type == RTM_NEWROUTE ? RT_SCOPE_LINK : RT_SCOPE_NOWHERE,
                    .rtm_type = RTN_UNICAST};
  struct message m = begin(type, flags, &r, sizeof r);
  struct in_addr in;
  EXPECT_EQ(inet_pton(AF_INET, destination, &in), 1);
  if (length != 0) add(&m, RTA_DST, &in, sizeof in);
  return m;
}
static int change_route(int fd, int type, int flags, const char* destination, int length) {
  struct message m = route_message(type, flags, destination, length);
  int const link = LO;
  add(&m, RTA_OIF, &link, sizeof link);
  return acknowledged(fd, &m);
}

static int change_link(int fd, int index, unsigned flags, unsigned change) {
  struct ifinfomsg i = {.ifi_index = index, .ifi_flags = flags, .ifi_change = change};
  struct message m = begin(RTM_NEWLINK, 0, &i, sizeof i);
  return acknowledged(fd, &m);
}

// A network of the case's own, with the loopback up. A sandbox has one from the beginning, and no other: what a case
// changes it changes back.
static int own_network(void) {
  if (geteuid() != 0) SKIP("needs CAP_NET_ADMIN");
  bool const own = unshare(CLONE_NEWNET) == 0 || errno == EINVAL;
  EXPECT(own);
  int fd = netlink(NETLINK_ROUTE);
  EXPECT_EQ(change_link(fd, LO, IFF_UP, IFF_UP), 0);
  return fd;
}

// Whether a dump of addresses or routes has this one.
static bool dump_has(int type, const char* text, int length) {
  int fd = netlink(NETLINK_ROUTE);
  struct rtmsg everything = {.rtm_family = AF_INET};
  struct message m =
      begin(type, NLM_F_DUMP, &everything, type == RTM_GETADDR ? sizeof(struct ifaddrmsg) : sizeof everything);
  OK(send(fd, &m, m.header.nlmsg_len, 0));
  struct in_addr in;
  EXPECT_EQ(inet_pton(AF_INET, text, &in), 1);
  bool found = false;
  _Alignas(8) char answer[65536];
  for (int i = 0; i < 100; ++i) {
    unsigned left = (unsigned)OK(recv(fd, answer, sizeof answer, 0));
    for (struct nlmsghdr* h = (struct nlmsghdr*)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_type == NLMSG_DONE) return close(fd), found;
      unsigned char const* fixed = NLMSG_DATA(h);  // family, length: the same places in both
      size_t const size = type == RTM_GETADDR ? sizeof(struct ifaddrmsg) : sizeof(struct rtmsg);
      int rest = (int)NLMSG_PAYLOAD(h, size);
      struct rtattr* a = (struct rtattr*)((char*)NLMSG_DATA(h) + NLMSG_ALIGN(size));
      for (; RTA_OK(a, rest); a = RTA_NEXT(a, rest)) {
        if (fixed[1] == length && a->rta_type == RTA_DST && memcmp(RTA_DATA(a), &in, sizeof in) == 0) found = true;
      }
    }
  }
  FAIL("no end");
}

static int listener_of(int group) {
  int fd = netlink(NETLINK_ROUTE);
  OK(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
  return fd;
}
// Whether a notice of that kind comes.
static bool hears(int fd, int type) {
  struct timeval limit = {5, 0};
  OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  _Alignas(8) char answer[8192];
  for (int i = 0; i < 20; ++i) {
    if (recv(fd, answer, sizeof answer, 0) < 0) return false;
    struct nlmsghdr* h = (struct nlmsghdr*)answer;
    if (h->nlmsg_type == type) return true;
  }
  return false;
}

CASE(an_address_comes_and_goes) {
  int fd = own_network();
  EXPECT_EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "10.77.1.5", 24), 0);
  EXPECT(dump_has(RTM_GETADDR, "10.77.1.5", 24));
  int s = (int)OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in a = {.sin_family = AF_INET};
  EXPECT_EQ(inet_pton(AF_INET, "10.77.1.5", &a.sin_addr), 1);
  OK(bind(s, (struct sockaddr*)&a, sizeof a));
  EXPECT_EQ(change_address(fd, RTM_DELADDR, 0, "10.77.1.5", 24), 0);
  EXPECT(!dump_has(RTM_GETADDR, "10.77.1.5", 24));
  int t = (int)OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_ERRNO(bind(t, (struct sockaddr*)&a, sizeof a), EADDRNOTAVAIL);
}
CASE(an_address_brings_a_route_and_takes_it_along) {
  int fd = own_network();
  EXPECT_EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "10.77.2.5", 24), 0);
  // (The loopback's own networks need no route in the main table on every system: a route of one's own.)
  EXPECT_EQ(change_route(fd, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.78.0.0", 16), 0);
  EXPECT(dump_has(RTM_GETROUTE, "10.78.0.0", 16));
  EXPECT_EQ(change_route(fd, RTM_DELROUTE, 0, "10.78.0.0", 16), 0);
  EXPECT(!dump_has(RTM_GETROUTE, "10.78.0.0", 16));
  EXPECT_EQ(change_address(fd, RTM_DELADDR, 0, "10.77.2.5", 24), 0);
}
CASE(an_address_twice_is_eexist) {
  int fd = own_network();
  EXPECT_EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "10.77.3.5", 24), 0);
  EXPECT_EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "10.77.3.5", 24), EEXIST);
  EXPECT_EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, "10.77.3.5", 24), 0);
  EXPECT_EQ(change_address(fd, RTM_DELADDR, 0, "10.77.3.5", 24), 0);
}
CASE(an_address_that_is_not_there_is_eaddrnotavail) {
  int fd = own_network();
  EXPECT_EQ(change_address(fd, RTM_DELADDR, 0, "10.77.4.5", 24), EADDRNOTAVAIL);
  EXPECT_EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, "10.77.4.5", 24), 0);
  EXPECT_EQ(change_address(fd, RTM_DELADDR, 0, "10.77.4.5", 16), EADDRNOTAVAIL);
  EXPECT_EQ(change_address(fd, RTM_DELADDR, 0, "10.77.4.5", 24), 0);
}
CASE(bad_addresses_are_refused) {
  int fd = own_network();
  EXPECT_EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, "10.77.5.5", 33), EINVAL);
  struct message m = address_message(RTM_NEWADDR, NLM_F_CREATE, "10.77.5.5", 24);
  ((struct ifaddrmsg*)m.body)->ifa_index = 9999;
  EXPECT_EQ(acknowledged(fd, &m), ENODEV);
}
CASE(the_groups_of_addresses_and_routes_hear_of_changes) {
  int fd = own_network();
  int addresses = listener_of(RTNLGRP_IPV4_IFADDR), routes = listener_of(RTNLGRP_IPV4_ROUTE);
  EXPECT_EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, "10.77.6.5", 24), 0);
  EXPECT(hears(addresses, RTM_NEWADDR));
  EXPECT_EQ(change_route(fd, RTM_NEWROUTE, NLM_F_CREATE, "10.79.0.0", 16), 0);
  EXPECT(hears(routes, RTM_NEWROUTE));
  EXPECT_EQ(change_route(fd, RTM_DELROUTE, 0, "10.79.0.0", 16), 0);
  EXPECT(hears(routes, RTM_DELROUTE));
  EXPECT_EQ(change_address(fd, RTM_DELADDR, 0, "10.77.6.5", 24), 0);
  EXPECT(hears(addresses, RTM_DELADDR));
}
CASE(who_left_a_group_hears_nothing) {
  int fd = own_network();
  int group = RTNLGRP_IPV4_IFADDR, s = listener_of(group);
  OK(setsockopt(s, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &group, sizeof group));
  EXPECT_EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, "10.77.7.5", 24), 0);
  char c;
  EXPECT_ERRNO(recv(s, &c, 1, MSG_DONTWAIT), EAGAIN);
  EXPECT_EQ(change_address(fd, RTM_DELADDR, 0, "10.77.7.5", 24), 0);
}
CASE(groups_by_bind_are_those_of_getsockname) {
  int fd = (int)OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR};
  OK(bind(fd, (struct sockaddr*)&a, sizeof a));
  socklen_t length = sizeof a;
  OK(getsockname(fd, (struct sockaddr*)&a, &length));
  EXPECT_EQ(a.nl_groups, (unsigned)(RTMGRP_LINK | RTMGRP_IPV4_IFADDR));
  unsigned groups[4] = {0};
  length = sizeof groups;
  OK(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &length));
  EXPECT_EQ(groups[0], (unsigned)(RTMGRP_LINK | RTMGRP_IPV4_IFADDR));
}
CASE(a_bound_socket_keeps_its_number) {
  int fd = netlink(NETLINK_ROUTE);
  struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK}, own;
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&a, sizeof a), EINVAL);
  socklen_t length = sizeof own;
  OK(getsockname(fd, (struct sockaddr*)&own, &length));
  EXPECT(own.nl_pid != 0);
  a.nl_pid = own.nl_pid;
  OK(bind(fd, (struct sockaddr*)&a, sizeof a));
}
CASE(group_zero_is_einval) {
  int group = 0;
  EXPECT_ERRNO(setsockopt(netlink(NETLINK_ROUTE), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group), EINVAL);
}
CASE(routes_twice_or_unknown) {
  int fd = own_network();
  EXPECT_EQ(change_route(fd, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.80.0.0", 16), 0);
  EXPECT_EQ(change_route(fd, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.80.0.0", 16), EEXIST);
  EXPECT_EQ(change_route(fd, RTM_NEWROUTE, NLM_F_REPLACE, "10.80.0.0", 16), 0);
  EXPECT_EQ(change_route(fd, RTM_DELROUTE, 0, "10.80.0.0", 16), 0);
  EXPECT_EQ(change_route(fd, RTM_DELROUTE, 0, "10.80.0.0", 16), ESRCH);
  EXPECT_EQ(change_route(fd, RTM_NEWROUTE, 0, "10.80.0.0", 16), ENOENT);
}
CASE(a_route_whose_gateway_nobody_reaches_is_enetunreach) {
  int fd = own_network();
  struct message m = route_message(RTM_NEWROUTE, NLM_F_CREATE, "10.81.0.0", 16);
  ((struct rtmsg*)m.body)->rtm_scope = RT_SCOPE_UNIVERSE;
  struct in_addr in;
  EXPECT_EQ(inet_pton(AF_INET, "10.99.99.1", &in), 1);
  add(&m, RTA_GATEWAY, &in, sizeof in);
  EXPECT_EQ(acknowledged(fd, &m), ENETUNREACH);
}
CASE(a_route_without_a_link_or_gateway_is_enodev) {
  int fd = own_network();
  struct message m = route_message(RTM_NEWROUTE, NLM_F_CREATE, "10.82.0.0", 16);
  EXPECT_EQ(acknowledged(fd, &m), ENODEV);
}
CASE(a_destination_with_bits_beyond_its_length_is_einval) {
  EXPECT_EQ(change_route(own_network(), RTM_NEWROUTE, NLM_F_CREATE, "10.83.0.1", 16), EINVAL);
}
CASE(the_way_to_the_loopback_is_local) {
  int fd = own_network();
  struct rtmsg r = {.rtm_family = AF_INET, .rtm_dst_len = 32};
  struct message m = begin(RTM_GETROUTE, 0, &r, sizeof r);
  struct in_addr in = {htonl(INADDR_LOOPBACK)};
  add(&m, RTA_DST, &in, sizeof in);
  OK(send(fd, &m, m.header.nlmsg_len, 0));
  _Alignas(8) char answer[4096];
  OK(recv(fd, answer, sizeof answer, 0));
  struct nlmsghdr* h = (struct nlmsghdr*)answer;
  EXPECT_EQ(h->nlmsg_type, RTM_NEWROUTE);
  EXPECT_EQ(((struct rtmsg*)NLMSG_DATA(h))->rtm_type, RTN_LOCAL);
}
CASE(there_is_no_way_to_a_network_without_a_route) {
  int fd = own_network();
  struct rtmsg r = {.rtm_family = AF_INET, .rtm_dst_len = 32};
  struct message m = begin(RTM_GETROUTE, 0, &r, sizeof r);
  struct in_addr in;
  EXPECT_EQ(inet_pton(AF_INET, "10.84.1.1", &in), 1);
  add(&m, RTA_DST, &in, sizeof in);
  EXPECT_EQ(acknowledged(fd, &m), ENETUNREACH);
}
static bool is_up(void) {
  int fd = (int)OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct ifreq r = {.ifr_name = "lo"};
  OK(ioctl(fd, SIOCGIFFLAGS, &r));
  close(fd);
  return r.ifr_flags & IFF_UP;
}
CASE(a_link_goes_down_with_its_routes_and_up_again) {
  int fd = own_network(), group = listener_of(RTNLGRP_LINK);
  EXPECT_EQ(change_route(fd, RTM_NEWROUTE, NLM_F_CREATE, "10.85.0.0", 16), 0);
  EXPECT(is_up());
  EXPECT_EQ(change_link(fd, LO, 0, IFF_UP), 0);
  EXPECT(hears(group, RTM_NEWLINK));
  EXPECT(!is_up());
  EXPECT(!dump_has(RTM_GETROUTE, "10.85.0.0", 16));
  EXPECT_EQ(change_route(fd, RTM_NEWROUTE, NLM_F_CREATE, "10.85.0.0", 16), ENETDOWN);
  EXPECT_EQ(change_link(fd, LO, IFF_UP, IFF_UP), 0);
  EXPECT(is_up());
}
CASE(the_mtu_of_a_link_changes) {
  int fd = own_network();
  struct ifinfomsg i = {.ifi_index = LO};
  unsigned mtu = 9000, old = 65536;
  struct message m = begin(RTM_NEWLINK, 0, &i, sizeof i), back = m;
  add(&m, IFLA_MTU, &mtu, sizeof mtu);
  EXPECT_EQ(acknowledged(fd, &m), 0);
  struct ifreq r = {.ifr_name = "lo"};
  OK(ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCGIFMTU, &r));
  EXPECT_EQ(r.ifr_mtu, 9000);
  add(&back, IFLA_MTU, &old, sizeof old);
  EXPECT_EQ(acknowledged(fd, &back), 0);
}
CASE(a_link_that_is_not_there_is_enodev) { EXPECT_EQ(change_link(own_network(), 9999, IFF_UP, IFF_UP), ENODEV); }
CASE(without_the_capability_changes_are_eperm) {
  int fd = own_network();
  pid_t child = IN_CHILD({
    OK(setresgid(65534, 65534, 65534));
    OK(setresuid(65534, 65534, 65534));
    int s = netlink(NETLINK_ROUTE);
    EXPECT_EQ(change_address(s, RTM_NEWADDR, NLM_F_CREATE, "10.77.8.5", 24), EPERM);
    EXPECT_EQ(change_link(s, LO, IFF_UP, IFF_UP), EPERM);
  });
  EXPECT_EXIT(child, 0);
  EXPECT(!dump_has(RTM_GETADDR, "10.77.8.5", 24));
  close(fd);
}
CASE(nothing_is_heard_of_devices) {
  int fd = (int)OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT));
  struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = 1};
  OK(bind(fd, (struct sockaddr*)&a, sizeof a));
  char c;
  EXPECT_ERRNO(recv(fd, &c, 1, MSG_DONTWAIT), EAGAIN);
}

// --- sock_diag

struct seen {
  int count, error;
  struct inet_diag_msg first;
};
// Asks about sockets of this family and protocol; `filter` may be null.
static struct seen ask(struct inet_diag_req_v2 r, int flags, const void* filter, size_t size) {
  int fd = netlink(NETLINK_SOCK_DIAG);
  struct message m = begin(SOCK_DIAG_BY_FAMILY, flags, &r, sizeof r);
  if (filter) add(&m, INET_DIAG_REQ_BYTECODE, filter, size);
  OK(send(fd, &m, m.header.nlmsg_len, 0));
  struct seen s = {0};
  _Alignas(8) char answer[65536];
  for (int i = 0; i < 1000; ++i) {
    unsigned left = (unsigned)OK(recv(fd, answer, sizeof answer, 0));
    for (struct nlmsghdr* h = (struct nlmsghdr*)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_type == NLMSG_ERROR) s.error = -((struct nlmsgerr*)NLMSG_DATA(h))->error;
      if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY && s.count++ == 0) memcpy(&s.first, NLMSG_DATA(h), sizeof s.first);
      if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR || !(h->nlmsg_flags & NLM_F_MULTI)) {
        close(fd);
        return s;
      }
    }
  }
  FAIL("no end");
}
static struct inet_diag_req_v2 about(int family, int protocol, unsigned states) {
  return (struct inet_diag_req_v2){.sdiag_family = (unsigned char)family,
                                   .sdiag_protocol = (unsigned char)protocol,
                                   .idiag_states = states,
                                   .id.idiag_cookie = {~0u, ~0u}};
}
static int loopback_socket(int type, unsigned short* port) {
  int fd = (int)OK(socket(AF_INET, type, 0));
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  OK(bind(fd, (struct sockaddr*)&a, sizeof a));
  socklen_t length = sizeof a;
  OK(getsockname(fd, (struct sockaddr*)&a, &length));
  *port = ntohs(a.sin_port);
  return fd;
}
// The filter "the local port is that one".
struct port_filter {
  struct inet_diag_bc_op at_least, low, at_most, high;
};
static struct port_filter port_is(unsigned short port) {
  return (struct port_filter){{INET_DIAG_BC_S_GE, 8, 20}, {0, 0, port}, {INET_DIAG_BC_S_LE, 8, 12}, {0, 0, port}};
}
static unsigned inode_of(int fd) {
  struct stat s;
  OK(fstat(fd, &s));
  return (unsigned)s.st_ino;
}

CASE(a_listener_is_found_by_its_port) {
  unsigned short port;
  int fd = loopback_socket(SOCK_STREAM, &port);
  OK(listen(fd, 7));
  struct port_filter filter = port_is(port);
  struct seen s = ask(about(AF_INET, IPPROTO_TCP, 1u << LISTENS), NLM_F_DUMP, &filter, sizeof filter);
  EXPECT_EQ(s.count, 1);
  EXPECT_EQ(s.first.idiag_state, LISTENS);
  EXPECT_EQ(ntohs(s.first.id.idiag_sport), port);
  EXPECT_EQ(s.first.id.idiag_src[0], htonl(INADDR_LOOPBACK));
  EXPECT_EQ(s.first.idiag_inode, inode_of(fd));
  EXPECT_EQ(s.first.idiag_wqueue, 7u);
  EXPECT_EQ(s.first.idiag_uid, geteuid());
}
CASE(states_choose) {
  unsigned short port;
  int fd = loopback_socket(SOCK_STREAM, &port);
  OK(listen(fd, 7));
  struct port_filter filter = port_is(port);
  EXPECT_EQ(ask(about(AF_INET, IPPROTO_TCP, 1u << ESTABLISHED), NLM_F_DUMP, &filter, sizeof filter).count, 0);
  EXPECT_EQ(ask(about(AF_INET, IPPROTO_TCP, ALL_STATES), NLM_F_DUMP, &filter, sizeof filter).count, 1);
  EXPECT_EQ(ask(about(AF_INET6, IPPROTO_TCP, ALL_STATES), NLM_F_DUMP, &filter, sizeof filter).count, 0);
  EXPECT_EQ(ask(about(AF_INET, IPPROTO_UDP, ALL_STATES), NLM_F_DUMP, &filter, sizeof filter).count, 0);
}
CASE(both_ends_of_a_connection_with_unread_bytes) {
  unsigned short port;
  int fd = loopback_socket(SOCK_STREAM, &port);
  OK(listen(fd, 7));
  int client = (int)OK(socket(AF_INET, SOCK_STREAM, 0));
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  OK(connect(client, (struct sockaddr*)&a, sizeof a));
  int server = (int)OK(accept(fd, NULL, NULL));
  EXPECT_EQ(send(client, "five!", 5, 0), 5);
  char byte;
  EXPECT_EQ(recv(server, &byte, 1, MSG_PEEK), 1);
  struct port_filter filter = port_is(port);
  struct seen s = ask(about(AF_INET, IPPROTO_TCP, 1u << ESTABLISHED), NLM_F_DUMP, &filter, sizeof filter);
  EXPECT_EQ(s.count, 1);
  EXPECT_EQ(s.first.idiag_rqueue, 5u);
  EXPECT_EQ(s.first.idiag_inode, inode_of(server));
}
CASE(one_connection_by_its_addresses) {
  unsigned short port;
  int fd = loopback_socket(SOCK_STREAM, &port);
  OK(listen(fd, 7));
  int client = (int)OK(socket(AF_INET, SOCK_STREAM, 0));
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  OK(connect(client, (struct sockaddr*)&a, sizeof a));
  struct sockaddr_in own;
  socklen_t length = sizeof own;
  OK(getsockname(client, (struct sockaddr*)&own, &length));
  struct inet_diag_req_v2 r = about(AF_INET, IPPROTO_TCP, 0);
  r.id.idiag_sport = own.sin_port;
  r.id.idiag_dport = a.sin_port;
  r.id.idiag_src[0] = r.id.idiag_dst[0] = htonl(INADDR_LOOPBACK);
  struct seen s = ask(r, 0, NULL, 0);
  EXPECT_EQ(s.count, 1);
  EXPECT_EQ(s.first.idiag_inode, inode_of(client));
  r.id.idiag_cookie[0] = 0x12345678;
  r.id.idiag_cookie[1] = 0x12345678;
  EXPECT_EQ(ask(r, 0, NULL, 0).error, ENOENT);
  r.id.idiag_sport = htons(1);
  EXPECT_EQ(ask(r, 0, NULL, 0).error, ENOENT);
}
CASE(a_datagram_socket_is_told_of) {
  unsigned short port;
  int fd = loopback_socket(SOCK_DGRAM, &port);
  struct port_filter filter = port_is(port);
  struct seen s = ask(about(AF_INET, IPPROTO_UDP, ALL_STATES), NLM_F_DUMP, &filter, sizeof filter);
  EXPECT_EQ(s.count, 1);
  EXPECT_EQ(s.first.idiag_state, 7);
  EXPECT_EQ(s.first.idiag_inode, inode_of(fd));
}
CASE(malformed_filters_are_einval) {
  struct inet_diag_bc_op beyond[] = {{INET_DIAG_BC_S_GE, 8, 64}, {0, 0, 1}};
  struct inet_diag_bc_op unaligned[] = {{INET_DIAG_BC_S_GE, 6, 8}, {0, 0, 1}};
  struct inet_diag_bc_op unknown[] = {{99, 4, 8}};
  struct inet_diag_bc_op cut[] = {{INET_DIAG_BC_S_GE, 4, 8}};
  struct inet_diag_req_v2 r = about(AF_INET, IPPROTO_TCP, ALL_STATES);
  EXPECT_EQ(ask(r, NLM_F_DUMP, beyond, sizeof beyond).error, EINVAL);
  EXPECT_EQ(ask(r, NLM_F_DUMP, unaligned, sizeof unaligned).error, EINVAL);
  EXPECT_EQ(ask(r, NLM_F_DUMP, unknown, sizeof unknown).error, EINVAL);
  EXPECT_EQ(ask(r, NLM_F_DUMP, cut, sizeof cut).error, EINVAL);
}
CASE(an_address_filters) {
  unsigned short port;
  int fd = loopback_socket(SOCK_STREAM, &port);
  OK(listen(fd, 7));
  struct {
    struct inet_diag_bc_op op;
    struct inet_diag_hostcond condition;
    unsigned address;
  } filter = {{INET_DIAG_BC_S_COND, sizeof filter, sizeof filter + 4}, {AF_INET, 8, port}, htonl(0x7f000000)};
  struct inet_diag_req_v2 r = about(AF_INET, IPPROTO_TCP, 1u << LISTENS);
  EXPECT_EQ(ask(r, NLM_F_DUMP, &filter, sizeof filter).count, 1);
  filter.address = htonl(0x0a000000);
  EXPECT_EQ(ask(r, NLM_F_DUMP, &filter, sizeof filter).count, 0);
}
CASE(an_unknown_family_is_enoent) { EXPECT_EQ(ask(about(AF_APPLETALK, 0, ALL_STATES), 0, NULL, 0).error, ENOENT); }

// Asks about one AF_UNIX socket; returns the error, fills in the rest.
static int ask_unix(unsigned inode, struct unix_diag_msg* about_it, unsigned* peer, char name[108]) {
  int fd = netlink(NETLINK_SOCK_DIAG);
  struct unix_diag_req r = {.sdiag_family = AF_UNIX,
                            .udiag_ino = inode,
                            .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN,
                            .udiag_cookie = {~0u, ~0u}};
  struct message m = begin(SOCK_DIAG_BY_FAMILY, 0, &r, sizeof r);
  OK(send(fd, &m, m.header.nlmsg_len, 0));
  _Alignas(8) char answer[4096];
  OK(recv(fd, answer, sizeof answer, 0));
  close(fd);
  struct nlmsghdr* h = (struct nlmsghdr*)answer;
  if (h->nlmsg_type == NLMSG_ERROR) return -((struct nlmsgerr*)NLMSG_DATA(h))->error;
  memcpy(about_it, NLMSG_DATA(h), sizeof *about_it);
  *peer = 0;
  memset(name, 0, 108);
  int rest = (int)NLMSG_PAYLOAD(h, sizeof *about_it);
  struct rtattr* a = (struct rtattr*)((char*)NLMSG_DATA(h) + NLMSG_ALIGN(sizeof *about_it));
  for (; RTA_OK(a, rest); a = RTA_NEXT(a, rest)) {
    if (a->rta_type == UNIX_DIAG_PEER) memcpy(peer, RTA_DATA(a), sizeof *peer);
    if (a->rta_type == UNIX_DIAG_NAME) memcpy(name, RTA_DATA(a), RTA_PAYLOAD(a));
  }
  return 0;
}
CASE(a_pair_names_each_other) {
  int pair[2];
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  struct unix_diag_msg m;
  unsigned peer;
  char name[108];
  EXPECT_EQ(ask_unix(inode_of(pair[0]), &m, &peer, name), 0);
  EXPECT_EQ(m.udiag_ino, inode_of(pair[0]));
  EXPECT_EQ(m.udiag_type, SOCK_STREAM);
  EXPECT_EQ(m.udiag_state, ESTABLISHED);
  EXPECT_EQ(peer, inode_of(pair[1]));
}
CASE(an_abstract_listener_by_its_number) {
  int fd = (int)OK(socket(AF_UNIX, SOCK_SEQPACKET, 0));
  struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0diag-listener"};
  OK(bind(fd, (struct sockaddr*)&a, offsetof(struct sockaddr_un, sun_path) + 14));
  OK(listen(fd, 3));
  struct unix_diag_msg m;
  unsigned peer;
  char name[108];
  EXPECT_EQ(ask_unix(inode_of(fd), &m, &peer, name), 0);
  EXPECT_EQ(m.udiag_state, LISTENS);
  EXPECT_EQ(m.udiag_type, SOCK_SEQPACKET);
  EXPECT_EQ(memcmp(name, "\0diag-listener", 14), 0);
  unsigned inode = inode_of(fd);
  close(fd);
  EXPECT_EQ(ask_unix(inode, &m, &peer, name), ENOENT);
}
static bool file_has(const char* path, const char* text) {
  char line[512];
  FILE* f = fopen(path, "r");
  EXPECT(f != NULL);
  bool found = false;
  while (fgets(line, sizeof line, f)) found |= strstr(line, text) != NULL;
  fclose(f);
  return found;
}
CASE(proc_net_unix_lists_sockets) {
  int fd = (int)OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0in-proc-net"};
  OK(bind(fd, (struct sockaddr*)&a, offsetof(struct sockaddr_un, sun_path) + 12));
  char want[64];
  snprintf(want, sizeof want, "0002 01 %5u @in-proc-net", inode_of(fd));
  EXPECT(file_has("/proc/net/unix", want));
  close(fd);
  EXPECT(!file_has("/proc/net/unix", want));
}
CASE(proc_net_netlink_lists_sockets) {
  int fd = netlink(NETLINK_ROUTE);
  char want[64];
  snprintf(want, sizeof want, " %u ", inode_of(fd));
  EXPECT(file_has("/proc/net/netlink", want));
}
// The value of a column of /proc/net/snmp or netstat, by its name.
static long counter(const char* path, const char* group, const char* name) {
  char names[8192], values[8192];
  FILE* f = fopen(path, "r");
  EXPECT(f != NULL);
  long found = -1000;
  while (fgets(names, sizeof names, f) && fgets(values, sizeof values, f)) {
    if (strncmp(names, group, strlen(group)) != 0) continue;
    char *n = names, *v = values, *word = strsep(&n, " \n"), *value = strsep(&v, " \n");
    for (; word && value; word = strsep(&n, " \n"), value = strsep(&v, " \n")) {
      if (strcmp(word, name) == 0) found = atol(value);
    }
  }
  fclose(f);
  return found;
}
CASE(proc_net_snmp_counts_datagrams_and_connections) {
  own_network();
  long sent = counter("/proc/net/snmp", "Udp:", "OutDatagrams"),
       opens = counter("/proc/net/snmp", "Tcp:", "ActiveOpens");
  long octets = counter("/proc/net/netstat", "IpExt:", "InOctets");
  EXPECT(sent >= 0 && opens >= 0 && octets >= 0);
  unsigned short port, listening;
  int fd = loopback_socket(SOCK_DGRAM, &port), listener = loopback_socket(SOCK_STREAM, &listening);
  OK(listen(listener, 5));
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  for (int i = 0; i < 10; ++i) EXPECT_EQ(sendto(fd, "x", 1, 0, (struct sockaddr*)&a, sizeof a), 1);
  int client = (int)OK(socket(AF_INET, SOCK_STREAM, 0));
  a.sin_port = htons(listening);
  OK(connect(client, (struct sockaddr*)&a, sizeof a));
  EXPECT(counter("/proc/net/snmp", "Udp:", "OutDatagrams") >= sent + 10);
  EXPECT(counter("/proc/net/snmp", "Tcp:", "ActiveOpens") >= opens + 1);
  EXPECT(counter("/proc/net/snmp", "Tcp:", "CurrEstab") >= 2);
  EXPECT(counter("/proc/net/netstat", "IpExt:", "InOctets") > octets);
  EXPECT_EQ(counter("/proc/net/snmp", "Ip:", "DefaultTTL"), 64);
}

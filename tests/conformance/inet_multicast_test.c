// Multicast: groups that a socket joins, and what of them it hears (ip(7), ipv6(7), RFC 3678). On the loopback
// interface.
#include "inet.h"

#include <net/if.h>

static int lo(void) { return (int)if_nametoindex("lo"); }
static struct name group_name(enum way way, const char* four, const char* six, int port) {
  if (way == V4) {
    struct in_addr a;
    inet_pton(AF_INET, four, &a);
    return name_v4(ntohl(a.s_addr), port);
  }
  struct in6_addr a;
  inet_pton(AF_INET6, six, &a);
  struct name n = name_v6(a, port);
  struct sockaddr_in6 in;
  memcpy(&in, &n.at, sizeof in);
  in.sin6_scope_id = (uint32_t)lo();
  memcpy(&n.at, &in, sizeof in);
  return n;
}
static struct name group(enum way way, int port) { return group_name(way, "239.1.2.3", "ff12::1234", port); }
// One that no other process of this host is in meanwhile: who is not a member hears what others on the host are in.
static struct name own_group(enum way way, int port) {
  char four[32], six[32];
  unsigned const n = (unsigned)getpid();
  snprintf(four, sizeof four, "239.%u.%u.%u", 16 + (n >> 16) % 64, (n >> 8) & 255, n & 255);
  snprintf(six, sizeof six, "ff12::%x:%x", 0x1000 + (n >> 16) % 4096, n & 0xffff);
  return group_name(way, four, six, port);
}
static int level_of(enum way way) { return way == V4 ? IPPROTO_IP : IPPROTO_IPV6; }

static int change_membership(int fd, enum way way, int option, struct name g, int interface) {
  struct group_req r = {.gr_interface = (uint32_t)interface};
  memcpy(&r.gr_group, &g.at, g.length);
  return setsockopt(fd, level_of(way), option, &r, sizeof r);
}
static int join(int fd, enum way way, struct name g) { return change_membership(fd, way, MCAST_JOIN_GROUP, g, lo()); }
static int leave(int fd, enum way way, struct name g) { return change_membership(fd, way, MCAST_LEAVE_GROUP, g, lo()); }
static int change_source(int fd, enum way way, int option, struct name g, struct name source) {
  struct group_source_req r = {.gsr_interface = (uint32_t)lo()};
  memcpy(&r.gsr_group, &g.at, g.length);
  memcpy(&r.gsr_source, &source.at, source.length);
  return setsockopt(fd, level_of(way), option, &r, sizeof r);
}
static void send_by_lo(int fd, enum way way) {
  if (way == V4) {
    struct ip_mreqn r = {.imr_ifindex = lo()};
    OK(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &r, sizeof r));
  } else {
    set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, lo());
  }
}
static int hearer(enum way way) {
  int fd = new_socket(way, SOCK_DGRAM);
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(try_bind(fd, any(way, 0)));
  return fd;
}
static int teller(enum way way) {
  int fd = new_socket(way, SOCK_DGRAM);
  OK(try_bind(fd, loopback(way, 0)));
  send_by_lo(fd, way);
  return fd;
}
static void tell(int fd, struct name to, const char* text) {
  ssize_t n = sendto(fd, text, strlen(text), 0, SA(to), to.length);
  if (n < 0 && errno == ENETUNREACH) SKIP("no IPv6 groups on the loopback interface, as on Linux");
  EXPECT_EQ(n, strlen(text));
}
static bool hears(int fd) {
  char room[16];
  struct pollfd p = {.fd = fd, .events = POLLIN};
  if (poll(&p, 1, 30) == 0) return false;
  OK(recv(fd, room, sizeof room, MSG_DONTWAIT));
  return true;
}

BOTH(member_hears_its_group) {
  int fd = hearer(way), from = teller(way);
  OK(join(fd, way, group(way, 0)));
  tell(from, group(way, port_of(fd)), "hello");
  EXPECT(hears(fd));
}
BOTH(who_has_left_hears_nothing) {
  int fd = hearer(way), from = teller(way);
  OK(join(fd, way, own_group(way, 0)));
  OK(leave(fd, way, own_group(way, 0)));
  tell(from, own_group(way, port_of(fd)), "hello");
  EXPECT(!hears(fd));
}
BOTH(nobody_hears_a_group_that_nobody_joined) {
  int fd = hearer(way), from = teller(way);
  tell(from, own_group(way, port_of(fd)), "hello");
  EXPECT(!hears(fd));
}
BOTH(two_members_both_hear) {
  int a = hearer(way), b = new_socket(way, SOCK_DGRAM), from = teller(way);
  set(b, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(try_bind(b, any(way, port_of(a))));
  OK(join(a, way, group(way, 0)));
  OK(join(b, way, group(way, 0)));
  tell(from, group(way, port_of(a)), "hello");
  EXPECT(hears(a));
  EXPECT(hears(b));
}
BOTH(multicast_all_of_0_hears_own_groups_only) {
  int a = hearer(way), b = new_socket(way, SOCK_DGRAM), from = teller(way);
  set(b, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(try_bind(b, any(way, port_of(a))));
  OK(join(a, way, group(way, 0)));
  tell(from, group(way, port_of(a)), "hello");
  EXPECT(hears(a));
  EXPECT(hears(b));  // it has not joined, but this host has
  if (way == V4)
    set(b, IPPROTO_IP, IP_MULTICAST_ALL, 0);
  else
    set(b, IPPROTO_IPV6, 29 /* IPV6_MULTICAST_ALL */, 0);
  tell(from, group(way, port_of(a)), "again");
  EXPECT(hears(a));
  EXPECT(!hears(b));
}
BOTH(joining_twice_is_EADDRINUSE) {
  int fd = hearer(way);
  OK(join(fd, way, group(way, 0)));
  EXPECT_ERRNO(join(fd, way, group(way, 0)), EADDRINUSE);
}
BOTH(leaving_what_was_not_joined_is_EADDRNOTAVAIL) {
  EXPECT_ERRNO(leave(hearer(way), way, group(way, 0)), EADDRNOTAVAIL);
}
BOTH(joining_no_group_is_EINVAL) { EXPECT_ERRNO(join(hearer(way), way, loopback(way, 0)), EINVAL); }
BOTH(joining_on_no_interface_is_ENODEV) {
  EXPECT_ERRNO(change_membership(hearer(way), way, MCAST_JOIN_GROUP, group(way, 0), 9999), ENODEV);
}
BOTH(joining_with_a_short_request_is_EINVAL) {
  int value = 1;
  EXPECT_ERRNO(setsockopt(hearer(way), level_of(way), MCAST_JOIN_GROUP, &value, sizeof value), EINVAL);
}
BOTH(group_of_another_family_is_refused) {
  struct name g = group(way == V4 ? V6 : V4, 0);
  int result = join(hearer(way), way, g);
  EXPECT(result == -1 && (errno == EINVAL || errno == EADDRNOTAVAIL));
}
CASE(tcp_socket_cannot_join_v4) {
  struct ip_mreq r = {.imr_multiaddr.s_addr = htonl(0xef010203), .imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
  EXPECT_ERRNO(setsockopt(new_socket(V4, SOCK_STREAM), IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof r), EPROTO);
}
CASE(tcp_socket_cannot_join_v6) {
  struct ipv6_mreq r = {.ipv6mr_interface = (unsigned)lo()};
  inet_pton(AF_INET6, "ff12::1234", &r.ipv6mr_multiaddr);
  EXPECT_ERRNO(setsockopt(new_socket(V6, SOCK_STREAM), IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &r, sizeof r), EPROTO);
}
BOTH(loop_of_0_keeps_it_from_this_host) {
  int fd = hearer(way), from = teller(way);
  OK(join(fd, way, group(way, 0)));
  if (way == V4)
    set(from, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
  else
    set(from, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
  tell(from, group(way, port_of(fd)), "hello");
  // What goes out of the loopback interface comes back by it all the same.
  hears(fd);
}
BOTH(ttl_of_0_stays_on_this_host) {
  int fd = hearer(way), from = teller(way);
  OK(join(fd, way, group(way, 0)));
  if (way == V4)
    set(from, IPPROTO_IP, IP_MULTICAST_TTL, 0);
  else
    set(from, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 0);
  tell(from, group(way, port_of(fd)), "hello");
  EXPECT(hears(fd));
}
BOTH(socket_bound_to_the_group_hears_it_alone) {
  int fd = new_socket(way, SOCK_DGRAM), from = teller(way);
  OK(try_bind(fd, group(way, 0)));
  OK(join(fd, way, group(way, 0)));
  tell(from, group(way, port_of(fd)), "hello");
  EXPECT(hears(fd));
  tell(from, loopback(way, port_of(fd)), "hello");
  EXPECT(!hears(fd));
}
BOTH(destination_is_told_as_the_group) {
  struct message m;
  int fd = hearer(way), from = teller(way);
  OK(join(fd, way, group(way, 0)));
  set(fd, level_of(way), way == V4 ? IP_PKTINFO : IPV6_RECVPKTINFO, 1);
  tell(from, group(way, port_of(fd)), "hello");
  EXPECT_EQ(receive_message(fd, &m, 0), 5);
  if (way == V4) {
    struct in_pktinfo info;
    memcpy(&info, CMSG_DATA(control_of(&m, IPPROTO_IP, IP_PKTINFO)), sizeof info);
    EXPECT_EQ(info.ipi_ifindex, lo());
    EXPECT_EQ(ntohl(info.ipi_addr.s_addr), 0xef010203);
    EXPECT_EQ(ntohl(info.ipi_spec_dst.s_addr), INADDR_LOOPBACK);
  } else {
    struct in6_pktinfo info;
    memcpy(&info, CMSG_DATA(control_of(&m, IPPROTO_IPV6, IPV6_PKTINFO)), sizeof info);
    EXPECT_EQ(info.ipi6_ifindex, lo());
    EXPECT_EQ(info.ipi6_addr.s6_addr[0], 0xff);
  }
}
BOTH(membership_goes_with_the_socket) {
  int a = hearer(way), b = new_socket(way, SOCK_DGRAM), from = teller(way);
  set(b, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(try_bind(b, any(way, port_of(a))));
  OK(join(a, way, own_group(way, 0)));
  close(a);
  tell(from, own_group(way, port_of(b)), "hello");
  EXPECT(!hears(b));
}

// --- sources ---
BOTH(source_member_hears_its_source) {
  int fd = hearer(way), from = teller(way);
  OK(change_source(fd, way, MCAST_JOIN_SOURCE_GROUP, group(way, 0), loopback(way, 0)));
  tell(from, group(way, port_of(fd)), "hello");
  EXPECT(hears(fd));
}
CASE(source_member_does_not_hear_others) {
  int fd = hearer(V4), from = teller(V4);
  OK(change_source(fd, V4, MCAST_JOIN_SOURCE_GROUP, group(V4, 0), other_loopback(V4, 0)));
  tell(from, group(V4, port_of(fd)), "hello");
  EXPECT(!hears(fd));
}
BOTH(blocked_source_is_not_heard) {
  int fd = hearer(way), from = teller(way);
  OK(join(fd, way, group(way, 0)));
  OK(change_source(fd, way, MCAST_BLOCK_SOURCE, group(way, 0), loopback(way, 0)));
  tell(from, group(way, port_of(fd)), "hello");
  EXPECT(!hears(fd));
  OK(change_source(fd, way, MCAST_UNBLOCK_SOURCE, group(way, 0), loopback(way, 0)));
  tell(from, group(way, port_of(fd)), "hello");
  EXPECT(hears(fd));
}
BOTH(left_source_is_not_heard) {
  int fd = hearer(way), from = teller(way);
  OK(change_source(fd, way, MCAST_JOIN_SOURCE_GROUP, own_group(way, 0), loopback(way, 0)));
  OK(change_source(fd, way, MCAST_LEAVE_SOURCE_GROUP, own_group(way, 0), loopback(way, 0)));
  tell(from, own_group(way, port_of(fd)), "hello");
  EXPECT(!hears(fd));
}
BOTH(block_without_membership_is_refused) {
  int result = change_source(hearer(way), way, MCAST_BLOCK_SOURCE, group(way, 0), loopback(way, 0));
  EXPECT(result == -1 && errno == EINVAL);
}
BOTH(unblock_of_what_is_not_blocked_is_EADDRNOTAVAIL) {
  int fd = hearer(way);
  OK(join(fd, way, group(way, 0)));
  EXPECT_ERRNO(change_source(fd, way, MCAST_UNBLOCK_SOURCE, group(way, 0), loopback(way, 0)), EADDRNOTAVAIL);
}
BOTH(source_of_a_plain_membership_is_refused) {
  int fd = hearer(way);
  OK(join(fd, way, group(way, 0)));
  int result = change_source(fd, way, MCAST_LEAVE_SOURCE_GROUP, group(way, 0), loopback(way, 0));
  EXPECT(result == -1 && errno == EADDRNOTAVAIL);
}
BOTH(joining_a_source_twice_is_EADDRNOTAVAIL) {
  int fd = hearer(way);
  OK(change_source(fd, way, MCAST_JOIN_SOURCE_GROUP, group(way, 0), loopback(way, 0)));
  int result = change_source(fd, way, MCAST_JOIN_SOURCE_GROUP, group(way, 0), loopback(way, 0));
  EXPECT(result == -1 && errno == EADDRNOTAVAIL);
}
struct whole_filter {
  struct group_filter filter;
  struct sockaddr_storage more[3];
};
static struct group_filter* filter_of(struct whole_filter* w, enum way way) {
  memset(w, 0, sizeof *w);
  struct name g = group(way, 0);
  w->filter.gf_interface = (uint32_t)lo();
  memcpy(&w->filter.gf_group, &g.at, g.length);
  return &w->filter;
}
BOTH(whole_filter_is_told) {
  int fd = hearer(way);
  struct whole_filter w;
  struct group_filter* f = filter_of(&w, way);
  OK(join(fd, way, group(way, 0)));
  OK(change_source(fd, way, MCAST_BLOCK_SOURCE, group(way, 0), loopback(way, 0)));
  f->gf_numsrc = 2;
  socklen_t length = GROUP_FILTER_SIZE(2);
  OK(getsockopt(fd, level_of(way), MCAST_MSFILTER, f, &length));
  EXPECT_EQ(f->gf_fmode, MCAST_EXCLUDE);
  EXPECT_EQ(f->gf_numsrc, 1);
  EXPECT_EQ(f->gf_slist[0].ss_family, domain_of(way));
}
BOTH(whole_filter_is_set) {
  int fd = hearer(way), from = teller(way);
  struct whole_filter w;
  struct group_filter* f = filter_of(&w, way);
  OK(join(fd, way, group(way, 0)));
  f->gf_fmode = MCAST_EXCLUDE;
  f->gf_numsrc = 1;
  struct name source = loopback(way, 0);
  memcpy(&f->gf_slist[0], &source.at, source.length);
  OK(setsockopt(fd, level_of(way), MCAST_MSFILTER, f, GROUP_FILTER_SIZE(1)));
  tell(from, group(way, port_of(fd)), "hello");
  EXPECT(!hears(fd));
}
BOTH(filter_of_no_membership_is_refused) {
  struct whole_filter w;
  struct group_filter* f = filter_of(&w, way);
  socklen_t length = GROUP_FILTER_SIZE(1);
  int fd = hearer(way), result = getsockopt(fd, level_of(way), MCAST_MSFILTER, f, &length);
  EXPECT(result == -1 && errno == EADDRNOTAVAIL);
}

// --- the older ways of saying it ---
CASE(ip_add_membership_with_an_address) {
  int fd = hearer(V4), from = teller(V4);
  struct ip_mreq r = {.imr_multiaddr.s_addr = htonl(0xef010203), .imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
  OK(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof r));
  tell(from, group(V4, port_of(fd)), "hello");
  EXPECT(hears(fd));
  OK(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &r, sizeof r));
  EXPECT_ERRNO(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &r, sizeof r), EADDRNOTAVAIL);
}
CASE(ip_add_membership_with_an_index) {
  int fd = hearer(V4), from = teller(V4);
  struct ip_mreqn r = {.imr_multiaddr.s_addr = htonl(0xef010203), .imr_ifindex = lo()};
  OK(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof r));
  tell(from, group(V4, port_of(fd)), "hello");
  EXPECT(hears(fd));
}
CASE(ip_add_membership_of_an_address_of_nobody_is_ENODEV) {
  struct ip_mreq r = {.imr_multiaddr.s_addr = htonl(0xef010203), .imr_interface.s_addr = htonl(0xc6336401)};
  EXPECT_ERRNO(setsockopt(hearer(V4), IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof r), ENODEV);
}
CASE(ip_add_membership_of_no_group_is_EINVAL) {
  struct ip_mreq r = {.imr_multiaddr.s_addr = htonl(INADDR_LOOPBACK), .imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
  EXPECT_ERRNO(setsockopt(hearer(V4), IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof r), EINVAL);
}
CASE(ip_add_membership_too_short_is_EINVAL) {
  int value = 0;
  EXPECT_ERRNO(setsockopt(hearer(V4), IPPROTO_IP, IP_ADD_MEMBERSHIP, &value, sizeof value), EINVAL);
}
CASE(ip_source_membership_and_block) {
  int fd = hearer(V4), from = teller(V4);
  struct name const g = own_group(V4, port_of(fd));
  struct sockaddr_in in;
  memcpy(&in, &g.at, sizeof in);
  struct ip_mreq_source r = {.imr_multiaddr = in.sin_addr,
                             .imr_interface.s_addr = htonl(INADDR_LOOPBACK),
                             .imr_sourceaddr.s_addr = htonl(INADDR_LOOPBACK)};
  OK(setsockopt(fd, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &r, sizeof r));
  tell(from, g, "hello");
  EXPECT(hears(fd));
  OK(setsockopt(fd, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &r, sizeof r));
  tell(from, g, "hello");
  EXPECT(!hears(fd));
  OK(join(fd, V4, g));
  OK(setsockopt(fd, IPPROTO_IP, IP_BLOCK_SOURCE, &r, sizeof r));
  tell(from, g, "hello");
  EXPECT(!hears(fd));
  OK(setsockopt(fd, IPPROTO_IP, IP_UNBLOCK_SOURCE, &r, sizeof r));
  tell(from, g, "hello");
  EXPECT(hears(fd));
}
CASE(ip_msfilter_is_set_and_told) {
  int fd = hearer(V4);
  union {
    struct ip_msfilter filter;
    char room[IP_MSFILTER_SIZE(3)];
  } f = {.filter = {.imsf_multiaddr.s_addr = htonl(0xef010203), .imsf_interface.s_addr = htonl(INADDR_LOOPBACK)}};
  OK(join(fd, V4, group(V4, 0)));
  f.filter.imsf_fmode = MCAST_INCLUDE;
  f.filter.imsf_numsrc = 2;
  f.filter.imsf_slist[0].s_addr = htonl(0x7f000001);
  (&f.filter.imsf_slist[0])[1].s_addr = htonl(0x7f000002);
  OK(setsockopt(fd, IPPROTO_IP, IP_MSFILTER, &f, IP_MSFILTER_SIZE(2)));
  f.filter.imsf_numsrc = 3;
  socklen_t length = IP_MSFILTER_SIZE(3);
  OK(getsockopt(fd, IPPROTO_IP, IP_MSFILTER, &f, &length));
  EXPECT_EQ(f.filter.imsf_fmode, MCAST_INCLUDE);
  EXPECT_EQ(f.filter.imsf_numsrc, 2);
  EXPECT_EQ(length, IP_MSFILTER_SIZE(2));
}
CASE(ipv6_add_membership_and_drop) {
  int fd = hearer(V6), from = teller(V6);
  struct ipv6_mreq r = {.ipv6mr_interface = (unsigned)lo()};
  struct name const g = own_group(V6, port_of(fd));
  struct sockaddr_in6 in;
  memcpy(&in, &g.at, sizeof in);
  r.ipv6mr_multiaddr = in.sin6_addr;
  OK(setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &r, sizeof r));
  tell(from, g, "hello");
  EXPECT(hears(fd));
  EXPECT_ERRNO(setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &r, sizeof r), EADDRINUSE);
  OK(setsockopt(fd, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &r, sizeof r));
  tell(from, g, "hello");
  EXPECT(!hears(fd));
}
CASE(ipv6_add_membership_of_no_group_is_EINVAL) {
  struct ipv6_mreq r = {.ipv6mr_interface = (unsigned)lo(), .ipv6mr_multiaddr = in6addr_loopback};
  EXPECT_ERRNO(setsockopt(hearer(V6), IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &r, sizeof r), EINVAL);
}
CASE(ip_multicast_if_by_address_is_told) {
  int fd = new_socket(V4, SOCK_DGRAM);
  struct in_addr a = {htonl(INADDR_LOOPBACK)}, got = {0};
  socklen_t length = sizeof got;
  OK(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &a, sizeof a));
  OK(getsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &got, &length));
  EXPECT_EQ(length, sizeof got);
  EXPECT_EQ(got.s_addr, a.s_addr);
}
CASE(ip_multicast_if_of_an_address_of_nobody_is_EADDRNOTAVAIL) {
  struct in_addr a = {htonl(0xc6336401)};
  EXPECT_ERRNO(setsockopt(new_socket(V4, SOCK_DGRAM), IPPROTO_IP, IP_MULTICAST_IF, &a, sizeof a), EADDRNOTAVAIL);
}
CASE(ip_multicast_if_of_tcp_is_refused) {
  struct in_addr a = {htonl(INADDR_LOOPBACK)};
  EXPECT_ERRNO(setsockopt(new_socket(V4, SOCK_STREAM), IPPROTO_IP, IP_MULTICAST_IF, &a, sizeof a), EINVAL);
}
CASE(ipv6_multicast_if_is_kept) {
  int fd = new_socket(V6, SOCK_DGRAM);
  set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, lo());
  EXPECT_EQ(get(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF), lo());
}
CASE(ipv6_multicast_if_of_nobody_is_ENODEV) {
  EXPECT_ERRNO(try_set(new_socket(V6, SOCK_DGRAM), IPPROTO_IPV6, IPV6_MULTICAST_IF, 9999), ENODEV);
}
CASE(too_many_memberships_are_ENOBUFS_v4) {
  int fd = hearer(V4), n = 0;
  for (; n < 200; n++)
    if (join(fd, V4, name_v4(0xef020000u + (unsigned)n, 0)) != 0) break;
  EXPECT(errno == ENOBUFS);
  EXPECT(n >= 20);
}
BOTH(proc_net_lists_the_group) {
  static char text[65536];
  int fd = hearer(way);
  OK(join(fd, way, group(way, 0)));
  OK(read_file(way == V4 ? "/proc/net/igmp" : "/proc/net/igmp6", text, sizeof text));
  EXPECT(strstr(text, way == V4 ? "030201EF" : "ff120000000000000000000000001234") != NULL);
}

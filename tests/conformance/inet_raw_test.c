// Raw sockets (raw(7), RFC 3542), ping sockets (icmp(7)), the error queue of datagrams (ip(7), IP_RECVERR), classic BPF
// on sockets (socket(7), SO_ATTACH_FILTER), and what the ioctls about interfaces and netlink's options answer.
#include "inet.h"

#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sched.h>

enum { FILTER = 1, SOLICIT = 200 };  // ICMP_FILTER; a protocol number that nothing speaks

static int raw_socket(enum way way, int protocol) {
  int fd = socket(domain_of(way), SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0 && (errno == EPERM || errno == EACCES)) SKIP("no raw sockets here");
  return OK(fd);
}
static int icmp_of(enum way way) { return way == V4 ? (int)IPPROTO_ICMP : (int)IPPROTO_ICMPV6; }
static bool readable(int fd, int ms) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return OK(poll(&p, 1, ms)) == 1;
}
struct echo {
  uint8_t type, code;
  uint16_t checksum, identifier, sequence;
  char text[8];
};
static struct echo echo_request(enum way way, uint16_t sequence) {
  struct echo e = {.type = way == V4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST, .sequence = htons(sequence), .text = "hello"};
  return e;
}

// --- raw sockets ---
BOTH(raw_socket_of_protocol_0_is_EPROTONOSUPPORT) {
  raw_socket(way, SOLICIT);
  EXPECT_ERRNO(socket(domain_of(way), SOCK_RAW, 0), EPROTONOSUPPORT);
}
CASE(raw_v4_sees_the_ip_header) {
  char room[64];
  int fd = raw_socket(V4, SOLICIT);
  struct name to = loopback(V4, 0);
  EXPECT_EQ(sendto(fd, "hello", 5, 0, SA(to), to.length), 5);
  EXPECT(readable(fd, 1000));
  EXPECT_EQ(recv(fd, room, sizeof room, 0), 25);
  EXPECT_EQ(room[0], 0x45);
  EXPECT_EQ((uint8_t)room[9], SOLICIT);
  EXPECT(memcmp(room + 20, "hello", 5) == 0);
}
CASE(raw_v6_sees_the_payload_alone) {
  char room[64];
  int fd = raw_socket(V6, SOLICIT);
  struct name to = loopback(V6, 0);
  EXPECT_EQ(sendto(fd, "hello", 5, 0, SA(to), to.length), 5);
  EXPECT(readable(fd, 1000));
  EXPECT_EQ(recv(fd, room, sizeof room, 0), 5);
}
BOTH(raw_socket_hears_its_protocol_alone) {
  int fd = raw_socket(way, SOLICIT), other = raw_socket(way, SOLICIT + 1);
  struct name to = loopback(way, 0);
  EXPECT_EQ(sendto(other, "x", 1, 0, SA(to), to.length), 1);
  EXPECT(readable(other, 1000));
  EXPECT(!readable(fd, 20));
}
CASE(raw_header_included_is_sent_as_it_is) {
  int fd = raw_socket(V4, IPPROTO_RAW), hears = raw_socket(V4, SOLICIT);
  struct {
    struct iphdr ip;
    char text[4];
  } p = {.ip = {.version = 4, .ihl = 5, .ttl = 33, .tos = 8, .protocol = SOLICIT}, .text = "abc"};
  p.ip.saddr = p.ip.daddr = htonl(INADDR_LOOPBACK);
  struct name to = loopback(V4, 0);
  EXPECT_EQ(get(fd, IPPROTO_IP, IP_HDRINCL), 1);
  EXPECT_EQ(sendto(fd, &p, sizeof p, 0, SA(to), to.length), sizeof p);
  EXPECT(readable(hears, 1000));
  struct iphdr got;
  EXPECT_EQ(recv(hears, &got, sizeof got, MSG_TRUNC), sizeof p);
  EXPECT_EQ(got.ttl, 33);
  EXPECT_EQ(got.tos, 8);
  EXPECT_EQ(ntohs(got.tot_len), sizeof p);
  EXPECT(got.check != 0);
}
CASE(ipproto_raw_hears_nothing) {
  int fd = raw_socket(V4, IPPROTO_RAW), from = raw_socket(V4, SOLICIT);
  struct name to = loopback(V4, 0);
  EXPECT_EQ(sendto(from, "x", 1, 0, SA(to), to.length), 1);
  EXPECT(!readable(fd, 20));
}
CASE(icmp_filter_keeps_types_away) {
  uint32_t filter = ~(1u << ICMP_ECHOREPLY);
  int fd = raw_socket(V4, IPPROTO_ICMP);
  OK(setsockopt(fd, SOL_RAW, FILTER, &filter, sizeof filter));
  filter = 0;
  socklen_t length = sizeof filter;
  OK(getsockopt(fd, SOL_RAW, FILTER, &filter, &length));
  EXPECT_EQ(filter, ~(1u << ICMP_ECHOREPLY));
  EXPECT_EQ(length, 4);
  struct echo e = {.type = 42};  // nobody answers it
  struct name to = loopback(V4, 0);
  EXPECT_EQ(sendto(fd, &e, sizeof e, 0, SA(to), to.length), sizeof e);
  EXPECT(readable(fd, 20));  // a filter has 32 types: the others pass
  e.type = ICMP_TIMESTAMPREPLY;
  char room[128];
  OK(recv(fd, room, sizeof room, 0));
  EXPECT_EQ(sendto(fd, &e, sizeof e, 0, SA(to), to.length), sizeof e);
  EXPECT(!readable(fd, 20));
}
CASE(icmp_filter_of_another_protocol_is_EOPNOTSUPP) {
  uint32_t filter = 0;
  EXPECT_ERRNO(setsockopt(raw_socket(V4, SOLICIT), SOL_RAW, FILTER, &filter, sizeof filter), EOPNOTSUPP);
}
CASE(icmp6_filter_keeps_types_away) {
  struct icmp6_filter filter, got;
  socklen_t length = sizeof got;
  int fd = raw_socket(V6, IPPROTO_ICMPV6);
  ICMP6_FILTER_SETBLOCKALL(&filter);
  ICMP6_FILTER_SETPASS(200, &filter);
  OK(setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter));
  OK(getsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &got, &length));
  EXPECT(memcmp(&filter, &got, sizeof got) == 0);
  struct echo e = {.type = 201};  // private experimentation: nobody answers
  struct name to = loopback(V6, 0);
  EXPECT_EQ(sendto(fd, &e, sizeof e, 0, SA(to), to.length), sizeof e);
  EXPECT(!readable(fd, 20));
  e.type = 200;
  EXPECT_EQ(sendto(fd, &e, sizeof e, 0, SA(to), to.length), sizeof e);
  EXPECT(readable(fd, 1000));
}
CASE(ipv6_checksum_is_filled_in) {
  uint16_t words[4] = {0}, got[4];
  int fd = raw_socket(V6, SOLICIT), plain = raw_socket(V6, SOLICIT);
  set(fd, IPPROTO_IPV6, IPV6_CHECKSUM, 2);
  EXPECT_EQ(get(fd, IPPROTO_IPV6, IPV6_CHECKSUM), 2);
  struct name to = loopback(V6, 0);
  EXPECT_EQ(sendto(fd, words, sizeof words, 0, SA(to), to.length), sizeof words);
  EXPECT(readable(plain, 1000));
  EXPECT_EQ(recv(plain, got, sizeof got, 0), sizeof got);
  EXPECT(got[1] != 0);
  EXPECT_EQ(got[0] | got[2] | got[3], 0);
}
CASE(ipv6_checksum_at_an_odd_place_is_EINVAL) {
  EXPECT_ERRNO(try_set(raw_socket(V6, SOLICIT), IPPROTO_IPV6, IPV6_CHECKSUM, 3), EINVAL);
}
CASE(ipv6_mtu_below_the_minimum_is_EINVAL) {
  EXPECT_ERRNO(try_set(new_socket(V6, SOCK_DGRAM), IPPROTO_IPV6, IPV6_MTU, 1279), EINVAL);
}
CASE(ipv6_membership_is_dropped_once) {
  struct ipv6_mreq r = {.ipv6mr_interface = if_nametoindex("lo")};
  inet_pton(AF_INET6, "ff12::77", &r.ipv6mr_multiaddr);
  int fd = new_socket(V6, SOCK_DGRAM);
  OK(setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &r, sizeof r));
  OK(setsockopt(fd, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &r, sizeof r));
  EXPECT_ERRNO(setsockopt(fd, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &r, sizeof r), EADDRNOTAVAIL);
}

// --- ping sockets ---
// In a network namespace of the case's own where that can be had.
static void let_all_ping(void) {
  static bool done;
  if (done) return;
  done = true;
  if (unshare(CLONE_NEWNET) == 0) {
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    OK(ioctl(new_socket(V4, SOCK_DGRAM), SIOCSIFFLAGS, &r));
    for (int n = 0; n < 50 && try_bind(new_socket(V6, SOCK_DGRAM), loopback(V6, 0)) != 0; n++) sleep_ms(10);
  }
  int fd = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY | O_CLOEXEC);
  char const everybody[] = "0 2147483647";
  if (fd < 0 || write(fd, everybody, strlen(everybody)) < 0) return;
  close(fd);
}
static int ping_socket(enum way way) {
  let_all_ping();
  int fd = socket(domain_of(way), SOCK_DGRAM | SOCK_CLOEXEC, icmp_of(way));
  if (fd < 0 && errno == EACCES) SKIP("this group may not ping");
  return OK(fd);
}
BOTH(ping_socket_is_answered) {
  struct echo e = echo_request(way, 7), got;
  int fd = ping_socket(way);
  struct name to = loopback(way, 0);
  EXPECT_EQ(sendto(fd, &e, sizeof e, 0, SA(to), to.length), sizeof e);
  EXPECT(readable(fd, 1000));
  EXPECT_EQ(recv(fd, &got, sizeof got, 0), sizeof got);
  EXPECT_EQ(got.type, way == V4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY);
  EXPECT_EQ(ntohs(got.sequence), 7);
  EXPECT_EQ(ntohs(got.identifier), port_of(fd));
  EXPECT(strcmp(got.text, "hello") == 0);
}
BOTH(ping_socket_sends_requests_only) {
  struct echo e = {.type = ICMP_ECHOREPLY};
  struct name to = loopback(way, 0);
  EXPECT_ERRNO(sendto(ping_socket(way), &e, sizeof e, 0, SA(to), to.length), EINVAL);
}
BOTH(ping_socket_hears_its_own_answers_alone) {
  struct echo e = echo_request(way, 1);
  int a = ping_socket(way), b = ping_socket(way);
  struct name to = loopback(way, 0);
  OK(connect(b, SA(to), to.length));
  EXPECT_EQ(sendto(a, &e, sizeof e, 0, SA(to), to.length), sizeof e);
  EXPECT(readable(a, 1000));
  EXPECT(!readable(b, 20));
}

// --- the error queue ---
static int recverr_of(enum way way) { return way == V4 ? (int)IP_RECVERR : (int)IPV6_RECVERR; }
static int level_of(enum way way) { return way == V4 ? (int)IPPROTO_IP : (int)IPPROTO_IPV6; }
BOTH(refused_datagram_comes_back_in_the_error_queue) {
  struct message m;
  int closed = new_socket(way, SOCK_DGRAM), fd = new_socket(way, SOCK_DGRAM);
  OK(try_bind(closed, loopback(way, 0)));
  struct name to = loopback(way, port_of(closed));
  close(closed);
  set(fd, level_of(way), recverr_of(way), 1);
  EXPECT_EQ(sendto(fd, "hello", 5, 0, SA(to), to.length), 5);
  wait_for(fd, POLLERR);
  EXPECT_EQ(receive_message(fd, &m, MSG_ERRQUEUE), 5);
  struct sock_extended_err e;
  memcpy(&e, CMSG_DATA(control_of(&m, level_of(way), recverr_of(way))), sizeof e);
  EXPECT_EQ(e.ee_errno, ECONNREFUSED);
  EXPECT_EQ(e.ee_origin, way == V4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6);
  EXPECT_EQ(e.ee_type, way == V4 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH);
  EXPECT_EQ(e.ee_code, way == V4 ? ICMP_PORT_UNREACH : ICMP6_DST_UNREACH_NOPORT);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_ERROR), 0);
  char room[8];
  EXPECT_ERRNO(recv(fd, room, sizeof room, MSG_ERRQUEUE | MSG_DONTWAIT), EAGAIN);
}
BOTH(receiver_sleeps_beside_a_full_error_queue) {
  char room[8];
  struct timeval soon = {.tv_usec = 100000};
  int closed = new_socket(way, SOCK_DGRAM), fd = new_socket(way, SOCK_DGRAM);
  OK(try_bind(closed, loopback(way, 0)));
  struct name to = loopback(way, port_of(closed));
  close(closed);
  set(fd, level_of(way), recverr_of(way), 1);
  OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon));
  EXPECT_EQ(sendto(fd, "hello", 5, 0, SA(to), to.length), 5);
  wait_for(fd, POLLERR);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  EXPECT_ERRNO(recv(fd, room, sizeof room, 0), EAGAIN);
  EXPECT_EQ(recv(fd, room, sizeof room, MSG_ERRQUEUE), 5);
}
BOTH(without_recverr_an_unconnected_socket_hears_nothing) {
  char room[8];
  int closed = new_socket(way, SOCK_DGRAM), fd = new_socket(way, SOCK_DGRAM);
  OK(try_bind(closed, loopback(way, 0)));
  struct name to = loopback(way, port_of(closed));
  close(closed);
  EXPECT_EQ(sendto(fd, "hello", 5, 0, SA(to), to.length), 5);
  sleep_ms(20);
  EXPECT_ERRNO(recv(fd, room, sizeof room, MSG_DONTWAIT), EAGAIN);
}

EACH(peek_offset_behind_the_end_of_a_shut_socket_reads_nothing) {
  char room[8];
  make_pair_of(way, SOCK_DGRAM);
  set(client, SOL_SOCKET, SO_PEEK_OFF, 5);
  OK(shutdown(client, SHUT_RD));
  EXPECT_EQ(recv(client, room, sizeof room, MSG_PEEK), 0);
  EXPECT_EQ(recv(client, room, sizeof room, MSG_PEEK | MSG_TRUNC), 0);
}
EACH(waiting_peek_at_an_offset_hears_of_an_error) {
  char room[8];
  int fd = connected(way, SOCK_DGRAM, unused_port(way, SOCK_DGRAM));
  set(fd, SOL_SOCKET, SO_PEEK_OFF, 0);
  pid_t child = IN_CHILD({
    sleep_ms(50);
    OK(send(fd, "x", 1, 0));
  });
  EXPECT_ERRNO(recv(fd, room, sizeof room, MSG_PEEK), ECONNREFUSED);
  EXPECT_EXIT(child, 0);
}

// --- filters ---
static int attach(int fd, struct sock_filter* code, int count) {
  struct sock_fprog program = {.len = (unsigned short)count, .filter = code};
  int result = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
  if (result < 0 && errno == ENOPROTOOPT) SKIP("no filters on sockets of the host");
  return result;
}
// Of a UDP socket the packet begins with the UDP header.
static struct sock_filter first_byte_is_x[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'x', 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 0xffff),
    BPF_STMT(BPF_RET | BPF_K, 0),
};
BOTH(filter_drops_what_it_does_not_take) {
  char room[8];
  int fd = new_socket(way, SOCK_DGRAM), from = new_socket(way, SOCK_DGRAM);
  OK(try_bind(fd, loopback(way, 0)));
  struct name to = own_name(fd);
  OK(attach(fd, first_byte_is_x, 4));
  EXPECT_EQ(sendto(from, "abc", 3, 0, SA(to), to.length), 3);
  EXPECT_EQ(sendto(from, "xyz", 3, 0, SA(to), to.length), 3);
  EXPECT(readable(fd, 1000));
  EXPECT_EQ(recv(fd, room, sizeof room, 0), 3);
  EXPECT_EQ(room[0], 'x');
  EXPECT(!readable(fd, 20));
}
CASE(filter_cuts_what_it_takes) {
  struct sock_filter nine[] = {BPF_STMT(BPF_RET | BPF_K, 9)};
  char room[8];
  int fd = new_socket(V4, SOCK_DGRAM);
  OK(try_bind(fd, loopback(V4, 0)));
  struct name to = own_name(fd);
  OK(attach(fd, nine, 1));
  EXPECT_EQ(sendto(fd, "abc", 3, 0, SA(to), to.length), 3);
  EXPECT(readable(fd, 1000));
  EXPECT_EQ(recv(fd, room, sizeof room, 0), 1);
}
CASE(filter_that_does_not_return_is_EINVAL) {
  struct sock_filter endless[] = {BPF_STMT(BPF_LD | BPF_IMM, 1)};
  EXPECT_ERRNO(attach(new_socket(V4, SOCK_DGRAM), endless, 1), EINVAL);
}
CASE(filter_that_jumps_out_is_EINVAL) {
  struct sock_filter out[] = {BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_RET | BPF_K, 0)};
  EXPECT_ERRNO(attach(new_socket(V4, SOCK_DGRAM), out, 2), EINVAL);
}
CASE(detaching_no_filter_is_ENOENT) {
  int fd = new_socket(V4, SOCK_DGRAM);
  OK(attach(fd, first_byte_is_x, 4));
  OK(try_set(fd, SOL_SOCKET, SO_DETACH_FILTER, 0));
  EXPECT_ERRNO(try_set(fd, SOL_SOCKET, SO_DETACH_FILTER, 0), ENOENT);
}
CASE(locked_filter_stays) {
  int fd = new_socket(V4, SOCK_DGRAM);
  OK(attach(fd, first_byte_is_x, 4));
  set(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
  EXPECT_ERRNO(try_set(fd, SOL_SOCKET, SO_DETACH_FILTER, 0), EPERM);
}

// --- interfaces and netlink ---
static struct ifreq ask_lo(unsigned long request) {
  struct ifreq r = {.ifr_name = "lo"};
  OK(ioctl(new_socket(V4, SOCK_DGRAM), request, &r));
  return r;
}
CASE(ioctls_tell_of_the_loopback_interface) {
  EXPECT_EQ(ask_lo(SIOCGIFHWADDR).ifr_hwaddr.sa_family, 772);  // ARPHRD_LOOPBACK
  EXPECT_EQ(ask_lo(SIOCGIFMETRIC).ifr_metric, 0);
  EXPECT(ask_lo(SIOCGIFTXQLEN).ifr_qlen >= 0);
  struct ifreq r = ask_lo(SIOCGIFDSTADDR);
  EXPECT_EQ(r.ifr_dstaddr.sa_family, AF_INET);
  r = ask_lo(SIOCGIFBRDADDR);
  EXPECT_EQ(r.ifr_broadaddr.sa_family, AF_INET);
}
CASE(netlink_groups_are_joined_and_left) {
  int fd = OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  for (int group = 1; group <= 2; group++) {
    OK(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
    OK(setsockopt(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &group, sizeof group));
  }
}
CASE(netlink_strictness_is_kept) {
  int fd = OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  set(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  set(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
}

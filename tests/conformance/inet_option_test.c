// getsockopt(2) and setsockopt(2) of TCP and UDP sockets: what they begin with, what they take, what they refuse.
#include "inet.h"

#include <linux/capability.h>
#include <net/if.h>

// An option whose value comes back as it was given.
#define KEEPS(name, type, level, option, value) \
  BOTH(name) {                                  \
    int fd = new_socket(way, type);             \
    set(fd, level, option, value);              \
    EXPECT_EQ(get(fd, level, option), value);   \
  }
#define V6_KEEPS(name, type, option, value)          \
  CASE(name) {                                       \
    int fd = new_socket(V6, type);                   \
    set(fd, IPPROTO_IPV6, option, value);            \
    EXPECT_EQ(get(fd, IPPROTO_IPV6, option), value); \
  }
#define V4_KEEPS(name, type, option, value)        \
  CASE(name) {                                     \
    int fd = new_socket(V4, type);                 \
    set(fd, IPPROTO_IP, option, value);            \
    EXPECT_EQ(get(fd, IPPROTO_IP, option), value); \
  }
#define DEFAULT(name, domain_way, type, level, option, value) \
  CASE(name) { EXPECT_EQ(get(new_socket(domain_way, type), level, option), value); }
#define REFUSES(name, domain_way, type, level, option, value, error) \
  CASE(name) { EXPECT_ERRNO(try_set(new_socket(domain_way, type), level, option, value), error); }

static void without(int capability) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  OK(syscall(SYS_capget, &header, data));
  data[capability / 32].effective &= ~(1u << (capability % 32));
  OK(syscall(SYS_capset, &header, data));
}

// --- SOL_SOCKET ---
BOTH_KINDS(so_type_domain_and_protocol_say_what_it_is) {
  int fd = new_socket(way, type);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_TYPE), type);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_DOMAIN), domain_of(way));
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_PROTOCOL), type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP);
}
BOTH_KINDS(so_type_cannot_be_set) { EXPECT_ERRNO(try_set(new_socket(way, type), SOL_SOCKET, SO_TYPE, 1), ENOPROTOOPT); }
BOTH_KINDS(so_error_cannot_be_set) {
  EXPECT_ERRNO(try_set(new_socket(way, type), SOL_SOCKET, SO_ERROR, 1), ENOPROTOOPT);
}
BOTH_KINDS(unknown_socket_option_is_ENOPROTOOPT) {
  int fd = new_socket(way, type), value;
  socklen_t length = sizeof value;
  EXPECT_ERRNO(getsockopt(fd, SOL_SOCKET, 9999, &value, &length), ENOPROTOOPT);
  EXPECT_ERRNO(try_set(fd, SOL_SOCKET, 9999, 1), ENOPROTOOPT);
}
BOTH_KINDS(flags_are_0_or_1) {
  int fd = new_socket(way, type);
  for (int i = 0; i < 2; i++) {
    static const int names[] = {SO_BROADCAST, SO_DONTROUTE, SO_OOBINLINE, SO_REUSEADDR, SO_KEEPALIVE, SO_TIMESTAMP};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
      EXPECT_EQ(get(fd, SOL_SOCKET, names[n]), 0);
      set(fd, SOL_SOCKET, names[n], 42);
      EXPECT_EQ(get(fd, SOL_SOCKET, names[n]), 1);
      set(fd, SOL_SOCKET, names[n], 0);
    }
  }
}
BOTH_KINDS(option_shorter_than_int_is_EINVAL) {
  int fd = new_socket(way, type);
  char byte = 1;
  EXPECT_ERRNO(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &byte, 1), EINVAL);
}
BOTH_KINDS(bad_pointer_to_an_option_is_EFAULT) {
  int fd = new_socket(way, type), value;
  EXPECT_ERRNO(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, (void*)1, 4), EFAULT);
  EXPECT_ERRNO(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, (socklen_t*)1), EFAULT);
}
BOTH_KINDS(value_is_cut_at_the_room_given) {
  int fd = new_socket(way, type);
  unsigned char value[4] = {9, 9, 9, 9};
  socklen_t length = 1;
  OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, value, &length));
  EXPECT_EQ(length, 1);
  EXPECT_EQ(value[0], type);
  EXPECT_EQ(value[1], 9);
}
BOTH_KINDS(negative_room_is_EINVAL) {
  int fd = new_socket(way, type), value;
  socklen_t length = (socklen_t)-1;
  EXPECT_ERRNO(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length), EINVAL);
}
BOTH_KINDS(buffer_sizes_are_doubled) {
  int fd = new_socket(way, type);
  set(fd, SOL_SOCKET, SO_SNDBUF, 20000);
  set(fd, SOL_SOCKET, SO_RCVBUF, 30000);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_SNDBUF), 40000);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_RCVBUF), 60000);
}
BOTH_KINDS(buffer_sizes_have_a_minimum) {
  int fd = new_socket(way, type);
  set(fd, SOL_SOCKET, SO_SNDBUF, 0);
  set(fd, SOL_SOCKET, SO_RCVBUF, 0);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_SNDBUF), 4608);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_RCVBUF), 2304);
}
BOTH_KINDS(buffer_sizes_have_a_maximum) {
  int fd = new_socket(way, type);
  char text[32] = {0};
  if (read_file("/proc/sys/net/core/wmem_max", text, sizeof text) <= 0) SKIP("no wmem_max");
  set(fd, SOL_SOCKET, SO_SNDBUF, 1 << 30);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_SNDBUF), 2 * atoi(text));
  OK(read_file("/proc/sys/net/core/rmem_max", text, sizeof text));
  set(fd, SOL_SOCKET, SO_RCVBUF, 1 << 30);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_RCVBUF), 2 * atoi(text));
}
BOTH_KINDS(buffer_force_without_capability_is_EPERM) {
  without(CAP_NET_ADMIN);
  int fd = new_socket(way, type);
  EXPECT_ERRNO(try_set(fd, SOL_SOCKET, SO_SNDBUFFORCE, 1 << 20), EPERM);
  EXPECT_ERRNO(try_set(fd, SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20), EPERM);
}
BOTH_KINDS(linger_is_kept) {
  int fd = new_socket(way, type);
  struct linger l = {1, 7}, got = {0, 0};
  socklen_t length = sizeof got;
  OK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l));
  OK(getsockopt(fd, SOL_SOCKET, SO_LINGER, &got, &length));
  EXPECT_EQ(length, sizeof got);
  EXPECT_EQ(got.l_onoff, 1);
  EXPECT_EQ(got.l_linger, 7);
}
BOTH_KINDS(linger_of_an_int_is_EINVAL) {
  int fd = new_socket(way, type), value = 1;
  EXPECT_ERRNO(setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value), EINVAL);
}
BOTH_KINDS(timeouts_are_kept) {
  int fd = new_socket(way, type);
  struct timeval t = {3, 250000}, got;
  socklen_t length = sizeof got;
  OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
  OK(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &got, &length));
  EXPECT_EQ(got.tv_sec, 3);
  EXPECT(got.tv_usec >= 245000 && got.tv_usec <= 260000);
}
BOTH_KINDS(timeout_with_too_many_microseconds_is_EDOM) {
  int fd = new_socket(way, type);
  struct timeval t = {0, 1000000};
  EXPECT_ERRNO(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t), EDOM);
}
BOTH_KINDS(priority_to_6_is_for_everybody) {
  without(CAP_NET_ADMIN);
  without(CAP_NET_RAW);
  int fd = new_socket(way, type);
  set(fd, SOL_SOCKET, SO_PRIORITY, 6);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_PRIORITY), 6);
  EXPECT_ERRNO(try_set(fd, SOL_SOCKET, SO_PRIORITY, 7), EPERM);
}
BOTH_KINDS(mark_without_capability_is_EPERM) {
  without(CAP_NET_ADMIN);
  without(CAP_NET_RAW);
  EXPECT_ERRNO(try_set(new_socket(way, type), SOL_SOCKET, SO_MARK, 1), EPERM);
}
BOTH_KINDS(rcvlowat_is_at_least_one) {
  int fd = new_socket(way, type);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_RCVLOWAT), 1);
  set(fd, SOL_SOCKET, SO_RCVLOWAT, 0);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_RCVLOWAT), 1);
  set(fd, SOL_SOCKET, SO_RCVLOWAT, 100);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_RCVLOWAT), 100);
}
BOTH_KINDS(sndlowat_is_one_and_cannot_be_set) {
  int fd = new_socket(way, type);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_SNDLOWAT), 1);
  EXPECT_ERRNO(try_set(fd, SOL_SOCKET, SO_SNDLOWAT, 1), ENOPROTOOPT);
}
BOTH_KINDS(acceptconn_is_for_listeners) {
  int fd = bound(way, type);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
  if (type == SOCK_DGRAM) return;
  OK(listen(fd, 1));
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
}
BOTH_KINDS(cookies_of_two_sockets_differ) {
  uint64_t a = 0, b = 0;
  socklen_t length = sizeof a;
  OK(getsockopt(new_socket(way, type), SOL_SOCKET, SO_COOKIE, &a, &length));
  EXPECT_EQ(length, 8);
  OK(getsockopt(new_socket(way, type), SOL_SOCKET, SO_COOKIE, &b, &length));
  EXPECT(a != b);
}
BOTH_KINDS(cookie_into_four_bytes_is_EINVAL) {
  int fd = new_socket(way, type), value;
  socklen_t length = sizeof value;
  EXPECT_ERRNO(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &value, &length), EINVAL);
}
KEEPS(rxq_ovfl_is_kept, SOCK_DGRAM, SOL_SOCKET, SO_RXQ_OVFL, 1)
KEEPS(peek_off_is_kept_udp, SOCK_DGRAM, SOL_SOCKET, SO_PEEK_OFF, 5)
DEFAULT(peek_off_begins_at_minus_one, V4, SOCK_DGRAM, SOL_SOCKET, SO_PEEK_OFF, -1)
KEEPS(no_check_is_kept, SOCK_DGRAM, SOL_SOCKET, SO_NO_CHECK, 1)
KEEPS(select_err_queue_is_kept, SOCK_DGRAM, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1)
KEEPS(timestampns_is_kept, SOCK_DGRAM, SOL_SOCKET, SO_TIMESTAMPNS, 1)
KEEPS(timestamping_is_kept, SOCK_DGRAM, SOL_SOCKET, SO_TIMESTAMPING, 0x18)
REFUSES(timestamping_with_unknown_bits_is_EINVAL, V4, SOCK_DGRAM, SOL_SOCKET, SO_TIMESTAMPING, 1 << 30, EINVAL)
CASE(timestampns_takes_timestamp_away) {
  int fd = new_socket(V4, SOCK_DGRAM);
  set(fd, SOL_SOCKET, SO_TIMESTAMP, 1);
  set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_TIMESTAMP), 0);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_TIMESTAMPNS), 1);
  set(fd, SOL_SOCKET, SO_TIMESTAMP, 1);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_TIMESTAMPNS), 0);
}
BOTH_KINDS(busy_poll_is_kept_or_refused) {
  int fd = new_socket(way, type), value;
  socklen_t length = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &value, &length) != 0) {
    EXPECT(errno == ENOPROTOOPT);
    EXPECT_ERRNO(try_set(fd, SOL_SOCKET, SO_BUSY_POLL, 50), ENOPROTOOPT);
    return;
  }
  set(fd, SOL_SOCKET, SO_BUSY_POLL, 50);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_BUSY_POLL), 50);
}
BOTH_KINDS(max_pacing_rate_is_kept_or_refused) {
  int fd = new_socket(way, type), value;
  socklen_t length = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &value, &length) != 0) {
    EXPECT(errno == ENOPROTOOPT);
    EXPECT_ERRNO(try_set(fd, SOL_SOCKET, SO_MAX_PACING_RATE, 50), ENOPROTOOPT);
    return;
  }
  EXPECT_EQ(value, -1);
  set(fd, SOL_SOCKET, SO_MAX_PACING_RATE, 1000000);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_MAX_PACING_RATE), 1000000);
}
BOTH_KINDS(incoming_cpu_is_told) {
  int cpu = get(new_socket(way, type), SOL_SOCKET, SO_INCOMING_CPU);
  EXPECT(cpu >= -1 && cpu < 4096);
}
BOTH_KINDS(meminfo_tells_nine_numbers) {
  uint32_t m[16];
  socklen_t length = sizeof m;
  int fd = new_socket(way, type);
  set(fd, SOL_SOCKET, SO_RCVBUF, 30000);
  OK(getsockopt(fd, SOL_SOCKET, 55 /* SO_MEMINFO */, m, &length));
  EXPECT_EQ(length, 36);
  EXPECT_EQ(m[1], 60000);
}

// --- SO_BINDTODEVICE ---
BOTH_KINDS(bind_to_device_is_kept) {
  int fd = new_socket(way, type);
  char name[IFNAMSIZ] = {0};
  socklen_t length = sizeof name;
  OK(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length));
  EXPECT_EQ(length, 0);
  OK(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
  length = sizeof name;
  OK(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length));
  EXPECT_EQ(length, 3);
  EXPECT_STR(name, "lo");
}
BOTH_KINDS(bind_to_device_of_nobody_is_ENODEV) {
  EXPECT_ERRNO(setsockopt(new_socket(way, type), SOL_SOCKET, SO_BINDTODEVICE, "nosuch9", 8), ENODEV);
}
BOTH_KINDS(bind_to_device_with_too_little_room_is_EINVAL) {
  int fd = new_socket(way, type);
  char name[4];
  socklen_t length = sizeof name;
  OK(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
  EXPECT_ERRNO(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length), EINVAL);
}
BOTH_KINDS(bind_to_ifindex_is_kept) {
  int fd = new_socket(way, type), value, lo = (int)if_nametoindex("lo");
  socklen_t length = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, 62, &value, &length) != 0) SKIP("no SO_BINDTOIFINDEX");
  EXPECT_EQ(value, 0);
  set(fd, SOL_SOCKET, 62, lo);
  EXPECT_EQ(get(fd, SOL_SOCKET, 62), lo);
}
EACH_KIND(socket_bound_to_lo_speaks_there) {
  make_pair_of(way, type);
  int fd = new_socket(way, type);
  OK(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
  OK(try_connect(fd, loopback(way, port_of(type == SOCK_STREAM ? lister : server))));
}

// --- IPPROTO_IP ---
DEFAULT(ip_tos_begins_at_0, V4, SOCK_DGRAM, IPPROTO_IP, IP_TOS, 0)
DEFAULT(ip_ttl_begins_at_64, V4, SOCK_DGRAM, IPPROTO_IP, IP_TTL, 64)
DEFAULT(ip_multicast_ttl_begins_at_1, V4, SOCK_DGRAM, IPPROTO_IP, IP_MULTICAST_TTL, 1)
DEFAULT(ip_multicast_loop_begins_at_1, V4, SOCK_DGRAM, IPPROTO_IP, IP_MULTICAST_LOOP, 1)
DEFAULT(ip_multicast_all_begins_at_1, V4, SOCK_DGRAM, IPPROTO_IP, IP_MULTICAST_ALL, 1)
DEFAULT(ip_mtu_discover_begins_with_want, V4, SOCK_DGRAM, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT)
V4_KEEPS(ip_ttl_is_kept, SOCK_DGRAM, IP_TTL, 33)
V4_KEEPS(ip_ttl_is_kept_tcp, SOCK_STREAM, IP_TTL, 33)
V4_KEEPS(ip_tos_is_kept_udp, SOCK_DGRAM, IP_TOS, 0x10)
CASE(ip_tos_of_tcp_keeps_the_ecn_bits_out) {
  int fd = new_socket(V4, SOCK_STREAM);
  set(fd, IPPROTO_IP, IP_TOS, 0x13);
  EXPECT_EQ(get(fd, IPPROTO_IP, IP_TOS), 0x10);
}
CASE(ip_tos_of_udp_keeps_the_ecn_bits) {
  int fd = new_socket(V4, SOCK_DGRAM);
  set(fd, IPPROTO_IP, IP_TOS, 0x13);
  EXPECT_EQ(get(fd, IPPROTO_IP, IP_TOS), 0x13);
}
CASE(ip_tos_sets_the_priority) {
  int fd = new_socket(V4, SOCK_DGRAM);
  set(fd, IPPROTO_IP, IP_TOS, 0x10);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_PRIORITY), 6);  // interactive
}
CASE(ip_options_may_be_a_byte) {
  int fd = new_socket(V4, SOCK_DGRAM);
  unsigned char byte = 77;
  OK(setsockopt(fd, IPPROTO_IP, IP_TTL, &byte, 1));
  EXPECT_EQ(get(fd, IPPROTO_IP, IP_TTL), 77);
  socklen_t length = 1;
  byte = 0;
  OK(getsockopt(fd, IPPROTO_IP, IP_TTL, &byte, &length));
  EXPECT_EQ(byte, 77);
  EXPECT_EQ(length, 1);
}
CASE(ip_ttl_of_minus_one_is_the_default) {
  int fd = new_socket(V4, SOCK_DGRAM);
  set(fd, IPPROTO_IP, IP_TTL, 5);
  set(fd, IPPROTO_IP, IP_TTL, -1);
  EXPECT_EQ(get(fd, IPPROTO_IP, IP_TTL), 64);
}
REFUSES(ip_ttl_of_0_is_EINVAL, V4, SOCK_DGRAM, IPPROTO_IP, IP_TTL, 0, EINVAL)
REFUSES(ip_ttl_of_256_is_EINVAL, V4, SOCK_DGRAM, IPPROTO_IP, IP_TTL, 256, EINVAL)
REFUSES(ip_multicast_ttl_of_256_is_EINVAL, V4, SOCK_DGRAM, IPPROTO_IP, IP_MULTICAST_TTL, 256, EINVAL)
REFUSES(ip_multicast_ttl_of_tcp_is_EINVAL, V4, SOCK_STREAM, IPPROTO_IP, IP_MULTICAST_TTL, 2, EINVAL)
REFUSES(ip_mtu_discover_of_9_is_EINVAL, V4, SOCK_DGRAM, IPPROTO_IP, IP_MTU_DISCOVER, 9, EINVAL)
REFUSES(ip_minttl_of_256_is_EINVAL, V4, SOCK_DGRAM, IPPROTO_IP, IP_MINTTL, 256, EINVAL)
REFUSES(ip_option_of_nobody_is_ENOPROTOOPT, V4, SOCK_DGRAM, IPPROTO_IP, 9999, 1, ENOPROTOOPT)
REFUSES(ip_hdrincl_of_udp_is_ENOPROTOOPT, V4, SOCK_DGRAM, IPPROTO_IP, IP_HDRINCL, 1, ENOPROTOOPT)
V4_KEEPS(ip_mtu_discover_is_kept, SOCK_DGRAM, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
V4_KEEPS(ip_multicast_ttl_is_kept, SOCK_DGRAM, IP_MULTICAST_TTL, 9)
V4_KEEPS(ip_multicast_ttl_may_be_0, SOCK_DGRAM, IP_MULTICAST_TTL, 0)
V4_KEEPS(ip_multicast_loop_is_kept, SOCK_DGRAM, IP_MULTICAST_LOOP, 0)
V4_KEEPS(ip_multicast_all_is_kept, SOCK_DGRAM, IP_MULTICAST_ALL, 0)
V4_KEEPS(ip_pktinfo_is_kept, SOCK_DGRAM, IP_PKTINFO, 1)
V4_KEEPS(ip_recvttl_is_kept, SOCK_DGRAM, IP_RECVTTL, 1)
V4_KEEPS(ip_recvtos_is_kept, SOCK_DGRAM, IP_RECVTOS, 1)
V4_KEEPS(ip_recverr_is_kept, SOCK_DGRAM, IP_RECVERR, 1)
V4_KEEPS(ip_recverr_is_kept_tcp, SOCK_STREAM, IP_RECVERR, 1)
V4_KEEPS(ip_recvopts_is_kept, SOCK_DGRAM, IP_RECVOPTS, 1)
V4_KEEPS(ip_retopts_is_kept, SOCK_DGRAM, IP_RETOPTS, 1)
V4_KEEPS(ip_recvorigdstaddr_is_kept, SOCK_DGRAM, IP_RECVORIGDSTADDR, 1)
V4_KEEPS(ip_freebind_is_kept, SOCK_STREAM, IP_FREEBIND, 1)
V4_KEEPS(ip_minttl_is_kept, SOCK_STREAM, IP_MINTTL, 3)
V4_KEEPS(ip_bind_address_no_port_is_kept, SOCK_STREAM, IP_BIND_ADDRESS_NO_PORT, 1)
CASE(ip_mtu_of_unconnected_is_ENOTCONN) {
  int fd = new_socket(V4, SOCK_DGRAM), value;
  socklen_t length = sizeof value;
  EXPECT_ERRNO(getsockopt(fd, IPPROTO_IP, IP_MTU, &value, &length), ENOTCONN);
}
CASE(ip_mtu_of_the_loopback) {
  make_pair_of(V4, SOCK_DGRAM);
  EXPECT_EQ(get(client, IPPROTO_IP, IP_MTU), 65535);  // an IPv4 packet is no longer
}
CASE(ip_options_of_a_v6_socket_work_too) {
  int fd = new_socket(V6, SOCK_DGRAM);
  set(fd, IPPROTO_IP, IP_TTL, 9);
  EXPECT_EQ(get(fd, IPPROTO_IP, IP_TTL), 9);
}
CASE(ip_options_are_empty_at_first) {
  char room[40];
  socklen_t length = sizeof room;
  OK(getsockopt(new_socket(V4, SOCK_DGRAM), IPPROTO_IP, IP_OPTIONS, room, &length));
  EXPECT_EQ(length, 0);
}
CASE(ip_options_come_back) {
  int fd = new_socket(V4, SOCK_DGRAM);
  unsigned char option[4] = {0x94, 4, 0, 0}, room[40];  // router alert
  socklen_t length = sizeof room;
  OK(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, option, 4));
  OK(getsockopt(fd, IPPROTO_IP, IP_OPTIONS, room, &length));
  EXPECT_EQ(length, 4);
  EXPECT(memcmp(option, room, 4) == 0);
  OK(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, NULL, 0));
  length = sizeof room;
  OK(getsockopt(fd, IPPROTO_IP, IP_OPTIONS, room, &length));
  EXPECT_EQ(length, 0);
}
CASE(ip_options_longer_than_40_are_EINVAL) {
  char room[44] = {1, 1, 1, 1};
  EXPECT_ERRNO(setsockopt(new_socket(V4, SOCK_DGRAM), IPPROTO_IP, IP_OPTIONS, room, sizeof room), EINVAL);
}
CASE(ip_options_malformed_are_EINVAL) {
  unsigned char option[4] = {0x94, 44, 0, 0};
  EXPECT_ERRNO(setsockopt(new_socket(V4, SOCK_DGRAM), IPPROTO_IP, IP_OPTIONS, option, 4), EINVAL);
}
CASE(ip_level_of_v6_at_a_v4_socket_is_ENOPROTOOPT) {
  int fd = new_socket(V4, SOCK_DGRAM);
  EXPECT_ERRNO(try_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1), ENOPROTOOPT);
}
CASE(unicast_if_is_kept) {
  int fd = new_socket(V4, SOCK_DGRAM), lo = (int)if_nametoindex("lo");
  set(fd, IPPROTO_IP, 50, (int)htonl((uint32_t)lo));
  EXPECT_EQ(get(fd, IPPROTO_IP, 50), (int)htonl((uint32_t)lo));
}

// --- IPPROTO_IPV6 ---
DEFAULT(ipv6_v6only_begins_at_0, V6, SOCK_STREAM, IPPROTO_IPV6, IPV6_V6ONLY, 0)
DEFAULT(ipv6_unicast_hops_begin_at_64, V6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 64)
DEFAULT(ipv6_multicast_hops_begin_at_1, V6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1)
DEFAULT(ipv6_multicast_loop_begins_at_1, V6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1)
DEFAULT(ipv6_multicast_if_begins_at_0, V6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_MULTICAST_IF, 0)
DEFAULT(ipv6_multicast_all_begins_at_1, V6, SOCK_DGRAM, IPPROTO_IPV6, 29, 1)
DEFAULT(ipv6_tclass_begins_at_0, V6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_TCLASS, 0)
DEFAULT(ipv6_mtu_discover_begins_with_want, V6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT)
V6_KEEPS(ipv6_v6only_is_kept, SOCK_STREAM, IPV6_V6ONLY, 1)
V6_KEEPS(ipv6_unicast_hops_are_kept, SOCK_DGRAM, IPV6_UNICAST_HOPS, 9)
V6_KEEPS(ipv6_unicast_hops_may_be_0, SOCK_DGRAM, IPV6_UNICAST_HOPS, 0)
V6_KEEPS(ipv6_multicast_hops_are_kept, SOCK_DGRAM, IPV6_MULTICAST_HOPS, 9)
V6_KEEPS(ipv6_multicast_loop_is_kept, SOCK_DGRAM, IPV6_MULTICAST_LOOP, 0)
V6_KEEPS(ipv6_multicast_all_is_kept, SOCK_DGRAM, 29, 0)
V6_KEEPS(ipv6_tclass_is_kept, SOCK_DGRAM, IPV6_TCLASS, 0x20)
V6_KEEPS(ipv6_mtu_discover_is_kept, SOCK_DGRAM, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO)
V6_KEEPS(ipv6_recvpktinfo_is_kept, SOCK_DGRAM, IPV6_RECVPKTINFO, 1)
V6_KEEPS(ipv6_recvhoplimit_is_kept, SOCK_DGRAM, IPV6_RECVHOPLIMIT, 1)
V6_KEEPS(ipv6_recvtclass_is_kept, SOCK_DGRAM, IPV6_RECVTCLASS, 1)
V6_KEEPS(ipv6_recverr_is_kept, SOCK_DGRAM, IPV6_RECVERR, 1)
V6_KEEPS(ipv6_dontfrag_is_kept, SOCK_DGRAM, IPV6_DONTFRAG, 1)
V6_KEEPS(ipv6_recvorigdstaddr_is_kept, SOCK_DGRAM, IPV6_RECVORIGDSTADDR, 1)
V6_KEEPS(ipv6_minhopcount_is_kept, SOCK_STREAM, IPV6_MINHOPCOUNT, 3)
V6_KEEPS(ipv6_freebind_is_kept, SOCK_STREAM, 78, 1)
CASE(ipv6_tclass_of_tcp_keeps_the_ecn_bits_out) {
  int fd = new_socket(V6, SOCK_STREAM);
  set(fd, IPPROTO_IPV6, IPV6_TCLASS, 0x23);
  EXPECT_EQ(get(fd, IPPROTO_IPV6, IPV6_TCLASS), 0x20);
}
CASE(ipv6_unicast_hops_of_minus_one_are_the_default) {
  int fd = new_socket(V6, SOCK_DGRAM);
  set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 5);
  set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1);
  EXPECT_EQ(get(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 64);
}
REFUSES(ipv6_unicast_hops_of_256_are_EINVAL, V6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256, EINVAL)
REFUSES(ipv6_multicast_hops_of_256_are_EINVAL, V6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 256, EINVAL)
REFUSES(ipv6_multicast_loop_of_2_is_EINVAL, V6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 2, EINVAL)
REFUSES(ipv6_tclass_of_256_is_EINVAL, V6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_TCLASS, 256, EINVAL)
REFUSES(ipv6_mtu_discover_of_9_is_EINVAL, V6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_MTU_DISCOVER, 9, EINVAL)
REFUSES(ipv6_option_of_nobody_is_ENOPROTOOPT, V6, SOCK_DGRAM, IPPROTO_IPV6, 9999, 1, ENOPROTOOPT)
REFUSES(ipv6_multicast_hops_of_tcp_are_ENOPROTOOPT, V6, SOCK_STREAM, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 2, ENOPROTOOPT)
CASE(ipv6_option_of_a_byte_is_EINVAL) {
  char byte = 1;
  EXPECT_ERRNO(setsockopt(new_socket(V6, SOCK_DGRAM), IPPROTO_IPV6, IPV6_UNICAST_HOPS, &byte, 1), EINVAL);
}
CASE(ipv6_mtu_of_unconnected_is_ENOTCONN) {
  int value;
  socklen_t length = sizeof value;
  EXPECT_ERRNO(getsockopt(new_socket(V6, SOCK_DGRAM), IPPROTO_IPV6, IPV6_MTU, &value, &length), ENOTCONN);
}
CASE(ipv6_mtu_that_is_set_cuts_what_is_sent) {
  int const receiver = bound(V6, SOCK_DGRAM), sender = new_socket(V6, SOCK_DGRAM);
  struct name const to = own_name(receiver);
  char bytes[3000], got[3000];
  memset(bytes, 'b', sizeof bytes);
  set(sender, IPPROTO_IPV6, IPV6_MTU, 1280);
  EXPECT_EQ(sendto(sender, bytes, sizeof bytes, 0, SA(to), to.length), sizeof bytes);
  EXPECT_EQ(recv(receiver, got, sizeof got, 0), sizeof got);
  set(sender, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
  EXPECT_ERRNO(sendto(sender, bytes, sizeof bytes, 0, SA(to), to.length), EMSGSIZE);
  EXPECT_EQ(sendto(sender, bytes, 1280 - 48, 0, SA(to), to.length), 1280 - 48);
  set(sender, IPPROTO_IPV6, IPV6_MTU, 0);
  EXPECT_EQ(sendto(sender, bytes, sizeof bytes, 0, SA(to), to.length), sizeof bytes);
}
CASE(ipv6_mtu_of_the_loopback) {
  make_pair_of(V6, SOCK_DGRAM);
  EXPECT_EQ(get(client, IPPROTO_IPV6, IPV6_MTU), 65536);
}
// --- IPPROTO_TCP ---
#define TCP_KEEPS(name, option, value) KEEPS(name, SOCK_STREAM, IPPROTO_TCP, option, value)
#define TCP_DEFAULT(name, option, value) DEFAULT(name, V4, SOCK_STREAM, IPPROTO_TCP, option, value)
#define TCP_REFUSES(name, option, value, error) REFUSES(name, V4, SOCK_STREAM, IPPROTO_TCP, option, value, error)
TCP_DEFAULT(tcp_nodelay_begins_at_0, TCP_NODELAY, 0)
TCP_DEFAULT(tcp_cork_begins_at_0, TCP_CORK, 0)
TCP_DEFAULT(tcp_maxseg_begins_at_536, TCP_MAXSEG, 536)
TCP_DEFAULT(tcp_keepidle_begins_at_7200, TCP_KEEPIDLE, 7200)
TCP_DEFAULT(tcp_keepintvl_begins_at_75, TCP_KEEPINTVL, 75)
TCP_DEFAULT(tcp_keepcnt_begins_at_9, TCP_KEEPCNT, 9)
TCP_DEFAULT(tcp_syncnt_begins_at_6, TCP_SYNCNT, 6)
TCP_DEFAULT(tcp_linger2_begins_at_60, TCP_LINGER2, 60)
TCP_DEFAULT(tcp_defer_accept_begins_at_0, TCP_DEFER_ACCEPT, 0)
TCP_DEFAULT(tcp_user_timeout_begins_at_0, TCP_USER_TIMEOUT, 0)
TCP_DEFAULT(tcp_quickack_begins_at_1, TCP_QUICKACK, 1)
TCP_DEFAULT(tcp_fastopen_begins_at_0, TCP_FASTOPEN, 0)
TCP_DEFAULT(tcp_notsent_lowat_begins_at_0, TCP_NOTSENT_LOWAT, 0)
TCP_KEEPS(tcp_nodelay_is_kept, TCP_NODELAY, 1)
TCP_KEEPS(tcp_cork_is_kept, TCP_CORK, 1)
TCP_KEEPS(tcp_keepidle_is_kept, TCP_KEEPIDLE, 100)
TCP_KEEPS(tcp_keepintvl_is_kept, TCP_KEEPINTVL, 10)
TCP_KEEPS(tcp_keepcnt_is_kept, TCP_KEEPCNT, 3)
TCP_KEEPS(tcp_syncnt_is_kept, TCP_SYNCNT, 2)
TCP_KEEPS(tcp_linger2_is_kept, TCP_LINGER2, 30)
TCP_KEEPS(tcp_user_timeout_is_kept, TCP_USER_TIMEOUT, 12345)
TCP_KEEPS(tcp_notsent_lowat_is_kept, TCP_NOTSENT_LOWAT, 16384)
TCP_KEEPS(tcp_fastopen_connect_is_kept, TCP_FASTOPEN_CONNECT, 1)
TCP_KEEPS(tcp_save_syn_is_kept, TCP_SAVE_SYN, 1)
TCP_KEEPS(tcp_inq_is_kept, 36, 1)
TCP_REFUSES(tcp_keepidle_of_0_is_EINVAL, TCP_KEEPIDLE, 0, EINVAL)
TCP_REFUSES(tcp_keepidle_of_32768_is_EINVAL, TCP_KEEPIDLE, 32768, EINVAL)
TCP_REFUSES(tcp_keepintvl_of_0_is_EINVAL, TCP_KEEPINTVL, 0, EINVAL)
TCP_REFUSES(tcp_keepcnt_of_128_is_EINVAL, TCP_KEEPCNT, 128, EINVAL)
TCP_REFUSES(tcp_syncnt_of_128_is_EINVAL, TCP_SYNCNT, 128, EINVAL)
TCP_REFUSES(tcp_maxseg_of_10_is_EINVAL, TCP_MAXSEG, 10, EINVAL)
TCP_REFUSES(tcp_maxseg_of_40000_is_EINVAL, TCP_MAXSEG, 40000, EINVAL)
TCP_REFUSES(tcp_user_timeout_below_0_is_EINVAL, TCP_USER_TIMEOUT, -1, EINVAL)

TCP_REFUSES(tcp_option_of_nobody_is_ENOPROTOOPT, 9999, 1, ENOPROTOOPT)
TCP_REFUSES(tcp_fastopen_connect_of_2_is_EINVAL, TCP_FASTOPEN_CONNECT, 2, EINVAL)
CASE(tcp_linger2_below_0_is_minus_one) {
  int fd = new_socket(V4, SOCK_STREAM);
  set(fd, IPPROTO_TCP, TCP_LINGER2, -5);
  EXPECT_EQ(get(fd, IPPROTO_TCP, TCP_LINGER2), -1);
}
CASE(tcp_linger2_above_the_limit_is_the_limit) {
  int fd = new_socket(V4, SOCK_STREAM);
  set(fd, IPPROTO_TCP, TCP_LINGER2, 9999);
  EXPECT_EQ(get(fd, IPPROTO_TCP, TCP_LINGER2), 120);
}
CASE(tcp_defer_accept_is_rounded_to_retransmissions) {
  int fd = new_socket(V4, SOCK_STREAM);
  set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
  EXPECT_EQ(get(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 7);  // 1 + 2 + 4
}
BOTH(tcp_congestion_is_what_the_system_says) {
  char name[16] = {0}, wanted[64] = {0};
  OK(read_file("/proc/sys/net/ipv4/tcp_congestion_control", wanted, sizeof wanted));
  *strchrnul(wanted, '\n') = 0;
  socklen_t length = sizeof name;
  OK(getsockopt(new_socket(way, SOCK_STREAM), IPPROTO_TCP, TCP_CONGESTION, name, &length));
  EXPECT_EQ(length, 16);
  EXPECT_STR(name, wanted);
}
BOTH(tcp_congestion_can_be_reno) {
  int fd = new_socket(way, SOCK_STREAM);
  char name[16] = {0};
  socklen_t length = sizeof name;
  OK(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
  OK(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length));
  EXPECT_STR(name, "reno");
}
CASE(tcp_congestion_of_nobody_is_ENOENT) {
  EXPECT_ERRNO(setsockopt(new_socket(V4, SOCK_STREAM), IPPROTO_TCP, TCP_CONGESTION, "nosuch", 6), ENOENT);
}
CASE(tcp_md5sig_is_refused_or_taken_whole) {
  struct tcp_md5sig sig = {.tcpm_keylen = 4, .tcpm_key = "abcd"};
  struct name n = loopback(V4, 0);
  memcpy(&sig.tcpm_addr, &n.at, sizeof n.at);
  int result = setsockopt(new_socket(V4, SOCK_STREAM), IPPROTO_TCP, TCP_MD5SIG, &sig, sizeof sig);
  EXPECT(result == 0 || errno == ENOPROTOOPT);
}
BOTH(tcp_info_of_a_fresh_socket_is_closed) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  OK(getsockopt(new_socket(way, SOCK_STREAM), IPPROTO_TCP, TCP_INFO, &info, &length));
  EXPECT_EQ(info.tcpi_state, TCP_CLOSE);
}
BOTH(tcp_info_is_cut_at_the_room_given) {
  unsigned char info[8];
  socklen_t length = 1;
  info[1] = 99;
  OK(getsockopt(listening(way), IPPROTO_TCP, TCP_INFO, info, &length));
  EXPECT_EQ(length, 1);
  EXPECT_EQ(info[0], TCP_LISTEN);
  EXPECT_EQ(info[1], 99);
}
EACH(tcp_info_of_a_connection) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  make_pair(way);
  OK(send(client, "hello", 5, 0));
  drain(server, 5);
  OK(getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &length));
  EXPECT_EQ(info.tcpi_state, TCP_ESTABLISHED);
  EXPECT(info.tcpi_snd_mss > 536 && info.tcpi_snd_cwnd >= 1 && info.tcpi_rtt > 0);
  EXPECT(info.tcpi_options & TCPI_OPT_SACK);
  EXPECT(info.tcpi_options & TCPI_OPT_TIMESTAMPS);
  EXPECT_EQ(info.tcpi_pmtu, way == V6 ? 65536 : 65535);
  EXPECT_EQ(info.tcpi_retrans, 0);
}
CASE(tcp_info_of_a_listener_tells_the_backlog) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  lister = bound(V4, SOCK_STREAM);
  OK(listen(lister, 7));
  connected(V4, SOCK_STREAM, port_of(lister));
  connected(V4, SOCK_STREAM, port_of(lister));
  OK(getsockopt(lister, IPPROTO_TCP, TCP_INFO, &info, &length));
  EXPECT_EQ(info.tcpi_state, TCP_LISTEN);
  EXPECT_EQ(info.tcpi_unacked, 2);  // waiting
  EXPECT_EQ(info.tcpi_sacked, 7);   // the backlog
}
CASE(tcp_saved_syn_tells_the_headers_once) {
  unsigned char syn[200];
  socklen_t length = sizeof syn;
  lister = bound(V4, SOCK_STREAM);
  set(lister, IPPROTO_TCP, TCP_SAVE_SYN, 1);
  OK(listen(lister, 4));
  client = connected(V4, SOCK_STREAM, port_of(lister));
  server = (int)OK(accept(lister, NULL, NULL));
  OK(getsockopt(server, IPPROTO_TCP, TCP_SAVED_SYN, syn, &length));
  EXPECT(length >= 40 && length <= 80);
  EXPECT_EQ(syn[0] >> 4, 4);
  EXPECT_EQ(syn[33] & 2, 2);  // SYN
  length = sizeof syn;
  OK(getsockopt(server, IPPROTO_TCP, TCP_SAVED_SYN, syn, &length));
  EXPECT_EQ(length, 0);
}
BOTH(accepted_socket_inherits_tcp_options) {
  lister = listening(way);
  set(lister, IPPROTO_TCP, TCP_NODELAY, 1);
  set(lister, IPPROTO_TCP, TCP_KEEPIDLE, 123);
  set(lister, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(lister, SOL_SOCKET, SO_RCVBUF, 50000);
  client = connected(way, SOCK_STREAM, port_of(lister));
  server = (int)OK(accept(lister, NULL, NULL));
  EXPECT_EQ(get(server, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(get(server, IPPROTO_TCP, TCP_KEEPIDLE), 123);
  EXPECT_EQ(get(server, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(get(server, SOL_SOCKET, SO_RCVBUF), 100000);
}
BOTH(accepted_socket_does_not_inherit_nonblocking) {
  lister = listening(way);
  nonblocking(lister);
  client = connected(way, SOCK_STREAM, port_of(lister));
  wait_for(lister, POLLIN);
  server = (int)OK(accept(lister, NULL, NULL));
  EXPECT_EQ(OK(fcntl(server, F_GETFL)) & O_NONBLOCK, 0);
  EXPECT_EQ(OK(fcntl(server, F_GETFD)), 0);
}
CASE(tcp_options_at_udp_are_ENOPROTOOPT) {
  EXPECT_ERRNO(try_set(new_socket(V4, SOCK_DGRAM), IPPROTO_TCP, TCP_NODELAY, 1), ENOPROTOOPT);
}

// --- IPPROTO_UDP ---
KEEPS(udp_cork_is_kept, SOCK_DGRAM, IPPROTO_UDP, UDP_CORK, 1)
KEEPS(udp_segment_is_kept, SOCK_DGRAM, IPPROTO_UDP, 103, 1200)
KEEPS(udp_gro_is_kept, SOCK_DGRAM, IPPROTO_UDP, 104, 1)
REFUSES(udp_segment_below_0_is_EINVAL, V4, SOCK_DGRAM, IPPROTO_UDP, 103, -1, EINVAL)
REFUSES(udp_segment_above_65535_is_EINVAL, V4, SOCK_DGRAM, IPPROTO_UDP, 103, 65536, EINVAL)
REFUSES(udp_option_of_nobody_is_ENOPROTOOPT, V4, SOCK_DGRAM, IPPROTO_UDP, 999, 1, ENOPROTOOPT)
CASE(udp_options_at_tcp_are_ENOPROTOOPT) {
  EXPECT_ERRNO(try_set(new_socket(V4, SOCK_STREAM), IPPROTO_UDP, UDP_CORK, 1), ENOPROTOOPT);
}

// --- all of them ---
// What was read can be set again, whatever it is.
static void set_what_is_there(int fd, int level, const int* names, size_t count) {
  for (size_t i = 0; i < count; i++) {
    char value[512];
    socklen_t length = sizeof value;
    if (getsockopt(fd, level, names[i], value, &length) != 0) {
      // Kept out of the way: not there on this kernel, or not refused for want of knowing it.
      if (errno != ENOPROTOOPT && errno != EOPNOTSUPP && errno != ENOTCONN && errno != EINVAL && errno != EADDRNOTAVAIL)
        FAIL("getsockopt of level %d, option %d: %s", level, names[i], strerror(errno));
      continue;
    }
    if (setsockopt(fd, level, names[i], value, length) != 0 && errno != EINVAL && errno != ENOPROTOOPT &&
        errno != EPERM)
      FAIL("setsockopt of level %d, option %d to what it is: %s", level, names[i], strerror(errno));
  }
}
#define SET_ALL(fd, level, ...)                                           \
  do {                                                                    \
    static const int names_[] = {__VA_ARGS__};                            \
    set_what_is_there(fd, level, names_, sizeof names_ / sizeof *names_); \
  } while (0)
BOTH_KINDS(socket_options_can_be_set_to_what_they_are) {
  int fd = new_socket(way, type);
  SET_ALL(fd, SOL_SOCKET, SO_DEBUG, SO_REUSEADDR, SO_DONTROUTE, SO_BROADCAST, SO_KEEPALIVE, SO_OOBINLINE, SO_PRIORITY,
          SO_LINGER, SO_REUSEPORT, SO_RCVLOWAT, SO_SNDLOWAT, SO_RCVTIMEO, SO_SNDTIMEO, SO_BINDTODEVICE, SO_TIMESTAMP,
          SO_TIMESTAMPNS, SO_TIMESTAMPING, 63, 64, 65, SO_RXQ_OVFL, SO_PEEK_OFF, SO_NO_CHECK, SO_SELECT_ERR_QUEUE,
          SO_MAX_PACING_RATE, SO_INCOMING_CPU, SO_COOKIE, 55, SO_MARK);
}
BOTH_KINDS(ip_options_can_be_set_to_what_they_are) {
  int fd = new_socket(way, type);
  SET_ALL(fd, IPPROTO_IP, IP_TOS, IP_TTL, IP_OPTIONS, IP_RECVOPTS, IP_RETOPTS, IP_PKTINFO, IP_MTU_DISCOVER, IP_RECVERR,
          IP_RECVTTL, IP_RECVTOS, IP_MTU, IP_FREEBIND, IP_RECVORIGDSTADDR, IP_MINTTL, IP_BIND_ADDRESS_NO_PORT, 25,
          IP_MULTICAST_IF, IP_MULTICAST_TTL, IP_MULTICAST_LOOP, IP_MULTICAST_ALL, 50, 51, IP_HDRINCL);
  if (way == V4) return;
  SET_ALL(fd, IPPROTO_IPV6, IPV6_V6ONLY, IPV6_UNICAST_HOPS, IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP,
          29, IPV6_MTU_DISCOVER, IPV6_MTU, IPV6_RECVERR, IPV6_CHECKSUM, IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT,
          IPV6_RECVTCLASS, IPV6_TCLASS, IPV6_DONTFRAG, IPV6_RECVPATHMTU, IPV6_AUTOFLOWLABEL, IPV6_RECVORIGDSTADDR,
          IPV6_MINHOPCOUNT, 78, 76);
}
BOTH(tcp_options_can_be_set_to_what_they_are) {
  int fd = new_socket(way, SOCK_STREAM);
  SET_ALL(fd, IPPROTO_TCP, TCP_NODELAY, TCP_MAXSEG, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT,
          TCP_LINGER2, TCP_DEFER_ACCEPT, TCP_WINDOW_CLAMP, TCP_INFO, TCP_QUICKACK, TCP_CONGESTION, TCP_USER_TIMEOUT,
          TCP_FASTOPEN, TCP_FASTOPEN_CONNECT, 34, TCP_NOTSENT_LOWAT, TCP_CC_INFO, TCP_SAVE_SYN, TCP_SAVED_SYN, 36);
}
BOTH(udp_options_can_be_set_to_what_they_are) { SET_ALL(new_socket(way, SOCK_DGRAM), IPPROTO_UDP, UDP_CORK, 103, 104); }

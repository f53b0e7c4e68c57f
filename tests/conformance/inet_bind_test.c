// bind(2): addresses, ports, who may share them, and what the names of sockets are.
#include "inet.h"

#include <linux/capability.h>

EACH_KIND(bind_to_port_zero_chooses_one) {
  int fd = bound(way, type);
  EXPECT(port_of(fd) >= 1024);
  EXPECT(same_name(own_name(fd), loopback(way, port_of(fd))));
}
EACH_KIND(port_in_use_is_EADDRINUSE) {
  int a = bound(way, type), b = new_socket(way, type);
  EXPECT_ERRNO(try_bind(b, loopback(way, port_of(a))), EADDRINUSE);
}
EACH_KIND(second_bind_is_EINVAL) {
  int a = bound(way, type);
  EXPECT_ERRNO(try_bind(a, loopback(way, 0)), EINVAL);
}
EACH_KIND(failed_bind_can_be_tried_again) {
  int a = bound(way, type), b = new_socket(way, type);
  EXPECT_ERRNO(try_bind(b, loopback(way, port_of(a))), EADDRINUSE);
  OK(try_bind(b, loopback(way, 0)));
}
EACH_KIND(closed_socket_frees_its_port) {
  int port = unused_port(way, type), b = new_socket(way, type);
  OK(try_bind(b, loopback(way, port)));
}
EACH_KIND(any_address_conflicts_with_each_of_its_own) {
  int a = new_socket(way, type), b = new_socket(way, type);
  OK(try_bind(a, any(way, 0)));
  EXPECT_ERRNO(try_bind(b, loopback(way, port_of(a))), EADDRINUSE);
}
BOTH_KINDS(bind_then_any_conflicts) {
  int a = bound(way, type), b = new_socket(way, type);
  EXPECT_ERRNO(try_bind(b, any(way, port_of(a))), EADDRINUSE);
}
CASE(two_addresses_share_a_port_tcp) {
  int a = bound(V4, SOCK_STREAM), b = new_socket(V4, SOCK_STREAM);
  OK(try_bind(b, other_loopback(V4, port_of(a))));
  OK(listen(a, 1));
  OK(listen(b, 1));
}
CASE(two_addresses_share_a_port_udp) {
  int a = bound(V4, SOCK_DGRAM), b = new_socket(V4, SOCK_DGRAM);
  OK(try_bind(b, other_loopback(V4, port_of(a))));
}
EACH_KIND(tcp_and_udp_have_ports_of_their_own) {
  int a = bound(way, type), b = new_socket(way, type == SOCK_STREAM ? SOCK_DGRAM : SOCK_STREAM);
  // Somebody else may have that very port; of three tries one must do.
  for (int i = 0; i < 3; i++) {
    if (try_bind(b, loopback(way, port_of(a))) == 0) return;
    a = bound(way, type);
  }
  FAIL("a port of one protocol is taken in the other");
}
BOTH_KINDS(address_of_nobody_is_EADDRNOTAVAIL) {
  int fd = new_socket(way, type);
  struct in6_addr documentation;
  inet_pton(AF_INET6, "2001:db8::77", &documentation);
  struct name n = way == V4 ? name_v4(0xc6336401, 0) : name_v6(documentation, 0);  // 198.51.100.1
  EXPECT_ERRNO(try_bind(fd, n), EADDRNOTAVAIL);
}
BOTH_KINDS(short_address_is_EINVAL) {
  int fd = new_socket(way, type);
  struct name n = loopback(way, 0);
  EXPECT_ERRNO(bind(fd, SA(n), (way == V4 ? (socklen_t)sizeof(struct sockaddr_in) : 24) - 1), EINVAL);
}
CASE(sockaddr_in6_without_scope_is_long_enough) {
  int fd = new_socket(V6, SOCK_STREAM);
  struct name n = loopback(V6, 0);
  OK(bind(fd, SA(n), 24));
}
BOTH_KINDS(longer_address_is_taken) {
  int fd = new_socket(way, type);
  struct name n = loopback(way, 0);
  OK(bind(fd, SA(n), sizeof n.at));
}
BOTH_KINDS(address_longer_than_any_is_EINVAL) {
  int fd = new_socket(way, type);
  char room[256] = {0};
  struct name n = loopback(way, 0);
  memcpy(room, &n.at, n.length);
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)room, sizeof room), EINVAL);
}
CASE(v4_socket_with_v6_address_is_EAFNOSUPPORT) {
  int fd = new_socket(V4, SOCK_STREAM);
  EXPECT_ERRNO(try_bind(fd, loopback(V6, 0)), EAFNOSUPPORT);
}
CASE(v6_socket_with_v4_address_is_EINVAL) {
  int fd = new_socket(V6, SOCK_STREAM);
  EXPECT_ERRNO(try_bind(fd, loopback(V4, 0)), EINVAL);  // it is too short
}
CASE(v6_socket_with_long_v4_address_is_EAFNOSUPPORT) {
  int fd = new_socket(V6, SOCK_STREAM);
  struct name n = loopback(V4, 0);
  EXPECT_ERRNO(bind(fd, SA(n), sizeof(struct sockaddr_in6)), EAFNOSUPPORT);
}
CASE(unspecified_family_with_any_address_is_taken_by_v4) {
  int fd = new_socket(V4, SOCK_STREAM);
  struct name n = any(V4, 0);
  n.at.ss_family = AF_UNSPEC;
  OK(try_bind(fd, n));
}
CASE(unspecified_family_with_an_address_is_EAFNOSUPPORT) {
  int fd = new_socket(V4, SOCK_STREAM);
  struct name n = loopback(V4, 0);
  n.at.ss_family = AF_UNSPEC;
  EXPECT_ERRNO(try_bind(fd, n), EAFNOSUPPORT);
}
BOTH_KINDS(bad_pointer_is_EFAULT) {
  int fd = new_socket(way, type);
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)1, sizeof(struct sockaddr_in6)), EFAULT);
}
BOTH_KINDS(unbound_socket_has_any_address_and_no_port) {
  int fd = new_socket(way, type);
  EXPECT(same_name(own_name(fd), any(way, 0)));
}
EACH_KIND(getsockname_cuts_the_address_and_tells_its_length) {
  int fd = bound(way, type);
  char room[4] = {9, 9, 9, 9};
  socklen_t length = 2;
  OK(getsockname(fd, (struct sockaddr*)room, &length));
  EXPECT_EQ(length, loopback(way, 0).length);
  EXPECT_EQ(room[0], domain_of(way));
  EXPECT_EQ(room[2], 9);
}
CASE(getsockname_with_negative_length_is_EINVAL) {
  int fd = bound(V4, SOCK_STREAM);
  struct name n;
  socklen_t length = (socklen_t)-1;
  EXPECT_ERRNO(getsockname(fd, SA(n), &length), EINVAL);
}
EACH_KIND(connect_gives_a_name) {
  make_pair_of(way, type);
  struct name n = own_name(client);
  EXPECT(port_in(&n) != 0);
  EXPECT(same_name(n, loopback(way, port_in(&n))));
}
BOTH_KINDS(getpeername_of_unconnected_is_ENOTCONN) {
  int fd = bound(way, type);
  struct name n = {.length = sizeof n.at};
  EXPECT_ERRNO(getpeername(fd, SA(n), &n.length), ENOTCONN);
}

// --- SO_REUSEADDR and SO_REUSEPORT ---
EACH(reuseaddr_does_not_share_with_a_listener) {
  int a = listening(way), b = new_socket(way, SOCK_STREAM);
  set(b, SOL_SOCKET, SO_REUSEADDR, 1);
  EXPECT_ERRNO(try_bind(b, loopback(way, port_of(a))), EADDRINUSE);
}
EACH(reuseaddr_of_both_shares_until_one_listens) {
  int a = new_socket(way, SOCK_STREAM), b = new_socket(way, SOCK_STREAM);
  set(a, SOL_SOCKET, SO_REUSEADDR, 1);
  set(b, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(try_bind(a, loopback(way, 0)));
  OK(try_bind(b, loopback(way, port_of(a))));
  OK(listen(a, 1));
  EXPECT_ERRNO(listen(b, 1), EADDRINUSE);
}
EACH(reuseaddr_of_one_is_not_enough) {
  int a = bound(way, SOCK_STREAM), b = new_socket(way, SOCK_STREAM);
  set(b, SOL_SOCKET, SO_REUSEADDR, 1);
  EXPECT_ERRNO(try_bind(b, loopback(way, port_of(a))), EADDRINUSE);
}
EACH(reuseaddr_after_bind_counts_too) {
  int a = bound(way, SOCK_STREAM), b = new_socket(way, SOCK_STREAM);
  set(a, SOL_SOCKET, SO_REUSEADDR, 1);
  set(b, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(try_bind(b, loopback(way, port_of(a))));
}
EACH(udp_reuseaddr_shares) {
  int a = new_socket(way, SOCK_DGRAM), b = new_socket(way, SOCK_DGRAM);
  set(a, SOL_SOCKET, SO_REUSEADDR, 1);
  set(b, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(try_bind(a, loopback(way, 0)));
  OK(try_bind(b, loopback(way, port_of(a))));
}
// The one that came last hears what is sent.
BOTH(udp_reuseaddr_gives_datagrams_to_the_last_bound) {
  int a = new_socket(way, SOCK_DGRAM), b = new_socket(way, SOCK_DGRAM), c = new_socket(way, SOCK_DGRAM);
  set(a, SOL_SOCKET, SO_REUSEADDR, 1);
  set(b, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(try_bind(a, loopback(way, 0)));
  struct name n = loopback(way, port_of(a));
  OK(try_bind(b, n));
  for (int i = 0; i < 8; i++) EXPECT_EQ(sendto(c, "x", 1, 0, SA(n), n.length), 1);
  char byte;
  for (int i = 0; i < 8; i++) EXPECT_EQ(recv(b, &byte, 1, MSG_DONTWAIT), 1);
  EXPECT_ERRNO(recv(a, &byte, 1, MSG_DONTWAIT), EAGAIN);
}
EACH_KIND(reuseport_of_both_shares) {
  int a = new_socket(way, type), b = new_socket(way, type);
  set(a, SOL_SOCKET, SO_REUSEPORT, 1);
  set(b, SOL_SOCKET, SO_REUSEPORT, 1);
  OK(try_bind(a, loopback(way, 0)));
  OK(try_bind(b, loopback(way, port_of(a))));
  if (type == SOCK_STREAM) {
    OK(listen(a, 16));
    OK(listen(b, 16));
  }
}
EACH_KIND(reuseport_of_one_is_not_enough) {
  int a = bound(way, type), b = new_socket(way, type);
  set(b, SOL_SOCKET, SO_REUSEPORT, 1);
  EXPECT_ERRNO(try_bind(b, loopback(way, port_of(a))), EADDRINUSE);
}
EACH_KIND(reuseport_after_bind_is_too_late) {
  int a = bound(way, type), b = new_socket(way, type);
  if (try_set(a, SOL_SOCKET, SO_REUSEPORT, 1) != 0) SKIP("not to be set after bind");
  set(b, SOL_SOCKET, SO_REUSEPORT, 1);
  int result = try_bind(b, loopback(way, port_of(a)));
  EXPECT(result == 0 || errno == EADDRINUSE);
}
EACH(reuseport_listeners_share_the_connections) {
  int a = new_socket(way, SOCK_STREAM), b = new_socket(way, SOCK_STREAM);
  set(a, SOL_SOCKET, SO_REUSEPORT, 1);
  set(b, SOL_SOCKET, SO_REUSEPORT, 1);
  OK(try_bind(a, loopback(way, 0)));
  OK(try_bind(b, loopback(way, port_of(a))));
  OK(listen(a, 64));
  OK(listen(b, 64));
  nonblocking(a);
  nonblocking(b);
  int of_a = 0, of_b = 0;
  for (int i = 0; i < 40; i++) connected(way, SOCK_STREAM, port_of(a));
  while (accept(a, NULL, NULL) >= 0) of_a++;
  while (accept(b, NULL, NULL) >= 0) of_b++;
  EXPECT_EQ(of_a + of_b, 40);
  EXPECT(of_a > 2 && of_b > 2);
}
EACH(reuseport_datagrams_of_one_sender_stay_with_one) {
  int a = new_socket(way, SOCK_DGRAM), b = new_socket(way, SOCK_DGRAM);
  set(a, SOL_SOCKET, SO_REUSEPORT, 1);
  set(b, SOL_SOCKET, SO_REUSEPORT, 1);
  OK(try_bind(a, loopback(way, 0)));
  OK(try_bind(b, loopback(way, port_of(a))));
  int of_a = 0, of_b = 0;
  char byte;
  for (int i = 0; i < 40; i++) {
    int sender = connected(way, SOCK_DGRAM, port_of(a)), here = 0;
    for (int k = 0; k < 4; k++) OK(send(sender, "x", 1, 0));
    while (recv(a, &byte, 1, MSG_DONTWAIT) == 1) here++;
    EXPECT(here == 0 || here == 4);
    of_a += here;
    while (recv(b, &byte, 1, MSG_DONTWAIT) == 1) of_b++;
    close(sender);
  }
  EXPECT_EQ(of_a + of_b, 160);
  EXPECT(of_a > 8 && of_b > 8);
}
CASE(reuseport_is_for_one_user) {
  int a = new_socket(V4, SOCK_STREAM);
  set(a, SOL_SOCKET, SO_REUSEPORT, 1);
  OK(try_bind(a, loopback(V4, 0)));
  int port = port_of(a);
  if (geteuid() != 0) SKIP("needs root");
  pid_t child = IN_CHILD({
    OK(setresuid(12345, 12345, 12345));
    int b = new_socket(V4, SOCK_STREAM);
    set(b, SOL_SOCKET, SO_REUSEPORT, 1);
    EXPECT_ERRNO(try_bind(b, loopback(V4, port)), EADDRINUSE);
  });
  EXPECT_EXIT(child, 0);
}

// --- IPv4 and IPv6 together ---
BOTH_KINDS(v6_any_takes_v4_as_well) {
  if (way == V4) SKIP("of IPv6");
  int a = new_socket(V6, type), b = new_socket(V4, type);
  set(a, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  OK(try_bind(a, any(V6, 0)));
  EXPECT_ERRNO(try_bind(b, any(V4, port_of(a))), EADDRINUSE);
  EXPECT_ERRNO(try_bind(b, loopback(V4, port_of(a))), EADDRINUSE);
}
BOTH_KINDS(v6only_leaves_v4_free) {
  if (way == V4) SKIP("of IPv6");
  int a = new_socket(V6, type), b = new_socket(V4, type);
  set(a, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  OK(try_bind(a, any(V6, 0)));
  OK(try_bind(b, any(V4, port_of(a))));
}
BOTH_KINDS(v4_any_first_keeps_v6_any_out) {
  if (way == V4) SKIP("of IPv6");
  int a = new_socket(V4, type), b = new_socket(V6, type);
  OK(try_bind(a, any(V4, 0)));
  EXPECT_ERRNO(try_bind(b, any(V6, port_of(a))), EADDRINUSE);
}
BOTH_KINDS(v6_loopback_and_v4_loopback_share_a_port) {
  if (way == V4) SKIP("of IPv6");
  int a = bound(V6, type), b = new_socket(V4, type);
  OK(try_bind(b, loopback(V4, port_of(a))));
}
BOTH_KINDS(mapped_address_is_v4) {
  if (way == V4) SKIP("of IPv6");
  int a = bound(DUAL, type), b = new_socket(V4, type);
  EXPECT_ERRNO(try_bind(b, loopback(V4, port_of(a))), EADDRINUSE);
}
BOTH_KINDS(mapped_address_with_v6only_is_EINVAL) {
  if (way == V4) SKIP("of IPv6");
  int a = new_socket(V6, type);
  set(a, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  EXPECT_ERRNO(try_bind(a, loopback(DUAL, 0)), EINVAL);
}
BOTH_KINDS(v6only_cannot_be_set_after_bind) {
  if (way == V4) SKIP("of IPv6");
  int a = bound(V6, type);
  EXPECT_ERRNO(try_set(a, IPPROTO_IPV6, IPV6_V6ONLY, 1), EINVAL);
}
CASE(link_local_address_without_scope_is_EINVAL) {
  int fd = new_socket(V6, SOCK_STREAM);
  struct in6_addr local;
  inet_pton(AF_INET6, "fe80::1234", &local);
  EXPECT_ERRNO(try_bind(fd, name_v6(local, 0)), EINVAL);
}
BOTH_KINDS(multicast_address_can_be_bound) {
  int fd = new_socket(way, type);
  struct in6_addr group;
  inet_pton(AF_INET6, "ff0e::1", &group);
  struct name n = way == V4 ? name_v4(0xe0000001, 0) : name_v6(group, 0);
  if (way == V6 && type == SOCK_STREAM)
    EXPECT_ERRNO(try_bind(fd, n), EINVAL);
  else
    OK(try_bind(fd, n));
}
CASE(broadcast_address_can_be_bound_udp) {
  int fd = new_socket(V4, SOCK_DGRAM);
  OK(try_bind(fd, name_v4(INADDR_BROADCAST, 0)));
}
CASE(broadcast_address_can_be_bound_tcp) {
  int fd = new_socket(V4, SOCK_STREAM);
  OK(try_bind(fd, name_v4(INADDR_BROADCAST, 0)));
}
CASE(every_address_of_127_8_is_this_host) {
  int fd = new_socket(V4, SOCK_STREAM);
  OK(try_bind(fd, name_v4(0x7f7f7f7f, 0)));
}

// --- reserved ports and other privileges ---
static void without(int capability) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  OK(syscall(SYS_capget, &header, data));
  data[capability / 32].effective &= ~(1u << (capability % 32));
  OK(syscall(SYS_capset, &header, data));
}
BOTH_KINDS(reserved_port_without_capability_is_EACCES) {
  without(CAP_NET_BIND_SERVICE);
  char text[32] = {0};
  if (read_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", text, sizeof text) > 0 && atoi(text) < 1000)
    SKIP("every port is free here");
  int fd = new_socket(way, type);
  EXPECT_ERRNO(try_bind(fd, loopback(way, 999)), EACCES);
}
BOTH_KINDS(reserved_port_with_capability_is_bound) {
  if (geteuid() != 0) SKIP("needs root");
  int fd = new_socket(way, type);
  for (int port = 700; port < 720; port++) {
    if (try_bind(fd, loopback(way, port)) == 0) return;
    EXPECT_EQ(errno, EADDRINUSE);
  }
  FAIL("no reserved port of twenty is free");
}
BOTH_KINDS(freebind_takes_addresses_of_nobody) {
  int fd = new_socket(way, type);
  if (way == V4)
    set(fd, IPPROTO_IP, IP_FREEBIND, 1);
  else
    set(fd, IPPROTO_IPV6, 78 /* IPV6_FREEBIND */, 1);
  struct in6_addr documentation;
  inet_pton(AF_INET6, "2001:db8::77", &documentation);
  OK(try_bind(fd, way == V4 ? name_v4(0xc6336401, 0) : name_v6(documentation, 0)));
  EXPECT(port_of(fd) != 0);
}
CASE(transparent_without_capability_is_EPERM) {
  without(CAP_NET_ADMIN);
  without(CAP_NET_RAW);
  int fd = new_socket(V4, SOCK_STREAM);
  EXPECT_ERRNO(try_set(fd, IPPROTO_IP, IP_TRANSPARENT, 1), EPERM);
}
BOTH(bind_address_no_port_leaves_the_port_to_connect) {
  lister = listening(way);
  client = new_socket(way, SOCK_STREAM);
  set(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  OK(try_bind(client, loopback(way, 0)));
  EXPECT_EQ(port_of(client), 0);
  OK(try_connect(client, loopback(way, port_of(lister))));
  EXPECT(port_of(client) != 0);
}
BOTH(bind_address_no_port_lets_many_share_a_port) {
  lister = listening(way);
  int other = listening(way);
  client = new_socket(way, SOCK_STREAM);
  set(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  OK(try_bind(client, loopback(way, 0)));
  OK(try_connect(client, loopback(way, port_of(lister))));
  EXPECT(other >= 0);
}
BOTH(local_port_range_is_kept) {
  int fd = new_socket(way, SOCK_STREAM);
  uint32_t range = 40000u | 40010u << 16;
  if (setsockopt(fd, IPPROTO_IP, 51, &range, sizeof range) != 0) SKIP("older than IP_LOCAL_PORT_RANGE");
  OK(try_bind(fd, loopback(way, 0)));
  EXPECT(port_of(fd) >= 40000 && port_of(fd) <= 40010);
}
EACH(bound_port_is_kept_by_connect) {
  lister = listening(way);
  client = bound(way, SOCK_STREAM);
  int port = port_of(client);
  OK(try_connect(client, loopback(way, port_of(lister))));
  EXPECT_EQ(port_of(client), port);
}
EACH(accepted_connection_has_the_listeners_port) {
  make_pair(way);
  EXPECT_EQ(port_of(server), port_of(lister));
  close(lister);
  EXPECT_EQ(port_of(server), port_in(&(struct name){peer_name(client).at, 0}));
}
EACH(listener_port_is_taken_while_its_connection_lives) {
  make_pair(way);
  int port = port_of(lister), again = new_socket(way, SOCK_STREAM);
  close(lister);
  EXPECT_ERRNO(try_bind(again, loopback(way, port)), EADDRINUSE);
  set(again, SOL_SOCKET, SO_REUSEADDR, 1);
  int result = try_bind(again, loopback(way, port));
  EXPECT(result == -1 && errno == EADDRINUSE);  // the connection's socket has not said so
}
EACH(reuseaddr_of_a_listener_lets_it_restart) {
  lister = new_socket(way, SOCK_STREAM);
  set(lister, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(try_bind(lister, loopback(way, 0)));
  OK(listen(lister, 4));
  client = connected(way, SOCK_STREAM, port_of(lister));
  server = (int)OK(accept(lister, NULL, NULL));
  int port = port_of(lister), again = new_socket(way, SOCK_STREAM);
  close(lister);
  set(again, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(try_bind(again, loopback(way, port)));
  OK(listen(again, 4));
}
static void leave_in_time_wait(enum way way, bool reuse, int* port) {
  lister = new_socket(way, SOCK_STREAM);
  set(lister, SOL_SOCKET, SO_REUSEADDR, reuse);
  OK(try_bind(lister, loopback(way, 0)));
  OK(listen(lister, 4));
  client = connected(way, SOCK_STREAM, port_of(lister));
  server = (int)OK(accept(lister, NULL, NULL));
  *port = port_of(lister);
  close(server);  // the server's side closes first
  close(client);
  close(lister);
  sleep_ms(20);
}
EACH(time_wait_keeps_the_port) {
  int port, again = new_socket(way, SOCK_STREAM);
  leave_in_time_wait(way, false, &port);
  EXPECT_ERRNO(try_bind(again, loopback(way, port)), EADDRINUSE);
}
EACH(time_wait_gives_the_port_to_reuseaddr) {
  int port, again = new_socket(way, SOCK_STREAM);
  leave_in_time_wait(way, true, &port);
  set(again, SOL_SOCKET, SO_REUSEADDR, 1);
  OK(try_bind(again, loopback(way, port)));
  OK(listen(again, 4));
}

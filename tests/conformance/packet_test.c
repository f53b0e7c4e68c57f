// AF_PACKET (packet(7)) on the loopback: what is seen of frames, names, filters, options, statistics, and the ring that
// is mapped (TPACKET_V1, TPACKET_V2). Frames carry a protocol number for experiments (IEEE 802), each case one of its
// own process, so that other traffic is not taken for theirs.
#include "inet.h"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/mman.h>

enum { TYPE = 0x88b5, LO = 1, IGNORE_OUTGOING = 23 };

static char tag[32];  // what this process's frames hold

// A network namespace of its own, where there can be: nobody else's frames are counted.
static void be_alone(void) {
  static bool done;
  if (done) return;
  done = true;
  if (unshare(CLONE_NEWNET) != 0) return;
  int fd = (int)OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING};
  OK(ioctl(fd, SIOCSIFFLAGS, &r));
  close(fd);
}
static int packet_socket(int type, int protocol) {
  be_alone();
  int fd = socket(AF_PACKET, type | SOCK_CLOEXEC, htons((uint16_t)protocol));
  if (fd < 0 && (errno == EPERM || errno == EAFNOSUPPORT)) SKIP("no packet sockets here");
  snprintf(tag, sizeof tag, "case of process %d", (int)getpid());
  return (int)OK(fd);
}
static struct sockaddr_ll link_name(int protocol, int index) {
  return (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol), .sll_ifindex = index};
}
static void bind_to(int fd, int protocol, int index) {
  struct sockaddr_ll at = link_name(protocol, index);
  OK(bind(fd, (struct sockaddr*)&at, sizeof at));
}
static int bound_packet_socket(int type, int protocol) {
  int fd = packet_socket(type, 0);
  bind_to(fd, protocol, LO);
  return fd;
}
struct frame {
  struct ethhdr link;
  char text[46];
};
static struct frame make_frame(uint8_t first_byte_of_destination) {
  struct frame f = {.link = {.h_proto = htons(TYPE)}};
  f.link.h_dest[0] = first_byte_of_destination;
  memcpy(f.text, tag, sizeof tag);
  return f;
}
static void send_frame(int fd, uint8_t first_byte) {
  struct frame f = make_frame(first_byte);
  struct sockaddr_ll to = link_name(TYPE, LO);
  EXPECT_EQ(sendto(fd, &f, sizeof f, 0, (struct sockaddr*)&to, sizeof to), sizeof f);
}
static bool is_readable(int fd, int ms) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return OK(poll(&p, 1, ms)) == 1;
}
// The next packet that holds this process's text; how long it is, -1: there is none.
static ssize_t receive_own(int fd, char* room, size_t size, struct sockaddr_ll* from) {
  for (int i = 0; i < 1000; i++) {
    if (!is_readable(fd, 1000)) return -1;
    socklen_t length = sizeof *from;
    ssize_t n = OK(recvfrom(fd, room, size, 0, (struct sockaddr*)from, &length));
    EXPECT_EQ(length, sizeof *from);
    if (memmem(room, (size_t)n, tag, strlen(tag))) return n;
  }
  return -1;
}

// --- making sockets ---
CASE(packet_socket_needs_net_raw) {
  close(packet_socket(SOCK_RAW, 0));
  if (setresuid(1000, 1000, 1000) != 0) SKIP("cannot change users");
  EXPECT_ERRNO(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
}
CASE(packet_socket_of_stream_is_ESOCKTNOSUPPORT) {
  packet_socket(SOCK_RAW, 0);
  EXPECT_ERRNO(socket(AF_PACKET, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
}
CASE(packet_sockets_do_not_connect_listen_or_shut_down) {
  int fd = packet_socket(SOCK_RAW, 0);
  struct sockaddr_ll at = link_name(TYPE, LO);
  socklen_t length = sizeof at;
  EXPECT_ERRNO(connect(fd, (struct sockaddr*)&at, sizeof at), EOPNOTSUPP);
  EXPECT_ERRNO(listen(fd, 1), EOPNOTSUPP);
  EXPECT_ERRNO(accept(fd, NULL, NULL), EOPNOTSUPP);
  EXPECT_ERRNO(shutdown(fd, SHUT_RD), EOPNOTSUPP);
  EXPECT_ERRNO(getpeername(fd, (struct sockaddr*)&at, &length), EOPNOTSUPP);
}
CASE(packet_socket_tells_what_it_is) {
  int fd = packet_socket(SOCK_DGRAM, TYPE);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_DOMAIN), AF_PACKET);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
  EXPECT_EQ(get(fd, SOL_SOCKET, SO_PROTOCOL), 0);
}

// --- names ---
CASE(unbound_packet_socket_has_a_name_without_interface) {
  int fd = packet_socket(SOCK_RAW, TYPE);
  struct sockaddr_ll at;
  socklen_t length = sizeof at;
  OK(getsockname(fd, (struct sockaddr*)&at, &length));
  EXPECT_EQ(length, offsetof(struct sockaddr_ll, sll_addr));
  EXPECT_EQ(at.sll_family, AF_PACKET);
  EXPECT_EQ(ntohs(at.sll_protocol), TYPE);
  EXPECT_EQ(at.sll_ifindex, 0);
  EXPECT_EQ(at.sll_hatype, 0);
  EXPECT_EQ(at.sll_halen, 0);
}
CASE(bound_packet_socket_is_named_by_its_interface) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  struct sockaddr_ll at;
  socklen_t length = sizeof at;
  OK(getsockname(fd, (struct sockaddr*)&at, &length));
  EXPECT_EQ(length, offsetof(struct sockaddr_ll, sll_addr) + 6);
  EXPECT_EQ(at.sll_ifindex, LO);
  EXPECT_EQ(at.sll_hatype, ARPHRD_LOOPBACK);
  EXPECT_EQ(at.sll_halen, 6);
  EXPECT_EQ(at.sll_pkttype, 0);
}
CASE(bind_without_protocol_keeps_it) {
  int fd = packet_socket(SOCK_RAW, TYPE);
  bind_to(fd, 0, LO);
  struct sockaddr_ll at;
  socklen_t length = sizeof at;
  OK(getsockname(fd, (struct sockaddr*)&at, &length));
  EXPECT_EQ(ntohs(at.sll_protocol), TYPE);
  EXPECT_EQ(at.sll_ifindex, LO);
}
CASE(bind_of_bad_names_fails) {
  int fd = packet_socket(SOCK_RAW, TYPE);
  struct sockaddr_ll at = link_name(TYPE, LO);
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&at, sizeof at - 1), EINVAL);
  at.sll_ifindex = 123456;
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&at, sizeof at), ENODEV);
  at = link_name(TYPE, LO);
  at.sll_family = AF_INET;
  EXPECT_ERRNO(bind(fd, (struct sockaddr*)&at, sizeof at), EINVAL);
}

// --- sending and receiving ---
CASE(raw_packet_sockets_see_whole_frames) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  char room[256];
  struct sockaddr_ll from;
  struct frame f = make_frame(0);
  send_frame(fd, 0);
  EXPECT_EQ(receive_own(fd, room, sizeof room, &from), sizeof f);
  EXPECT(memcmp(room, &f, sizeof f) == 0);
  EXPECT_EQ(from.sll_family, AF_PACKET);
  EXPECT_EQ(ntohs(from.sll_protocol), TYPE);
  EXPECT_EQ(from.sll_ifindex, LO);
  EXPECT_EQ(from.sll_hatype, ARPHRD_LOOPBACK);
  EXPECT_EQ(from.sll_pkttype, PACKET_HOST);
  EXPECT_EQ(from.sll_halen, 6);
}
CASE(cooked_packet_sockets_see_payload_and_write_the_header) {
  int fd = bound_packet_socket(SOCK_DGRAM, TYPE), raw = bound_packet_socket(SOCK_RAW, TYPE);
  char room[256];
  struct sockaddr_ll from, to = link_name(TYPE, LO);
  to.sll_halen = 6;
  memcpy(to.sll_addr, "\x02\x00\x00\x00\x00\x07", 6);
  EXPECT_EQ(sendto(fd, tag, sizeof tag, 0, (struct sockaddr*)&to, sizeof to), sizeof tag);
  EXPECT_EQ(receive_own(fd, room, sizeof room, &from), sizeof tag);
  EXPECT(memcmp(room, tag, sizeof tag) == 0);
  EXPECT_EQ(from.sll_pkttype, PACKET_OTHERHOST);
  EXPECT_EQ(receive_own(raw, room, sizeof room, &from), sizeof tag + ETH_HLEN);
  EXPECT(memcmp(room, "\x02\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x88\xb5", ETH_HLEN) == 0);
}
CASE(packet_types_come_from_the_destination) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  char room[256];
  struct sockaddr_ll from;
  struct frame f = make_frame(0xff);
  memset(f.link.h_dest, 0xff, 6);
  struct sockaddr_ll to = link_name(TYPE, LO);
  EXPECT_EQ(sendto(fd, &f, sizeof f, 0, (struct sockaddr*)&to, sizeof to), sizeof f);
  receive_own(fd, room, sizeof room, &from);
  EXPECT_EQ(from.sll_pkttype, PACKET_MULTICAST);  // the loopback has no broadcast address
  send_frame(fd, 1);
  receive_own(fd, room, sizeof room, &from);
  EXPECT_EQ(from.sll_pkttype, PACKET_MULTICAST);
  send_frame(fd, 2);
  receive_own(fd, room, sizeof room, &from);
  EXPECT_EQ(from.sll_pkttype, PACKET_OTHERHOST);
}
CASE(all_protocols_see_what_leaves_too) {
  int fd = bound_packet_socket(SOCK_RAW, ETH_P_ALL), sender = bound_packet_socket(SOCK_RAW, 0);
  char room[65536 + 64];
  struct sockaddr_ll from;
  send_frame(sender, 0);
  EXPECT_EQ(receive_own(fd, room, sizeof room, &from), sizeof(struct frame));
  EXPECT_EQ(from.sll_pkttype, PACKET_OUTGOING);
  EXPECT_EQ(receive_own(fd, room, sizeof room, &from), sizeof(struct frame));
  EXPECT_EQ(from.sll_pkttype, PACKET_HOST);
}
CASE(senders_do_not_see_their_own_leave) {
  int fd = bound_packet_socket(SOCK_RAW, ETH_P_ALL);
  char room[65536 + 64];
  struct sockaddr_ll from;
  send_frame(fd, 0);
  EXPECT_EQ(receive_own(fd, room, sizeof room, &from), sizeof(struct frame));
  EXPECT_EQ(from.sll_pkttype, PACKET_HOST);
}
CASE(outgoing_can_be_ignored) {
  int fd = bound_packet_socket(SOCK_RAW, ETH_P_ALL), sender = bound_packet_socket(SOCK_RAW, 0);
  char room[65536 + 64];
  struct sockaddr_ll from;
  set(fd, SOL_PACKET, IGNORE_OUTGOING, 1);
  EXPECT_EQ(get(fd, SOL_PACKET, IGNORE_OUTGOING), 1);
  EXPECT_EQ(try_set(fd, SOL_PACKET, IGNORE_OUTGOING, 2), -1);
  send_frame(sender, 0);
  EXPECT_EQ(receive_own(fd, room, sizeof room, &from), sizeof(struct frame));
  EXPECT_EQ(from.sll_pkttype, PACKET_HOST);
}
CASE(protocol_0_hears_nothing) {
  int fd = packet_socket(SOCK_RAW, 0), sender = bound_packet_socket(SOCK_RAW, TYPE);
  send_frame(sender, 0);
  EXPECT(is_readable(sender, 1000));
  EXPECT(!is_readable(fd, 50));
}
CASE(other_protocols_are_not_heard) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE + 1), sender = bound_packet_socket(SOCK_RAW, TYPE);
  send_frame(sender, 0);
  EXPECT(is_readable(sender, 1000));
  EXPECT(!is_readable(fd, 50));
}
CASE(datagrams_are_seen_with_their_headers) {
  int fd = bound_packet_socket(SOCK_DGRAM, ETH_P_IP), to = bound(V4, SOCK_DGRAM);
  int from = connected(V4, SOCK_DGRAM, port_of(to));
  char room[65536 + 64];
  struct sockaddr_ll source;
  EXPECT_EQ(send(from, tag, sizeof tag, 0), sizeof tag);
  EXPECT_EQ(receive_own(fd, room, sizeof room, &source), 20 + 8 + sizeof tag);
  EXPECT_EQ(room[0], 0x45);
  EXPECT_EQ(room[9], IPPROTO_UDP);
  EXPECT_EQ(ntohs(source.sll_protocol), ETH_P_IP);
}
CASE(datagrams_of_ipv6_have_a_protocol_of_their_own) {
  int fd = bound_packet_socket(SOCK_DGRAM, ETH_P_IPV6), to = bound(V6, SOCK_DGRAM);
  int from = connected(V6, SOCK_DGRAM, port_of(to));
  char room[65536 + 64];
  struct sockaddr_ll source;
  EXPECT_EQ(send(from, tag, sizeof tag, 0), sizeof tag);
  EXPECT_EQ(receive_own(fd, room, sizeof room, &source), 40 + 8 + sizeof tag);
  EXPECT_EQ(room[0] & 0xf0, 0x60);
  EXPECT_EQ(ntohs(source.sll_protocol), ETH_P_IPV6);
}
static uint32_t sum_of(const uint8_t* bytes, size_t size, uint32_t sum) {
  for (size_t i = 0; i + 1 < size; i += 2) sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
  return sum;
}
// A datagram that a program builds itself, down to the link header, reaches its socket.
CASE(written_datagrams_arrive) {
  int fd = bound_packet_socket(SOCK_RAW, 0), to = bound(V6, SOCK_DGRAM);
  int port = port_of(to);
  enum { IP = ETH_HLEN, UDP = IP + 40, SIZE = 12 };
  uint8_t f[UDP + SIZE] = {[12] = 0x86, [13] = 0xdd, [IP] = 0x60, [IP + 5] = SIZE, [IP + 6] = IPPROTO_UDP};
  f[IP + 7] = 64;
  f[IP + 23] = f[IP + 39] = 1;  // from ::1 to ::1
  f[UDP] = 9;
  f[UDP + 2] = (uint8_t)(port >> 8);
  f[UDP + 3] = (uint8_t)port;
  f[UDP + 5] = SIZE;
  memcpy(f + UDP + 8, "ping", 4);
  uint32_t sum = sum_of(f + IP + 8, 32 + SIZE, SIZE + IPPROTO_UDP);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~((sum & 0xffff) + (sum >> 16));
  f[UDP + 6] = (uint8_t)(sum >> 8);
  f[UDP + 7] = (uint8_t)sum;
  EXPECT_EQ(send(fd, f, sizeof f, 0), sizeof f);
  EXPECT(is_readable(to, 1000));
  char room[16];
  EXPECT_EQ(recv(to, room, sizeof room, 0), 4);
  EXPECT(memcmp(room, "ping", 4) == 0);
}
CASE(sending_without_an_interface_is_ENXIO) {
  int fd = packet_socket(SOCK_RAW, TYPE);
  struct frame f = make_frame(0);
  struct sockaddr_ll to = link_name(TYPE, 0);
  EXPECT_ERRNO(send(fd, &f, sizeof f, 0), ENXIO);
  EXPECT_ERRNO(sendto(fd, &f, sizeof f, 0, (struct sockaddr*)&to, sizeof to), ENXIO);
  to.sll_ifindex = 123456;
  EXPECT_ERRNO(sendto(fd, &f, sizeof f, 0, (struct sockaddr*)&to, sizeof to), ENXIO);
  EXPECT_ERRNO(sendto(fd, &f, sizeof f, 0, (struct sockaddr*)&to, 8), EINVAL);
}
CASE(frames_that_are_too_short_or_too_long_are_refused) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  static char block[70000];
  EXPECT_ERRNO(send(fd, block, 13, 0), EINVAL);
  EXPECT_ERRNO(send(fd, block, sizeof block, 0), EMSGSIZE);
}
CASE(packets_are_cut_with_MSG_TRUNC) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  char room[16];
  send_frame(fd, 0);
  EXPECT(is_readable(fd, 1000));
  struct iovec part = {room, sizeof room};
  struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};
  EXPECT_EQ(recvmsg(fd, &h, MSG_PEEK), sizeof room);
  EXPECT_EQ(h.msg_flags, MSG_TRUNC);
  EXPECT_EQ(recv(fd, room, sizeof room, MSG_TRUNC), sizeof(struct frame));
}
CASE(receiving_with_odd_flags_is_EINVAL) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  char room[16];
  EXPECT_ERRNO(recv(fd, room, sizeof room, MSG_OOB), EINVAL);
  EXPECT_ERRNO(recv(fd, room, sizeof room, MSG_WAITALL), EINVAL);
  EXPECT_ERRNO(recv(fd, room, sizeof room, MSG_DONTWAIT), EAGAIN);
  EXPECT_ERRNO(recv(fd, room, sizeof room, MSG_ERRQUEUE), EAGAIN);
}
CASE(waiting_bytes_are_those_of_the_next_packet) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE), n = -1;
  OK(ioctl(fd, SIOCINQ, &n));
  EXPECT_EQ(n, 0);
  send_frame(fd, 0);
  EXPECT(is_readable(fd, 1000));
  OK(ioctl(fd, SIOCINQ, &n));
  EXPECT_EQ(n, sizeof(struct frame));
}
CASE(packet_arrival_is_stamped) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  char room[256];
  struct sockaddr_ll from;
  struct timeval at, now;
  send_frame(fd, 0);
  receive_own(fd, room, sizeof room, &from);
  OK(ioctl(fd, SIOCGSTAMP, &at));
  struct timespec wall;
  OK(clock_gettime(CLOCK_REALTIME, &wall));
  now.tv_sec = wall.tv_sec;
  EXPECT(at.tv_sec <= now.tv_sec && at.tv_sec >= now.tv_sec - 5);
}
CASE(interface_ioctls_work_on_packet_sockets) {
  int fd = packet_socket(SOCK_RAW, 0);
  struct ifreq r = {.ifr_name = "lo"};
  OK(ioctl(fd, SIOCGIFINDEX, &r));
  EXPECT_EQ(r.ifr_ifindex, LO);
  OK(ioctl(fd, SIOCGIFHWADDR, &r));
  EXPECT_EQ(r.ifr_hwaddr.sa_family, ARPHRD_LOOPBACK);
  OK(ioctl(fd, SIOCGIFFLAGS, &r));
  EXPECT(r.ifr_flags & IFF_UP);
}

// --- filters ---
static void attach(int fd, struct sock_filter* code, unsigned short count) {
  struct sock_fprog program = {count, code};
  OK(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}
CASE(filter_sees_the_link_header_of_raw_sockets) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0x40000),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  char room[256];
  struct sockaddr_ll from;
  attach(fd, code, 4);
  send_frame(fd, 0);
  send_frame(fd, 2);
  EXPECT_EQ(receive_own(fd, room, sizeof room, &from), sizeof(struct frame));
  EXPECT_EQ(room[0], 2);
  EXPECT(!is_readable(fd, 20));
}
CASE(filter_begins_behind_the_link_header_of_cooked_sockets) {
  int fd = bound_packet_socket(SOCK_DGRAM, TYPE), sender = bound_packet_socket(SOCK_RAW, 0);
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'c', 0, 3),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (uint32_t)SKF_LL_OFF + 12),  // and finds the header all the same
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TYPE, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0x40000),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  char room[256];
  struct sockaddr_ll from;
  attach(fd, code, 6);
  send_frame(sender, 0);
  EXPECT_EQ(receive_own(fd, room, sizeof room, &from), sizeof(struct frame) - ETH_HLEN);
}
CASE(filter_asks_for_type_protocol_and_interface) {
  int fd = bound_packet_socket(SOCK_RAW, ETH_P_ALL), sender = bound_packet_socket(SOCK_RAW, 0);
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 7),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TYPE, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_IFINDEX)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LO, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_HATYPE)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARPHRD_LOOPBACK, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0x40000),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  static char room[65536 + 64];
  struct sockaddr_ll from;
  attach(fd, code, 10);
  send_frame(sender, 0);
  EXPECT_EQ(receive_own(fd, room, sizeof room, &from), sizeof(struct frame));
  EXPECT_EQ(from.sll_pkttype, PACKET_OUTGOING);
}
CASE(filter_cuts_packets) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 50)};
  attach(fd, code, 1);
  set(fd, SOL_PACKET, PACKET_AUXDATA, 1);
  send_frame(fd, 0);
  EXPECT(is_readable(fd, 1000));
  struct message m;
  EXPECT_EQ(receive_message(fd, &m, 0), 50);
  EXPECT_EQ(m.header.msg_flags & MSG_TRUNC, 0);
  struct cmsghdr* c = control_of(&m, SOL_PACKET, PACKET_AUXDATA);
  EXPECT(c != NULL);
  struct tpacket_auxdata a;
  memcpy(&a, CMSG_DATA(c), sizeof a);
  EXPECT_EQ(a.tp_len, sizeof(struct frame));
  EXPECT_EQ(a.tp_snaplen, 50);
}

// --- options ---
CASE(auxiliary_data_tells_sizes_and_places) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  set(fd, SOL_PACKET, PACKET_AUXDATA, 1);
  EXPECT_EQ(get(fd, SOL_PACKET, PACKET_AUXDATA), 1);
  send_frame(fd, 0);
  EXPECT(is_readable(fd, 1000));
  struct message m;
  EXPECT_EQ(receive_message(fd, &m, 0), sizeof(struct frame));
  struct cmsghdr* c = control_of(&m, SOL_PACKET, PACKET_AUXDATA);
  EXPECT(c != NULL);
  EXPECT_EQ(c->cmsg_len, CMSG_LEN(sizeof(struct tpacket_auxdata)));
  struct tpacket_auxdata a;
  memcpy(&a, CMSG_DATA(c), sizeof a);
  EXPECT(a.tp_status & TP_STATUS_USER);
  EXPECT_EQ(a.tp_len, sizeof(struct frame));
  EXPECT_EQ(a.tp_snaplen, sizeof(struct frame));
  EXPECT_EQ(a.tp_mac, 0);
  EXPECT_EQ(a.tp_net, ETH_HLEN);
}
CASE(checksums_of_the_loopback_are_not_ready) {
  int fd = bound_packet_socket(SOCK_DGRAM, ETH_P_IP), to = bound(V4, SOCK_DGRAM);
  int from = connected(V4, SOCK_DGRAM, port_of(to));
  set(fd, SOL_PACKET, PACKET_AUXDATA, 1);
  EXPECT_EQ(send(from, tag, sizeof tag, 0), sizeof tag);
  for (int i = 0; i < 1000; i++) {
    EXPECT(is_readable(fd, 1000));
    struct message m;
    ssize_t n = OK(receive_message(fd, &m, 0));
    if (!memmem(m.data, (size_t)n, tag, strlen(tag))) continue;
    struct tpacket_auxdata a;
    memcpy(&a, CMSG_DATA(control_of(&m, SOL_PACKET, PACKET_AUXDATA)), sizeof a);
    EXPECT(a.tp_status & TP_STATUS_CSUMNOTREADY);
    return;
  }
  FAIL("the datagram was not seen");
}
CASE(packets_can_come_with_timestamps) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  set(fd, SOL_SOCKET, SO_TIMESTAMP, 1);
  send_frame(fd, 0);
  EXPECT(is_readable(fd, 1000));
  struct message m;
  EXPECT_EQ(receive_message(fd, &m, 0), sizeof(struct frame));
  EXPECT(control_of(&m, SOL_SOCKET, SCM_TIMESTAMP) != NULL);
}
CASE(statistics_are_reset_when_told) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE), sender = bound_packet_socket(SOCK_RAW, 0);
  for (int i = 0; i < 3; i++) send_frame(sender, 0);
  EXPECT(is_readable(fd, 1000));
  struct tpacket_stats s;
  socklen_t length = sizeof s;
  OK(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &s, &length));
  EXPECT_EQ(length, sizeof s);
  EXPECT_EQ(s.tp_packets, 3);
  EXPECT_EQ(s.tp_drops, 0);
  OK(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &s, &length));
  EXPECT_EQ(s.tp_packets, 0);
}
CASE(packets_without_room_are_dropped_and_counted) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE), sender = bound_packet_socket(SOCK_RAW, 0);
  set(fd, SOL_SOCKET, SO_RCVBUF, 1);
  for (int i = 0; i < 200; i++) send_frame(sender, 0);
  struct tpacket_stats s;
  socklen_t length = sizeof s;
  OK(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &s, &length));
  EXPECT_EQ(s.tp_packets, 200);
  EXPECT(s.tp_drops > 100 && s.tp_drops < 200);
}
CASE(memberships_are_checked) {
  int fd = packet_socket(SOCK_RAW, 0);
  struct packet_mreq m = {.mr_ifindex = LO, .mr_type = PACKET_MR_PROMISC};
  OK(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m));
  OK(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m));
  OK(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &m, sizeof m));
  OK(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &m, sizeof m));
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m - 1), EINVAL);
  m.mr_ifindex = 123456;
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m), ENODEV);
  m = (struct packet_mreq){.mr_ifindex = LO, .mr_type = PACKET_MR_MULTICAST, .mr_alen = 6};
  memcpy(m.mr_address, "\x01\x00\x5e\x00\x00\x01", 6);
  OK(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m));
  m.mr_alen = 4;
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m), EINVAL);
}
CASE(options_of_other_levels_are_ENOPROTOOPT) {
  int fd = packet_socket(SOCK_RAW, 0), value = 1;
  socklen_t length = sizeof value;
  EXPECT_ERRNO(setsockopt(fd, IPPROTO_IP, IP_TTL, &value, sizeof value), ENOPROTOOPT);
  EXPECT_ERRNO(getsockopt(fd, IPPROTO_IP, IP_TTL, &value, &length), ENOPROTOOPT);
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, 99, &value, sizeof value), ENOPROTOOPT);
  EXPECT_ERRNO(getsockopt(fd, SOL_PACKET, 99, &value, &length), ENOPROTOOPT);
}
CASE(proc_net_packet_lists_the_socket) {
  int fd = bound_packet_socket(SOCK_DGRAM, TYPE);
  char link[64], line[256], want[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = OK(readlink(link, line, sizeof line - 1));
  line[n] = 0;
  unsigned long inode = strtoul(strchr(line, '[') + 1, NULL, 10);
  snprintf(want, sizeof want, " %lu", inode);
  FILE* f = fopen("/proc/net/packet", "r");
  EXPECT(f != NULL);
  bool found = false;
  while (fgets(line, sizeof line, f)) {
    unsigned type, protocol, interface, running;
    if (!strstr(line, want) || sscanf(line, "%*s %*u %u %x %u %u", &type, &protocol, &interface, &running) != 4)
      continue;
    EXPECT_EQ(type, SOCK_DGRAM);
    EXPECT_EQ(protocol, TYPE);
    EXPECT_EQ(interface, LO);
    EXPECT_EQ(running, 1);
    found = true;
  }
  fclose(f);
  EXPECT(found);
}

// --- the ring ---
enum { BLOCK = 4096, FRAME = 1024, BLOCKS = 4, FRAMES = BLOCKS * (BLOCK / FRAME) };

static struct tpacket_req ring_shape(void) {
  return (struct tpacket_req){
      .tp_block_size = BLOCK, .tp_block_nr = BLOCKS, .tp_frame_size = FRAME, .tp_frame_nr = FRAMES};
}
static char* make_ring(int fd, int version) {
  struct tpacket_req r = ring_shape();
  set(fd, SOL_PACKET, PACKET_VERSION, version);
  OK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r));
  void* at = mmap(NULL, BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  EXPECT(at != MAP_FAILED);
  return at;
}
CASE(ring_headers_have_known_sizes) {
  int fd = packet_socket(SOCK_RAW, 0);
  int value = TPACKET_V1;
  socklen_t length = sizeof value;
  OK(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &value, &length));
  EXPECT_EQ(value, sizeof(struct tpacket_hdr));
  value = TPACKET_V2;
  OK(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &value, &length));
  EXPECT_EQ(value, sizeof(struct tpacket2_hdr));
  value = 17;
  EXPECT_ERRNO(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &value, &length), EINVAL);
}
CASE(ring_shapes_are_checked) {
  int fd = packet_socket(SOCK_RAW, 0);
  set(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2);
  struct tpacket_req r = ring_shape();
  r.tp_block_size = BLOCK / 2;
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r), EINVAL);
  r = ring_shape();
  r.tp_frame_nr++;
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r), EINVAL);
  r = ring_shape();
  r.tp_frame_size = 40;
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r), EINVAL);
  r = ring_shape();
  r.tp_frame_size = FRAME + 8;
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r), EINVAL);
  r = (struct tpacket_req){.tp_frame_nr = 1};
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r), EINVAL);
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, 4), EINVAL);
}
CASE(ring_is_there_once_and_holds_its_version) {
  int fd = packet_socket(SOCK_RAW, 0), version = TPACKET_V1;
  char* at = make_ring(fd, TPACKET_V2);
  struct tpacket_req r = ring_shape(), none = {0};
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r), EBUSY);
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version), EBUSY);
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RESERVE, &version, sizeof version), EBUSY);
  EXPECT_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof none), EBUSY);  // it is mapped
  OK(munmap(at, BLOCK * BLOCKS));
  OK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof none));
  set(fd, SOL_PACKET, PACKET_VERSION, version);
}
CASE(ring_is_mapped_whole) {
  int fd = packet_socket(SOCK_RAW, 0);
  EXPECT(mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
  struct tpacket_req r = ring_shape();
  set(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2);
  OK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r));
  EXPECT(mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
  EXPECT(mmap(NULL, BLOCK * (BLOCKS - 1), PROT_READ, MAP_SHARED, fd, BLOCK) == MAP_FAILED && errno == EINVAL);
  EXPECT(mmap(NULL, BLOCK * BLOCKS, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
}
static void expect_frame_v2(char* at) {
  struct tpacket2_hdr* h = (struct tpacket2_hdr*)at;
  EXPECT(h->tp_status & TP_STATUS_USER);
  EXPECT_EQ(h->tp_len, sizeof(struct frame));
  EXPECT_EQ(h->tp_snaplen, sizeof(struct frame));
  EXPECT_EQ(h->tp_net, h->tp_mac + ETH_HLEN);
  struct frame f;
  memcpy(&f, at + h->tp_mac, sizeof f);
  EXPECT_EQ(ntohs(f.link.h_proto), TYPE);
  EXPECT(memcmp(f.text, tag, sizeof tag) == 0);
  struct sockaddr_ll from;
  memcpy(&from, at + TPACKET_ALIGN(sizeof *h), sizeof from);
  EXPECT_EQ(from.sll_family, AF_PACKET);
  EXPECT_EQ(from.sll_ifindex, LO);
  EXPECT_EQ(ntohs(from.sll_protocol), TYPE);
  EXPECT(llabs((long long)h->tp_sec - (long long)time(NULL)) <= 5);
}
CASE(ring_v2_gets_frames_and_takes_them_back) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE), sender = bound_packet_socket(SOCK_RAW, 0);
  char* at = make_ring(fd, TPACKET_V2);
  EXPECT(!is_readable(fd, 20));
  for (int i = 0; i < FRAMES * 2 + 3; i++) {  // around the ring
    send_frame(sender, 0);
    EXPECT(is_readable(fd, 1000));
    char* place = at + i % FRAMES * FRAME;
    expect_frame_v2(place);
    ((struct tpacket2_hdr*)place)->tp_status = TP_STATUS_KERNEL;
    EXPECT(!is_readable(fd, 0));
  }
}
CASE(ring_v2_places_data_as_linux_does) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE), cooked = bound_packet_socket(SOCK_DGRAM, TYPE);
  struct tpacket2_hdr* h = (struct tpacket2_hdr*)make_ring(fd, TPACKET_V2);
  int reserve = 32;
  set(cooked, SOL_PACKET, PACKET_RESERVE, reserve);
  EXPECT_EQ(get(cooked, SOL_PACKET, PACKET_RESERVE), reserve);
  struct tpacket2_hdr* c = (struct tpacket2_hdr*)make_ring(cooked, TPACKET_V2);
  send_frame(fd, 0);
  EXPECT(is_readable(fd, 1000) && is_readable(cooked, 1000));
  EXPECT_EQ(h->tp_net, 80);
  EXPECT_EQ(h->tp_mac, 66);
  EXPECT_EQ(c->tp_net, TPACKET_ALIGN(TPACKET2_HDRLEN) + 16 + 32);
  EXPECT_EQ(c->tp_mac, c->tp_net);
  EXPECT_EQ(c->tp_len, sizeof(struct frame) - ETH_HLEN);
  EXPECT(memcmp((char*)c + c->tp_mac, tag, sizeof tag) == 0);
}
CASE(ring_v1_gets_frames) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  char* at = make_ring(fd, TPACKET_V1);
  struct tpacket_hdr* h = (struct tpacket_hdr*)at;
  send_frame(fd, 0);
  EXPECT(is_readable(fd, 1000));
  EXPECT(h->tp_status & TP_STATUS_USER);
  EXPECT_EQ(h->tp_len, sizeof(struct frame));
  EXPECT(memcmp(at + h->tp_net, tag, sizeof tag) == 0);
  EXPECT(h->tp_usec < 1000000);
}
CASE(full_ring_drops_and_tells_of_it) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE), sender = bound_packet_socket(SOCK_RAW, 0);
  char* at = make_ring(fd, TPACKET_V2);
  for (int i = 0; i < FRAMES + 5; i++) send_frame(sender, 0);
  EXPECT(is_readable(fd, 1000));
  ((struct tpacket2_hdr*)at)->tp_status = TP_STATUS_KERNEL;
  send_frame(sender, 0);
  EXPECT(((struct tpacket2_hdr*)at)->tp_status & TP_STATUS_LOSING);
  struct tpacket_stats s;
  socklen_t length = sizeof s;
  OK(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &s, &length));
  EXPECT_EQ(s.tp_packets, FRAMES + 6);
  EXPECT_EQ(s.tp_drops, 5);
}
CASE(ring_cuts_what_does_not_fit_a_frame) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  char* at = make_ring(fd, TPACKET_V2);
  struct tpacket2_hdr* h = (struct tpacket2_hdr*)at;
  char big[1500] = {0};
  big[12] = (char)0x88;
  big[13] = (char)0xb5;
  EXPECT_EQ(send(fd, big, sizeof big, 0), sizeof big);
  EXPECT(is_readable(fd, 1000));
  EXPECT_EQ(h->tp_len, sizeof big);
  EXPECT_EQ(h->tp_snaplen, FRAME - h->tp_mac);
}
CASE(ring_outlives_its_socket_while_it_is_mapped) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  char* at = make_ring(fd, TPACKET_V2);
  send_frame(fd, 0);
  EXPECT(is_readable(fd, 1000));
  close(fd);
  expect_frame_v2(at);
}
CASE(ring_passes_the_filter_first) {
  int fd = bound_packet_socket(SOCK_RAW, TYPE);
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 40),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  attach(fd, code, 4);
  struct tpacket2_hdr* h = (struct tpacket2_hdr*)make_ring(fd, TPACKET_V2);
  send_frame(fd, 0);
  send_frame(fd, 2);
  EXPECT(is_readable(fd, 1000));
  EXPECT_EQ(h->tp_len, sizeof(struct frame));
  EXPECT_EQ(h->tp_snaplen, 40);
  EXPECT_EQ(*((char*)h + h->tp_mac), 2);
}

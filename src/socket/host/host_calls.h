// What the bypass (--network=host) asks of the host's kernel, as data: which options, and which calls. The jail takes
// its rules from here, and the sockets look here before they ask.
#pragma once

#include <linux/netlink.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <string_view>

#include "host/call_rule.h"

namespace cofferdam::host_sockets {

// Of include/uapi that the C library's headers do not have, or have under other names than these.
inline constexpr int so_timestamp = 29, so_timestampns = 35, so_timestamping = 37, so_timestamp_new = 63,
                     so_timestampns_new = 64, so_timestamping_new = 65, ip_local_port_range = 51,
                     tcp_fastopen_no_cookie = 34, ip_recv_fragment_size = 25, icmp_filter = 1, icmpv6_filter = 1,
                     ipv6_unicast_interface = 76, udp_gro = 104, ip_unicast_interface = 50, tcp_inq = 36;

enum class Access : uint8_t { Get, Set, Both };

struct Option {
  int level, name;
  Access access;
};

// No filters, no marks, no transparent proxies, nothing that maps memory or pins it, none that would make close(2) wait
// (SO_LINGER with a time is kept from the host).
inline constexpr Option options[] = {
    {SOL_SOCKET, SO_REUSEADDR, Access::Both},
    {SOL_SOCKET, SO_TYPE, Access::Get},
    {SOL_SOCKET, SO_ERROR, Access::Get},
    {SOL_SOCKET, SO_DONTROUTE, Access::Both},
    {SOL_SOCKET, SO_BROADCAST, Access::Both},
    {SOL_SOCKET, SO_SNDBUF, Access::Both},
    {SOL_SOCKET, SO_RCVBUF, Access::Both},
    {SOL_SOCKET, SO_KEEPALIVE, Access::Both},
    {SOL_SOCKET, SO_OOBINLINE, Access::Both},
    {SOL_SOCKET, SO_PRIORITY, Access::Both},
    {SOL_SOCKET, SO_LINGER, Access::Both},
    {SOL_SOCKET, SO_REUSEPORT, Access::Both},
    {SOL_SOCKET, SO_RCVLOWAT, Access::Both},
    {SOL_SOCKET, SO_SNDLOWAT, Access::Get},
    {SOL_SOCKET, SO_BINDTODEVICE, Access::Both},
    {SOL_SOCKET, so_timestamp, Access::Both},
    {SOL_SOCKET, so_timestampns, Access::Both},
    {SOL_SOCKET, so_timestamping, Access::Both},
    {SOL_SOCKET, so_timestamp_new, Access::Both},
    {SOL_SOCKET, so_timestampns_new, Access::Both},
    {SOL_SOCKET, so_timestamping_new, Access::Both},
    {SOL_SOCKET, SO_ACCEPTCONN, Access::Get},
    {SOL_SOCKET, SO_PROTOCOL, Access::Get},
    {SOL_SOCKET, SO_DOMAIN, Access::Get},
    {SOL_SOCKET, SO_RXQ_OVFL, Access::Both},
    {SOL_SOCKET, SO_PEEK_OFF, Access::Both},
    {SOL_SOCKET, SO_NO_CHECK, Access::Both},
    {SOL_SOCKET, SO_SELECT_ERR_QUEUE, Access::Both},
    {SOL_SOCKET, SO_MAX_PACING_RATE, Access::Both},
    {SOL_SOCKET, SO_MEMINFO, Access::Get},
    {SOL_SOCKET, SO_INCOMING_CPU, Access::Get},
    {SOL_SOCKET, SO_COOKIE, Access::Get},
    {IPPROTO_IP, IP_TOS, Access::Both},
    {IPPROTO_IP, IP_TTL, Access::Both},
    {IPPROTO_IP, IP_OPTIONS, Access::Both},
    {IPPROTO_IP, IP_RECVOPTS, Access::Both},
    {IPPROTO_IP, IP_RETOPTS, Access::Both},
    {IPPROTO_IP, IP_PKTINFO, Access::Both},
    {IPPROTO_IP, IP_MTU_DISCOVER, Access::Both},
    {IPPROTO_IP, IP_RECVERR, Access::Both},
    {IPPROTO_IP, IP_RECVTTL, Access::Both},
    {IPPROTO_IP, IP_RECVTOS, Access::Both},
    {IPPROTO_IP, IP_MTU, Access::Get},
    {IPPROTO_IP, IP_FREEBIND, Access::Both},
    {IPPROTO_IP, IP_RECVORIGDSTADDR, Access::Both},
    {IPPROTO_IP, IP_MINTTL, Access::Both},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, Access::Both},
    {IPPROTO_IP, ip_recv_fragment_size, Access::Both},
    {IPPROTO_IP, IP_MULTICAST_IF, Access::Both},
    {IPPROTO_IP, IP_MULTICAST_TTL, Access::Both},
    {IPPROTO_IP, IP_MULTICAST_LOOP, Access::Both},
    {IPPROTO_IP, IP_MULTICAST_ALL, Access::Both},
    {IPPROTO_IP, IP_ADD_MEMBERSHIP, Access::Set},
    {IPPROTO_IP, IP_DROP_MEMBERSHIP, Access::Set},
    {IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, Access::Set},
    {IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, Access::Set},
    {IPPROTO_IP, IP_BLOCK_SOURCE, Access::Set},
    {IPPROTO_IP, IP_UNBLOCK_SOURCE, Access::Set},
    {IPPROTO_IP, IP_MSFILTER, Access::Both},
    {IPPROTO_IP, MCAST_JOIN_GROUP, Access::Set},
    {IPPROTO_IP, MCAST_LEAVE_GROUP, Access::Set},
    {IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, Access::Set},
    {IPPROTO_IP, MCAST_LEAVE_SOURCE_GROUP, Access::Set},
    {IPPROTO_IP, MCAST_BLOCK_SOURCE, Access::Set},
    {IPPROTO_IP, MCAST_UNBLOCK_SOURCE, Access::Set},
    {IPPROTO_IP, MCAST_MSFILTER, Access::Both},
    {IPPROTO_IP, ip_unicast_interface, Access::Both},
    {IPPROTO_IP, ip_local_port_range, Access::Both},
    {IPPROTO_IP, IP_HDRINCL, Access::Both},
    {IPPROTO_IPV6, IPV6_V6ONLY, Access::Both},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, Access::Both},
    {IPPROTO_IPV6, IPV6_MULTICAST_IF, Access::Both},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS, Access::Both},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP, Access::Both},
    {IPPROTO_IPV6, IPV6_MULTICAST_ALL, Access::Both},
    {IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, Access::Set},
    {IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, Access::Set},
    {IPPROTO_IPV6, MCAST_JOIN_GROUP, Access::Set},
    {IPPROTO_IPV6, MCAST_LEAVE_GROUP, Access::Set},
    {IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, Access::Set},
    {IPPROTO_IPV6, MCAST_LEAVE_SOURCE_GROUP, Access::Set},
    {IPPROTO_IPV6, MCAST_BLOCK_SOURCE, Access::Set},
    {IPPROTO_IPV6, MCAST_UNBLOCK_SOURCE, Access::Set},
    {IPPROTO_IPV6, MCAST_MSFILTER, Access::Both},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, Access::Both},
    {IPPROTO_IPV6, IPV6_MTU, Access::Both},
    {IPPROTO_IPV6, IPV6_RECVERR, Access::Both},
    {IPPROTO_IPV6, IPV6_CHECKSUM, Access::Both},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, Access::Both},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, Access::Both},
    {IPPROTO_IPV6, IPV6_RECVTCLASS, Access::Both},
    {IPPROTO_IPV6, IPV6_TCLASS, Access::Both},
    {IPPROTO_IPV6, IPV6_DONTFRAG, Access::Both},
    {IPPROTO_IPV6, IPV6_RECVPATHMTU, Access::Both},
    {IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, Access::Both},
    {IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, Access::Both},
    {IPPROTO_IPV6, IPV6_MINHOPCOUNT, Access::Both},
    {IPPROTO_IPV6, IPV6_FREEBIND, Access::Both},
    {IPPROTO_IPV6, ipv6_unicast_interface, Access::Both},
    {IPPROTO_TCP, TCP_NODELAY, Access::Both},
    {IPPROTO_TCP, TCP_MAXSEG, Access::Both},
    {IPPROTO_TCP, TCP_CORK, Access::Both},
    {IPPROTO_TCP, TCP_KEEPIDLE, Access::Both},
    {IPPROTO_TCP, TCP_KEEPINTVL, Access::Both},
    {IPPROTO_TCP, TCP_KEEPCNT, Access::Both},
    {IPPROTO_TCP, TCP_SYNCNT, Access::Both},
    {IPPROTO_TCP, TCP_LINGER2, Access::Both},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, Access::Both},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, Access::Both},
    {IPPROTO_TCP, TCP_INFO, Access::Get},
    {IPPROTO_TCP, TCP_QUICKACK, Access::Both},
    {IPPROTO_TCP, TCP_CONGESTION, Access::Both},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, Access::Both},
    {IPPROTO_TCP, TCP_FASTOPEN, Access::Both},
    {IPPROTO_TCP, TCP_FASTOPEN_CONNECT, Access::Both},
    {IPPROTO_TCP, tcp_fastopen_no_cookie, Access::Both},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, Access::Both},
    {IPPROTO_TCP, TCP_CC_INFO, Access::Get},
    {IPPROTO_TCP, TCP_SAVE_SYN, Access::Both},
    {IPPROTO_TCP, TCP_SAVED_SYN, Access::Get},
    {IPPROTO_TCP, tcp_inq, Access::Both},
    {IPPROTO_UDP, UDP_CORK, Access::Both},
    {IPPROTO_UDP, UDP_SEGMENT, Access::Both},
    {IPPROTO_UDP, udp_gro, Access::Both},
    {SOL_RAW, icmp_filter, Access::Both},
    {SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, Access::Set},
    {SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, Access::Set},
    {SOL_NETLINK, NETLINK_EXT_ACK, Access::Set},
    {SOL_NETLINK, NETLINK_GET_STRICT_CHK, Access::Set},
    {IPPROTO_ICMPV6, icmpv6_filter, Access::Both},
};

constexpr bool is_allowed(int level, int name, Access access) {
  return std::ranges::any_of(options, [&](Option const& o) {
    return o.level == level && o.name == name && (o.access == Access::Both || o.access == access);
  });
}

namespace detail {

inline constexpr std::string_view option_reason = "an option of the guest's socket (socket/host/host_calls.h)";

constexpr size_t count_of(Access access) {
  return static_cast<size_t>(
      std::ranges::count_if(options, [&](Option const& o) { return o.access == Access::Both || o.access == access; }));
}

template <Access access>
constexpr auto option_rules() {
  constexpr int call = access == Access::Get ? SYS_getsockopt : SYS_setsockopt;
  auto rule_of = [](Option const& o) {
    return host::CallRule(
        call, {host::is(1, static_cast<uint32_t>(o.level)), host::is(2, static_cast<uint32_t>(o.name))}, option_reason);
  };
  return [&]<size_t... N>(std::index_sequence<N...>) {
    size_t at = 0;
    auto next = [&](size_t) {
      while (options[at].access != Access::Both && options[at].access != access) ++at;
      return rule_of(options[at++]);
    };
    return std::array{next(N)...};
  }(std::make_index_sequence<count_of(access)>());
}

}  // namespace detail

inline constexpr auto get_option_rules = detail::option_rules<Access::Get>();
inline constexpr auto set_option_rules = detail::option_rules<Access::Set>();

inline constexpr uint32_t socket_flags = SOCK_CLOEXEC | SOCK_NONBLOCK;

// Beside reading, writing, accept4 and FIONREAD, which the sentry has anyway.
inline constexpr host::CallRule host_calls[] = {
    {SYS_socket, {host::is(0, AF_INET), host::is(1, SOCK_STREAM | socket_flags)}, "TCP"},
    {SYS_socket, {host::is(0, AF_INET6), host::is(1, SOCK_STREAM | socket_flags)}, "TCP"},
    {SYS_socket, {host::is(0, AF_INET), host::is(1, SOCK_DGRAM | socket_flags)}, "UDP, ICMP echo"},
    {SYS_socket, {host::is(0, AF_INET6), host::is(1, SOCK_DGRAM | socket_flags)}, "UDP, ICMP echo"},
    {SYS_socket,
     {host::is(0, AF_NETLINK), host::is(1, SOCK_RAW | socket_flags), host::is(2, 0)},
     "NETLINK_ROUTE, to read: the sockets send requests for information alone"},
    {SYS_bind, "bind(2)"},
    {SYS_connect, "connect(2); of AF_UNIX there is no socket to call it on, unless --host-uds=open"},
    {SYS_listen, "listen(2)"},
    {SYS_getsockname, "getsockname(2)"},
    {SYS_getpeername, "getpeername(2)"},
    {SYS_shutdown, "shutdown(2)"},
    {SYS_ioctl, {host::is(1, SIOCOUTQ)}, "bytes on their way"},
    {SYS_ioctl, {host::is(1, SIOCATMARK)}, "sockatmark(3)"},
    {SYS_ioctl, {host::is(1, SIOCGIFCONF)}, "interfaces with addresses"},
    {SYS_ioctl, {host::is(1, SIOCGIFNAME)}, "if_indextoname(3)"},
    {SYS_ioctl, {host::is(1, SIOCGIFINDEX)}, "if_nametoindex(3)"},
    {SYS_ioctl, {host::is(1, SIOCGIFFLAGS)}, "flags of an interface"},
    {SYS_ioctl, {host::is(1, SIOCGIFADDR)}, "its address"},
    {SYS_ioctl, {host::is(1, SIOCGIFDSTADDR)}, "its peer's address"},
    {SYS_ioctl, {host::is(1, SIOCGIFBRDADDR)}, "its broadcast address"},
    {SYS_ioctl, {host::is(1, SIOCGIFNETMASK)}, "its netmask"},
    {SYS_ioctl, {host::is(1, SIOCGIFMETRIC)}, "its metric"},
    {SYS_ioctl, {host::is(1, SIOCGIFMTU)}, "its MTU"},
    {SYS_ioctl, {host::is(1, SIOCGIFHWADDR)}, "its hardware address"},
    {SYS_ioctl, {host::is(1, SIOCGIFTXQLEN)}, "its transmit queue"},
};

}  // namespace cofferdam::host_sockets

// getsockopt(2) and setsockopt(2) of level IPPROTO_IPV6: ipv6(7), RFC 3493, RFC 3542.
#include <linux/capability.h>

#include <algorithm>

#include "kernel/task/task.h"
#include "socket/inet/inet_socket.h"

namespace cofferdam::inet {

using kernel::Task;

namespace {

bool is_flag6(int name) {
  constexpr int flags[] = {IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT,    IPV6_RECVTCLASS,  IPV6_RECVERR,
                           IPV6_DONTFRAG,    IPV6_RECVORIGDSTADDR, IPV6_TRANSPARENT, ipv6_freebind};
  return std::ranges::find(flags, name) != std::end(flags);
}

}  // namespace

Result<std::vector<std::byte>> InetSocket::get_ipv6_option(int name, size_t room) {
  if (is_flag6(name)) return option_bytes(ip_.flags6.get(name) ? 1 : 0, room);
  int value;
  switch (name) {
    case IPV6_V6ONLY:
      value = ip_.v6_only;
      break;
    case IPV6_UNICAST_HOPS:
      value = ip_.hop_limit >= 0 ? ip_.hop_limit.load() : stack().settings().default_ttl.load();
      break;
    case IPV6_MULTICAST_HOPS:
      value = ip_.multicast_hops >= 0 ? ip_.multicast_hops.load() : 1;
      break;
    case IPV6_MULTICAST_LOOP:
      value = ip_.multicast_loop6;
      break;
    case IPV6_MULTICAST_IF:
      value = static_cast<int>(ip_.multicast_interface6.load());
      break;
    case ipv6_multicast_all:
      value = ip_.multicast_all6;
      break;
    case IPV6_MINHOPCOUNT:
      value = ip_.minimum_hops;
      break;
    case IPV6_TCLASS:
      value = ip_.traffic_class;
      break;
    case IPV6_MTU_DISCOVER:
      value = ip_.mtu_discover6;
      break;
    case IPV6_MTU:
      if (!peer_address()) return fail(Errno::NotConn);
      value = static_cast<int>(path_mtu());
      break;
    case ipv6_unicast_interface:
      value = static_cast<int>(htonl(ip_.unicast_interface6));
      break;
    default:
      return fail(Errno::NoProtoOpt);
  }
  return option_bytes(value, room);
}

Result<void> InetSocket::set_ipv6_flag(Task& task, int name, bool on) {
  if (name == IPV6_TRANSPARENT && on && !task.capable(CAP_NET_RAW) && !task.capable(CAP_NET_ADMIN))
    return fail(Errno::Perm);
  ip_.flags6.set(name, on);
  return {};
}

Result<void> InetSocket::set_ipv6_multicast(int name, int value) {
  if (type() == SOCK_STREAM && name != IPV6_MULTICAST_LOOP && name != ipv6_multicast_all)
    return fail(Errno::NoProtoOpt);
  switch (name) {
    case IPV6_MULTICAST_HOPS:
      if (value < -1 || value > 255) return fail(Errno::Inval);
      ip_.multicast_hops = value;
      return {};
    case IPV6_MULTICAST_LOOP:
      if (value != 0 && value != 1) return fail(Errno::Inval);
      ip_.multicast_loop6 = value != 0;
      return {};
    case ipv6_multicast_all:
      if (value != 0 && value != 1) return fail(Errno::Inval);
      ip_.multicast_all6 = value != 0;
      return {};
    default:  // IPV6_MULTICAST_IF
      if (value != 0 && !stack().interface(static_cast<uint32_t>(value))) return fail(Errno::NoDev);
      if (value != 0 && bound_interface_ != 0 && bound_interface_ != static_cast<uint32_t>(value))
        return fail(Errno::Inval);
      ip_.multicast_interface6 = static_cast<uint32_t>(value);
      return {};
  }
}

Result<void> InetSocket::set_ipv6_option(Task& task, int name, std::span<std::byte const> bytes) {
  if (is_membership_option6(name)) return set_membership(task, IPPROTO_IPV6, name, bytes);
  int const value = TRY(option_value<int>(bytes));
  if (is_flag6(name)) return set_ipv6_flag(task, name, value != 0);
  switch (name) {
    case IPV6_V6ONLY:
      if (bound()) return fail(Errno::Inval);
      ip_.v6_only = value != 0;
      return {};
    case IPV6_MTU:
      if (value != 0 && value < 1280) return fail(Errno::Inval);
      ip_.fragment_size6 = static_cast<uint32_t>(value);
      return {};
    case IPV6_UNICAST_HOPS:
      if (value < -1 || value > 255) return fail(Errno::Inval);
      ip_.hop_limit = value;
      return {};
    case IPV6_MULTICAST_HOPS:
    case IPV6_MULTICAST_LOOP:
    case IPV6_MULTICAST_IF:
    case ipv6_multicast_all:
      return set_ipv6_multicast(name, value);
    case IPV6_MINHOPCOUNT:
      if (value < 0 || value > 255) return fail(Errno::Inval);
      ip_.minimum_hops = static_cast<uint8_t>(value);
      return {};
    case IPV6_TCLASS: {
      constexpr uint8_t ecn = 3;
      if (value < -1 || value > 255) return fail(Errno::Inval);
      auto wanted = value < 0 ? uint8_t{0} : static_cast<uint8_t>(value);
      if (type() == SOCK_STREAM) wanted = static_cast<uint8_t>((wanted & ~ecn) | (ip_.traffic_class & ecn));
      ip_.traffic_class = wanted;
      return {};
    }
    case IPV6_MTU_DISCOVER:
      if (value < IPV6_PMTUDISC_DONT || value > IPV6_PMTUDISC_OMIT) return fail(Errno::Inval);
      ip_.mtu_discover6 = value;
      return {};
    case ipv6_unicast_interface: {
      uint32_t const index = ntohl(static_cast<uint32_t>(value));
      if (index != 0 && !stack().interface(index)) return fail(Errno::AddrNotAvail);
      ip_.unicast_interface6 = index;
      return {};
    }
    default:
      return fail(Errno::NoProtoOpt);
  }
}

}  // namespace cofferdam::inet

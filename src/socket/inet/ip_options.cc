// getsockopt(2) and setsockopt(2) of level IPPROTO_IP: ip(7).
#include "socket/inet/ip_options.h"

#include <linux/capability.h>

#include <algorithm>

#include "kernel/task/task.h"
#include "socket/inet/inet_socket.h"

namespace cofferdam::inet {

using kernel::Task;
using netstack::Address;

namespace {

constexpr size_t largest_options = 40;
constexpr int ip_options_name = 4, ip_transparent = 19;

bool is_flag(int name) {
  constexpr int flags[] = {IP_PKTINFO, IP_RECVERR,  IP_RECVTTL,     IP_RECVTOS,         IP_RECVOPTS,
                           IP_RETOPTS, IP_FREEBIND, ip_transparent, IP_RECVORIGDSTADDR, IP_BIND_ADDRESS_NO_PORT};
  return std::ranges::find(flags, name) != std::end(flags);
}

// What IP_TOS makes of SO_PRIORITY (rt_tos2priority of Linux).
int priority_of(uint8_t tos) {
  constexpr int best_effort = 0, filler = 1, bulk = 2, interactive_bulk = 4, interactive = 6;
  constexpr int table[] = {best_effort,
                           filler,
                           best_effort,
                           best_effort,
                           bulk,
                           bulk,
                           bulk,
                           bulk,
                           interactive,
                           interactive,
                           interactive,
                           interactive,
                           interactive_bulk,
                           interactive_bulk,
                           interactive_bulk,
                           interactive_bulk};
  return table[(tos & 0x1e) >> 1];
}

}  // namespace

Result<int> small_value(std::span<std::byte const> bytes) {
  if (bytes.empty()) return fail(Errno::Inval);
  if (bytes.size() < sizeof(int)) return static_cast<int>(bytes[0]);
  return option_value<int>(bytes);
}

void IpOptions::inherit(IpOptions const& o) {
  ttl = o.ttl.load();
  tos = o.tos.load();
  minimum_ttl = o.minimum_ttl.load();
  mtu_discover = o.mtu_discover.load();
  flags.copy_from(o.flags);
  v6_only = o.v6_only.load();
  hop_limit = o.hop_limit.load();
  traffic_class = o.traffic_class.load();
  minimum_hops = o.minimum_hops.load();
  mtu_discover6 = o.mtu_discover6.load();
  fragment_size6 = o.fragment_size6.load();
  flags6.copy_from(o.flags6);
}

Result<std::vector<std::byte>> checked_header_options(std::span<std::byte const> given) {
  constexpr uint8_t end = 0, no_operation = 1;
  if (given.size() > largest_options) return fail(Errno::Inval);
  for (size_t at = 0; at < given.size();) {
    auto const type = static_cast<uint8_t>(given[at]);
    if (type == end) break;
    if (type == no_operation) {
      ++at;
      continue;
    }
    if (at + 1 >= given.size()) return fail(Errno::Inval);
    auto const length = static_cast<size_t>(given[at + 1]);
    if (length < 2 || length > given.size() - at) return fail(Errno::Inval);
    at += length;
  }
  std::vector<std::byte> options(given.begin(), given.end());
  options.resize((options.size() + 3) & ~size_t{3});
  return options;
}

Result<std::vector<std::byte>> InetSocket::get_ip_option(int name, size_t room) {
  int value;
  if (is_flag(name)) {
    value = ip_.flags.get(name) ? 1 : 0;
  } else {
    switch (name) {
      case ip_options_name:
        return ip_.header_options.with([&](auto const& o) {
          return std::vector<std::byte>(o.begin(), o.begin() + static_cast<ptrdiff_t>(std::min(room, o.size())));
        });
      case IP_TOS:
        value = ip_.tos;
        break;
      case IP_TTL:
        value = ip_.ttl != 0 ? ip_.ttl.load() : stack().settings().default_ttl.load();
        break;
      case IP_MINTTL:
        value = ip_.minimum_ttl;
        break;
      case IP_MULTICAST_TTL:
        value = ip_.multicast_ttl;
        break;
      case IP_MULTICAST_LOOP:
        value = ip_.multicast_loop;
        break;
      case IP_MULTICAST_ALL:
        value = ip_.multicast_all;
        break;
      case IP_MULTICAST_IF:
        return option_bytes(htonl(ip_.multicast_source.with([](Address const& a) { return a.v4(); })), room);
      case IP_MTU_DISCOVER:
        value = ip_.mtu_discover;
        break;
      case IP_MTU:
        if (!peer_address()) return fail(Errno::NotConn);
        value = static_cast<int>(std::min<uint32_t>(path_mtu(), 65535));
        break;
      case ip_unicast_interface:
        value = static_cast<int>(htonl(ip_.unicast_interface));
        break;
      case ip_local_port_range:
        value = static_cast<int>(ip_.port_range.load());
        break;
      default:
        return fail(Errno::NoProtoOpt);
    }
  }
  if (room > 0 && room < sizeof(int) && value >= 0 && value <= 255) return option_bytes(static_cast<uint8_t>(value), 1);
  return option_bytes(value, room);
}

Result<void> InetSocket::set_ip_flag(Task& task, int name, bool on) {
  if (name == ip_transparent && on && !task.capable(CAP_NET_RAW) && !task.capable(CAP_NET_ADMIN))
    return fail(Errno::Perm);
  ip_.flags.set(name, on);
  return {};
}

Result<void> InetSocket::set_ip_option(Task& task, int name, std::span<std::byte const> bytes) {
  if (is_membership_option(name)) return set_membership(task, IPPROTO_IP, name, bytes);
  if (name == IP_MULTICAST_IF) return set_multicast_interface(bytes);
  if (name == ip_options_name) {
    auto options = TRY(checked_header_options(bytes));
    ip_.header_options.with([&](auto& o) { o = std::move(options); });
    return {};
  }
  int const value = TRY(small_value(bytes));
  if (is_flag(name)) return set_ip_flag(task, name, value != 0);
  bool const stream = type() == SOCK_STREAM;
  switch (name) {
    case IP_TOS: {
      constexpr uint8_t ecn = 3;
      auto tos = static_cast<uint8_t>(value);
      if (stream) tos = static_cast<uint8_t>((tos & ~ecn) | (ip_.tos & ecn));
      ip_.tos = tos;
      set_priority(priority_of(tos));
      return {};
    }
    case IP_TTL:
      if (value != -1 && (value < 1 || value > 255)) return fail(Errno::Inval);
      ip_.ttl = value == -1 ? uint8_t{0} : static_cast<uint8_t>(value);
      return {};
    case IP_MINTTL:
      if (value < 0 || value > 255) return fail(Errno::Inval);
      ip_.minimum_ttl = static_cast<uint8_t>(value);
      return {};
    case IP_MULTICAST_TTL:
      if (stream || value < -1 || value > 255) return fail(Errno::Inval);
      ip_.multicast_ttl = value == -1 ? 1 : value;
      return {};
    case IP_MULTICAST_LOOP:
      ip_.multicast_loop = value != 0;
      return {};
    case IP_MULTICAST_ALL:
      if (value != 0 && value != 1) return fail(Errno::Inval);
      ip_.multicast_all = value != 0;
      return {};
    case IP_MTU_DISCOVER:
      if (value < IP_PMTUDISC_DONT || value > IP_PMTUDISC_OMIT) return fail(Errno::Inval);
      ip_.mtu_discover = value;
      return {};
    case ip_unicast_interface: {
      if (bytes.size() < sizeof(int)) return fail(Errno::Inval);
      uint32_t const index = ntohl(static_cast<uint32_t>(value));
      if (index != 0 && !stack().interface(index)) return fail(Errno::AddrNotAvail);
      ip_.unicast_interface = index;
      return {};
    }
    case ip_local_port_range: {
      if (bytes.size() < sizeof(int)) return fail(Errno::Inval);
      auto const range = static_cast<uint32_t>(value);
      uint32_t const low = range & 0xffff, high = range >> 16;
      if (low != 0 && high != 0 && low > high) return fail(Errno::Inval);
      ip_.port_range = range;
      return {};
    }
    default:
      return fail(Errno::NoProtoOpt);
  }
}

}  // namespace cofferdam::inet

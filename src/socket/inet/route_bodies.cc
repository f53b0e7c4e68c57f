#include "socket/inet/route_bodies.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>

namespace cofferdam::inet {

using kernel::NetlinkBody;
using netstack::Address;
using netstack::Interface;

namespace {

void put_address(NetlinkBody& body, uint16_t type, Address const& a) {
  body.raw_attribute(type, a.is_v4() ? a.v4_bytes() : a.bytes());
}

}  // namespace

NetlinkBody link_body(Interface& i) {
  bool lo = i.is_loopback();
  ifinfomsg m{};
  m.ifi_type = lo ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
  m.ifi_index = static_cast<int>(i.index());
  m.ifi_flags = static_cast<unsigned>(lo ? IFF_LOOPBACK : IFF_BROADCAST | IFF_MULTICAST) |
                (i.up() ? static_cast<unsigned>(IFF_UP | IFF_RUNNING) | 0x10000u : 0u);  // IFF_LOWER_UP
  NetlinkBody b(m);
  b.text(IFLA_IFNAME, i.name());
  b.attribute(IFLA_TXQLEN, uint32_t{1000});
  constexpr uint8_t operstate_unknown = 0, operstate_down = 2, operstate_up = 6;
  b.attribute(IFLA_OPERSTATE, !i.up() ? operstate_down : lo ? operstate_unknown : operstate_up);
  b.attribute(IFLA_LINKMODE, uint8_t{0});
  b.attribute(IFLA_MTU, i.mtu());
  b.attribute(IFLA_GROUP, uint32_t{0});
  b.attribute(IFLA_CARRIER, uint8_t{1});
  b.text(IFLA_QDISC, "noqueue");
  b.attribute(IFLA_ADDRESS, i.facts().hardware);
  b.attribute(IFLA_BROADCAST, lo ? netstack::HardwareAddress{} : netstack::hardware_broadcast);
  auto& c = i.counters();
  rtnl_link_stats64 s{};
  s.rx_packets = c.received_packets;
  s.tx_packets = c.sent_packets;
  s.rx_bytes = c.received_bytes;
  s.tx_bytes = c.sent_bytes;
  s.rx_errors = c.received_errors;
  s.rx_dropped = c.received_dropped;
  s.tx_dropped = c.sent_dropped;
  b.attribute(IFLA_STATS64, s);
  return b;
}

namespace {

uint32_t seconds_until(netstack::Time until, netstack::Time now) {
  if (until == netstack::never) return UINT32_MAX;
  return until <= now ? 0 : static_cast<uint32_t>((until - now) / netstack::second);
}

}  // namespace

NetlinkBody address_body(Interface const& i, netstack::Prefix const& prefix,
                         std::optional<netstack::Autoconfiguration::Lifetimes> const& lifetimes, netstack::Time now) {
  uint32_t const flags = !lifetimes                          ? uint32_t{IFA_F_PERMANENT}
                         : lifetimes->preferred_until <= now ? uint32_t{IFA_F_DEPRECATED}
                                                             : 0;
  bool const four = prefix.address.is_v4();
  ifaddrmsg m{};
  m.ifa_family = family_of(prefix.address);
  m.ifa_prefixlen = prefix.length;
  m.ifa_flags = static_cast<uint8_t>(flags);
  m.ifa_scope = prefix.address.is_loopback()     ? RT_SCOPE_HOST
                : prefix.address.is_link_local() ? RT_SCOPE_LINK
                                                 : RT_SCOPE_UNIVERSE;
  m.ifa_index = i.index();
  NetlinkBody b(m);
  put_address(b, IFA_ADDRESS, prefix.address);
  if (four) {
    put_address(b, IFA_LOCAL, prefix.address);
    if (!i.is_loopback()) put_address(b, IFA_BROADCAST, prefix.broadcast());
    b.text(IFA_LABEL, i.name());
  }
  b.attribute(IFA_FLAGS, flags);
  ifa_cacheinfo times{~0u, ~0u, 0, 0};
  if (lifetimes) {
    times.ifa_prefered = seconds_until(lifetimes->preferred_until, now);
    times.ifa_valid = seconds_until(lifetimes->valid_until, now);
  }
  b.attribute(IFA_CACHEINFO, times);
  return b;
}

NetlinkBody route_body(netstack::Route const& r) {
  rtmsg m{};
  m.rtm_family = family_of(r.destination.address);
  m.rtm_dst_len = r.destination.length;
  m.rtm_table = RT_TABLE_MAIN;
  m.rtm_protocol = r.protocol;
  m.rtm_scope = r.scope;
  m.rtm_type = RTN_UNICAST;
  NetlinkBody b(m);
  b.attribute(RTA_TABLE, uint32_t{RT_TABLE_MAIN});
  if (r.destination.length != 0) put_address(b, RTA_DST, r.destination.address);
  if (r.has_gateway()) put_address(b, RTA_GATEWAY, r.gateway);
  if (r.source != Address::any_v6()) put_address(b, RTA_PREFSRC, r.source);
  if (r.metric != 0) b.attribute(RTA_PRIORITY, r.metric);
  b.attribute(RTA_OIF, r.interface);
  return b;
}

NetlinkBody path_body(Address const& destination, netstack::Path const& path) {
  rtmsg m{};
  m.rtm_family = family_of(destination);
  m.rtm_dst_len = destination.is_v4() ? 32 : 128;
  m.rtm_table = path.local ? RT_TABLE_LOCAL : RT_TABLE_MAIN;
  m.rtm_type = path.local ? RTN_LOCAL : RTN_UNICAST;
  m.rtm_flags = RTM_F_CLONED;
  NetlinkBody b(m);
  b.attribute(RTA_TABLE, uint32_t{m.rtm_table});
  put_address(b, RTA_DST, destination);
  if (!path.local && path.next_hop != destination) put_address(b, RTA_GATEWAY, path.next_hop);
  if (!path.source.is_any()) put_address(b, RTA_PREFSRC, path.source);
  b.attribute(RTA_OIF, path.out->index());
  return b;
}

NetlinkBody neighbour_body(Interface const& i, netstack::NeighbourEntry const& n) {
  static constexpr uint16_t states[] = {NUD_INCOMPLETE, NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_FAILED};
  ndmsg m{};
  m.ndm_family = family_of(n.address);
  m.ndm_ifindex = static_cast<int>(i.index());
  m.ndm_state = states[static_cast<size_t>(n.state)];
  m.ndm_type = RTN_UNICAST;
  NetlinkBody b(m);
  put_address(b, NDA_DST, n.address);
  if (n.state != netstack::NeighbourState::Incomplete) b.attribute(NDA_LLADDR, n.hardware);
  return b;
}

}  // namespace cofferdam::inet

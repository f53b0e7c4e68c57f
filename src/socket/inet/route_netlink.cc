#include "socket/inet/route_netlink.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>

#include "socket/inet/route_bodies.h"

namespace cofferdam::inet {

using kernel::netlink_fixed;
using kernel::netlink_value;
using kernel::NetlinkAttributes;
using netstack::Address;
using netstack::Interface;
using netstack::Prefix;
using netstack::Route;
using netstack::Stack;

namespace {

using Body = std::span<std::byte const>;
constexpr size_t max_addresses = 1024;  // of one interface

bool wanted(uint8_t family, Address const& a) { return family == AF_UNSPEC || family == family_of(a); }

// An attribute's address of that family.
std::optional<Address> address_of(uint8_t family, Body value) {
  if (family == AF_INET && value.size() == 4) return Address::v4(netstack::load32(value, 0));
  if (family == AF_INET6 && value.size() == 16) return Address::v6(value);
  return std::nullopt;
}

std::string_view text_of(Body value) {
  std::string_view const text(reinterpret_cast<char const*>(value.data()), value.size());
  return text.substr(0, text.find('\0'));
}

// --- telling

NetlinkBody body_of(Stack& stack, Interface const& i, Prefix const& p) {
  auto const made = p.address.is_v4() ? Ref<netstack::Autoconfiguration>() : stack.autoconfiguration(i);
  return address_body(i, p, made ? made->lifetimes(p.address) : std::nullopt, stack.now());
}

int dump(Stack& stack, Body body, NetlinkAnswer& answer) {
  uint8_t const family = body.empty() ? uint8_t{AF_UNSPEC} : static_cast<uint8_t>(body[0]);
  switch (answer.request().nlmsg_type) {
    case RTM_GETLINK:
      for (auto* i : stack.interfaces()) answer.add(RTM_NEWLINK, NLM_F_MULTI, link_body(*i));
      break;
    case RTM_GETADDR:
      for (auto* i : stack.interfaces())
        for (auto const& a : i->addresses())
          if (wanted(family, a.prefix.address)) answer.add(RTM_NEWADDR, NLM_F_MULTI, body_of(stack, *i, a.prefix));
      break;
    case RTM_GETROUTE:
      for (auto const& r : stack.routes().all())
        if (wanted(family, r.destination.address)) answer.add(RTM_NEWROUTE, NLM_F_MULTI, route_body(r));
      break;
    case RTM_GETNEIGH:
      for (auto* i : stack.interfaces()) {
        auto* known = stack.neighbours(*i);
        if (!known) continue;
        for (auto const& n : known->entries())
          if (wanted(family, n.address)) answer.add(RTM_NEWNEIGH, NLM_F_MULTI, neighbour_body(*i, n));
      }
      break;
    default:
      return EOPNOTSUPP;
  }
  answer.end_dump();
  return 0;
}

// The interface that a message about a link names, by number or by name. Null: ENODEV.
Interface* named_link(Stack& stack, Body body) {
  auto const m = netlink_fixed<ifinfomsg>(body);
  if (m.ifi_index > 0) return stack.interface(static_cast<uint32_t>(m.ifi_index));
  NetlinkAttributes attributes(body, sizeof m);
  while (auto a = attributes.next()) {
    if (a->type == IFLA_IFNAME) return stack.interface(text_of(a->value));
  }
  return nullptr;
}

int tell_path(Stack& stack, Body body, NetlinkAnswer& answer) {
  auto const m = netlink_fixed<rtmsg>(body);
  std::optional<Address> destination, source;
  uint32_t interface = 0;
  NetlinkAttributes attributes(body, sizeof m);
  while (auto a = attributes.next()) {
    if (a->type == RTA_DST) destination = address_of(m.rtm_family, a->value);
    if (a->type == RTA_SRC) source = address_of(m.rtm_family, a->value);
    if (a->type == RTA_OIF) interface = netlink_value<uint32_t>(a->value).value_or(0);
  }
  if (!destination) return EINVAL;
  auto const path = stack.find_path(*destination, source.value_or(Address::any(destination->is_v4())), interface);
  if (!path) return static_cast<int>(path.error().code);
  answer.add(RTM_NEWROUTE, 0, path_body(*destination, *path));
  return 0;
}

int tell_one(Stack& stack, Body body, NetlinkAnswer& answer) {
  if (answer.request().nlmsg_type == RTM_GETROUTE) return tell_path(stack, body, answer);
  if (answer.request().nlmsg_type != RTM_GETLINK) return EOPNOTSUPP;
  auto* i = named_link(stack, body);
  if (!i) return ENODEV;
  answer.add(RTM_NEWLINK, 0, link_body(*i));
  return 0;
}

// --- changing

// Tells of the routes that came and went since it was made.
class RouteNotices {
 public:
  RouteNotices(Stack& stack, NetlinkAnswer& answer) : stack_(stack), answer_(answer), before_(stack.routes().all()) {}
  ~RouteNotices() {
    auto const now = stack_.routes().all();
    for (auto const& r : before_)
      if (std::ranges::find(now, r) == now.end()) tell(r, RTM_DELROUTE);
    for (auto const& r : now)
      if (std::ranges::find(before_, r) == before_.end()) tell(r, RTM_NEWROUTE);
  }
  RouteNotices(RouteNotices const&) = delete;
  RouteNotices& operator=(RouteNotices const&) = delete;

 private:
  void tell(Route const& r, uint16_t type) {
    answer_.notice(r.destination.address.is_v4() ? RTNLGRP_IPV4_ROUTE : RTNLGRP_IPV6_ROUTE, type, route_body(r));
  }
  Stack& stack_;
  NetlinkAnswer& answer_;
  std::vector<Route> const before_;
};

void tell_address(NetlinkAnswer& answer, uint16_t type, Interface const& i, Prefix const& p) {
  answer.notice(p.address.is_v4() ? RTNLGRP_IPV4_IFADDR : RTNLGRP_IPV6_IFADDR, type,
                address_body(i, p, std::nullopt, 0));
}

// What an address can be given here beyond itself: nothing that would have to act.
bool acts_only_as_usual(NetlinkAttributes::Attribute const& a, Interface const& i, Prefix const& p) {
  constexpr uint32_t harmless_flags = IFA_F_PERMANENT | IFA_F_NODAD;
  switch (a.type) {
    case IFA_LOCAL:
    case IFA_ADDRESS:
      return true;
    case IFA_LABEL:
      return text_of(a.value) == i.name();
    case IFA_BROADCAST:
      return address_of(AF_INET, a.value) == p.broadcast();
    case IFA_FLAGS:
      return (netlink_value<uint32_t>(a.value).value_or(~0u) & ~harmless_flags) == 0;
    case IFA_CACHEINFO: {
      auto const c = netlink_value<ifa_cacheinfo>(a.value);
      return c && c->ifa_prefered == ~0u && c->ifa_valid == ~0u;
    }
    default:
      return false;
  }
}

int change_address(Stack& stack, Body body, NetlinkAnswer& answer) {
  auto const m = netlink_fixed<ifaddrmsg>(body);
  if (m.ifa_family != AF_INET && m.ifa_family != AF_INET6) return EAFNOSUPPORT;
  auto* i = stack.interface(m.ifa_index);
  if (!i) return ENODEV;
  std::optional<Address> local, address;
  NetlinkAttributes attributes(body, sizeof m);
  while (auto a = attributes.next()) {
    if (a->type == IFA_LOCAL) local = address_of(m.ifa_family, a->value);
    if (a->type == IFA_ADDRESS) address = address_of(m.ifa_family, a->value);
  }
  if (!local) local = address;
  if (!local || m.ifa_prefixlen > (local->is_v4() ? 32 : 128)) return EINVAL;
  if (address && *address != *local) return EOPNOTSUPP;  // the far end of a point-to-point link
  Prefix const prefix{*local, m.ifa_prefixlen};
  NetlinkAttributes again(body, sizeof m);
  while (auto a = again.next())
    if (!acts_only_as_usual(*a, *i, prefix)) return EOPNOTSUPP;
  bool const adds = answer.request().nlmsg_type == RTM_NEWADDR;
  if (adds && (!local->is_unicast() || i->addresses().size() >= max_addresses))
    return local->is_unicast() ? ENOBUFS : EADDRNOTAVAIL;
  RouteNotices const routes(stack, answer);
  auto const done = adds ? stack.add_address(*i, prefix) : stack.remove_address(*i, prefix);
  if (!done && done.error() == Errno::Exist && (answer.request().nlmsg_flags & NLM_F_REPLACE)) return 0;
  if (!done) return static_cast<int>(done.error().code);
  tell_address(answer, answer.request().nlmsg_type, *i, prefix);
  return 0;
}

struct RouteRequest {
  Route route;
  bool has_interface = false, has_metric = false;
  int error = 0;
};

RouteRequest parse_route_request(Stack& stack, Body body) {
  RouteRequest r;
  auto const m = netlink_fixed<rtmsg>(body);
  if (m.rtm_family != AF_INET && m.rtm_family != AF_INET6) return {.error = EAFNOSUPPORT};
  bool const four = m.rtm_family == AF_INET;
  if (m.rtm_dst_len > (four ? 32 : 128)) return {.error = EINVAL};
  if ((m.rtm_type != RTN_UNICAST && m.rtm_type != RTN_UNSPEC) || m.rtm_src_len != 0 || m.rtm_tos != 0 ||
      (m.rtm_table != RT_TABLE_MAIN && m.rtm_table != RT_TABLE_UNSPEC))
    return {.error = EOPNOTSUPP};
  r.route.destination = {Address::any(four), m.rtm_dst_len};
  r.route.protocol = m.rtm_protocol;
  r.route.scope = m.rtm_scope;
  if (!four) r.route.metric = 1024;
  NetlinkAttributes attributes(body, sizeof m);
  while (auto a = attributes.next()) {
    auto const address = address_of(m.rtm_family, a->value);
    auto const number = netlink_value<uint32_t>(a->value);
    switch (a->type) {
      case RTA_DST:
        if (!address) return {.error = EINVAL};
        r.route.destination.address = *address;
        break;
      case RTA_GATEWAY:
        if (!address || address->is_any()) return {.error = EINVAL};
        r.route.gateway = *address;
        break;
      case RTA_PREFSRC:
        if (!address || !stack.owns(*address)) return {.error = EINVAL};
        r.route.source = *address;
        break;
      case RTA_OIF:
        if (!number || !stack.interface(*number)) return {.error = ENODEV};
        r.route.interface = *number;
        r.has_interface = true;
        break;
      case RTA_PRIORITY:
        if (!number) return {.error = EINVAL};
        r.route.metric = *number;
        r.has_metric = true;
        break;
      case RTA_TABLE:
        if (number != uint32_t{RT_TABLE_MAIN}) return {.error = EOPNOTSUPP};
        break;
      default:
        return {.error = EOPNOTSUPP};  // metrics, several next hops, encapsulation
    }
  }
  if (r.route.destination.network() != r.route.destination.address) r.error = EINVAL;
  return r;
}

int add_route(Stack& stack, Body body, NetlinkAnswer& answer) {
  auto [route, has_interface, has_metric, error] = parse_route_request(stack, body);
  if (error != 0) return error;
  if (route.has_gateway()) {
    auto const way = stack.routes().find(route.gateway, route.interface);
    bool const on_link = !route.destination.address.is_v4() && route.gateway.is_link_local() && has_interface;
    if (!on_link && (!way || way->has_gateway() || stack.owns(route.gateway))) return ENETUNREACH;
    if (!has_interface) route.interface = way->interface;
  } else if (!has_interface) {
    return ENODEV;
  }
  if (!stack.interface(route.interface)->up()) return ENETDOWN;
  auto const same = [&](Route const& r) { return r.destination == route.destination && r.metric == route.metric; };
  auto const all = stack.routes().all();
  bool const exists = std::ranges::any_of(all, same);
  auto const flags = answer.request().nlmsg_flags;
  if (exists && (flags & NLM_F_EXCL)) return EEXIST;
  if (!exists && !(flags & NLM_F_CREATE)) return ENOENT;
  RouteNotices const notices(stack, answer);
  if (exists && (flags & NLM_F_REPLACE)) stack.routes().take(same);
  auto const added = stack.routes().add(route);
  return added ? 0 : static_cast<int>(added.error().code);
}

int remove_route(Stack& stack, Body body, NetlinkAnswer& answer) {
  auto const wanted = parse_route_request(stack, body);
  if (wanted.error != 0) return wanted.error;
  RouteNotices const notices(stack, answer);
  auto const taken = stack.routes().take([&](Route const& r) {
    auto const& w = wanted.route;
    return r.destination == w.destination && (!wanted.has_interface || r.interface == w.interface) &&
           (!wanted.has_metric || r.metric == w.metric) && (!w.has_gateway() || r.gateway == w.gateway) &&
           (w.source == Address::any_v6() || r.source == w.source) &&
           (w.protocol == RTPROT_UNSPEC || r.protocol == w.protocol);
  });
  return taken ? 0 : ESRCH;
}

int change_link(Stack& stack, Body body, NetlinkAnswer& answer) {
  auto const m = netlink_fixed<ifinfomsg>(body);
  auto* i = named_link(stack, body);
  if (!i) return answer.request().nlmsg_flags & NLM_F_CREATE ? EOPNOTSUPP : ENODEV;
  if (m.ifi_change & ~unsigned{IFF_UP}) return EOPNOTSUPP;
  std::optional<uint32_t> mtu;
  NetlinkAttributes attributes(body, sizeof m);
  while (auto a = attributes.next()) {
    constexpr uint32_t least_v4 = 68;
    if (a->type == IFLA_EXT_MASK || (a->type == IFLA_IFNAME && text_of(a->value) == i->name())) continue;
    if (a->type != IFLA_MTU) return EOPNOTSUPP;  // another name, hardware address, queueing discipline, …
    mtu = netlink_value<uint32_t>(a->value);
    if (!mtu || *mtu < least_v4 || *mtu > i->facts().mtu) return EINVAL;
  }
  if (mtu) i->set_mtu(*mtu);
  if (m.ifi_change & IFF_UP) {
    RouteNotices const routes(stack, answer);
    stack.set_up(*i, m.ifi_flags & IFF_UP);
  }
  answer.notice(RTNLGRP_LINK, RTM_NEWLINK, link_body(*i));
  return 0;
}

int change(Stack& stack, Body body, NetlinkAnswer& answer) {
  switch (answer.request().nlmsg_type) {
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return change_address(stack, body, answer);
    case RTM_NEWROUTE:
      return add_route(stack, body, answer);
    case RTM_DELROUTE:
      return remove_route(stack, body, answer);
    case RTM_NEWLINK:
    case RTM_SETLINK:
      return change_link(stack, body, answer);
    default:
      return EOPNOTSUPP;
  }
}

}  // namespace

int answer_route(bool may_change, Stack& stack, Body body, NetlinkAnswer& answer) {
  auto const type = answer.request().nlmsg_type;
  if (type < RTM_BASE || type > RTM_MAX) return EOPNOTSUPP;
  constexpr unsigned kinds = 4, get = 2;  // RTM_NEW…, RTM_DEL…, RTM_GET…, RTM_SET…
  if ((type - RTM_BASE) % kinds != get) return may_change ? change(stack, body, answer) : EPERM;
  return answer.asks_for_dump() ? dump(stack, body, answer) : tell_one(stack, body, answer);
}

}  // namespace cofferdam::inet

#include "netstack/autoconfiguration.h"

#include <algorithm>

#include "netstack/stack.h"

namespace cofferdam::netstack {
namespace {

constexpr uint8_t router_solicitation = 133, neighbour_solicitation = 135;
constexpr uint8_t source_link_address = 1, prefix_information = 3, link_mtu = 5;
constexpr size_t advertisement_size = 16, prefix_information_size = 32;
constexpr uint32_t for_ever = 0xffffffff, two_hours = 7200;
constexpr Time most_delay = second, first_interval = 4 * second, longest_interval = 3600 * second;  // RFC 7559
constexpr Time probe_wait = second;                     // RetransTimer: nobody has said that the address is his
constexpr uint8_t by_advertisement = 9, by_kernel = 2;  // RTPROT_RA, RTPROT_KERNEL
constexpr uint32_t router_metric = 1024, prefix_metric = 256;
constexpr uint32_t least_mtu = 1280;

Address well_known(uint8_t last) {
  std::array<std::byte, 16> bytes{std::byte{0xff}, std::byte{2}};
  bytes[15] = std::byte{last};
  return Address::v6(bytes);
}

Route route_to(Prefix const& destination, Address const& gateway, Interface const& out) {
  Route r;
  r.destination = destination;
  r.gateway = gateway;
  r.interface = out.index();
  r.metric = gateway.is_any() ? prefix_metric : router_metric;
  r.protocol = gateway.is_any() ? by_kernel : by_advertisement;
  return r;
}

Prefix everything() { return {Address::any_v6(), 0}; }

// Whoever has entered it.
auto same_way(Route const& route) {
  return [route](Route const& r) {
    return r.destination == route.destination && r.gateway == route.gateway && r.interface == route.interface &&
           r.metric == route.metric;
  };
}

}  // namespace

void Autoconfiguration::run(Actions const& actions) {
  for (auto const& action : actions) action();
}

Time Autoconfiguration::after(uint32_t seconds) const {
  return seconds == for_ever ? never : stack_.now() + static_cast<Time>(seconds) * second;
}

Time Autoconfiguration::random_delay(Time most) {
  return static_cast<Time>(static_cast<uint64_t>(stack_.random32()) * static_cast<uint64_t>(most) >> 32);
}

// The prefix, and the link's hardware address as an interface identifier (RFC 2464 4).
Address Autoconfiguration::address_in(Prefix const& prefix) const {
  auto const& h = interface_.facts().hardware;
  std::array<uint8_t, 8> const identifier{static_cast<uint8_t>(h[0] ^ 2), h[1], h[2], 0xff, 0xfe, h[3], h[4], h[5]};
  std::array<std::byte, 16> bytes{};
  std::ranges::copy(prefix.address.bytes().first(8), bytes.begin());
  std::ranges::transform(identifier, bytes.begin() + 8, [](uint8_t b) { return std::byte{b}; });
  return Address::v6(bytes);
}

void Autoconfiguration::start() {
  MutexLock lock(mutex_);
  ask_at_ = stack_.now();
  ask_interval_ = first_interval;
  rearm();
}

void Autoconfiguration::stop() {
  interface_.set_hop_limit(0);
  interface_.set_ipv6_mtu(UINT32_MAX);
  std::vector<Address> wanted;
  {
    MutexLock lock(mutex_);
    ask_at_ = never;
    for (auto const& own : own_)
      if (own.state == State::Tentative) wanted.push_back(own.address);
    on_link_.clear();
    routers_.clear();
    own_.clear();
  }
  for (auto const& a : wanted) stack_.leave_solicited(interface_, a);
}

void Autoconfiguration::receive_advertisement(IpInfo const& info, Bytes b) {
  // RFC 4861 6.1.2.
  if (info.ttl != 255 || !info.source.is_link_local() || b.size() < advertisement_size || load8(b, 1) != 0) return;
  std::optional<HardwareAddress> hardware;
  std::vector<PrefixInformation> prefixes;
  uint32_t mtu = 0;
  for (size_t at = advertisement_size; at + 2 <= b.size();) {
    size_t const length = load8(b, at + 1) * size_t{8};
    if (length == 0 || at + length > b.size()) return;
    Bytes const option = b.subspan(at, length);
    uint8_t const type = load8(option, 0);
    if (type == source_link_address && length == 8 && !(load8(option, 2) & 1)) {
      hardware.emplace();
      std::ranges::transform(option.subspan(2, 6), hardware->begin(),
                             [](std::byte x) { return std::to_integer<uint8_t>(x); });
    } else if (type == link_mtu && length == 8) {
      mtu = load32(option, 4);
    } else if (type == prefix_information && length == prefix_information_size && prefixes.size() < max_prefixes) {
      uint8_t const flags = load8(option, 3);
      prefixes.push_back({{Address::v6(option.subspan(16, 16)), load8(option, 2)},
                          (flags & 0x80) != 0,
                          (flags & 0x40) != 0,
                          load32(option, 4),
                          load32(option, 8)});
    }
    at += length;
  }
  if (uint8_t const hops = load8(b, 4); hops != 0) interface_.set_hop_limit(hops);
  if (mtu >= least_mtu && mtu <= interface_.mtu()) interface_.set_ipv6_mtu(mtu);
  if (auto* known = stack_.neighbours(interface_); known && hardware) known->learn(info.source, *hardware, true, false);
  Actions actions;
  {
    MutexLock lock(mutex_);
    ask_at_ = never;
    take_router(info.source, load16(b, 6), actions);
    for (auto const& p : prefixes) take_prefix(p, actions);
    rearm();
  }
  run(actions);
}

void Autoconfiguration::take_router(Address const& router, uint32_t lifetime, Actions& actions) {
  auto it = std::ranges::find(routers_, router, &Router::address);
  Route const route = route_to(everything(), router, interface_);
  if (lifetime == 0) {
    if (it != routers_.end()) routers_.erase(it);
    actions.emplace_back([this, route] { static_cast<void>(stack_.routes().take(same_way(route))); });
    return;
  }
  if (it == routers_.end()) {
    if (routers_.size() >= max_routers) return;
    it = routers_.insert(it, {router, never});
    actions.emplace_back([this, route] { static_cast<void>(stack_.routes().add(route)); });  // EEXIST: it is there
  }
  it->until = after(lifetime);
}

void Autoconfiguration::take_prefix(PrefixInformation const& p, Actions& actions) {
  if (p.prefix.length > 128 || p.prefix.address.is_link_local() || p.prefix.address.is_multicast() ||
      p.prefix.address.is_v4() || p.preferred > p.valid)
    return;
  if (p.on_link) take_on_link(p, actions);
  if (p.autonomous && p.prefix.length == 64) take_address(p, actions);
}

void Autoconfiguration::take_on_link(PrefixInformation const& p, Actions& actions) {
  Prefix const network{p.prefix.network(), p.prefix.length};
  auto it = std::ranges::find(on_link_, network, &OnLink::prefix);
  if (p.valid == 0) {
    if (it == on_link_.end()) return;
    on_link_.erase(it);
    actions.emplace_back([this, network] { static_cast<void>(stack_.routes().remove(network, interface_.index())); });
    return;
  }
  if (it == on_link_.end()) {
    if (on_link_.size() >= max_prefixes) return;
    it = on_link_.insert(it, {network, never});
    Route const route = route_to(network, Address::any_v6(), interface_);
    actions.emplace_back([this, route] { static_cast<void>(stack_.routes().add(route)); });
  }
  it->until = after(p.valid);
}

// RFC 4862 5.5.3.
void Autoconfiguration::take_address(PrefixInformation const& p, Actions& actions) {
  Address const address = address_in(p.prefix);
  auto it = std::ranges::find(own_, address, &Own::address);
  if (it == own_.end()) {
    if (p.valid == 0 || own_.size() >= max_prefixes) return;
    Own own{address, State::Tentative, {after(p.preferred), after(p.valid)}, never, never};
    if (interface_.has_address(address)) {  // it was there before this stack was
      own.state = State::Assigned;
    } else {
      own.probe_at = stack_.now() + random_delay(most_delay);
      actions.emplace_back([this, address] { static_cast<void>(stack_.join_solicited(interface_, address)); });
    }
    own_.push_back(own);
    return;
  }
  // Nobody can take an address away at once by an advertisement that he has made up.
  Time const offered = after(p.valid), in_two_hours = after(two_hours);
  auto& l = it->lifetimes;
  if (offered > in_two_hours || offered > l.valid_until)
    l.valid_until = offered;
  else if (l.valid_until > in_two_hours)
    l.valid_until = in_two_hours;
  l.preferred_until = after(p.preferred);
  if (it->state == State::Deprecated && l.preferred_until > stack_.now()) {
    it->state = State::Assigned;
    actions.emplace_back([this, address] { interface_.set_deprecated(address, false); });
  }
}

void Autoconfiguration::heard_of(Address const& address) {
  bool lost = false;
  {
    MutexLock lock(mutex_);
    auto it = std::ranges::find(own_, address, &Own::address);
    lost = it != own_.end() && it->state == State::Tentative;
    if (lost) {
      it->state = State::Duplicate;
      it->probe_at = it->assign_at = never;
    }
  }
  if (lost) stack_.leave_solicited(interface_, address);
}

std::optional<Autoconfiguration::Lifetimes> Autoconfiguration::lifetimes(Address const& address) const {
  MutexLock lock(mutex_);
  auto it = std::ranges::find(own_, address, &Own::address);
  return it == own_.end() ? std::nullopt : std::optional(it->lifetimes);
}

void Autoconfiguration::on_timer(Time now) {
  Actions actions;
  {
    MutexLock lock(mutex_);
    if (ask_at_ <= now) {
      actions.emplace_back([this] { ask_routers(); });
      ask_at_ = now + ask_interval_;
      ask_interval_ = std::min(2 * ask_interval_, longest_interval);
    }
    expire(now, actions);
    rearm();
  }
  run(actions);
}

void Autoconfiguration::expire(Time now, Actions& actions) {
  std::erase_if(routers_, [&](Router const& r) {
    if (r.until > now) return false;
    Route const route = route_to(everything(), r.address, interface_);
    actions.emplace_back([this, route] { static_cast<void>(stack_.routes().take(same_way(route))); });
    return true;
  });
  std::erase_if(on_link_, [&](OnLink const& o) {
    if (o.until > now) return false;
    Prefix const prefix = o.prefix;
    actions.emplace_back([this, prefix] { static_cast<void>(stack_.routes().remove(prefix, interface_.index())); });
    return true;
  });
  for (auto& own : own_) go_on(own, now, actions);
  std::erase_if(own_, [&](Own const& own) { return own.lifetimes.valid_until <= now; });
}

void Autoconfiguration::go_on(Own& own, Time now, Actions& actions) {
  Address const address = own.address;
  if (own.lifetimes.valid_until <= now) {
    if (own.state == State::Assigned || own.state == State::Deprecated)
      actions.emplace_back([this, address] { static_cast<void>(stack_.remove_address(interface_, {address, 64})); });
    if (own.state == State::Tentative)
      actions.emplace_back([this, address] { stack_.leave_solicited(interface_, address); });
    return;
  }
  if (own.probe_at <= now) {
    own.probe_at = never;
    own.assign_at = now + probe_wait;
    actions.emplace_back([this, address] { probe(address); });
  }
  if (own.assign_at <= now) {
    own.assign_at = never;
    own.state = State::Assigned;
    actions.emplace_back([this, address] { assign(address); });
  }
  if (own.state == State::Assigned && own.lifetimes.preferred_until <= now) {
    own.state = State::Deprecated;
    actions.emplace_back([this, address] { interface_.set_deprecated(address, true); });
  }
}

void Autoconfiguration::rearm() {
  Time next = ask_at_;
  for (auto const& r : routers_) next = std::min(next, r.until);
  for (auto const& o : on_link_) next = std::min(next, o.until);
  for (auto const& own : own_) {
    next = std::min({next, own.probe_at, own.assign_at, own.lifetimes.valid_until});
    if (own.state == State::Assigned) next = std::min(next, own.lifetimes.preferred_until);
  }
  if (next != never) stack_.wheel().arm(*this, next);
}

// From the link's own address, where there is one.
void Autoconfiguration::ask_routers() {
  if (!interface_.up()) return;
  Address const source = interface_.link_local();
  std::vector<std::byte> message(source.is_any() ? 8 : 16);
  store8(message, 0, router_solicitation);
  if (!source.is_any()) {
    store8(message, 8, source_link_address);
    store8(message, 9, 1);
    std::ranges::transform(interface_.facts().hardware, message.begin() + 10, [](uint8_t x) { return std::byte{x}; });
  }
  stack_.send_neighbour_message(interface_, source, well_known(2), std::move(message));
}

void Autoconfiguration::probe(Address const& address) {
  std::vector<std::byte> message(24);
  store8(message, 0, neighbour_solicitation);
  std::ranges::copy(address.bytes(), message.begin() + 8);
  stack_.send_neighbour_message(interface_, Address::any_v6(), address.solicited_node(), std::move(message));
}

// The route to its network comes from the prefix's own information.
void Autoconfiguration::assign(Address const& address) {
  static_cast<void>(interface_.add_address({{address, 64}, ""}));
}

}  // namespace cofferdam::netstack

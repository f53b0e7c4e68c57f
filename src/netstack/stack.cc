#include "netstack/stack.h"

#include <algorithm>
#include <bit>

namespace cofferdam::netstack {
namespace {

constexpr uint32_t loopback_mtu = 65536;
constexpr size_t settle_budget = 1024;  // packets that one caller works off before the timer's thread takes over

}  // namespace

class LoopbackLink final : public Link {
 public:
  explicit LoopbackLink(Stack& stack) : stack_(stack) {}
  LinkFacts facts() const override {
    LinkFacts f;
    f.kind = LinkKind::Loopback;
    f.mtu = loopback_mtu;
    f.checksum_offload = true;
    return f;
  }
  void transmit(PacketPtr p) override { stack_.queue_loopback(std::move(p)); }

 private:
  Stack& stack_;
};

// Goes on with loopback traffic that a caller has worked at for long enough: run_timers settles.
class Stack::Continuation final : public Timed {
 public:
  void on_timer(Time) override {}
};

Stack::Stack(Environment& environment)
    : environment_(environment),
      next_ip_id_(0),
      reassembly_(make_ref<Reassembly>(*this)),
      tcp_ports_(Ports::Rules::Tcp, environment),
      udp_ports_(Ports::Rules::Udp, environment),
      echo_ports_(Ports::Rules::Udp, environment),
      wheel_(environment),
      continuation_(make_ref<Continuation>()) {
  environment_.random(std::as_writable_bytes(std::span(&secret_, 1)));
  next_ip_id_ = random32();
  auto& lo = add_interface("lo", std::make_unique<LoopbackLink>(*this));
  lo.add_address({{Address::loopback_v4(), 8}, "lo"});
  lo.add_address({{Address::loopback_v6(), 128}, ""});
}

Stack::~Stack() = default;

uint32_t Stack::random32() {
  uint32_t r;
  environment_.random(std::as_writable_bytes(std::span(&r, 1)));
  return r;
}

Interface& Stack::add_interface(std::string name, std::unique_ptr<Link> link) {
  WriteLock lock(interfaces_mutex_);
  auto index = static_cast<uint32_t>(interfaces_.size() + 1);
  interfaces_.push_back(std::make_unique<Interface>(index, std::move(name), std::move(link)));
  Interface& added = *interfaces_.back();
  bool asks = added.facts().kind == LinkKind::Ethernet;
  neighbours_.push_back(asks ? make_ref<Neighbours>(*this, added) : Ref<Neighbours>());
  groups_.push_back(make_ref<Groups>(*this, added));
  autoconfigurations_.emplace_back();
  return added;
}

Interface* Stack::interface(uint32_t index) const {
  ReadLock lock(interfaces_mutex_);
  return index == 0 || index > interfaces_.size() ? nullptr : interfaces_[index - 1].get();
}

Interface* Stack::interface(std::string_view name) const {
  ReadLock lock(interfaces_mutex_);
  for (auto const& i : interfaces_)
    if (i->name() == name) return i.get();
  return nullptr;
}

std::vector<Interface*> Stack::interfaces() const {
  std::vector<Interface*> all;
  ReadLock lock(interfaces_mutex_);
  all.reserve(interfaces_.size());
  for (auto const& i : interfaces_) all.push_back(i.get());
  return all;
}

Neighbours* Stack::neighbours(Interface const& i) {
  ReadLock lock(interfaces_mutex_);
  return i.index() <= neighbours_.size() ? neighbours_[i.index() - 1].get() : nullptr;
}

Ref<Groups> Stack::groups(uint32_t index) const {
  ReadLock lock(interfaces_mutex_);
  return index == 0 || index > groups_.size() ? Ref<Groups>() : groups_[index - 1];
}

Result<void> Stack::join_solicited(Interface const& i, Address const& a) {
  return groups(i.index())->set({nullptr, a}, a.solicited_node(), {FilterMode::Exclude, {}});
}

void Stack::leave_solicited(Interface const& i, Address const& a) {
  static_cast<void>(groups(i.index())->set({nullptr, a}, a.solicited_node(), {}));
}

void Stack::autoconfigure(Interface& i) {
  if (i.facts().kind != LinkKind::Ethernet || autoconfiguration(i)) return;
  auto made = make_ref<Autoconfiguration>(*this, i);
  {
    WriteLock lock(interfaces_mutex_);
    autoconfigurations_[i.index() - 1] = made;
  }
  if (i.up()) made->start();
}

Ref<Autoconfiguration> Stack::autoconfiguration(Interface const& i) const {
  ReadLock lock(interfaces_mutex_);
  return autoconfigurations_[i.index() - 1];
}

Result<uint32_t> Stack::interface_for_group(Address const& group, uint32_t index, Address const& local) {
  if (index != 0) {
    if (!interface(index)) return fail(Errno::NoDev);
    return index;
  }
  if (!local.is_any()) {
    for (auto* i : interfaces())
      if (i->has_address(local)) return i->index();
    return fail(Errno::NoDev);
  }
  auto const route = routes_.find(group);
  if (!route) return fail(Errno::NoDev);
  return route->interface;
}

Result<void> Stack::add_address(Interface& i, Prefix const& p) {
  Visit visit(*this);
  if (!i.add_address({p, p.address.is_v4() ? i.name() : ""})) return fail(Errno::Exist);
  if (!p.address.is_v4()) TRY(join_solicited(i, p.address));
  if (i.up()) add_connected_route(i, p);
  if (!p.address.is_v4() && p.address.is_link_local() && i.up())
    if (auto a = autoconfiguration(i)) a->start();
  return {};
}

void Stack::add_connected_route(Interface const& i, Prefix const& p) {
  Route r;
  r.destination = {p.network(), p.length};
  r.interface = i.index();
  r.protocol = 2;  // RTPROT_KERNEL
  if (p.address.is_v4()) {
    r.source = p.address;
    r.scope = 253;  // RT_SCOPE_LINK
  } else {
    r.metric = 256;
  }
  static_cast<void>(routes_.add(r));  // another address of the same network has brought it
}

Result<void> Stack::remove_address(Interface& i, Prefix const& p) {
  auto const before = i.addresses();
  bool const known = std::any_of(before.begin(), before.end(), [&](auto const& a) { return a.prefix == p; });
  Visit visit(*this);
  if (!known || !i.remove_address(p.address)) return fail(Errno::AddrNotAvail);
  if (!p.address.is_v4()) leave_solicited(i, p.address);
  bool shared = false, last = true;
  for (auto const& a : i.addresses()) {
    shared |= a.prefix.length == p.length && a.prefix.network() == p.network();
    last &= a.prefix.address.is_v4() != p.address.is_v4();
  }
  auto const goes = [&](Route const& r) {
    if (r.interface != i.index() || r.destination.address.is_v4() != p.address.is_v4()) return r.source == p.address;
    bool const connected = !r.has_gateway() && r.destination == Prefix{p.network(), p.length};
    return (last && p.address.is_v4()) || r.source == p.address || (connected && !shared);
  };
  while (routes_.take(goes)) continue;
  for (auto const& a : i.addresses())  // of whom the route spoke with the address that is gone
    if (shared && a.prefix.network() == p.network() && i.up()) add_connected_route(i, a.prefix);
  return {};
}

void Stack::set_up(Interface& i, bool up) {
  Visit visit(*this);
  if (i.up() == up) return;
  i.set_up(up);
  auto joined = groups(i.index());
  if (up) {
    if (i.is_loopback()) i.add_address({{Address::loopback_v6(), 128}, ""});
    for (auto const& a : i.addresses())
      if (!i.is_loopback()) add_connected_route(i, a.prefix);
    joined->announce();
    if (auto a = autoconfiguration(i)) a->start();
    return;
  }
  for (auto const& a : i.addresses()) {
    Address const& own = a.prefix.address;
    if (own.is_v4()) continue;
    leave_solicited(i, own);
    i.remove_address(own);
  }
  while (routes_.take([&](Route const& r) { return r.interface == i.index(); })) continue;
  if (auto a = autoconfiguration(i)) a->stop();
}

bool Stack::owns(Address const& a) const {
  ReadLock lock(interfaces_mutex_);
  return std::any_of(interfaces_.begin(), interfaces_.end(), [&](auto const& i) { return i->has_address(a); });
}

void Stack::receive(Interface& from, PacketPtr p) {
  Visit visit(*this);
  auto& c = from.counters();
  c.received_packets.fetch_add(1, std::memory_order_relaxed);
  c.received_bytes.fetch_add(p->size(), std::memory_order_relaxed);
  if (!from.up()) return;
  if (from.facts().kind == LinkKind::Ethernet)
    receive_ethernet(from, std::move(p));
  else
    deliver(from, std::move(p));
}

void Stack::deliver(Interface& from, PacketPtr p) {
  Bytes first = p->peek(1);
  if (first.empty()) return;
  uint8_t version = load8(first, 0) >> 4;
  if (version == 4) receive_ipv4(from, std::move(p));
  if (version == 6 && p) receive_ipv6(from, std::move(p));
}

void Stack::queue_loopback(PacketPtr p) {
  p->looped = true;
  size_t n = p->flow % loopback_shards;
  auto& shard = loopback_[n];
  MutexLock lock(shard.mutex);
  shard.packets.push(std::move(p));
  loopback_pending_.fetch_or(1u << n, std::memory_order_release);
}

// False when somebody else is at it.
bool Stack::drain(size_t n, size_t& budget) {
  auto& shard = loopback_[n];
  for (;;) {
    PacketList taken;
    {
      MutexLock lock(shard.mutex);
      if (shard.draining) return false;
      if (shard.packets.empty()) {
        loopback_pending_.fetch_and(~(1u << n), std::memory_order_relaxed);
        return true;
      }
      taken = std::move(shard.packets);
      shard.draining = true;
    }
    while (PacketPtr p = taken.pop()) {
      Interface& from = *p->interface;
      from.counters().received_packets.fetch_add(1, std::memory_order_relaxed);
      from.counters().received_bytes.fetch_add(p->size(), std::memory_order_relaxed);
      if (budget != 0) --budget;
      if (p->framed) {
        receive_ethernet(from, std::move(p));
        continue;
      }
      if (tapped()) {
        Bytes const first = p->peek(1);
        bool const six = !first.empty() && load8(first, 0) >> 4 == 6;
        tap({from, TapKind::ToThisHost, {{}, {}, six ? ether_ipv6 : ether_ipv4}, now()}, *p);
      }
      deliver(from, std::move(p));
    }
    MutexLock lock(shard.mutex);
    shard.draining = false;
    if (budget == 0) return true;
  }
}

void Stack::settle() {
  work_off();
  notify_taps();
}

void Stack::work_off() {
  size_t budget = settle_budget;
  uint32_t others = 0;  // shards that somebody else works at
  while (budget != 0) {
    uint32_t pending = loopback_pending_.load(std::memory_order_acquire) & ~others;
    if (pending == 0) return;
    auto n = static_cast<unsigned>(std::countr_zero(pending));
    if (!drain(n, budget)) others |= 1u << n;
  }
  wheel_.arm(*continuation_, now());
}

Time Stack::run_timers() {
  Visit visit(*this);
  return wheel_.run(now());
}

}  // namespace cofferdam::netstack

#include "netstack/interface.h"

#include <algorithm>

namespace cofferdam::netstack {

Interface::Interface(uint32_t index, std::string name, std::unique_ptr<Link> link)
    : index_(index), name_(std::move(name)), link_(std::move(link)), facts_(link_->facts()), mtu_(facts_.mtu) {}
Interface::~Interface() = default;

std::vector<InterfaceAddress> Interface::addresses() const {
  ReadLock lock(mutex_);
  return addresses_;
}

bool Interface::add_address(InterfaceAddress a) {
  WriteLock lock(mutex_);
  for (auto const& known : addresses_)
    if (known.prefix.address == a.prefix.address) return false;
  addresses_.push_back(std::move(a));
  return true;
}

bool Interface::remove_address(Address const& a) {
  WriteLock lock(mutex_);
  return std::erase_if(addresses_, [&](auto const& known) { return known.prefix.address == a; }) != 0;
}

bool Interface::has_address(Address const& a) const {
  if (is_loopback() && a.is_v4() && a.is_loopback()) return true;  // all of 127/8
  ReadLock lock(mutex_);
  return std::any_of(addresses_.begin(), addresses_.end(), [&](auto const& k) { return k.prefix.address == a; });
}

void Interface::set_deprecated(Address const& a, bool deprecated) {
  WriteLock lock(mutex_);
  for (auto& known : addresses_)
    if (known.prefix.address == a) known.deprecated = deprecated;
}

bool Interface::is_broadcast(Address const& a) const {
  if (!a.is_v4()) return false;
  ReadLock lock(mutex_);
  return std::any_of(addresses_.begin(), addresses_.end(), [&](auto const& k) {
    return k.prefix.address.is_v4() && k.prefix.length < 31 && k.prefix.broadcast() == a;
  });
}

// A much reduced form of RFC 6724: the scope that fits first, then one that is not deprecated, then the same network.
Address Interface::source_for(Address const& destination) const {
  ReadLock lock(mutex_);
  InterfaceAddress const* best = nullptr;
  int best_score = -1;
  for (auto const& a : addresses_) {
    if (a.prefix.address.is_v4() != destination.is_v4()) continue;
    int score = 0;
    if (a.prefix.address == destination) score += 8;
    if (a.prefix.address.is_link_local() == destination.is_link_local()) score += 4;
    if (!a.deprecated) score += 2;
    if (a.prefix.contains(destination)) score += 1;
    if (score > best_score) {
      best_score = score;
      best = &a;
    }
  }
  return best ? best->prefix.address : Address::any(destination.is_v4());
}

Address Interface::link_local() const {
  ReadLock lock(mutex_);
  for (auto const& a : addresses_)
    if (!a.prefix.address.is_v4() && a.prefix.address.is_link_local()) return a.prefix.address;
  return Address::any_v6();
}

}  // namespace cofferdam::netstack

#include "netstack/routes.h"

#include <algorithm>

namespace cofferdam::netstack {

Result<void> Routes::add(Route r) {
  WriteLock lock(mutex_);
  if (routes_.size() >= max_routes) return fail(Errno::NoBufs);
  for (auto const& known : routes_)
    if (known.destination == r.destination && known.metric == r.metric && known.interface == r.interface)
      return fail(Errno::Exist);
  auto before = [](Route const& a, Route const& b) {
    return a.destination.length != b.destination.length ? a.destination.length > b.destination.length
                                                        : a.metric < b.metric;
  };
  routes_.insert(std::upper_bound(routes_.begin(), routes_.end(), r, before), r);
  return {};
}

bool Routes::remove(Prefix const& p, uint32_t interface) {
  WriteLock lock(mutex_);
  return std::erase_if(routes_, [&](Route const& r) {
           return r.destination == p && (interface == 0 || r.interface == interface);
         }) != 0;
}

std::optional<Route> Routes::take(std::function<bool(Route const&)> const& fits) {
  WriteLock lock(mutex_);
  auto const found = std::find_if(routes_.begin(), routes_.end(), fits);
  if (found == routes_.end()) return std::nullopt;
  Route taken = *found;
  routes_.erase(found);
  return taken;
}

std::vector<Route> Routes::all() const {
  ReadLock lock(mutex_);
  return routes_;
}

std::optional<Route> Routes::find(Address const& destination, uint32_t interface) const {
  ReadLock lock(mutex_);
  for (auto const& r : routes_)
    if ((interface == 0 || r.interface == interface) && r.destination.contains(destination)) return r;
  return std::nullopt;
}

void Routes::learn_path_mtu(Address const& a, uint32_t mtu, Time now) {
  WriteLock lock(mutex_);
  if (path_mtus_.size() >= max_path_mtus && !path_mtus_.contains(a))
    absl::erase_if(path_mtus_, [&](auto const& e) { return e.second.until <= now; });
  if (path_mtus_.size() >= max_path_mtus && !path_mtus_.contains(a)) path_mtus_.erase(path_mtus_.begin());
  path_mtus_[a] = {mtu, now + path_mtu_lifetime};
}

uint32_t Routes::path_mtu(Address const& a, uint32_t link_mtu, Time now) const {
  ReadLock lock(mutex_);
  if (path_mtus_.empty()) return link_mtu;
  auto found = path_mtus_.find(a);
  if (found == path_mtus_.end() || found->second.until <= now) return link_mtu;
  return std::min(link_mtu, found->second.mtu);
}

}  // namespace cofferdam::netstack

// Where packets go: the routing table and the path MTUs that the network told of.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "base/mutex.h"
#include "base/result.h"
#include "netstack/address.h"
#include "netstack/time.h"

namespace cofferdam::netstack {

struct Route {
  Prefix destination;
  Address gateway;  // :: (any_v6): the destination is on the link
  uint32_t interface = 0;
  Address source;  // ::: what the interface has
  uint32_t metric = 0;
  uint8_t protocol = 3;  // rtm_protocol: RTPROT_BOOT
  uint8_t scope = 0;     // rtm_scope
  friend bool operator==(Route const&, Route const&) = default;
  bool has_gateway() const { return gateway != Address::any_v6(); }
};

class Routes {
 public:
  static constexpr size_t max_routes = 4096, max_path_mtus = 1024;
  static constexpr Time path_mtu_lifetime = 600 * second;

  Result<void> add(Route);  // EEXIST, ENOBUFS
  bool remove(Prefix const&, uint32_t interface);
  // Takes out the first route that fits.
  std::optional<Route> take(std::function<bool(Route const&)> const& fits);
  std::vector<Route> all() const;
  // The longest prefix, then the smallest metric. interface 0: any.
  std::optional<Route> find(Address const& destination, uint32_t interface = 0) const;

  // RFC 1191, RFC 8201. Only ever smaller than what the link has.
  void learn_path_mtu(Address const&, uint32_t mtu, Time now);
  uint32_t path_mtu(Address const&, uint32_t link_mtu, Time now) const;

 private:
  mutable SharedMutex mutex_;
  std::vector<Route> routes_ GUARDED_BY(mutex_);  // longest prefix first
  struct PathMtu {
    uint32_t mtu;
    Time until;
  };
  absl::flat_hash_map<Address, PathMtu> path_mtus_ GUARDED_BY(mutex_);
};

}  // namespace cofferdam::netstack

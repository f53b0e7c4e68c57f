#include "netstack/raw_table.h"

#include "netstack/raw_endpoint.h"

namespace cofferdam::netstack {

void RawTable::add(uint8_t protocol, RawEndpoint* e) {
  WriteLock lock(mutex_);
  entries_.push_back({protocol, e});
  counts_[protocol].fetch_add(1, std::memory_order_relaxed);
}

void RawTable::remove(uint8_t protocol, RawEndpoint* e) {
  WriteLock lock(mutex_);
  auto const gone = std::erase_if(entries_, [&](Entry const& x) { return x.endpoint == e; });
  counts_[protocol].fetch_sub(static_cast<uint32_t>(gone), std::memory_order_relaxed);
}

std::vector<Ref<RawEndpoint>> RawTable::find(uint8_t protocol) const {
  std::vector<Ref<RawEndpoint>> found;
  ReadLock lock(mutex_);
  for (auto const& x : entries_)
    if (x.protocol == protocol && x.endpoint->try_ref()) found.push_back(Ref<RawEndpoint>::adopt(x.endpoint));
  return found;
}

std::vector<Ref<RawEndpoint>> RawTable::all() const {
  std::vector<Ref<RawEndpoint>> found;
  ReadLock lock(mutex_);
  found.reserve(entries_.size());
  for (auto const& x : entries_)
    if (x.endpoint->try_ref()) found.push_back(Ref<RawEndpoint>::adopt(x.endpoint));
  return found;
}

}  // namespace cofferdam::netstack

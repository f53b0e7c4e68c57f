#include "netstack/tcp_demux.h"

namespace cofferdam::netstack {

bool TcpDemux::insert(FourTuple const& t, Ref<TcpReceiver> const& r) {
  auto& shard = shard_of(t);
  MutexLock lock(shard.mutex);
  return shard.table.try_emplace(t, r).second;
}

bool TcpDemux::replace(FourTuple const& t, TcpReceiver const& old, Ref<TcpReceiver> by) {
  Ref<TcpReceiver> dropped;  // dies after the lock
  auto& shard = shard_of(t);
  MutexLock lock(shard.mutex);
  auto at = shard.table.find(t);
  if (at == shard.table.end() || at->second != &old) return false;
  dropped = std::move(at->second);
  at->second = std::move(by);
  return true;
}

bool TcpDemux::remove(FourTuple const& t, TcpReceiver const& r) {
  Ref<TcpReceiver> dropped;
  auto& shard = shard_of(t);
  MutexLock lock(shard.mutex);
  auto at = shard.table.find(t);
  if (at == shard.table.end() || at->second != &r) return false;
  dropped = std::move(at->second);
  shard.table.erase(at);
  return true;
}

Ref<TcpReceiver> TcpDemux::find(FourTuple const& t) const {
  auto& shard = shard_of(t);
  MutexLock lock(shard.mutex);
  auto at = shard.table.find(t);
  return at == shard.table.end() ? Ref<TcpReceiver>() : at->second;
}

std::vector<Ref<TcpReceiver>> TcpDemux::all() const {
  std::vector<Ref<TcpReceiver>> found;
  for (auto& shard : shards_) {
    MutexLock lock(shard.mutex);
    for (auto const& [tuple, receiver] : shard.table) found.push_back(receiver);
  }
  return found;
}

size_t TcpDemux::size() const {
  size_t n = 0;
  for (auto& shard : shards_) {
    MutexLock lock(shard.mutex);
    n += shard.table.size();
  }
  return n;
}

}  // namespace cofferdam::netstack

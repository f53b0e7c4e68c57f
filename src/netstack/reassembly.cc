#include "netstack/reassembly.h"

#include <algorithm>

namespace cofferdam::netstack {

size_t Reassembly::memory() const {
  MutexLock lock(mutex_);
  return memory_;
}
size_t Reassembly::datagrams() const {
  MutexLock lock(mutex_);
  return table_.size();
}

void Reassembly::drop(Table::iterator at) {
  memory_ -= at->second.charge;
  ages_.erase(at->second.age);
  table_.erase(at);
}

void Reassembly::expire(Time now) {
  while (!ages_.empty()) {
    auto oldest = table_.find(ages_.front());
    if (oldest->second.until > now && memory_ < max_memory && table_.size() <= max_datagrams) return;
    drop(oldest);
  }
}

PacketPtr Reassembly::finish(Table::iterator at) {
  PacketPtr whole = std::make_unique<Packet>();
  whole->checksum_verified = true;
  for (Piece& p : at->second.pieces) {
    whole->checksum_verified &= p.packet->checksum_verified;
    whole->interface = p.packet->interface;
    p.packet->for_each([&](View v) { whole->append(std::move(v)); });
  }
  drop(at);
  return whole;
}

PacketPtr Reassembly::add(FragmentKey const& key, size_t offset, bool more, PacketPtr fragment, Time now) {
  size_t length = fragment->size(), end = offset + length;
  if (end > max_size || length == 0 || (more && length % 8 != 0)) return nullptr;
  MutexLock lock(mutex_);
  expire(now);
  auto [at, fresh] = table_.try_emplace(key);
  Datagram& d = at->second;
  if (fresh) {
    d.until = now + lifetime;
    d.age = ages_.insert(ages_.end(), key);
  }
  auto refuse = [&]() REQUIRES(mutex_) {
    drop(at);
    return nullptr;
  };
  auto behind =
      std::lower_bound(d.pieces.begin(), d.pieces.end(), offset, [](Piece const& p, size_t o) { return p.offset < o; });
  if (behind != d.pieces.end() && behind->offset == offset && behind->length == length) return nullptr;  // again
  if (behind != d.pieces.end() && end > behind->offset) return refuse();
  if (behind != d.pieces.begin() && std::prev(behind)->offset + std::prev(behind)->length > offset) return refuse();
  if (!more) {
    if (d.end != 0 || behind != d.pieces.end()) return refuse();
    d.end = end;
  } else if (d.end != 0 && end > d.end) {
    return refuse();
  }
  if (d.pieces.size() >= max_fragments) return refuse();
  size_t charge = length + charge_of_fragment;
  d.bytes += length;
  d.charge += charge;
  memory_ += charge;
  d.pieces.insert(behind, {offset, length, std::move(fragment)});
  if (d.end == 0 || d.bytes != d.end) return nullptr;
  return finish(at);
}

}  // namespace cofferdam::netstack

#include "netstack/reassembly.h"

#include <algorithm>

#include "netstack/stack.h"

namespace cofferdam::netstack {

Reassembly::~Reassembly() = default;

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

// The oldest go where there are too many.
void Reassembly::make_room() {
  while (!ages_.empty() && (memory_ >= max_memory || table_.size() > max_datagrams)) drop(table_.find(ages_.front()));
}

void Reassembly::on_timer(Time now) {
  std::vector<Expired> expired;
  {
    MutexLock lock(mutex_);
    Time next = never;
    std::vector<FragmentKey> over;
    for (auto const& [key, d] : table_) {
      if (d.until <= now)
        over.push_back(key);
      else
        next = std::min(next, d.until);
    }
    for (auto const& key : over) {
      auto const at = table_.find(key);
      Datagram& d = at->second;
      if (d.first) expired.push_back({std::move(d.first), std::move(d.pieces.front().packet)});
      drop(at);
    }
    if (next != never) stack_.wheel().arm(*this, next);
  }
  for (auto const& e : expired) {
    bool const four = e.info->destination.is_v4();
    stack_.send_error(*e.info, four ? 11 : 3, 1, 0, *e.packet);
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

PacketPtr Reassembly::add(FragmentKey const& key, size_t offset, bool more, IpInfo const& info, PacketPtr fragment,
                          Time now) {
  size_t length = fragment->size(), end = offset + length;
  if (end > max_size || length == 0 || (more && length % 8 != 0)) return nullptr;
  MutexLock lock(mutex_);
  make_room();
  auto [at, fresh] = table_.try_emplace(key);
  Datagram& d = at->second;
  if (fresh) {
    auto const& settings = stack_.settings();
    d.until = now + (key.source.is_v4() ? settings.fragment_time : settings.fragment_time_v6);
    stack_.wheel().arm(*this, d.until);
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
  if (offset == 0) {
    d.first = std::make_shared<IpInfo const>(info);
    charge += sizeof(IpInfo) + info.extensions.size() + info.ip_options.size() + info.answer_options.size();
  }
  d.bytes += length;
  d.charge += charge;
  memory_ += charge;
  d.pieces.insert(behind, {offset, length, std::move(fragment)});
  if (d.end == 0 || d.bytes != d.end) return nullptr;
  return finish(at);
}

}  // namespace cofferdam::netstack

#include "netstack/packet.h"

#include <algorithm>

namespace cofferdam::netstack {

Bytes Packet::peek(size_t n) {
  if (n > size() || n > header_room) return {};
  if (head_size() >= n) return head().first(n);
  if (head_size() == 0 && payload_.front().size() >= n) return payload_.front().bytes().first(n);
  // In pieces: gather them in the head.
  std::array<std::byte, header_room> gathered;
  size_t have = head_size();
  std::copy_n(head_.begin() + head_start_, have, gathered.begin());
  size_t missing = n - have;
  head_start_ = header_room;
  while (missing != 0) {
    View& v = payload_.front();
    auto part = static_cast<uint32_t>(std::min<size_t>(missing, v.size()));
    std::copy_n(v.bytes().begin(), part, gathered.begin() + static_cast<ptrdiff_t>(have));
    have += part;
    missing -= part;
    payload_size_ -= part;
    v.trim_front(part);
    if (v.size() == 0) payload_.erase(payload_.begin());
  }
  head_start_ = static_cast<uint8_t>(header_room - have);
  std::copy_n(gathered.begin(), have, head_.begin() + head_start_);
  return head();
}

void Packet::pull(size_t n) {
  size_t from_head = std::min(n, head_size());
  head_start_ = static_cast<uint8_t>(head_start_ + from_head);
  n -= from_head;
  payload_size_ -= n;
  size_t whole = 0;
  while (n != 0) {
    View& v = payload_[whole];
    if (v.size() > n) {
      v.trim_front(static_cast<uint32_t>(n));
      break;
    }
    n -= v.size();
    ++whole;
  }
  if (whole != 0) payload_.erase(payload_.begin(), payload_.begin() + static_cast<ptrdiff_t>(whole));
}

void Packet::truncate(size_t n) {
  size_t drop = size() - n;
  while (drop != 0 && !payload_.empty()) {
    View& v = payload_.back();
    if (v.size() > drop) {
      v.trim_back(static_cast<uint32_t>(drop));
      payload_size_ -= drop;
      return;
    }
    drop -= v.size();
    payload_size_ -= v.size();
    payload_.pop_back();
  }
  if (drop == 0) return;
  size_t keep = head_size() - drop;
  std::copy_backward(head_.begin() + head_start_, head_.begin() + head_start_ + static_cast<ptrdiff_t>(keep),
                     head_.end());
  head_start_ = static_cast<uint8_t>(header_room - keep);
}

size_t Packet::copy_to(MutableBytes to) const {
  size_t done = 0;
  auto add = [&](Bytes b) {
    size_t n = std::min(b.size(), to.size() - done);
    std::copy_n(b.begin(), n, to.begin() + static_cast<ptrdiff_t>(done));
    done += n;
  };
  add(head());
  for (View const& v : payload_) add(v.bytes());
  return done;
}

PacketPtr Packet::clone() const {
  auto copy = std::make_unique<Packet>();
  auto to = copy->push(head_size());
  std::copy(head().begin(), head().end(), to.begin());
  for (View const& v : payload_) copy->append(v);
  copy->checksum_verified = checksum_verified;
  copy->gso_size = gso_size;
  copy->flow = flow;
  copy->interface = interface;
  return copy;
}

}  // namespace cofferdam::netstack

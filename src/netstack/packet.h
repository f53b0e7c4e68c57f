// One packet on its way: headers that grow downwards in a small array, and a payload by reference behind them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include <absl/container/inlined_vector.h>

#include "netstack/buffer.h"

namespace cofferdam::netstack {

class Interface;

class Packet {
 public:
  static constexpr size_t header_room = 160;  // Ethernet 14 (+ VLAN 4), IPv4 60 or IPv6 40 and 8, TCP 60

  size_t size() const { return head_size() + payload_size_; }
  size_t payload_size() const { return payload_size_; }

  // --- making one ---
  // Room for n more bytes of header in front of those that are there.
  MutableBytes push(size_t n) {
    head_start_ = static_cast<uint8_t>(head_start_ - n);
    return MutableBytes(head_).subspan(head_start_, n);
  }
  void append(View v) {
    if (v.size() == 0) return;
    payload_size_ += v.size();
    payload_.push_back(std::move(v));
  }
  void append(Chain const& from, size_t offset, size_t length) {
    from.for_range(offset, length, [this](View v) { append(std::move(v)); });
  }

  // --- taking one apart ---
  // The next n bytes in one piece; empty when there are fewer. n at most header_room.
  Bytes peek(size_t n);
  // Drops the next n bytes (at most size()).
  void pull(size_t n);
  // Drops bytes at the end, so that n are left (n at most size()).
  void truncate(size_t n);
  // What is left goes to f(View) in order; headers must have been pulled, except what a copy is fine for.
  template <class F>
  void for_each(F&& f) {
    if (head_size() != 0) f(View::copy_of(Bytes(head_).subspan(head_start_)));
    for (View& v : payload_) f(v);
  }
  Bytes head() const { return Bytes(head_).subspan(head_start_); }
  auto const& payload() const { return payload_; }
  size_t copy_to(MutableBytes) const;
  std::unique_ptr<Packet> clone() const;  // shares the payload

  bool framed = false;             // on the loopback: it begins with a link header that somebody wrote (packet(7))
  bool looped = false;             // this host's own, on its way to itself
  bool checksum_verified = false;  // came with a good transport checksum, or by a way that needs none
  uint16_t gso_size = 0;           // TCP payload bytes per segment when the link is to cut it; 0: as it is
  uint8_t flow = 0;                // packets of one conversation carry the same number and stay in order
  Interface* interface = nullptr;  // loopback: which interface's traffic it is
  std::unique_ptr<Packet> next;    // in queues

 private:
  size_t head_size() const { return header_room - head_start_; }
  std::array<std::byte, header_room> head_;
  uint8_t head_start_ = header_room;
  size_t payload_size_ = 0;
  absl::InlinedVector<View, 2> payload_;
};

using PacketPtr = std::unique_ptr<Packet>;

// A list of packets, first in first out.
class PacketList {
 public:
  PacketList() = default;
  PacketList(PacketList&& o) noexcept : first_(std::move(o.first_)), last_(o.last_), count_(o.count_) {
    o.last_ = nullptr;
    o.count_ = 0;
  }
  PacketList& operator=(PacketList&& o) noexcept {
    clear();
    first_ = std::move(o.first_);
    last_ = std::exchange(o.last_, nullptr);
    count_ = std::exchange(o.count_, 0);
    return *this;
  }
  ~PacketList() { clear(); }
  bool empty() const { return !first_; }
  size_t count() const { return count_; }
  void push(PacketPtr p) {
    Packet* raw = p.get();
    (last_ ? last_->next : first_) = std::move(p);
    last_ = raw;
    ++count_;
  }
  PacketPtr pop() {
    PacketPtr p = std::move(first_);
    if (!p) return p;
    first_ = std::move(p->next);
    if (!first_) last_ = nullptr;
    --count_;
    return p;
  }
  void clear() {  // one after the other: a long list must not be a deep recursion
    while (pop()) continue;
  }

 private:
  PacketPtr first_;
  Packet* last_ = nullptr;
  size_t count_ = 0;
};

}  // namespace cofferdam::netstack

// TCP sequence numbers: arithmetic modulo 2^32 that cannot be compared by mistake (RFC 9293 3.4).
#pragma once

#include <algorithm>
#include <cstdint>

namespace cofferdam::netstack {

class SeqNum {
 public:
  constexpr SeqNum() = default;
  constexpr explicit SeqNum(uint32_t v) : value_(v) {}
  constexpr uint32_t value() const { return value_; }
  friend constexpr SeqNum operator+(SeqNum s, size_t n) { return SeqNum(s.value_ + static_cast<uint32_t>(n)); }
  friend constexpr SeqNum operator-(SeqNum s, uint32_t n) { return SeqNum(s.value_ - n); }
  // How far a is behind b, negative when it is before.
  friend constexpr int32_t operator-(SeqNum a, SeqNum b) { return static_cast<int32_t>(a.value_ - b.value_); }
  SeqNum& operator+=(size_t n) { return *this = *this + n; }
  friend constexpr bool operator==(SeqNum a, SeqNum b) { return a.value_ == b.value_; }
  friend constexpr bool operator<(SeqNum a, SeqNum b) { return a - b < 0; }
  friend constexpr bool operator<=(SeqNum a, SeqNum b) { return a - b <= 0; }
  friend constexpr bool operator>(SeqNum a, SeqNum b) { return a - b > 0; }
  friend constexpr bool operator>=(SeqNum a, SeqNum b) { return a - b >= 0; }

 private:
  uint32_t value_ = 0;
};

constexpr uint32_t distance(SeqNum from, SeqNum to) { return to.value() - from.value(); }
constexpr SeqNum later(SeqNum a, SeqNum b) { return a > b ? a : b; }
constexpr SeqNum earlier(SeqNum a, SeqNum b) { return a < b ? a : b; }

}  // namespace cofferdam::netstack

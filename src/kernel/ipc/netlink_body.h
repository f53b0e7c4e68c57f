// The body of a netlink message (netlink(7)): a fixed structure and attributes behind it, each aligned to four bytes.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cofferdam::kernel {

constexpr size_t netlink_align(size_t n) { return (n + 3) & ~size_t{3}; }

class NetlinkBody {
 public:
  template <class Fixed>
  explicit NetlinkBody(Fixed const& fixed) {
    append(std::as_bytes(std::span(&fixed, 1)));
  }
  template <class T>
  void attribute(uint16_t type, T const& value) {
    raw_attribute(type, std::as_bytes(std::span(&value, 1)));
  }
  void text(uint16_t type, std::string const& s) {
    raw_attribute(type, std::as_bytes(std::span(s.c_str(), s.size() + 1)));
  }
  void raw_attribute(uint16_t type, std::span<std::byte const> value) {
    nlattr const a{static_cast<uint16_t>(sizeof(nlattr) + value.size()), type};
    append(std::as_bytes(std::span(&a, 1)));
    append(value);
  }
  std::span<std::byte const> bytes() const { return bytes_; }

  void append(std::span<std::byte const> b) {
    bytes_.insert(bytes_.end(), b.begin(), b.end());
    bytes_.resize(netlink_align(bytes_.size()));
  }

 private:
  std::vector<std::byte> bytes_;
};

// Reads a fixed structure that may be cut short: what is missing is zero.
template <class Fixed>
Fixed netlink_fixed(std::span<std::byte const> body) {
  Fixed fixed{};
  std::memcpy(&fixed, body.data(), std::min(body.size(), sizeof fixed));
  return fixed;
}

// The attributes behind a fixed structure of `fixed_size` bytes, from a sender that nobody vouches for.
class NetlinkAttributes {
 public:
  NetlinkAttributes(std::span<std::byte const> body, size_t fixed_size)
      : rest_(body.subspan(std::min(netlink_align(fixed_size), body.size()))) {}
  struct Attribute {
    uint16_t type = 0;
    std::span<std::byte const> value;
  };
  // In order; nothing at the end, or where the rest is malformed.
  std::optional<Attribute> next() {
    nlattr a;
    if (rest_.size() < sizeof a) return std::nullopt;
    std::memcpy(&a, rest_.data(), sizeof a);
    if (a.nla_len < sizeof a || a.nla_len > rest_.size()) return std::nullopt;
    auto const value = rest_.subspan(sizeof a, a.nla_len - sizeof a);
    rest_ = rest_.subspan(std::min(netlink_align(a.nla_len), rest_.size()));
    return Attribute{static_cast<uint16_t>(a.nla_type & NLA_TYPE_MASK), value};
  }

 private:
  std::span<std::byte const> rest_;
};

template <class T>
std::optional<T> netlink_value(std::span<std::byte const> value) {
  T t{};
  if (value.size() < sizeof t) return std::nullopt;
  std::memcpy(&t, value.data(), sizeof t);
  return t;
}

}  // namespace cofferdam::kernel

// IP addresses. IPv4 addresses are kept as IPv4-mapped IPv6 ones (RFC 4291 2.5.5.2), so one type serves both.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "netstack/bytes.h"

namespace cofferdam::netstack {

class Address {
 public:
  constexpr Address() = default;  // ::
  static constexpr Address v4(uint32_t host_order) {
    Address a;
    a.bytes_[10] = a.bytes_[11] = 0xff;
    for (unsigned i = 0; i < 4; ++i) a.bytes_[12 + i] = static_cast<uint8_t>(host_order >> (24 - 8 * i));
    return a;
  }
  static Address v6(Bytes sixteen) {
    Address a;
    std::memcpy(a.bytes_.data(), sixteen.data(), 16);
    return a;
  }
  static constexpr Address any_v4() { return v4(0); }
  static constexpr Address any_v6() { return {}; }
  static constexpr Address any(bool v4_wanted) { return v4_wanted ? any_v4() : any_v6(); }
  static constexpr Address loopback_v4() { return v4(0x7f000001); }
  static constexpr Address loopback_v6() {
    Address a;
    a.bytes_[15] = 1;
    return a;
  }
  static constexpr Address broadcast() { return v4(0xffffffff); }
  // The solicited-node multicast address of this one (RFC 4291 2.7.1).
  Address solicited_node() const;

  bool is_v4() const;
  uint32_t v4() const { return load32(bytes(), 12); }
  Bytes bytes() const { return std::as_bytes(std::span(bytes_)); }
  Bytes v4_bytes() const { return bytes().subspan(12); }
  bool is_any() const { return *this == any_v4() || *this == any_v6(); }
  bool is_loopback() const { return is_v4() ? bytes_[12] == 127 : *this == loopback_v6(); }
  bool is_multicast() const { return is_v4() ? (bytes_[12] & 0xf0) == 0xe0 : bytes_[0] == 0xff; }
  bool is_limited_broadcast() const { return *this == broadcast(); }
  bool is_link_local() const {
    return is_v4() ? bytes_[12] == 169 && bytes_[13] == 254 : bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
  }
  // May it be the source of a packet from the wire?
  bool is_unicast() const { return !is_any() && !is_multicast() && !is_limited_broadcast(); }
  friend bool operator==(Address const&, Address const&) = default;
  friend auto operator<=>(Address const&, Address const&) = default;
  std::string text() const;
  template <class H>
  friend H AbslHashValue(H h, Address const& a) {
    return H::combine(std::move(h), a.bytes_);
  }

 private:
  std::array<uint8_t, 16> bytes_{};
};

// An address and how many leading bits of it name the network. For IPv4 the length counts from its own first bit.
struct Prefix {
  Address address;
  uint8_t length = 0;
  bool contains(Address const&) const;
  Address network() const;
  Address broadcast() const;  // IPv4
  friend bool operator==(Prefix const&, Prefix const&) = default;
};

// One side of a conversation. scope: the interface that a link-local address belongs to.
struct Peer {
  Address address;
  uint16_t port = 0;
  uint32_t scope = 0;
  friend bool operator==(Peer const&, Peer const&) = default;
};

struct FourTuple {
  Peer local, remote;
  friend bool operator==(FourTuple const& a, FourTuple const& b) {
    return a.local.port == b.local.port && a.remote.port == b.remote.port && a.remote.address == b.remote.address &&
           a.local.address == b.local.address;
  }
  template <class H>
  friend H AbslHashValue(H h, FourTuple const& t) {
    return H::combine(std::move(h), t.local.address, t.remote.address, t.local.port, t.remote.port);
  }
};

using HardwareAddress = std::array<uint8_t, 6>;
inline constexpr HardwareAddress hardware_broadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

}  // namespace cofferdam::netstack

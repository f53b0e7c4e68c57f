#include "netstack/address.h"

#include <arpa/inet.h>

namespace cofferdam::netstack {

bool Address::is_v4() const {
  static constexpr std::array<uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(bytes_.data(), mapped.data(), mapped.size()) == 0;
}

Address Address::solicited_node() const {
  Address a;
  a.bytes_ = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, bytes_[13], bytes_[14], bytes_[15]};
  return a;
}

std::string Address::text() const {
  char buffer[INET6_ADDRSTRLEN];
  bool four = is_v4();
  void const* from = four ? bytes_.data() + 12 : bytes_.data();
  return inet_ntop(four ? AF_INET : AF_INET6, from, buffer, sizeof buffer) ? buffer : "?";
}

bool Prefix::contains(Address const& a) const {
  if (a.is_v4() != address.is_v4()) return false;
  return Prefix{a, length}.network() == network();
}

Address Prefix::network() const {
  bool four = address.is_v4();
  if (four) {
    uint32_t mask = length == 0 ? 0 : ~uint32_t{0} << (32 - (length > 32 ? 32 : length));
    return Address::v4(address.v4() & mask);
  }
  std::array<std::byte, 16> masked;
  std::memcpy(masked.data(), address.bytes().data(), 16);
  for (unsigned bit = length; bit < 128; ++bit) masked[bit / 8] &= static_cast<std::byte>(~(0x80u >> (bit % 8)));
  return Address::v6(masked);
}

Address Prefix::broadcast() const {
  uint32_t host = length >= 32 ? 0 : ~uint32_t{0} >> length;
  return Address::v4(address.v4() | host);
}

}  // namespace cofferdam::netstack

// The Internet checksum (RFC 1071), SipHash-2-4 for numbers that nobody may guess, and the pseudo headers.
#pragma once

#include "netstack/address.h"
#include "netstack/packet.h"

namespace cofferdam::netstack {

// Sums 16-bit words over pieces of any length.
class Checksum {
 public:
  void add(Bytes);
  void add16(uint16_t v) { sum_ += odd_ ? static_cast<uint16_t>(v << 8 | v >> 8) : v; }
  void add_rest(Packet& p);  // all that is left of it
  // The complement, as it stands in a header: 0 over a range that contains a right checksum.
  uint16_t value() const;

 private:
  uint64_t sum_ = 0;
  bool odd_ = false;
};

uint16_t checksum_of(Bytes);
// RFC 9293 3.1, RFC 8200 8.1.
Checksum pseudo_header(Address const& source, Address const& destination, uint8_t protocol, size_t length);

struct HashKey {
  uint64_t low = 0, high = 0;
};
uint64_t sip_hash(HashKey const&, Bytes);
// Over the addresses and ports, with a number of the caller's.
uint64_t hash_of(HashKey const&, FourTuple const&, uint64_t salt = 0);

}  // namespace cofferdam::netstack

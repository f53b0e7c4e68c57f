#include "netstack/checksum.h"

#include <bit>

namespace cofferdam::netstack {
namespace {

uint64_t load_little(Bytes b, size_t at, size_t n) {
  uint64_t v = 0;
  std::memcpy(&v, b.data() + at, n);
  return v;
}

struct SipState {
  uint64_t v0, v1, v2, v3;
  void round() {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32);
    v2 += v1;
    v0 += v3;
    v1 = std::rotl(v1, 17) ^ v2;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  }
  void absorb(uint64_t m) {
    v3 ^= m;
    round();
    round();
    v0 ^= m;
  }
};

}  // namespace

void Checksum::add(Bytes b) {
  // Words in the host's order are summed, and swapped once: the sum does not mind (RFC 1071 2(B)).
  uint64_t sum = 0;
  size_t at = 0;
  for (; at + 4 <= b.size(); at += 4) {
    uint32_t word;
    std::memcpy(&word, b.data() + at, 4);
    sum += word;
  }
  uint32_t last = 0;
  if (at < b.size()) std::memcpy(&last, b.data() + at, b.size() - at);
  sum += last;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  auto folded = static_cast<uint16_t>(sum);
  sum_ += odd_ ? folded : std::byteswap(folded);
  odd_ ^= b.size() & 1;
}

void Checksum::add_rest(Packet& p) {
  add(p.head());
  for (View const& v : p.payload()) add(v.bytes());
}

uint16_t Checksum::value() const {
  uint64_t sum = sum_;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

uint16_t checksum_of(Bytes b) {
  Checksum c;
  c.add(b);
  return c.value();
}

Checksum pseudo_header(Address const& source, Address const& destination, uint8_t protocol, size_t length) {
  Checksum c;
  bool four = source.is_v4() && destination.is_v4();
  c.add(four ? source.v4_bytes() : source.bytes());
  c.add(four ? destination.v4_bytes() : destination.bytes());
  c.add16(static_cast<uint16_t>(length >> 16));
  c.add16(static_cast<uint16_t>(length));
  c.add16(protocol);
  return c;
}

uint64_t sip_hash(HashKey const& key, Bytes b) {
  SipState s{key.low ^ 0x736f6d6570736575, key.high ^ 0x646f72616e646f6d, key.low ^ 0x6c7967656e657261,
             key.high ^ 0x7465646279746573};
  size_t at = 0;
  for (; at + 8 <= b.size(); at += 8) s.absorb(load_little(b, at, 8));
  s.absorb(load_little(b, at, b.size() - at) | uint64_t{b.size() & 0xff} << 56);
  s.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) s.round();
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t hash_of(HashKey const& key, FourTuple const& t, uint64_t salt) {
  std::array<std::byte, 44> b;
  std::memcpy(b.data(), t.local.address.bytes().data(), 16);
  std::memcpy(b.data() + 16, t.remote.address.bytes().data(), 16);
  store16(b, 32, t.local.port);
  store16(b, 34, t.remote.port);
  std::memcpy(b.data() + 36, &salt, 8);
  return sip_hash(key, b);
}

}  // namespace cofferdam::netstack

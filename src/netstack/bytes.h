// Numbers in network byte order. The caller has checked the bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace cofferdam::netstack {

using Bytes = std::span<std::byte const>;
using MutableBytes = std::span<std::byte>;

inline uint8_t load8(Bytes b, size_t at) { return static_cast<uint8_t>(b[at]); }
inline uint16_t load16(Bytes b, size_t at) {
  return static_cast<uint16_t>((static_cast<unsigned>(b[at]) << 8) | static_cast<unsigned>(b[at + 1]));
}
inline uint32_t load32(Bytes b, size_t at) { return (uint32_t{load16(b, at)} << 16) | load16(b, at + 2); }

inline void store8(MutableBytes b, size_t at, uint8_t v) { b[at] = static_cast<std::byte>(v); }
inline void store16(MutableBytes b, size_t at, uint16_t v) {
  b[at] = static_cast<std::byte>(v >> 8);
  b[at + 1] = static_cast<std::byte>(v & 0xff);
}
inline void store32(MutableBytes b, size_t at, uint32_t v) {
  store16(b, at, static_cast<uint16_t>(v >> 16));
  store16(b, at + 2, static_cast<uint16_t>(v & 0xffff));
}

}  // namespace cofferdam::netstack

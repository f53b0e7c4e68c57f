// Frames of ttrpc: ten bytes of header (length, stream and kind, big-endian), then as many bytes as they say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/outcome.h"

namespace cofferdam::shim {

enum class FrameKind : uint8_t { Request = 1, Response = 2, Data = 3 };

struct TtrpcFrame {
  uint32_t stream = 0;
  FrameKind kind = FrameKind::Request;
  uint8_t flags = 0;
  std::string payload;
};

inline constexpr size_t max_ttrpc_payload_bytes = 4 << 20;  // as the other implementations have it

std::string print_frame(uint32_t stream, FrameKind kind, std::string_view payload);

// Puts frames together from the bytes of a connection, however they come.
class FrameReader {
 public:
  void feed(std::string_view bytes) { pending_ += bytes; }
  // The next whole frame; none: more bytes are wanted. Refused: the peer does not speak ttrpc, and nothing that follows
  // makes sense. A frame of an unknown kind is given as it is.
  Outcome<std::optional<TtrpcFrame>> next();

 private:
  std::string pending_;
  size_t used_ = 0;
};

}  // namespace cofferdam::shim

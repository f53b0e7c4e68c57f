#include "shim/ttrpc_frame.h"

#include <fmt/format.h>

namespace cofferdam::shim {

namespace {

constexpr size_t header_bytes = 10;

uint32_t big_endian(std::string_view bytes) {
  uint32_t n = 0;
  for (size_t i = 0; i < 4; ++i) n = n << 8 | static_cast<uint8_t>(bytes[i]);
  return n;
}

void put_big_endian(std::string& to, uint32_t n) {
  for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(n >> shift & 0xff);
}

}  // namespace

std::string print_frame(uint32_t stream, FrameKind kind, std::string_view payload) {
  std::string out;
  out.reserve(header_bytes + payload.size());
  put_big_endian(out, static_cast<uint32_t>(payload.size()));
  put_big_endian(out, stream);
  out += static_cast<char>(kind);
  out += '\0';  // flags
  out += payload;
  return out;
}

Outcome<std::optional<TtrpcFrame>> FrameReader::next() {
  std::string_view const rest = std::string_view(pending_).substr(used_);
  if (rest.size() < header_bytes) {
    pending_.erase(0, used_);
    used_ = 0;
    return std::nullopt;
  }
  size_t const length = big_endian(rest);
  if (length > max_ttrpc_payload_bytes) return refuse(fmt::format("a ttrpc frame of {} bytes is too long", length));
  if (rest.size() - header_bytes < length) {
    pending_.erase(0, used_);
    used_ = 0;
    return std::nullopt;
  }
  TtrpcFrame frame{.stream = big_endian(rest.substr(4)),
                   .kind = static_cast<FrameKind>(rest[8]),
                   .flags = static_cast<uint8_t>(rest[9]),
                   .payload = std::string(rest.substr(header_bytes, length))};
  used_ += header_bytes + length;
  if (used_ == pending_.size()) {
    pending_.clear();
    if (pending_.capacity() > size_t{64} << 10) pending_.shrink_to_fit();
    used_ = 0;
  }
  return frame;
}

}  // namespace cofferdam::shim

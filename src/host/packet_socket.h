// A packet socket of the host's (packet(7)) that is bound to an interface; PACKET_VNET_HDR is set on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::host {

// struct virtio_net_hdr, which C++ cannot include: what stands before each frame. Numbers are the host's byte order.
struct FrameHeader {
  enum Flags : uint8_t { needs_checksum = 1, checksum_is_good = 2 };
  enum Segments : uint8_t { whole = 0, tcp_v4 = 1, tcp_v6 = 4 };
  uint8_t flags = 0, segments = whole;
  uint16_t header_length = 0;    // of a frame that is to be cut: all headers
  uint16_t segment_size = 0;     // payload bytes of each piece
  uint16_t checksum_start = 0;   // in the frame: where the sum begins,
  uint16_t checksum_offset = 0;  // and behind that where it is to be put
};
static_assert(sizeof(FrameHeader) == 10);

class PacketSocket {
 public:
  explicit PacketSocket(OwnedFd socket);

  // The next frame with its FrameHeader; its whole size also where `to` is smaller. EAGAIN when there is none
  // now, ENETDOWN.
  Result<size_t> receive(std::span<std::byte> to);
  // Until there is a frame; false after stop().
  bool wait();
  void stop();
  // One frame with its header, in pieces. EAGAIN, ENOBUFS when the host has no room; does not block.
  Result<void> send(std::span<std::span<std::byte const> const> pieces);

 private:
  OwnedFd socket_, stop_;
};

}  // namespace cofferdam::host

#include "socket/inet/packet_ring.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "host/files.h"
#include "kernel/mm/vma_tree.h"
#include "kernel/time/clock.h"

namespace cofferdam::inet {
namespace {

constexpr uint64_t largest_ring = uint64_t{256} << 20;
constexpr size_t smallest_link_header = 16;  // room that a frame has before the network header at least

constexpr size_t aligned(size_t n) { return TPACKET_ALIGN(n); }

size_t header_size(RingVersion v) { return v == RingVersion::V1 ? sizeof(tpacket_hdr) : sizeof(tpacket2_hdr); }
// With the address behind it (TPACKET_HDRLEN, TPACKET2_HDRLEN).
size_t whole_header_size(RingVersion v) { return aligned(header_size(v)) + sizeof(sockaddr_ll); }
// The status is an unsigned long in the first version.
size_t status_size(RingVersion v) { return v == RingVersion::V1 ? sizeof(unsigned long) : sizeof(uint32_t); }

}  // namespace

std::optional<size_t> ring_header_size(int version) {
  if (version == TPACKET_V1) return sizeof(tpacket_hdr);
  if (version == TPACKET_V2) return sizeof(tpacket2_hdr);
  return std::nullopt;
}

// packet_set_ring of Linux.
Result<Ref<PacketRing>> PacketRing::create(kernel::MemoryFile& memory, RingVersion version, tpacket_req const& shape,
                                           uint32_t reserve) {
  size_t const smallest = whole_header_size(version) + reserve;
  bool const sizes_fit = shape.tp_block_size != 0 && shape.tp_block_size <= INT32_MAX &&
                         shape.tp_block_size % kernel::page_size == 0 && shape.tp_frame_size >= smallest &&
                         shape.tp_frame_size % TPACKET_ALIGNMENT == 0 && shape.tp_frame_size <= shape.tp_block_size;
  if (!sizes_fit) return fail(Errno::Inval);
  uint64_t const frames = uint64_t{shape.tp_block_size / shape.tp_frame_size} * shape.tp_block_nr;
  if (frames != shape.tp_frame_nr) return fail(Errno::Inval);
  uint64_t const size = uint64_t{shape.tp_block_size} * shape.tp_block_nr;
  if (size > largest_ring) return fail(Errno::NoMem);
  return make_ref<PacketRing>(memory.fd(), TRY(memory.allocate(size)), version, shape, reserve);
}

PacketRing::PacketRing(Ref<host::SharedFd> fd, Ref<kernel::MemoryExtent> memory, RingVersion version,
                       tpacket_req const& shape, uint32_t reserve)
    : fd_(std::move(fd)),
      memory_(std::move(memory)),
      version_(version),
      shape_(shape),
      reserve_(reserve),
      frames_a_block_(shape.tp_block_size / shape.tp_frame_size) {}

uint64_t PacketRing::place_of(uint32_t frame) const {
  return memory_->offset() + uint64_t{frame / frames_a_block_} * shape_.tp_block_size +
         uint64_t{frame % frames_a_block_} * shape_.tp_frame_size;
}

bool PacketRing::is_kernels(uint32_t frame) const {
  std::array<std::byte, sizeof(unsigned long)> status{};
  auto const room = std::span(status).first(status_size(version_));
  auto const got = host::read_at(fd_->get(), room, place_of(frame));
  return got && *got == room.size() && std::ranges::all_of(status, [](std::byte b) { return b == std::byte{}; });
}

bool PacketRing::write(std::span<std::byte const> bytes, uint64_t at) const {
  auto const done = host::write_at(fd_->get(), bytes, at);
  return done && *done == bytes.size();
}

bool PacketRing::readable() const { return !is_kernels((next_ + shape_.tp_frame_nr - 1) % shape_.tp_frame_nr); }

// All but the status, and then that: whoever sees it sees the rest.
bool PacketRing::write_header(uint64_t frame, PacketFacts const& facts, size_t kept, size_t bytes_at, size_t network_at,
                              int64_t wall_clock_ns) const {
  std::array<std::byte, aligned(sizeof(tpacket2_hdr)) + sizeof(sockaddr_ll) + TPACKET_ALIGNMENT> header{};
  auto const fill = [&](auto& h) {
    h.tp_len = static_cast<uint32_t>(facts.whole);
    h.tp_snaplen = static_cast<uint32_t>(kept);
    h.tp_mac = static_cast<uint16_t>(bytes_at);
    h.tp_net = static_cast<uint16_t>(network_at);
    std::memcpy(header.data(), &h, sizeof h);
  };
  if (version_ == RingVersion::V1) {
    tpacket_hdr h{};
    h.tp_sec = static_cast<uint32_t>(wall_clock_ns / kernel::ns_per_second);
    h.tp_usec = static_cast<uint32_t>(wall_clock_ns % kernel::ns_per_second / 1000);
    fill(h);
  } else {
    tpacket2_hdr h{};
    h.tp_sec = static_cast<uint32_t>(wall_clock_ns / kernel::ns_per_second);
    h.tp_nsec = static_cast<uint32_t>(wall_clock_ns % kernel::ns_per_second);
    fill(h);
  }
  std::memcpy(header.data() + aligned(header_size(version_)), &facts.from, sizeof facts.from);
  size_t const status_bytes = status_size(version_);
  if (!write(std::span(header).first(whole_header_size(version_)).subspan(status_bytes), frame + status_bytes))
    return false;
  unsigned long const status = facts.status | TP_STATUS_USER;
  return write(std::as_bytes(std::span(&status, 1)).first(status_bytes), frame);
}

// tpacket_rcv of Linux.
bool PacketRing::put(std::span<std::byte const> bytes, PacketFacts const& facts, int64_t wall_clock_ns) {
  size_t const link = facts.network_offset, header = whole_header_size(version_);
  size_t const network_at =
      (link == 0 ? aligned(header) + smallest_link_header : aligned(header + std::max(link, smallest_link_header))) +
      reserve_;
  size_t const bytes_at = network_at - link;
  if (network_at > UINT16_MAX || !is_kernels(next_)) return false;
  size_t const room = shape_.tp_frame_size > bytes_at ? shape_.tp_frame_size - bytes_at : 0;
  auto const kept = bytes.first(std::min(bytes.size(), room));
  uint64_t const frame = place_of(next_);
  if (!kept.empty() && !write(kept, frame + bytes_at)) return false;
  if (!write_header(frame, facts, kept.size(), bytes_at, network_at, wall_clock_ns)) return false;
  next_ = (next_ + 1) % shape_.tp_frame_nr;
  return true;
}

Result<kernel::MapTarget> PacketRing::map(kernel::MapRequest const& request) {
  if (request.offset != 0 || request.length != memory_->length() || !request.shared) return fail(Errno::Inval);
  kernel::MapTarget target;
  target.fd = fd_;
  target.offset = memory_->offset();
  target.backing = Ref<PacketRing>(this);
  return target;
}

}  // namespace cofferdam::inet

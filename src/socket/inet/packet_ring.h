// A ring of frames in memory that a guest maps: PACKET_RX_RING of packet(7), laid out as the kernel's page about
// packet_mmap says (TPACKET_V1, TPACKET_V2).
#pragma once

#include <linux/if_packet.h>

#include <optional>
#include <span>

#include "kernel/mm/memory_file.h"
#include "kernel/vfs/file.h"

namespace cofferdam::inet {

// What is told of a packet beside its bytes.
struct PacketFacts {
  sockaddr_ll from{};
  size_t whole = 0;             // bytes, before any was cut
  uint32_t status = 0;          // TP_STATUS_*
  uint16_t network_offset = 0;  // where in the bytes the network header begins
};

enum class RingVersion : uint8_t { V1 = TPACKET_V1, V2 = TPACKET_V2 };
// The size of a frame's header; nothing: there is no such version.
std::optional<size_t> ring_header_size(int version);

// Every word in the ring is the guest's to change: a frame's status is read once, and nothing else is. The owner's lock
// is held over all calls but map().
class PacketRing final : public RefCounted {
 public:
  // EINVAL; ENOMEM.
  static Result<Ref<PacketRing>> create(kernel::MemoryFile&, RingVersion, tpacket_req const&, uint32_t reserve);
  PacketRing(Ref<host::SharedFd> fd, Ref<kernel::MemoryExtent> memory, RingVersion, tpacket_req const&,
             uint32_t reserve);
  // False: the guest still has the next frame.
  bool put(std::span<std::byte const> bytes, PacketFacts const&, int64_t wall_clock_ns);
  // Is there a frame that the guest has not given back?
  bool readable() const;
  // EINVAL for anything but the whole ring, shared.
  Result<kernel::MapTarget> map(kernel::MapRequest const&);
  bool mapped() const { return ref_count() > 1; }

 private:
  uint64_t place_of(uint32_t frame) const;
  bool is_kernels(uint32_t frame) const;
  bool write(std::span<std::byte const>, uint64_t at) const;
  bool write_header(uint64_t frame, PacketFacts const&, size_t kept, size_t bytes_at, size_t network_at,
                    int64_t wall_clock_ns) const;

  Ref<host::SharedFd> const fd_;
  Ref<kernel::MemoryExtent> const memory_;
  RingVersion const version_;
  tpacket_req const shape_;
  uint32_t const reserve_, frames_a_block_;
  uint32_t next_ = 0;
};

}  // namespace cofferdam::inet

// Filters of sockets (socket(7), SO_ATTACH_FILTER): classic BPF over the bytes of a packet and facts about it.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/ref.h"
#include "base/result.h"

namespace cofferdam::kernel::bpf {

// What a program may ask about a packet. Offsets into `bytes` may be negative or beyond: then nothing is there.
struct PacketView {
  std::span<std::byte const> bytes;          // from where the socket's family begins to read
  std::span<std::byte const> network, link;  // from the network header, the link header (SKF_NET_OFF, SKF_LL_OFF)
  uint16_t protocol = 0;                     // ETH_P_*
  uint8_t packet_type = 0;                   // PACKET_HOST …
  uint32_t interface = 0;
  uint16_t hardware_type = 0;  // ARPHRD_*
  uint32_t mark = 0;
  uint32_t hash = 0;
};

class SocketFilter final : public RefCounted {
 public:
  // EINVAL.
  static Result<Ref<SocketFilter>> create(std::vector<sock_filter> code);
  // How many of the packet's bytes may pass; 0: it is dropped.
  uint32_t run(PacketView const&) const;
  std::vector<sock_filter> const& code() const { return code_; }

  explicit SocketFilter(std::vector<sock_filter> code) : code_(std::move(code)) {}

 private:
  std::vector<sock_filter> const code_;
};

// In the attributes of a netlink message at `offset` (SKF_AD_NLATTR): the offset of attribute `type`, 0: none.
uint32_t find_attribute(std::span<std::byte const> bytes, uint32_t offset, uint32_t type, bool nested);

}  // namespace cofferdam::kernel::bpf

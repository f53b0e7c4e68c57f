// Filters of sockets (SO_ATTACH_FILTER): an input is a program of classic BPF and a packet. What the checks let through
// ends, for every packet, within the packet's bounds.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernel/bpf/socket_filter.h"

using namespace cofferdam;

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  auto bytes = std::as_bytes(std::span(data, size));
  constexpr size_t head = 8;
  if (bytes.size() < head) return 0;
  auto const at = [&](size_t n) { return std::to_integer<size_t>(bytes[n]); };
  size_t const count = std::min((bytes.size() - head) / sizeof(sock_filter), at(0) + 1);
  kernel::bpf::PacketView packet;
  packet.protocol = static_cast<uint16_t>(at(1) << 8 | at(2));
  packet.packet_type = static_cast<uint8_t>(at(3));
  packet.interface = static_cast<uint32_t>(at(4));
  size_t const before = at(5), skipped = at(6);
  bytes = bytes.subspan(head);
  std::vector<sock_filter> code(count);
  if (count != 0) std::memcpy(code.data(), bytes.data(), count * sizeof(sock_filter));
  bytes = bytes.subspan(count * sizeof(sock_filter));
  // Each view is a copy of its own, so that a step beyond its end is seen.
  std::vector<std::byte> const link(bytes.begin(), bytes.end());
  std::vector<std::byte> const network(link.begin() + static_cast<ptrdiff_t>(std::min(before, link.size())),
                                       link.end());
  std::vector<std::byte> const read(network.begin() + static_cast<ptrdiff_t>(std::min(skipped, network.size())),
                                    network.end());
  packet.link = link;
  packet.network = network;
  packet.bytes = read;
  auto const filter = kernel::bpf::SocketFilter::create(code);
  if (!filter) return 0;
  if (code.empty() || (code.back().code & 7) != BPF_RET) std::abort();  // it could run off its end
  (void)(*filter)->run(packet);
  return 0;
}

#include "kernel/bpf/socket_filter.h"

#include <linux/netlink.h>

#include <cstring>

#include "host/random.h"
#include "kernel/bpf/classic.h"

namespace cofferdam::kernel::bpf {
namespace {

using Bytes = std::span<std::byte const>;

constexpr uint32_t ancillary = static_cast<uint32_t>(SKF_AD_OFF), from_network = static_cast<uint32_t>(SKF_NET_OFF),
                   from_link = static_cast<uint32_t>(SKF_LL_OFF);

bool is_good_load(sock_filter const& i) {
  switch (i.code) {
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_B | BPF_MSH:
    case BPF_LD | BPF_W | BPF_IND:
    case BPF_LD | BPF_H | BPF_IND:
    case BPF_LD | BPF_B | BPF_IND:
      return true;
    case BPF_LD | BPF_W | BPF_ABS:
    case BPF_LD | BPF_H | BPF_ABS:
    case BPF_LD | BPF_B | BPF_ABS:
      // Of the facts, those that Linux knows of.
      return i.k < ancillary || i.k - ancillary < SKF_AD_MAX;
    default:
      return false;
  }
}

std::optional<uint32_t> load_bytes(Bytes bytes, uint64_t offset, size_t size) {
  if (offset > bytes.size() || bytes.size() - offset < size) return std::nullopt;
  uint32_t value = 0;
  for (size_t n = 0; n < size; ++n) value = value << 8 | static_cast<uint32_t>(bytes[offset + n]);
  return value;
}

size_t size_of(uint16_t code) { return (code & 0x18) == BPF_W ? 4 : (code & 0x18) == BPF_H ? 2 : 1; }

std::optional<uint32_t> load_at(PacketView const& p, uint32_t offset, size_t size) {
  if (offset < from_link) return load_bytes(p.bytes, offset, size);
  if (offset < from_network) return load_bytes(p.link, offset - from_link, size);
  return load_bytes(p.network, offset - from_network, size);
}

// Where the payload begins (SKF_AD_PAY_OFFSET), for IPv4 and IPv6 with TCP, UDP or ICMP.
uint32_t payload_offset(PacketView const& p) {
  auto const first = load_bytes(p.network, 0, 1);
  if (!first || p.network.size() > p.bytes.size()) return 0;
  size_t const before = p.bytes.size() - p.network.size();
  bool const four = *first >> 4 == 4;
  size_t const header = four ? (*first & 15) * 4u : 40;
  auto const protocol = load_bytes(p.network, four ? 9 : 6, 1).value_or(0);
  constexpr uint32_t tcp = 6, udp = 17, icmp = 1, icmp6 = 58;
  if (protocol == udp || protocol == icmp || protocol == icmp6) return static_cast<uint32_t>(before + header + 8);
  if (protocol != tcp) return static_cast<uint32_t>(before + header);
  return static_cast<uint32_t>(before + header + (load_bytes(p.network, header + 12, 1).value_or(0x50) >> 4) * 4u);
}

std::optional<uint32_t> fact(PacketView const& p, uint32_t which, uint32_t a, uint32_t x) {
  switch (which) {
    case SKF_AD_PROTOCOL:
      return p.protocol;
    case SKF_AD_PKTTYPE:
      return p.packet_type;
    case SKF_AD_IFINDEX:
      return p.interface == 0 ? std::nullopt : std::optional(p.interface);
    case SKF_AD_HATYPE:
      return p.interface == 0 ? std::nullopt : std::optional<uint32_t>(p.hardware_type);
    case SKF_AD_MARK:
      return p.mark;
    case SKF_AD_RXHASH:
      return p.hash;
    case SKF_AD_ALU_XOR_X:
      return a ^ x;
    case SKF_AD_PAY_OFFSET:
      return payload_offset(p);
    case SKF_AD_RANDOM: {
      uint32_t random;
      host::fill_random(std::as_writable_bytes(std::span(&random, 1)));
      return random;
    }
    case SKF_AD_NLATTR:
    case SKF_AD_NLATTR_NEST:
      return find_attribute(p.bytes, a, x, which == SKF_AD_NLATTR_NEST);
    default:
      return 0;  // queues, CPUs and VLANs: there is one, or none
  }
}

}  // namespace

uint32_t find_attribute(Bytes bytes, uint32_t offset, uint32_t type, bool nested) {
  size_t at = offset, end = bytes.size();
  auto read = [&](size_t where) -> std::optional<nlattr> {
    nlattr a;
    if (where > end || end - where < sizeof a) return std::nullopt;
    std::memcpy(&a, bytes.data() + where, sizeof a);
    if (a.nla_len < sizeof a || a.nla_len > end - where) return std::nullopt;
    return a;
  };
  if (nested) {
    auto const outer = read(at);
    if (!outer) return 0;
    end = at + outer->nla_len;
    at += sizeof(nlattr);
  }
  while (auto const a = read(at)) {
    if ((a->nla_type & NLA_TYPE_MASK) == type) return static_cast<uint32_t>(at);
    at += (size_t{a->nla_len} + 3) & ~size_t{3};
  }
  return 0;
}

Result<Ref<SocketFilter>> SocketFilter::create(std::vector<sock_filter> code) {
  TRY(check(code, is_good_load));
  return make_ref<SocketFilter>(std::move(code));
}

uint32_t SocketFilter::run(PacketView const& p) const {
  return bpf::run(code_, [&](sock_filter const& i, uint32_t a, uint32_t x) -> std::optional<uint32_t> {
    uint16_t const mode = i.code & 0xe0;
    if (mode == BPF_LEN) return static_cast<uint32_t>(p.bytes.size());
    if (mode == BPF_MSH) {
      auto const byte = load_at(p, i.k, 1);
      return byte ? std::optional((*byte & 15) * 4) : std::nullopt;
    }
    if (mode == BPF_ABS && i.k >= ancillary) return fact(p, i.k - ancillary, a, x);
    return load_at(p, mode == BPF_IND ? x + i.k : i.k, size_of(i.code));
  });
}

}  // namespace cofferdam::kernel::bpf

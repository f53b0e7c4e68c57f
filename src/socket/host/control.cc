#include "socket/host/control.h"

#include <algorithm>

#include "socket/host/host_calls.h"

namespace cofferdam::host_sockets {

using kernel::ControlData;

namespace {

struct Kind {
  int level, type;
};
constexpr Kind sendable[] = {
    {IPPROTO_IP, IP_TTL},
    {IPPROTO_IP, IP_TOS},
    {IPPROTO_IP, IP_PKTINFO},
    {IPPROTO_IP, IP_RETOPTS},
    {IPPROTO_IPV6, IPV6_PKTINFO},
    {IPPROTO_IPV6, IPV6_HOPLIMIT},
    {IPPROTO_IPV6, IPV6_TCLASS},
    {IPPROTO_IPV6, IPV6_DONTFRAG},
    {IPPROTO_UDP, UDP_SEGMENT},
    {SOL_SOCKET, so_timestamping},
    {SOL_SOCKET, so_timestamping_new},
};

constexpr size_t align(size_t n) { return (n + 7) & ~size_t{7}; }

void append(std::vector<std::byte>& to, std::span<std::byte const> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

}  // namespace

Result<std::vector<std::byte>> control_for_host(ControlData const& control) {
  std::vector<std::byte> bytes;
  for (auto const& o : control.others) {
    bool const known =
        std::ranges::any_of(sendable, [&](Kind const& k) { return k.level == o.level && k.type == o.type; });
    if (!known) return fail(Errno::Inval);
    cmsghdr header{};
    header.cmsg_len = sizeof header + o.bytes.size();
    header.cmsg_level = o.level;
    header.cmsg_type = o.type;
    append(bytes, std::as_bytes(std::span(&header, 1)));
    append(bytes, o.bytes);
    bytes.resize(align(bytes.size()));
  }
  return bytes;
}

std::vector<ControlData::Other> control_from_host(std::span<std::byte const> bytes) {
  std::vector<ControlData::Other> all;
  while (bytes.size() >= sizeof(cmsghdr)) {
    cmsghdr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.cmsg_len < sizeof header || header.cmsg_len > bytes.size()) break;
    auto const value = bytes.subspan(sizeof header, header.cmsg_len - sizeof header);
    bool const descriptors = header.cmsg_level == SOL_SOCKET && header.cmsg_type == SCM_RIGHTS;
    if (!descriptors) all.push_back({header.cmsg_level, header.cmsg_type, {value.begin(), value.end()}});
    bytes = bytes.subspan(std::min(align(header.cmsg_len), bytes.size()));
  }
  return all;
}

}  // namespace cofferdam::host_sockets

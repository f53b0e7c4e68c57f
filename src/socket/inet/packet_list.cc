// What /proc/net/packet and sock_diag(7) tell of packet sockets.
#include <linux/packet_diag.h>

#include <algorithm>

#include <fmt/format.h>

#include "socket/inet/packet_socket.h"

namespace cofferdam::inet {

using kernel::netlink_fixed;
using kernel::NetlinkBody;

namespace {

NetlinkBody packet_body(PacketSocket const& socket, uint32_t show) {
  auto const s = socket.summary();
  packet_diag_msg m{};
  m.pdiag_family = AF_PACKET;
  m.pdiag_type = static_cast<uint8_t>(socket.type());
  m.pdiag_num = s.ether_type;
  m.pdiag_ino = static_cast<uint32_t>(socket.inode_number());
  m.pdiag_cookie[0] = static_cast<uint32_t>(socket.inode_number());
  m.pdiag_cookie[1] = static_cast<uint32_t>(socket.inode_number() >> 32);
  NetlinkBody body(m);
  if (show & PACKET_SHOW_INFO) {
    packet_diag_info info{};
    info.pdi_index = s.interface;
    info.pdi_version = static_cast<uint32_t>(s.version);
    info.pdi_reserve = s.reserve;
    info.pdi_copy_thresh = s.copy_threshold;
    info.pdi_flags =
        (s.running ? PDI_RUNNING : 0u) | (s.auxiliary ? PDI_AUXDATA : 0u) | (s.original_device ? PDI_ORIGDEV : 0u);
    body.attribute(PACKET_DIAG_INFO, info);
    body.attribute(PACKET_DIAG_UID, s.uid);
  }
  if (show & PACKET_SHOW_MEMINFO) {
    std::array<uint32_t, 9> memory{};  // SK_MEMINFO_RMEM_ALLOC, …
    memory[0] = static_cast<uint32_t>(s.queued);
    body.attribute(PACKET_DIAG_MEMINFO, memory);
  }
  return body;
}

}  // namespace

void PacketSockets::opened(PacketSocket& s) {
  MutexLock lock(mutex_);
  open_.insert(&s);
}

void PacketSockets::closed(PacketSocket& s) {
  MutexLock lock(mutex_);
  open_.erase(&s);
}

// In the order in which they were made.
std::vector<Ref<PacketSocket>> PacketSockets::all() {
  std::vector<Ref<PacketSocket>> found;
  {
    MutexLock lock(mutex_);
    found.reserve(open_.size());
    for (PacketSocket* s : open_)
      if (s->try_ref()) found.push_back(Ref<PacketSocket>::adopt(s));
  }
  std::ranges::sort(found, {}, [](auto const& s) { return s->inode_number(); });
  return found;
}

// packet_seq_show of Linux.
std::string PacketSockets::text() {
  std::string text = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";
  for (auto const& socket : all()) {
    auto const s = socket->summary();
    text += fmt::format("{:016x} {:<6} {:<4} {:04x}   {:<5} {} {:<6} {:<6} {:<6}\n", 0, 3, socket->type(), s.ether_type,
                        s.interface, s.running ? 1 : 0, s.queued, s.uid, socket->inode_number());
  }
  return text;
}

Result<std::vector<NetlinkBody>> PacketSockets::diagnose(std::span<std::byte const> request, bool dump) {
  if (request.size() < sizeof(packet_diag_req)) return fail(Errno::Inval);
  auto const wanted = netlink_fixed<packet_diag_req>(request);
  if (wanted.sdiag_protocol != 0) return fail(Errno::Inval);
  if (!dump) return fail(Errno::OpNotSupp);
  std::vector<NetlinkBody> bodies;
  for (auto const& socket : all()) bodies.push_back(packet_body(*socket, wanted.pdiag_show));
  return bodies;
}

}  // namespace cofferdam::inet

// Options of the level SOL_PACKET (packet(7)).
#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "socket/inet/packet_socket.h"

namespace cofferdam::inet {

using kernel::Task;

namespace {

constexpr int packet_ignore_outgoing = 23;  // PACKET_IGNORE_OUTGOING

bool is_number(int name) {
  switch (name) {
    case PACKET_AUXDATA:
    case PACKET_COPY_THRESH:
    case PACKET_LOSS:
    case PACKET_ORIGDEV:
    case PACKET_QDISC_BYPASS:
    case PACKET_RESERVE:
    case PACKET_TIMESTAMP:
    case PACKET_VERSION:
    case packet_ignore_outgoing:
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<std::optional<std::vector<std::byte>>> PacketSocket::get_own_option(int level, int name, size_t room) {
  if (level == SOL_SOCKET) return std::nullopt;
  if (level != SOL_PACKET) return fail(Errno::NoProtoOpt);
  switch (name) {
    case PACKET_STATISTICS:
      return option_bytes(queue_->take_statistics(), room);
    case PACKET_AUXDATA:
      return option_bytes(auxiliary_ ? 1 : 0, room);
    case PACKET_ORIGDEV:
      return option_bytes(original_device_ ? 1 : 0, room);
    case PACKET_LOSS:
      return option_bytes(loss_ ? 1 : 0, room);
    case PACKET_QDISC_BYPASS:
      return option_bytes(qdisc_bypass_ ? 1 : 0, room);
    case PACKET_TIMESTAMP:
      return option_bytes(timestamp_.load(), room);
    case packet_ignore_outgoing:
      return option_bytes(queue_->ignores_outgoing() ? 1 : 0, room);
    case PACKET_VERSION:
      return option_bytes(ring_.with([](Ring const& r) { return r.version; }), room);
    case PACKET_RESERVE:
      return option_bytes(ring_.with([](Ring const& r) { return r.reserve; }), room);
    case PACKET_VNET_HDR:
    case PACKET_FANOUT:
    case PACKET_TX_HAS_OFF:
      return option_bytes(0, room);  // they cannot be set
    default:
      return fail(Errno::NoProtoOpt);
  }
}

// PACKET_HDRLEN: the guest's buffer holds a version, and gets the size of its header.
Result<std::vector<std::byte>> PacketSocket::get_option_with(Task&, int level, int name, OptionValue given) {
  if (level != SOL_PACKET || name != PACKET_HDRLEN) return fail(Errno::NoProtoOpt);
  auto const size = ring_header_size(TRY(option_value<int>(given)));
  if (!size) return fail(Errno::Inval);
  return option_bytes(static_cast<int>(*size), given.size());
}

Result<bool> PacketSocket::set_own_option(Task& task, int level, int name, OptionValue value) {
  if (level == SOL_SOCKET) return false;
  if (level != SOL_PACKET) return fail(Errno::NoProtoOpt);
  if (name == PACKET_ADD_MEMBERSHIP || name == PACKET_DROP_MEMBERSHIP)
    TRY(set_membership(name == PACKET_ADD_MEMBERSHIP, value));
  else if (name == PACKET_RX_RING)
    TRY(set_ring(task, value));
  else if (is_number(name))
    TRY(set_number(name, TRY(option_value<int>(value))));
  else
    return fail(Errno::NoProtoOpt);
  return true;
}

Result<void> PacketSocket::set_number(int name, int value) {
  bool const shapes_ring = name == PACKET_VERSION || name == PACKET_RESERVE;
  if (shapes_ring && queue_->ring()) return fail(Errno::Busy);
  switch (name) {
    case PACKET_VERSION:
      if (!ring_header_size(value)) return fail(Errno::Inval);
      ring_.with([&](Ring& r) { r.version = value; });
      return {};
    case PACKET_RESERVE:
      if (value < 0) return fail(Errno::Inval);
      ring_.with([&](Ring& r) { r.reserve = static_cast<uint32_t>(value); });
      return {};
    case PACKET_AUXDATA:
      auxiliary_ = value != 0;
      return {};
    case PACKET_ORIGDEV:
      original_device_ = value != 0;
      return {};
    case PACKET_LOSS:
      loss_ = value != 0;
      return {};
    case PACKET_QDISC_BYPASS:
      qdisc_bypass_ = value != 0;
      return {};
    case PACKET_COPY_THRESH:
      copy_threshold_ = value;
      return {};
    case PACKET_TIMESTAMP:
      timestamp_ = value;
      return {};
    default:  // PACKET_IGNORE_OUTGOING
      if (value < 0 || value > 1) return fail(Errno::Inval);
      queue_->ignore_outgoing(value != 0);
      return {};
  }
}

// The links deliver all that reaches them; what is asked for is checked and counted.
Result<void> PacketSocket::set_membership(bool add, OptionValue value) {
  if (value.size() < sizeof(packet_mreq)) return fail(Errno::Inval);
  auto const wanted = TRY(option_value<packet_mreq>(value));
  if (wanted.mr_alen > sizeof wanted.mr_address) return fail(Errno::Inval);
  auto const* const interface = stack().interface(static_cast<uint32_t>(wanted.mr_ifindex));
  auto const same = [&](Membership const& m) {
    return m.what.mr_ifindex == wanted.mr_ifindex && m.what.mr_type == wanted.mr_type &&
           m.what.mr_alen == wanted.mr_alen &&
           std::equal(wanted.mr_address, wanted.mr_address + wanted.mr_alen, m.what.mr_address);
  };
  return memberships_.with([&](std::vector<Membership>& all) -> Result<void> {
    constexpr size_t most = 64;
    auto const known = std::ranges::find_if(all, same);
    if (!add) {
      if (known != all.end() && --known->count == 0) all.erase(known);
      return {};
    }
    if (!interface) return fail(Errno::NoDev);
    bool const is_address = wanted.mr_type == PACKET_MR_MULTICAST || wanted.mr_type == PACKET_MR_UNICAST;
    constexpr uint16_t address_size = std::tuple_size_v<netstack::HardwareAddress>;
    if (wanted.mr_alen > address_size || (is_address && wanted.mr_alen != address_size)) return fail(Errno::Inval);
    if (known != all.end()) {
      ++known->count;
      return {};
    }
    if (all.size() == most) return fail(Errno::NoBufs);
    all.push_back({wanted, 1});
    return {};
  });
}

Result<void> PacketSocket::set_ring(Task& task, OptionValue value) {
  auto const shape = TRY(option_value<tpacket_req>(value));
  if (shape.tp_block_nr == 0) {
    if (shape.tp_frame_nr != 0) return fail(Errno::Inval);
    return queue_->set_ring({});
  }
  if (queue_->ring()) return fail(Errno::Busy);
  auto const how = ring_.with([](Ring const& r) { return r; });
  auto& memory = task.kernel().memory_file();
  return queue_->set_ring(TRY(PacketRing::create(memory, static_cast<RingVersion>(how.version), shape, how.reserve)));
}

void PacketSocket::socket_option_changed(int name, int) {
  if (name == SO_RCVBUF || name == SO_RCVBUFFORCE)
    queue_->set_receive_limit(static_cast<size_t>(receive_buffer_.load()));
}

Result<void> PacketSocket::set_filter(Ref<kernel::bpf::SocketFilter> const& program) {
  queue_->set_filter(program);
  return {};
}

}  // namespace cofferdam::inet

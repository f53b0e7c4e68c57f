#include "socket/inet/packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>

#include <algorithm>

#include "kernel/task/task.h"

namespace cofferdam::inet {

using kernel::IoSink;
using kernel::IoSource;
using kernel::ReceiveResult;
using kernel::SendRequest;
using kernel::SocketAddress;
using kernel::Task;
using netstack::Chunk;
using netstack::Interface;
using netstack::Packet;
using netstack::PacketTap;
using netstack::TappedPacket;
using netstack::View;

namespace {

constexpr size_t largest_packet = link_header_size + 65536 + 4;  // the loopback's, with a VLAN tag

Result<sockaddr_ll> parse_link_address(SocketAddress const& a) {
  sockaddr_ll to;
  if (a.length < sizeof to) return fail(Errno::Inval);
  std::memcpy(&to, &a.storage, sizeof to);
  return to;
}

SocketAddress to_socket_address(sockaddr_ll const& from, uint32_t length) {
  SocketAddress a;
  std::memcpy(&a.storage, &from, sizeof from);
  a.length = length;
  return a;
}

}  // namespace

// What the stack holds; the socket may be gone while it is told.
class PacketSocket::Tap final : public PacketTap {
 public:
  Tap(uint16_t ether_type, uint32_t interface, Ref<PacketQueue> queue)
      : PacketTap(ether_type, interface), queue_(std::move(queue)) {}
  void on_packet(TappedPacket const& about, Packet const& packet) override { queue_->add(about, packet); }
  void after_packets() override { queue_->wake(); }

 private:
  Ref<PacketQueue> const queue_;
};

PacketSocket::PacketSocket(Task& creator, std::shared_ptr<Network> network, Ref<PacketSockets> all, int type,
                           uint16_t ether_type, int flags)
    : InetSocket(creator, std::move(network), AF_PACKET, type, 0, flags),
      all_(std::move(all)),
      queue_(make_ref<PacketQueue>(stack(), notifier_, type == SOCK_DGRAM)),
      uid_(creator.credentials()->fsuid) {
  listen_to(ether_type, 0);
  all_->opened(*this);
}

PacketSocket::~PacketSocket() {
  all_->closed(*this);
  listen_to(0, 0);
}

// --- names ---

void PacketSocket::listen_to(uint16_t ether_type, uint32_t interface) {
  hook_.with([&](Hook& h) {
    if (h.tap && h.ether_type == ether_type && h.interface == interface) return;
    if (h.tap) stack().remove_tap(*h.tap);
    h = {ether_type, interface, {}};
    if (ether_type == 0) return;
    h.tap = make_ref<Tap>(ether_type, interface, queue_);
    stack().add_tap(h.tap);
  });
}

// A protocol of 0 is that of before. An interface that is down is listened to, and the socket told.
Result<void> PacketSocket::bind(Task&, SocketAddress const& address) {
  auto const to = TRY(parse_link_address(address));
  if (to.sll_family != AF_PACKET) return fail(Errno::Inval);
  auto const index = static_cast<uint32_t>(to.sll_ifindex);
  auto* const interface = index == 0 ? nullptr : stack().interface(index);
  if (index != 0 && !interface) return fail(Errno::NoDev);
  uint16_t const before = hook_.with([](Hook const& h) { return h.ether_type; });
  listen_to(to.sll_protocol != 0 ? ntohs(to.sll_protocol) : before, index);
  if (interface && !interface->up()) pending_error_ = ENETDOWN;
  return {};
}

Result<SocketAddress> PacketSocket::local_address() {
  auto const [ether_type, index] = hook_.with([](Hook const& h) { return std::pair(h.ether_type, h.interface); });
  sockaddr_ll a{};
  if (auto const* i = index == 0 ? nullptr : stack().interface(index)) a = link_address(*i);
  a.sll_family = AF_PACKET;
  a.sll_protocol = htons(ether_type);
  return to_socket_address(a, static_cast<uint32_t>(offsetof(sockaddr_ll, sll_addr) + a.sll_halen));
}

PacketSocket::Summary PacketSocket::summary() const {
  Summary s;
  hook_.with([&](Hook const& h) {
    s.ether_type = h.ether_type;
    s.interface = h.interface;
    s.running = static_cast<bool>(h.tap);
  });
  s.queued = queue_->queued_bytes();
  s.uid = uid_;
  ring_.with([&](Ring const& r) {
    s.version = r.version;
    s.reserve = r.reserve;
  });
  s.copy_threshold = static_cast<uint32_t>(copy_threshold_.load());
  s.auxiliary = auxiliary_;
  s.original_device = original_device_;
  s.has_ring = static_cast<bool>(queue_->ring());
  return s;
}

// --- sending (packet_snd of Linux) ---

Result<PacketSocket::Destination> PacketSocket::destination_of(SendRequest const& request) const {
  Destination d;
  uint32_t index = 0;
  if (request.address.length == 0) {
    hook_.with([&](Hook const& h) {
      index = h.interface;
      d.header.type = h.ether_type;
    });
  } else {
    auto const to = TRY(parse_link_address(request.address));
    if (request.address.length < offsetof(sockaddr_ll, sll_addr) + to.sll_halen) return fail(Errno::Inval);
    index = static_cast<uint32_t>(to.sll_ifindex);
    d.header.type = ntohs(to.sll_protocol);
    if (to.sll_halen >= d.header.destination.size())
      std::copy_n(std::begin(to.sll_addr), d.header.destination.size(), d.header.destination.begin());
  }
  d.interface = stack().interface(index);
  if (!d.interface) return fail(Errno::NxIo);
  if (!d.interface->up()) return fail(Errno::NetDown);
  d.header.source = d.interface->facts().hardware;
  return d;
}

Result<size_t> PacketSocket::send(Task&, IoSource& from, SendRequest& request) {
  auto const to = TRY(destination_of(request));
  size_t const size = from.remaining();
  bool const cooked = type() == SOCK_DGRAM;
  if (size > largest_packet) return fail(Errno::MsgSize);
  if (!cooked && size < link_header_size) return fail(Errno::Inval);
  auto packet = std::make_unique<Packet>();
  if (size != 0) {
    Chunk* const chunk = Chunk::create(static_cast<uint32_t>(size), &stack().buffers());
    View view = View::adopt(chunk, 0, static_cast<uint32_t>(size));
    if (TRY(from.get(std::span(chunk->data(), size))) < size) return fail(Errno::Fault);
    chunk->set_used(static_cast<uint32_t>(size));
    packet->append(std::move(view));
  }
  if (cooked) to.header.write(packet->push(link_header_size));
  auto const own = hook_.with([](Hook const& h) { return h.tap; });
  TRY(stack().send_frame(*to.interface, std::move(packet), own.get()));
  return size;
}

// --- receiving ---

ReceiveResult PacketSocket::deliver(ArrivedPacket const& p, size_t stored, int flags) const {
  ReceiveResult result;
  result.bytes = flags & MSG_TRUNC ? p.bytes.size() : stored;
  if (stored < p.bytes.size()) result.flags |= MSG_TRUNC;
  result.address = to_socket_address(p.facts.from, sizeof(sockaddr_ll));
  timestamps_.add(p.at, result.control);
  if (auxiliary_) {
    tpacket_auxdata a{};
    a.tp_status = p.facts.status | TP_STATUS_USER;
    a.tp_len = static_cast<uint32_t>(p.facts.whole);
    a.tp_snaplen = static_cast<uint32_t>(p.bytes.size());
    a.tp_net = p.facts.network_offset;
    result.control.others.push_back({SOL_PACKET, PACKET_AUXDATA, option_bytes(a, sizeof a)});
  }
  return result;
}

Result<ReceiveResult> PacketSocket::receive(Task& task, IoSink& to, int flags) {
  if (flags & ~(MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_ERRQUEUE)) return fail(Errno::Inval);
  if (flags & MSG_ERRQUEUE) return fail(Errno::Again);  // nothing is stamped on its way out
  bool const nowait = (flags & MSG_DONTWAIT) || nonblocking();
  auto const deadline = receive_deadline();
  for (;;) {
    if (int const error = pending_error_.exchange(0); error != 0) return fail_host(error);
    auto const p = queue_->take(flags & MSG_PEEK);
    if (p) {
      size_t const n = std::min(p->bytes.size(), to.remaining());
      if (n != 0 && TRY(to.put(std::span(p->bytes).first(n))) < n) return fail(Errno::Fault);
      last_arrival_ = p->at;
      return deliver(*p, n, flags);
    }
    if (nowait) return fail(Errno::Again);
    auto const waited = task.wait_until(
        notifier_->queue, EPOLLIN, deadline, [&] { return queue_->next_size() != 0 || pending_error_ != 0; }, true);
    if (!waited) return std::unexpected(interrupted(waited.error(), receive_has_timeout()));
  }
}

kernel::PollMask PacketSocket::poll() {
  kernel::PollMask m = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
  if (queue_->readable()) m |= EPOLLIN | EPOLLRDNORM;
  if (pending_error_ != 0) m |= EPOLLERR;
  return m;
}

Result<kernel::MapTarget> PacketSocket::map(Task&, kernel::MapRequest const& request) {
  auto const ring = queue_->ring();
  if (!ring) return fail(Errno::Inval);
  auto target = TRY(ring->map(request));
  target.keep_file = Ref<kernel::File>(this);
  return target;
}

Result<uint64_t> PacketSocket::ioctl(Task& task, uint32_t request, uint64_t argument) {
  if (is_stamp_request(request)) return tell_stamp(task, request, argument, last_arrival_.load());
  return InetSocket::ioctl(task, request, argument);
}

}  // namespace cofferdam::inet

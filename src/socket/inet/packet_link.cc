#include "socket/inet/packet_link.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

namespace cofferdam::inet {

using namespace netstack;
using host::FrameHeader;

namespace {

constexpr size_t largest_frame = sizeof(FrameHeader) + EthernetHeader::size + 65536;
static_assert(largest_frame <= BufferPool::chunk_capacity);
constexpr size_t large_frame = largest_frame / 2;
constexpr uint32_t largest_tcp_payload = 61440;  // IPv4 counts a packet's length in 16 bits, with its headers
constexpr size_t tcp_checksum_at = 16, udp_checksum_at = 6;

struct TransportPlace {
  size_t offset = 0;  // in the frame
  uint8_t protocol = 0;
  Address source, destination;
};

// Where the transport header of a frame of ours begins. Ours have no extension headers but those of fragments, which
// are never left to the link.
std::optional<TransportPlace> find_transport(Bytes head) {
  if (head.size() < EthernetHeader::size + 20) return std::nullopt;
  Bytes const ip = head.subspan(EthernetHeader::size);
  TransportPlace place;
  if (load8(ip, 0) >> 4 == 4) {
    place.offset = EthernetHeader::size + (load8(ip, 0) & 0xfu) * 4u;
    place.protocol = load8(ip, 9);
    place.source = Address::v4(load32(ip, 12));
    place.destination = Address::v4(load32(ip, 16));
  } else {
    if (ip.size() < Ipv6Header::size) return std::nullopt;
    place.offset = EthernetHeader::size + Ipv6Header::size;
    place.protocol = load8(ip, 6);
    place.source = Address::v6(ip.subspan(8, 16));
    place.destination = Address::v6(ip.subspan(24, 16));
  }
  return place;
}

// Leaves the checksum, and the cutting, to the link: the field holds the sum of the pseudo header, not complemented.
FrameHeader offload(Packet const& p, MutableBytes head) {
  FrameHeader h;
  if (!p.checksum_verified) return h;
  auto const place = find_transport(head);
  if (!place || (place->protocol != protocol_tcp && place->protocol != protocol_udp)) return h;
  size_t const at = place->protocol == protocol_tcp ? tcp_checksum_at : udp_checksum_at;
  if (place->offset + at + 2 > head.size()) return h;
  Checksum const sum = pseudo_header(place->source, place->destination, place->protocol, p.size() - place->offset);
  store16(head, place->offset + at, static_cast<uint16_t>(~sum.value()));
  h.flags = FrameHeader::needs_checksum;
  h.checksum_start = static_cast<uint16_t>(place->offset);
  h.checksum_offset = static_cast<uint16_t>(at);
  if (p.gso_size != 0 && place->protocol == protocol_tcp && place->offset + 13 <= head.size()) {
    h.segments = place->source.is_v4() ? FrameHeader::tcp_v4 : FrameHeader::tcp_v6;
    h.segment_size = p.gso_size;
    h.header_length = static_cast<uint16_t>(place->offset + (load8(head, place->offset + 12) >> 4) * 4u);
  }
  return h;
}

// Where frames are received: a chunk that goes with a frame that fills the half of it. Smaller ones are copied, for
// what lies in a socket's queue is counted by its bytes.
class Landing {
 public:
  explicit Landing(BufferPool& pool) : pool_(pool) {}
  ~Landing() {
    if (chunk_) chunk_->unref();
  }
  Landing(Landing const&) = delete;
  Landing& operator=(Landing const&) = delete;
  MutableBytes room() {
    if (!chunk_) chunk_ = Chunk::create(largest_frame, &pool_);
    return {chunk_->data(), largest_frame};
  }
  // What was received, but for the first `skip` bytes of it.
  View take(size_t skip, size_t size) {
    auto const offset = static_cast<uint32_t>(skip), length = static_cast<uint32_t>(size - skip);
    if (size < large_frame) return View::copy_of(Bytes(chunk_->data() + offset, length));
    chunk_->set_used(static_cast<uint32_t>(size));
    return View::adopt(std::exchange(chunk_, nullptr), offset, length);
  }

 private:
  BufferPool& pool_;
  Chunk* chunk_ = nullptr;
};

}  // namespace

PacketLink::PacketLink(host::OwnedFd socket, uint32_t mtu, HardwareAddress hardware) : socket_(std::move(socket)) {
  facts_.kind = LinkKind::Ethernet;
  facts_.mtu = mtu;
  facts_.hardware = hardware;
  facts_.gso_max = largest_tcp_payload;
  facts_.checksum_offload = true;
}

PacketLink::~PacketLink() {
  socket_.stop();
  if (receiver_.joinable()) receiver_.join();
}

LinkFacts PacketLink::facts() const { return facts_; }

void PacketLink::transmit(PacketPtr p) {
  std::array<std::byte, Packet::header_room> copy;
  Bytes const head = p->head();
  std::ranges::copy(head, copy.begin());
  FrameHeader header = offload(*p, MutableBytes(copy).first(head.size()));
  absl::InlinedVector<Bytes, 8> pieces;
  pieces.push_back(std::as_bytes(std::span(&header, 1)));
  pieces.push_back(Bytes(copy).first(head.size()));
  for (View const& v : p->payload()) pieces.push_back(v.bytes());
  auto* counters = counters_.load(std::memory_order_acquire);
  if (!socket_.send(pieces) && counters) counters->sent_dropped.fetch_add(1, std::memory_order_relaxed);
}

void PacketLink::start(Stack& stack, Interface& interface) {
  counters_.store(&interface.counters(), std::memory_order_release);
  sigset_t all, old;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &old);
  receiver_ = std::thread([this, &stack, &interface] {
    ::pthread_setname_np(::pthread_self(), interface.name().substr(0, 15).c_str());
    receive_all(stack, interface);
  });
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

void PacketLink::receive_all(Stack& stack, Interface& interface) {
  Landing landing(stack.buffers());
  for (;;) {
    MutableBytes const frame = landing.room();
    auto const received = socket_.receive(frame);
    if (!received) {
      Errno const error = received.error().code;
      if (error != Errno::Again && error != Errno::NetDown) return;
      if (!socket_.wait()) return;  // where the interface is down it may come up again
      continue;
    }
    size_t const size = *received;
    if (size <= sizeof(FrameHeader) || size > frame.size()) {
      interface.counters().received_dropped.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    FrameHeader header;
    std::memcpy(&header, frame.data(), sizeof header);
    auto packet = std::make_unique<Packet>();
    packet->append(landing.take(sizeof header, size));
    packet->checksum_verified = header.flags & (FrameHeader::needs_checksum | FrameHeader::checksum_is_good);
    stack.receive(interface, std::move(packet));
  }
}

}  // namespace cofferdam::inet

// AF_PACKET (packet(7)): what interfaces send and receive, as it is on the link, and frames of a program's own.
#pragma once

#include <set>
#include <string>

#include "socket/inet/inet_socket.h"
#include "socket/inet/packet_queue.h"

namespace cofferdam::inet {

class PacketSocket;

// The packet sockets that are open.
class PacketSockets final : public RefCounted {
 public:
  void opened(PacketSocket&);
  void closed(PacketSocket&);
  std::string text();  // /proc/net/packet
  // packet_diag of sock_diag(7): the bodies of the answers. EINVAL.
  Result<std::vector<kernel::NetlinkBody>> diagnose(std::span<std::byte const> request, bool dump);

 private:
  std::vector<Ref<PacketSocket>> all();
  Mutex mutex_;
  std::set<PacketSocket*> open_ GUARDED_BY(mutex_);
};

class PacketSocket final : public InetSocket {
 public:
  // type: SOCK_RAW, SOCK_DGRAM; ether_type: 0 hears nothing until it is bound.
  PacketSocket(kernel::Task& creator, std::shared_ptr<Network>, Ref<PacketSockets>, int type, uint16_t ether_type,
               int flags);
  ~PacketSocket() override;

  Result<void> bind(kernel::Task&, kernel::SocketAddress const&) override;
  Result<std::vector<std::byte>> get_option_with(kernel::Task&, int level, int name, OptionValue given) override;
  Result<kernel::SocketAddress> local_address() override;
  Result<kernel::SocketAddress> peer_address() override { return fail(Errno::OpNotSupp); }
  Result<size_t> send(kernel::Task&, kernel::IoSource&, kernel::SendRequest&) override;
  Result<kernel::ReceiveResult> receive(kernel::Task&, kernel::IoSink&, int flags) override;
  Result<kernel::MapTarget> map(kernel::Task&, kernel::MapRequest const&) override;
  Result<uint64_t> ioctl(kernel::Task&, uint32_t request, uint64_t argument) override;
  kernel::PollMask poll() override;

  struct Summary {
    uint16_t ether_type = 0;
    uint32_t interface = 0;
    bool running = false;
    size_t queued = 0;
    uint32_t uid = 0;
    int version = 0;
    uint32_t reserve = 0, copy_threshold = 0;
    bool auxiliary = false, original_device = false, has_ring = false;
  };
  Summary summary() const;

 protected:
  int take_error() override { return pending_error_.exchange(0); }
  Result<int> input_queue() override { return static_cast<int>(queue_->next_size()); }
  Result<int> output_queue() override { return 0; }  // what was sent has left
  Result<std::optional<std::vector<std::byte>>> get_own_option(int level, int name, size_t room) override;
  Result<bool> set_own_option(kernel::Task&, int level, int name, OptionValue) override;
  void socket_option_changed(int name, int value) override;
  Result<void> set_filter(Ref<kernel::bpf::SocketFilter> const&) override;
  bool bound() const override { return false; }
  void set_bound_interface(uint32_t) override {}
  std::pair<size_t, size_t> queued_bytes() const override { return {queue_->queued_bytes(), 0}; }

 private:
  class Tap;
  struct Hook {  // what it listens to; interface 0: all
    uint16_t ether_type = 0;
    uint32_t interface = 0;
    Ref<Tap> tap;  // null: nothing
  };
  struct Destination {
    netstack::Interface* interface = nullptr;
    netstack::EthernetHeader header;  // for SOCK_DGRAM
  };
  void listen_to(uint16_t ether_type, uint32_t interface);
  Result<Destination> destination_of(kernel::SendRequest const&) const;
  kernel::ReceiveResult deliver(ArrivedPacket const&, size_t stored, int flags) const;
  // packet_options.cc
  Result<void> set_membership(bool add, OptionValue);
  Result<void> set_ring(kernel::Task&, OptionValue);
  Result<void> set_number(int name, int value);

  Ref<PacketSockets> const all_;
  Ref<PacketQueue> const queue_;
  uint32_t const uid_;
  Guarded<Hook> hook_;
  struct Ring {  // how the next one is made
    int version = TPACKET_V1;
    uint32_t reserve = 0;
  };
  Guarded<Ring> ring_;
  struct Membership {
    packet_mreq what;
    uint32_t count = 0;
  };
  Guarded<std::vector<Membership>> memberships_;
  std::atomic<bool> auxiliary_{false}, original_device_{false}, loss_{false}, qdisc_bypass_{false};
  std::atomic<int> copy_threshold_{0}, timestamp_{0}, pending_error_{0};
  std::atomic<netstack::Time> last_arrival_{0};
};

}  // namespace cofferdam::inet

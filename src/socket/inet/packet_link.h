// A link over a packet socket of the host's (packet(7)) that is bound to an Ethernet interface: the container's veth.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "host/packet_socket.h"
#include "netstack/stack.h"

namespace cofferdam::inet {

// Each frame has a FrameHeader. With it the host leaves
// checksums and the cutting of large TCP segments to the last link of the way, in both directions.
class PacketLink final : public netstack::Link {
 public:
  PacketLink(host::OwnedFd socket, uint32_t mtu, netstack::HardwareAddress hardware);
  ~PacketLink() override;
  netstack::LinkFacts facts() const override;
  // Drops the packet where the host has no room.
  void transmit(netstack::PacketPtr) override;
  // Hands what arrives to the stack from now on, on a thread of its own.
  void start(netstack::Stack&, netstack::Interface&);

 private:
  void receive_all(netstack::Stack&, netstack::Interface&);

  host::PacketSocket socket_;
  netstack::LinkFacts facts_;
  std::atomic<netstack::InterfaceCounters*> counters_{nullptr};  // null: not started
  std::thread receiver_;
};

}  // namespace cofferdam::inet

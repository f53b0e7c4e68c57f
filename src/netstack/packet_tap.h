// Those who watch the packets of interfaces: packet(7), captures.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/ref.h"
#include "netstack/headers.h"
#include "netstack/packet.h"
#include "netstack/time.h"

namespace cofferdam::netstack {

class Interface;

enum class TapKind : uint8_t { ToThisHost = 0, Broadcast, Multicast, ToAnother, Outgoing };  // PACKET_HOST …

struct TappedPacket {
  Interface& interface;
  TapKind kind = TapKind::ToThisHost;
  // What stands before the packet; on links without link headers it is made up, with addresses of zeros.
  EthernetHeader link;
  Time at = 0;
};

class PacketTap : public RefCounted {
 public:
  static constexpr uint16_t every_protocol = 3;  // ETH_P_ALL
  // interface 0: all. A tap for one protocol sees what arrives, one for all of them also what leaves.
  PacketTap(uint16_t protocol, uint32_t interface) : protocol_(protocol), interface_(interface) {}
  // A packet, which begins behind its link header. Checksums of what leaves may be missing and its segments uncut
  // (checksum_verified, gso_size). Called with locks of the stack held: it may not call back, only keep a copy.
  virtual void on_packet(TappedPacket const&, Packet const&) = 0;
  // Later, without any lock: tell whoever waits.
  virtual void after_packets() {}

 private:
  friend class Stack;
  uint16_t const protocol_;
  uint32_t const interface_;
  std::atomic<bool> waiting_{false};
};

}  // namespace cofferdam::netstack

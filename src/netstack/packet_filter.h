// The place where packets may be looked at, changed and dropped on their way through the stack: what a packet filter
// with connection tracking and address translation stands on. There is none yet.
#pragma once

#include <cstdint>

#include "netstack/packet.h"

namespace cofferdam::netstack {

class Interface;

// Linux's hooks, but for forwarding, which this stack does not do.
enum class FilterHook : uint8_t {
  Arrived,     // NF_INET_PRE_ROUTING: it may change where the packet goes
  ToThisHost,  // NF_INET_LOCAL_IN
  FromHere,    // NF_INET_LOCAL_OUT: the same, for what this host sends; the way is chosen anew if it did
  Leaving,     // NF_INET_POST_ROUTING: it may change where the packet seems to come from
};
enum class Verdict : uint8_t { Accept, Drop };

class PacketFilter {
 public:
  virtual ~PacketFilter() = default;
  // `packet` begins with the IP header and is whole, not a fragment; bytes are changed by pulling headers and pushing
  // others, with right IP checksums; a transport checksum counts only where checksum_verified is not set. in, out: null
  // where that is not known yet. Called with locks of the stack held: it may not call back.
  virtual Verdict filter(FilterHook, Interface* in, Interface* out, Packet& packet) = 0;
};

}  // namespace cofferdam::netstack

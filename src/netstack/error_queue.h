// What an endpoint's user is told beside the stream of datagrams: the errors of IP_RECVERR (ip(7)), timestamps of what
// was sent.
#pragma once

#include <cstdint>
#include <vector>

#include "netstack/address.h"
#include "netstack/time.h"

namespace cofferdam::netstack {

enum class ErrorOrigin : uint8_t { None, Local, Icmp, IcmpV6, Timestamp, ZeroCopy };  // SO_EE_ORIGIN_*

struct ErrorRecord {
  int error = 0;
  ErrorOrigin origin = ErrorOrigin::None;
  uint8_t type = 0, code = 0;
  uint32_t info = 0, data = 0;  // the MTU of EMSGSIZE
  Address offender;             // who says so; ::: nobody
  Peer destination;             // of the packet that it is about
  std::vector<std::byte> payload;
  Time at = 0;
  uint32_t interface = 0;
};

}  // namespace cofferdam::netstack

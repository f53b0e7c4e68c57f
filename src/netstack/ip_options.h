// Options of IPv4 headers that arrive (RFC 791 3.1, RFC 7126), as Linux's ip_options_compile reads them.
#pragma once

#include <optional>
#include <vector>

#include "netstack/address.h"
#include "netstack/time.h"

namespace cofferdam::netstack {

struct Ipv4Options {
  std::optional<size_t> error;  // where in the header something makes no sense
  bool source_route = false;
  bool router_alert = false;
  // Those that an answer takes along, where this host has entered itself: record route and timestamps.
  std::vector<std::byte> for_answer;
};

// Enters `own` and the time of day (in ms since midnight, UTC) where the options ask for it. `options`: behind the
// fixed header.
Ipv4Options read_ipv4_options(MutableBytes options, Address const& own, uint32_t time_of_day);

}  // namespace cofferdam::netstack

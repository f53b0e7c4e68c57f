// What a sandbox takes over of its container's network namespace, and its form on the startup channel.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/outcome.h"
#include "host/fd.h"
#include "socket/inet/register.h"

namespace cofferdam::sentry {

struct NetworkSetup {
  std::vector<inet::HostLink> links;
  std::vector<netstack::Route> routes;  // interface: 1 for the first link, and so on
};

// Lines: "link NAME MTU HARDWARE autoconf|static ADDRESS/LENGTH…" and "route LINK DESTINATION/LENGTH GATEWAY SOURCE
// METRIC". The sockets of the links go beside it, in their order.
std::string print(NetworkSetup const&);
Outcome<NetworkSetup> parse_network(std::string_view text, std::vector<host::OwnedFd> sockets);

// Of its text form. `::ffff:10.0.0.1` and `10.0.0.1` are the same.
Outcome<netstack::Address> parse_address(std::string const& text);
Outcome<netstack::Prefix> parse_prefix(std::string const& text);

}  // namespace cofferdam::sentry

// The files of /proc/net that tell of interfaces, routes and sockets (proc(5)).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cofferdam::netstack {
class Stack;
}

namespace cofferdam::inet {

std::optional<std::string> proc_net(netstack::Stack&, std::string_view file);

}  // namespace cofferdam::inet

// Requests of NETLINK_ROUTE and of sock_diag(7) for a stack with a link, a listener and routes: an input is a list of
// them, each with a byte that says whom to ask. What is changed meets what is asked later.
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include <cstdlib>

#include "netstack_fuzz_host.h"
#include "socket/inet/netlink_answer.h"
#include "socket/inet/route_netlink.h"
#include "socket/inet/sock_diag.h"

using namespace cofferdam;

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  netstack::fuzz::FuzzHost host;
  netstack::Bytes rest = std::as_bytes(std::span(data, size));
  constexpr size_t prefix = 5;  // whom to ask, the kind of request, the flags, the length
  while (rest.size() > prefix) {
    uint8_t const how = netstack::load8(rest, 0);
    nlmsghdr header{};
    header.nlmsg_type = static_cast<uint16_t>(16 + netstack::load8(rest, 1) % 64);
    header.nlmsg_flags =
        static_cast<uint16_t>(NLM_F_REQUEST | netstack::load8(rest, 2) << 8 | (how & 8 ? NLM_F_ACK : 0));
    size_t const length = std::min<size_t>(netstack::load16(rest, 3), rest.size() - prefix);
    auto const body = rest.subspan(prefix, length);
    rest = rest.subspan(prefix + length);
    if (how & 1) {
      auto const told = inet::diagnose(host.stack, body, how & 2);
      if (told && told->empty() && !(how & 2)) std::abort();
      continue;
    }
    inet::NetlinkAnswer answer(1, header);
    answer.acknowledge(inet::answer_route(how & 4, host.stack, body, answer), body);
    for (auto const& message : answer.take())
      if (message.size() < sizeof(nlmsghdr)) std::abort();
  }
  if (host.stack.routes().all().size() > netstack::Routes::max_routes) std::abort();
  return 0;
}

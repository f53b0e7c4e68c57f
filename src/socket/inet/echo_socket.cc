#include "socket/inet/echo_socket.h"

#include <netinet/in.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/task.h"

namespace cofferdam::inet {

using kernel::SocketAddress;
using kernel::Task;
using netstack::Address;
using netstack::Chain;
using netstack::EchoEndpoint;
using netstack::Peer;

Result<void> check_may_ping(Task& task) {
  auto const& sysctls = task.kernel().sysctls();
  uint64_t const low = sysctls.number("net/ipv4/ping_group_range", 0),
                 high = sysctls.number("net/ipv4/ping_group_range", 1);
  auto const fits = [&](uint64_t group) { return low <= group && group <= high; };
  auto const credentials = task.credentials();
  if (fits(credentials->egid) || std::ranges::any_of(credentials->groups, fits)) return {};
  return fail(Errno::Acces);
}

EchoSocket::EchoSocket(Task& creator, std::shared_ptr<Network> network, int domain, int flags)
    : DatagramSocket(creator, std::move(network), domain, SOCK_DGRAM,
                     domain == AF_INET ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6}, flags),
      endpoint_(make_ref<EchoEndpoint>(stack(), domain == AF_INET, notifier_)) {
  endpoint_->owner.inode = inode_number();
  endpoint_->owner.uid = creator.credentials()->fsuid;
}

EchoSocket::~EchoSocket() { endpoint_->close(); }

Result<void> EchoSocket::bind(Task& task, SocketAddress const& address) {
  auto const peer = TRY(parse(address, AddressUse::Bind));
  if (!is_v4() && peer.address.is_v4()) return fail(Errno::AddrNotAvail);
  auto request = TRY(bind_request(task, {peer.address, 0, 0}));
  request.port = peer.port;  // an identifier: none is reserved
  return endpoint_->bind(request);
}

Result<void> EchoSocket::connect(Task& task, SocketAddress const& address) {
  if (address.length >= sizeof(sa_family_t) && address.family() == AF_UNSPEC) {
    endpoint_->disconnect();
    return {};
  }
  auto const peer = TRY(parse(address, AddressUse::Connect));
  return endpoint_->connect(peer, TRY(bind_request(task, {Address::any(is_v4()), 0, 0})));
}

Result<size_t> EchoSocket::transmit(Task& task, Chain message, std::optional<Peer> to, SendParameters const& parameters,
                                    int flags) {
  if (flags & MSG_MORE) return fail(Errno::OpNotSupp);
  netstack::BindRequest defaults;  // looked at by who is not bound
  if (!bound()) defaults = TRY(bind_request(task, {Address::any(is_v4()), 0, 0}));
  return endpoint_->send(std::move(message), to, parameters.options, defaults);
}

}  // namespace cofferdam::inet

#include "socket/inet/inet_socket.h"

#include <linux/capability.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "socket/inet/interface_ioctl.h"

namespace cofferdam::inet {

using kernel::SocketAddress;
using kernel::Task;
using kernel::UserPtr;
using netstack::Address;
using netstack::Peer;

namespace {

constexpr uint32_t old_sockaddr_in6 = 24;  // without the scope

Address v6_of(in6_addr const& a) { return Address::v6(std::as_bytes(std::span(&a, 1))); }

}  // namespace

SocketAddress to_sockaddr(Peer const& p, int family) {
  SocketAddress a;
  if (family == AF_INET) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(p.port);
    in.sin_addr.s_addr = htonl(p.address.is_v4() ? p.address.v4() : 0);
    std::memcpy(&a.storage, &in, sizeof in);
    a.length = sizeof in;
    return a;
  }
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(p.port);
  in.sin6_scope_id = p.scope;
  std::memcpy(&in.sin6_addr, p.address.bytes().data(), sizeof in.sin6_addr);
  std::memcpy(&a.storage, &in, sizeof in);
  a.length = sizeof in;
  return a;
}

InetSocket::InetSocket(Task& creator, std::shared_ptr<Network> network, int domain, int type, int protocol, int flags)
    : Socket(creator.kernel().ipc().allocate_inode(), domain, type, protocol, flags, *creator.credentials()),
      network_(std::move(network)),
      notifier_(make_ref<Notifier>()) {}

Result<Peer> InetSocket::parse(SocketAddress const& a, AddressUse use) const {
  if (a.length < sizeof(sa_family_t)) return fail(Errno::Inval);
  if (is_v4()) {
    if (a.length < sizeof(sockaddr_in)) return fail(Errno::Inval);
    sockaddr_in in;
    std::memcpy(&in, &a.storage, sizeof in);
    bool any = in.sin_addr.s_addr == 0;
    if (in.sin_family != AF_INET && !(use == AddressUse::Bind && in.sin_family == AF_UNSPEC && any))
      return fail(Errno::AfNoSupport);
    return Peer{Address::v4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port), 0};
  }
  if (a.family() == AF_INET && use == AddressUse::Connect && type() == SOCK_DGRAM && protocol() == IPPROTO_UDP) {
    if (a.length < sizeof(sockaddr_in)) return fail(Errno::Inval);
    if (ip_.v6_only) return fail(Errno::NetUnreach);
    sockaddr_in in;
    std::memcpy(&in, &a.storage, sizeof in);
    return Peer{Address::v4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port), 0};
  }
  if (a.length < old_sockaddr_in6) return fail(Errno::Inval);
  if (a.family() != AF_INET6) return fail(Errno::AfNoSupport);
  sockaddr_in6 in{};
  std::memcpy(&in, &a.storage, std::min<size_t>(a.length, sizeof in));
  Address address = v6_of(in.sin6_addr);
  if (address.is_v4() && ip_.v6_only) return fail(use == AddressUse::Bind ? Errno::Inval : Errno::NetUnreach);
  bool const local = !address.is_v4() && (address.is_link_local() || address.is_multicast());
  uint32_t scope = local ? in.sin6_scope_id : 0;
  if (address.is_link_local() && !address.is_v4() && scope == 0 && bound_interface_ == 0) return fail(Errno::Inval);
  return Peer{address, ntohs(in.sin6_port), scope};
}

Result<netstack::BindRequest> InetSocket::bind_request(Task& task, Peer const& p) const {
  auto const& sysctls = task.kernel().sysctls();
  if (p.port != 0 && p.port < sysctls.number("net/ipv4/ip_unprivileged_port_start") &&
      !task.capable(CAP_NET_BIND_SERVICE))
    return fail(Errno::Acces);
  netstack::BindRequest r;
  r.local = p.address;
  r.port = p.port;
  r.v6_only = ip_.v6_only;
  r.reuse_address = reuse_address_;
  r.reuse_port = reuse_port_;
  r.uid = task.credentials()->euid;
  bool const four = p.address.is_v4();
  r.any_address = ip_.flags.get(IP_FREEBIND) || ip_.flags.get(IP_TRANSPARENT) ||
                  (!four && (ip_.flags6.get(ipv6_freebind) || ip_.flags6.get(IPV6_TRANSPARENT))) ||
                  sysctls.number(four ? "net/ipv4/ip_nonlocal_bind" : "net/ipv6/ip_nonlocal_bind") != 0;
  r.address_only = p.port == 0 && ip_.flags.get(IP_BIND_ADDRESS_NO_PORT);
  r.first_port = static_cast<uint16_t>(sysctls.number("net/ipv4/ip_local_port_range", 0));
  r.last_port = static_cast<uint16_t>(sysctls.number("net/ipv4/ip_local_port_range", 1));
  uint32_t const range = ip_.port_range;  // within the system's
  if ((range & 0xffff) != 0) r.first_port = std::max(r.first_port, static_cast<uint16_t>(range & 0xffff));
  if (range >> 16 != 0) r.last_port = std::min(r.last_port, static_cast<uint16_t>(range >> 16));
  return r;
}

void InetSocket::note_zero_copy() {
  if (!zero_copy_) return;
  zero_copies_.note();
  notifier_->on_events(netstack::event_error);
}

// --- options ---

Result<std::vector<std::byte>> InetSocket::get_option(Task& task, int level, int name, size_t room) {
  if (auto own = TRY(get_own_option(level, name, room))) return std::move(*own);
  if (level == IPPROTO_IP) return get_ip_option(name, room);
  if (level == IPPROTO_IPV6 && !is_v4()) return get_ipv6_option(name, room);
  if (level != SOL_SOCKET) return fail(level == IPPROTO_IPV6 ? Errno::OpNotSupp : Errno::NoProtoOpt);
  if (auto value = TRY(get_socket_level(name, room))) return std::move(*value);
  return Socket::get_option(task, level, name, room);
}

Result<std::vector<std::byte>> InetSocket::get_option_with(Task&, int level, int name, OptionValue given) {
  bool const filter = (level == IPPROTO_IP && (name == IP_MSFILTER || name == MCAST_MSFILTER)) ||
                      (level == IPPROTO_IPV6 && name == MCAST_MSFILTER && !is_v4());
  if (!filter) return fail(Errno::NoProtoOpt);
  return get_filter(level, name, given);
}

Result<void> InetSocket::set_option(Task& task, int level, int name, OptionValue value) {
  if (TRY(set_own_option(task, level, name, value))) return {};
  if (level == IPPROTO_IP) {
    TRY(set_ip_option(task, name, value));
    ip_options_changed();
    return {};
  }
  if (level == IPPROTO_IPV6 && !is_v4()) {
    TRY(set_ipv6_option(task, name, value));
    ip_options_changed();
    return {};
  }
  if (level != SOL_SOCKET) return fail(Errno::NoProtoOpt);
  if (TRY(set_socket_level(task, name, value))) return {};
  TRY(Socket::set_option(task, level, name, value));
  int number = value.size() >= sizeof(int) ? TRY(option_value<int>(value)) : 0;
  if (name == SO_REUSEADDR) reuse_address_ = number != 0;
  if (name == SO_REUSEPORT) reuse_port_ = number != 0;
  socket_option_changed(name, number);
  return {};
}

// --- ioctls (netdevice(7), tcp(7), udp(7)) ---

Result<uint64_t> InetSocket::ioctl(Task& task, uint32_t request, uint64_t argument) {
  switch (request) {
    case SIOCINQ:
      TRY(task.write(UserPtr<int32_t>(argument), int32_t{TRY(input_queue())}));
      return 0;
    case SIOCOUTQ:
      TRY(task.write(UserPtr<int32_t>(argument), int32_t{TRY(output_queue())}));
      return 0;
    default:
      return interface_ioctl(task, stack(), request, argument);
  }
}

}  // namespace cofferdam::inet

#include "socket/inet/inet_socket.h"

#include <linux/capability.h>
#include <linux/sockios.h>
#include <net/if.h>
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
constexpr uint16_t first_free_port = 1024;

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
  if (a.family() == AF_INET && use == AddressUse::Connect && type() == SOCK_DGRAM) {
    if (a.length < sizeof(sockaddr_in)) return fail(Errno::Inval);
    if (v6_only_) return fail(Errno::NetUnreach);
    sockaddr_in in;
    std::memcpy(&in, &a.storage, sizeof in);
    return Peer{Address::v4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port), 0};
  }
  if (a.length < old_sockaddr_in6) return fail(Errno::Inval);
  if (a.family() != AF_INET6) return fail(Errno::AfNoSupport);
  sockaddr_in6 in{};
  std::memcpy(&in, &a.storage, std::min<size_t>(a.length, sizeof in));
  Address address = v6_of(in.sin6_addr);
  if (address.is_v4() && v6_only_) return fail(use == AddressUse::Bind ? Errno::Inval : Errno::NetUnreach);
  uint32_t scope = address.is_link_local() && !address.is_v4() ? in.sin6_scope_id : 0;
  if (address.is_link_local() && !address.is_v4() && scope == 0 && bound_interface_ == 0) return fail(Errno::Inval);
  return Peer{address, ntohs(in.sin6_port), scope};
}

Result<netstack::BindRequest> InetSocket::bind_request(Task& task, Peer const& p) const {
  if (p.port != 0 && p.port < first_free_port && !task.capable(CAP_NET_BIND_SERVICE)) return fail(Errno::Acces);
  netstack::BindRequest r;
  r.local = p.address;
  r.port = p.port;
  r.v6_only = v6_only_;
  r.reuse_address = reuse_address_;
  r.reuse_port = reuse_port_;
  r.uid = task.credentials()->euid;
  return r;
}

// --- options ---

Result<std::vector<std::byte>> InetSocket::get_option(Task& task, int level, int name, size_t room) {
  if (auto own = TRY(get_own_option(level, name, room))) return std::move(*own);
  if (level == IPPROTO_IP) return get_ip_option(name, room);
  if (level == IPPROTO_IPV6 && !is_v4()) return get_ipv6_option(name, room);
  if (level != SOL_SOCKET) return fail(level == IPPROTO_IPV6 ? Errno::OpNotSupp : Errno::NoProtoOpt);
  if (name == SO_BINDTODEVICE) {
    auto* i = bound_interface_ == 0 ? nullptr : stack().interface(bound_interface_.load());
    if (!i) return std::vector<std::byte>();
    auto text = std::as_bytes(std::span(i->name().c_str(), i->name().size() + 1));
    if (room < text.size()) return fail(Errno::Inval);
    return std::vector<std::byte>(text.begin(), text.end());
  }
  return Socket::get_option(task, level, name, room);
}

Result<void> InetSocket::set_option(Task& task, int level, int name, std::span<std::byte const> value) {
  if (TRY(set_own_option(task, level, name, value))) return {};
  if (level == IPPROTO_IP) {
    TRY(set_ip_option(name, value));
    ip_options_changed();
    return {};
  }
  if (level == IPPROTO_IPV6 && !is_v4()) {
    TRY(set_ipv6_option(name, value));
    ip_options_changed();
    return {};
  }
  if (level != SOL_SOCKET) return fail(Errno::NoProtoOpt);
  if (name == SO_BINDTODEVICE) {
    std::string wanted(value.size(), 0);
    std::memcpy(wanted.data(), value.data(), value.size());
    wanted.resize(std::min<size_t>(wanted.find('\0'), IFNAMSIZ - 1 < wanted.size() ? IFNAMSIZ - 1 : wanted.size()));
    if (bound_interface_ != 0 && !task.capable(CAP_NET_RAW)) return fail(Errno::Perm);
    auto* i = wanted.empty() ? nullptr : stack().interface(std::string_view(wanted));
    if (!wanted.empty() && !i) return fail(Errno::NoDev);
    bound_interface_ = i ? i->index() : 0;
    set_bound_interface(bound_interface_);
    return {};
  }
  TRY(Socket::set_option(task, level, name, value));
  int number = value.size() >= sizeof(int) ? TRY(option_value<int>(value)) : 0;
  if (name == SO_REUSEADDR) reuse_address_ = number != 0;
  if (name == SO_REUSEPORT) reuse_port_ = number != 0;
  socket_option_changed(name, number);
  return {};
}

namespace {

// IP-level options may be given as a byte or as an int.
Result<int> small_value(std::span<std::byte const> bytes) {
  if (bytes.empty()) return fail(Errno::Inval);
  if (bytes.size() < sizeof(int)) return static_cast<int>(bytes[0]);
  return option_value<int>(bytes);
}

}  // namespace

Result<std::vector<std::byte>> InetSocket::get_ip_option(int name, size_t room) {
  int value;
  switch (name) {
    case IP_TOS:
      value = tos_;
      break;
    case IP_TTL:
      value = ttl_ != 0 ? ttl_.load() : stack().settings().default_ttl.load();
      break;
    case IP_MULTICAST_TTL:
      value = multicast_ttl_;
      break;
    case IP_MULTICAST_LOOP:
      value = multicast_loop_;
      break;
    case IP_MTU_DISCOVER:
      value = mtu_discover_;
      break;
    case IP_MTU:
      if (!peer_address()) return fail(Errno::NotConn);
      value = static_cast<int>(path_mtu());
      break;
    case IP_PKTINFO:
      value = receive_info_;
      break;
    case IP_RECVTTL:
      value = receive_ttl_;
      break;
    case IP_RECVTOS:
      value = receive_tos_;
      break;
    case IP_RECVERR:
      value = 0;
      break;
    default:
      return fail(Errno::NoProtoOpt);
  }
  if (room > 0 && room < sizeof(int) && value >= 0 && value <= 255) return option_bytes(static_cast<uint8_t>(value), 1);
  return option_bytes(value, room);
}

Result<void> InetSocket::set_ip_option(int name, std::span<std::byte const> bytes) {
  int value = TRY(small_value(bytes));
  switch (name) {
    case IP_TOS:
      tos_ = static_cast<uint8_t>(value);
      return {};
    case IP_TTL:
      if (value != -1 && (value < 1 || value > 255)) return fail(Errno::Inval);
      ttl_ = value == -1 ? uint8_t{0} : static_cast<uint8_t>(value);
      return {};
    case IP_MULTICAST_TTL:
      if (type() == SOCK_STREAM) return fail(Errno::Inval);
      if (value < -1 || value > 255) return fail(Errno::Inval);
      multicast_ttl_ = value == -1 ? uint8_t{1} : static_cast<uint8_t>(value);
      return {};
    case IP_MULTICAST_LOOP:
      multicast_loop_ = value != 0;
      return {};
    case IP_MTU_DISCOVER:
      if (value < IP_PMTUDISC_DONT || value > IP_PMTUDISC_OMIT) return fail(Errno::Inval);
      mtu_discover_ = value;
      return {};
    case IP_PKTINFO:
      receive_info_ = value != 0;
      return {};
    case IP_RECVTTL:
      receive_ttl_ = value != 0;
      return {};
    case IP_RECVTOS:
      receive_tos_ = value != 0;
      return {};
    case IP_RECVERR:  // an error queue is not there yet: only "no" is true
      if (value == 0) return {};
      return fail(Errno::NoProtoOpt);
    default:
      return fail(Errno::NoProtoOpt);
  }
}

Result<std::vector<std::byte>> InetSocket::get_ipv6_option(int name, size_t room) {
  int value;
  switch (name) {
    case IPV6_V6ONLY:
      value = v6_only_;
      break;
    case IPV6_UNICAST_HOPS:
      value = hop_limit_ != 0 ? hop_limit_.load() : stack().settings().default_ttl.load();
      break;
    case IPV6_MULTICAST_HOPS:
      value = multicast_ttl_;
      break;
    case IPV6_TCLASS:
      value = traffic_class_;
      break;
    case IPV6_MTU_DISCOVER:
      value = mtu_discover6_;
      break;
    case IPV6_MTU:
      if (!peer_address()) return fail(Errno::NotConn);
      value = static_cast<int>(path_mtu());
      break;
    case IPV6_RECVPKTINFO:
      value = receive_info6_;
      break;
    case IPV6_RECVHOPLIMIT:
      value = receive_ttl6_;
      break;
    case IPV6_RECVTCLASS:
      value = receive_tos6_;
      break;
    case IPV6_RECVERR:
      value = 0;
      break;
    default:
      return fail(Errno::NoProtoOpt);
  }
  return option_bytes(value, room);
}

Result<void> InetSocket::set_ipv6_option(int name, std::span<std::byte const> bytes) {
  int value = TRY(option_value<int>(bytes));
  switch (name) {
    case IPV6_V6ONLY:
      if (bound()) return fail(Errno::Inval);
      v6_only_ = value != 0;
      return {};
    case IPV6_UNICAST_HOPS:
      if (value < -1 || value > 255) return fail(Errno::Inval);
      hop_limit_ = value <= 0 ? uint8_t{0} : static_cast<uint8_t>(value);
      return {};
    case IPV6_MULTICAST_HOPS:
      if (value < -1 || value > 255) return fail(Errno::Inval);
      multicast_ttl_ = value < 0 ? uint8_t{1} : static_cast<uint8_t>(value);
      return {};
    case IPV6_TCLASS:
      if (value < -1 || value > 255) return fail(Errno::Inval);
      traffic_class_ = value < 0 ? uint8_t{0} : static_cast<uint8_t>(value);
      return {};
    case IPV6_MTU_DISCOVER:
      if (value < IPV6_PMTUDISC_DONT || value > IPV6_PMTUDISC_OMIT) return fail(Errno::Inval);
      mtu_discover6_ = value;
      return {};
    case IPV6_RECVPKTINFO:
      receive_info6_ = value != 0;
      return {};
    case IPV6_RECVHOPLIMIT:
      receive_ttl6_ = value != 0;
      return {};
    case IPV6_RECVTCLASS:
      receive_tos6_ = value != 0;
      return {};
    case IPV6_RECVERR:
      if (value == 0) return {};
      return fail(Errno::NoProtoOpt);
    default:
      return fail(Errno::NoProtoOpt);
  }
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
    case SIOCATMARK:
      if (type() != SOCK_STREAM) return fail(Errno::Inval);
      TRY(task.write(UserPtr<int32_t>(argument), int32_t{0}));
      return 0;
    default:
      return interface_ioctl(task, stack(), request, argument);
  }
}

}  // namespace cofferdam::inet

#include "socket/inet/netlink.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/task.h"

namespace cofferdam::inet {

using kernel::IoSink;
using kernel::IoSource;
using kernel::ReceiveResult;
using kernel::SendRequest;
using kernel::SocketAddress;
using kernel::Task;
using netstack::Address;
using netstack::Interface;
using netstack::Stack;

namespace {

constexpr size_t max_request = 65536, packed = 16384;  // bytes of a dump in one datagram
constexpr size_t max_queued = 4 << 20;

constexpr size_t align(size_t n) { return (n + 3) & ~size_t{3}; }

// Builds netlink messages one behind the other.
class Builder {
 public:
  Builder(uint32_t port, uint32_t sequence) : port_(port), sequence_(sequence) {}
  template <class Fixed>
  void begin(uint16_t type, uint16_t flags, Fixed const& fixed) {
    if (bytes_.size() >= packed) flush();
    start_ = bytes_.size();
    nlmsghdr h{0, type, flags, sequence_, port_};
    append(h);
    append(fixed);
  }
  template <class T>
  void attribute(uint16_t type, T const& value) {
    raw_attribute(type, std::as_bytes(std::span(&value, 1)));
  }
  void text(uint16_t type, std::string const& s) {
    raw_attribute(type, std::as_bytes(std::span(s.c_str(), s.size() + 1)));
  }
  void address(uint16_t type, Address const& a) { raw_attribute(type, a.is_v4() ? a.v4_bytes() : a.bytes()); }
  void raw_attribute(uint16_t type, std::span<std::byte const> value) {
    rtattr a{static_cast<uint16_t>(sizeof(rtattr) + value.size()), type};
    append(a);
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    bytes_.resize(align(bytes_.size()));
  }
  void end() {
    auto length = static_cast<uint32_t>(bytes_.size() - start_);
    std::memcpy(bytes_.data() + start_, &length, sizeof length);
  }
  void flush() {
    if (!bytes_.empty()) done_.push_back(std::move(bytes_));
    bytes_.clear();
  }
  std::vector<std::vector<std::byte>> take() {
    flush();
    return std::move(done_);
  }

 private:
  template <class T>
  void append(T const& value) {
    auto b = std::as_bytes(std::span(&value, 1));
    bytes_.insert(bytes_.end(), b.begin(), b.end());
    bytes_.resize(align(bytes_.size()));
  }
  uint32_t const port_, sequence_;
  std::vector<std::byte> bytes_;
  size_t start_ = 0;
  std::vector<std::vector<std::byte>> done_;
};

void add_link(Builder& b, Interface& i, uint16_t flags) {
  bool lo = i.is_loopback();
  ifinfomsg m{};
  m.ifi_type = lo ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
  m.ifi_index = static_cast<int>(i.index());
  m.ifi_flags = static_cast<unsigned>(lo ? IFF_LOOPBACK : IFF_BROADCAST | IFF_MULTICAST) |
                (i.up() ? static_cast<unsigned>(IFF_UP | IFF_RUNNING) | 0x10000u : 0u);  // IFF_LOWER_UP
  b.begin(RTM_NEWLINK, flags, m);
  b.text(IFLA_IFNAME, i.name());
  b.attribute(IFLA_TXQLEN, uint32_t{1000});
  b.attribute(IFLA_OPERSTATE, uint8_t{lo ? uint8_t{0} : uint8_t{6}});
  b.attribute(IFLA_LINKMODE, uint8_t{0});
  b.attribute(IFLA_MTU, i.mtu());
  b.attribute(IFLA_GROUP, uint32_t{0});
  b.attribute(IFLA_CARRIER, uint8_t{1});
  b.text(IFLA_QDISC, "noqueue");
  b.attribute(IFLA_ADDRESS, i.facts().hardware);
  b.attribute(IFLA_BROADCAST, lo ? netstack::HardwareAddress{} : netstack::hardware_broadcast);
  auto& c = i.counters();
  rtnl_link_stats64 s{};
  s.rx_packets = c.received_packets;
  s.tx_packets = c.sent_packets;
  s.rx_bytes = c.received_bytes;
  s.tx_bytes = c.sent_bytes;
  s.rx_errors = c.received_errors;
  s.rx_dropped = c.received_dropped;
  s.tx_dropped = c.sent_dropped;
  b.attribute(IFLA_STATS64, s);
  b.end();
}

void add_addresses(Builder& b, Interface& i, uint8_t family) {
  for (auto const& a : i.addresses()) {
    bool four = a.prefix.address.is_v4();
    if (family != AF_UNSPEC && family != (four ? AF_INET : AF_INET6)) continue;
    ifaddrmsg m{};
    m.ifa_family = four ? AF_INET : AF_INET6;
    m.ifa_prefixlen = a.prefix.length;
    m.ifa_flags = IFA_F_PERMANENT;
    m.ifa_scope = a.prefix.address.is_loopback()     ? RT_SCOPE_HOST
                  : a.prefix.address.is_link_local() ? RT_SCOPE_LINK
                                                     : RT_SCOPE_UNIVERSE;
    m.ifa_index = i.index();
    b.begin(RTM_NEWADDR, NLM_F_MULTI, m);
    b.address(IFA_ADDRESS, a.prefix.address);
    if (four) {
      b.address(IFA_LOCAL, a.prefix.address);
      if (!i.is_loopback()) b.address(IFA_BROADCAST, a.prefix.broadcast());
      b.text(IFA_LABEL, i.name());
    }
    b.attribute(IFA_FLAGS, uint32_t{IFA_F_PERMANENT});
    ifa_cacheinfo forever{~0u, ~0u, 0, 0};
    b.attribute(IFA_CACHEINFO, forever);
    b.end();
  }
}

void add_routes(Builder& b, Stack& stack, uint8_t family) {
  for (auto const& r : stack.routes().all()) {
    bool four = r.destination.address.is_v4();
    if (family != AF_UNSPEC && family != (four ? AF_INET : AF_INET6)) continue;
    rtmsg m{};
    m.rtm_family = four ? AF_INET : AF_INET6;
    m.rtm_dst_len = r.destination.length;
    m.rtm_table = RT_TABLE_MAIN;
    m.rtm_protocol = r.protocol;
    m.rtm_scope = r.scope;
    m.rtm_type = RTN_UNICAST;
    b.begin(RTM_NEWROUTE, NLM_F_MULTI, m);
    b.attribute(RTA_TABLE, uint32_t{RT_TABLE_MAIN});
    if (r.destination.length != 0) b.address(RTA_DST, r.destination.address);
    if (r.has_gateway()) b.address(RTA_GATEWAY, r.gateway);
    if (r.source != Address::any_v6()) b.address(RTA_PREFSRC, r.source);
    if (r.metric != 0) b.attribute(RTA_PRIORITY, r.metric);
    b.attribute(RTA_OIF, r.interface);
    b.end();
  }
}

void add_neighbours(Builder& b, Stack& stack, uint8_t family) {
  for (auto* i : stack.interfaces()) {
    auto* known = stack.neighbours(*i);
    if (!known) continue;
    static constexpr uint16_t states[] = {NUD_INCOMPLETE, NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_FAILED};
    for (auto const& n : known->entries()) {
      bool four = n.address.is_v4();
      if (family != AF_UNSPEC && family != (four ? AF_INET : AF_INET6)) continue;
      ndmsg m{};
      m.ndm_family = four ? AF_INET : AF_INET6;
      m.ndm_ifindex = static_cast<int>(i->index());
      m.ndm_state = states[static_cast<size_t>(n.state)];
      m.ndm_type = RTN_UNICAST;
      b.begin(RTM_NEWNEIGH, NLM_F_MULTI, m);
      b.address(NDA_DST, n.address);
      if (n.state != netstack::NeighbourState::Incomplete) b.attribute(NDA_LLADDR, n.hardware);
      b.end();
    }
  }
}

// The one interface that a request without NLM_F_DUMP asks for. Null: ENODEV.
Interface* wanted_link(Stack& stack, std::span<std::byte const> body) {
  ifinfomsg m{};
  std::memcpy(&m, body.data(), std::min(body.size(), sizeof m));
  if (m.ifi_index > 0) return stack.interface(static_cast<uint32_t>(m.ifi_index));
  for (size_t at = align(sizeof m); at + sizeof(rtattr) <= body.size();) {
    rtattr a;
    std::memcpy(&a, body.data() + at, sizeof a);
    if (a.rta_len < sizeof a || at + a.rta_len > body.size()) return nullptr;
    if (a.rta_type == IFLA_IFNAME) {
      std::string name(a.rta_len - sizeof a, 0);
      std::memcpy(name.data(), body.data() + at + sizeof a, name.size());
      return stack.interface(std::string_view(name).substr(0, name.find('\0')));
    }
    at += align(a.rta_len);
  }
  return nullptr;
}

// What a request comes to: 0 or an errno; a dump ends with NLMSG_DONE of its own.
int respond(Builder& b, Stack& stack, nlmsghdr const& h, std::span<std::byte const> body, bool& dumped) {
  uint8_t family = body.empty() ? uint8_t{AF_UNSPEC} : static_cast<uint8_t>(body[0]);
  bool dump = (h.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  if (h.nlmsg_type < RTM_BASE || h.nlmsg_type > RTM_MAX) return EOPNOTSUPP;
  bool asks = (h.nlmsg_type - RTM_BASE) % 4 == 2;
  if (!asks) return EPERM;  // the network is not the guest's to change
  if (!dump) {
    if (h.nlmsg_type != RTM_GETLINK) return EOPNOTSUPP;
    auto* i = wanted_link(stack, body);
    if (!i) return ENODEV;
    add_link(b, *i, 0);
    return 0;
  }
  switch (h.nlmsg_type) {
    case RTM_GETLINK:
      for (auto* i : stack.interfaces()) add_link(b, *i, NLM_F_MULTI);
      break;
    case RTM_GETADDR:
      for (auto* i : stack.interfaces()) add_addresses(b, *i, family);
      break;
    case RTM_GETROUTE:
      add_routes(b, stack, family);
      break;
    case RTM_GETNEIGH:
      add_neighbours(b, stack, family);
      break;
    default:
      return EOPNOTSUPP;
  }
  dumped = true;
  b.begin(NLMSG_DONE, NLM_F_MULTI, int32_t{0});
  b.end();
  return 0;
}

SocketAddress address_with(uint32_t port, uint32_t groups) {
  sockaddr_nl n{};
  n.nl_family = AF_NETLINK;
  n.nl_pid = port;
  n.nl_groups = groups;
  SocketAddress a;
  std::memcpy(&a.storage, &n, sizeof n);
  a.length = sizeof n;
  return a;
}

Result<sockaddr_nl> parse(SocketAddress const& a) {
  if (a.length < sizeof(sockaddr_nl) || a.family() != AF_NETLINK) return fail(Errno::Inval);
  sockaddr_nl n;
  std::memcpy(&n, &a.storage, sizeof n);
  return n;
}

}  // namespace

Result<Ref<kernel::Socket>> NetlinkFamily::create(Task& task, int type, int protocol, int flags) {
  if (type != SOCK_RAW && type != SOCK_DGRAM) return fail(Errno::SockTNoSupport);
  if (protocol != NETLINK_ROUTE) return fail(Errno::ProtoNoSupport);
  return make_ref<NetlinkSocket>(task, network_, type, flags, next_port_.fetch_sub(1));
}

NetlinkSocket::NetlinkSocket(Task& creator, std::shared_ptr<Network> network, int type, int flags, uint32_t port)
    : Socket(creator.kernel().ipc().allocate_inode(), AF_NETLINK, type, NETLINK_ROUTE, flags, *creator.credentials()),
      network_(std::move(network)),
      port_(port) {}

Result<void> NetlinkSocket::bind(Task&, SocketAddress const& address) {
  auto n = TRY(parse(address));
  MutexLock lock(mutex_);
  if (n.nl_pid != 0) port_ = n.nl_pid;
  groups_ = n.nl_groups;
  return {};
}

Result<void> NetlinkSocket::connect(Task&, SocketAddress const& address) {
  if (address.length >= sizeof(sa_family_t) && address.family() == AF_UNSPEC) return {};
  auto n = TRY(parse(address));
  if (n.nl_pid != 0) return fail(Errno::ConnRefused);  // nobody but the kernel is there
  return {};
}

Result<SocketAddress> NetlinkSocket::local_address() {
  MutexLock lock(mutex_);
  return address_with(port_, groups_);
}
Result<SocketAddress> NetlinkSocket::peer_address() { return address_with(0, 0); }

void NetlinkSocket::answer(std::span<std::byte const> request) {
  uint32_t port;
  {
    MutexLock lock(mutex_);
    port = port_;
  }
  while (request.size() >= sizeof(nlmsghdr)) {
    nlmsghdr h;
    std::memcpy(&h, request.data(), sizeof h);
    if (h.nlmsg_len < sizeof h || h.nlmsg_len > request.size()) return;
    auto body = request.subspan(sizeof h, h.nlmsg_len - sizeof h);
    request = request.subspan(std::min(align(h.nlmsg_len), request.size()));
    if (!(h.nlmsg_flags & NLM_F_REQUEST) || h.nlmsg_type < NLMSG_MIN_TYPE) continue;
    Builder b(port, h.nlmsg_seq);
    bool dumped = false;
    int error = respond(b, network_->stack(), h, body, dumped);
    if (error != 0 || (!dumped && (h.nlmsg_flags & NLM_F_ACK))) {
      nlmsgerr e{-error, h};
      b.begin(NLMSG_ERROR, 0, e);
      b.end();
    }
    auto built = b.take();
    MutexLock lock(mutex_);
    for (auto& m : built) {
      if (queued_ + m.size() > max_queued) return;
      queued_ += m.size();
      messages_.push_back(std::move(m));
    }
  }
}

Result<size_t> NetlinkSocket::send(Task&, IoSource& from, SendRequest& request) {
  if (request.flags & MSG_OOB) return fail(Errno::OpNotSupp);
  if (request.address.length != 0 && TRY(parse(request.address)).nl_pid != 0) return fail(Errno::ConnRefused);
  size_t size = from.remaining();
  if (size > max_request) return fail(Errno::MsgSize);
  std::vector<std::byte> bytes(size);
  if (size != 0 && TRY(from.get(bytes)) < size) return fail(Errno::Fault);
  answer(bytes);
  queue_.wake(EPOLLIN | EPOLLRDNORM);
  return size;
}

Result<ReceiveResult> NetlinkSocket::receive(Task& task, IoSink& to, int flags) {
  if (flags & MSG_OOB) return fail(Errno::OpNotSupp);
  bool nowait = (flags & MSG_DONTWAIT) || nonblocking();
  auto deadline = receive_deadline();
  for (;;) {
    Message message;
    {
      MutexLock lock(mutex_);
      if (!messages_.empty()) {
        if (flags & MSG_PEEK) {
          message = messages_.front();
        } else {
          message = std::move(messages_.front());
          messages_.pop_front();
          queued_ -= message.size();
        }
      }
    }
    if (!message.empty()) {
      ReceiveResult result;
      size_t n = std::min(message.size(), to.remaining());
      if (n != 0 && TRY(to.put(std::span<std::byte const>(message).first(n))) < n) return fail(Errno::Fault);
      result.bytes = flags & MSG_TRUNC ? message.size() : n;
      if (n < message.size()) result.flags |= MSG_TRUNC;
      result.address = address_with(0, 0);
      return result;
    }
    if (nowait) return fail(Errno::Again);
    auto waited = task.wait_until(queue_, EPOLLIN, deadline, [&] {
      MutexLock lock(mutex_);
      return !messages_.empty();
    });
    if (!waited) return std::unexpected(interrupted(waited.error(), receive_has_timeout()));
  }
}

Result<std::vector<std::byte>> NetlinkSocket::get_option(Task& task, int level, int name, size_t room) {
  if (level == SOL_NETLINK) return fail(Errno::NoProtoOpt);
  return Socket::get_option(task, level, name, room);
}

Result<void> NetlinkSocket::set_option(Task& task, int level, int name, std::span<std::byte const> value) {
  if (level != SOL_NETLINK) return Socket::set_option(task, level, name, value);
  // Members of a group hear of changes; there are none.
  if ((name != NETLINK_ADD_MEMBERSHIP && name != NETLINK_DROP_MEMBERSHIP) || value.size() < sizeof(int))
    return fail(Errno::NoProtoOpt);
  return {};
}

kernel::PollMask NetlinkSocket::poll() {
  MutexLock lock(mutex_);
  kernel::PollMask m = EPOLLOUT | EPOLLWRNORM;
  return messages_.empty() ? m : m | EPOLLIN | EPOLLRDNORM;
}

}  // namespace cofferdam::inet

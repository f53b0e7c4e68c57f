#include "socket/inet/datagram_socket.h"

#include <netinet/in.h>

#include <algorithm>

#include "kernel/task/task.h"
#include "socket/inet/error_queue.h"

namespace cofferdam::inet {

using kernel::IoSink;
using kernel::IoSource;
using kernel::ReceiveResult;
using kernel::SendRequest;
using kernel::ShutdownHow;
using kernel::SocketAddress;
using kernel::Task;
using kernel::UserPtr;
using netstack::Address;
using netstack::Bytes;
using netstack::Chain;
using netstack::Chunk;
using netstack::Datagram;
using netstack::DatagramEndpoint;
using netstack::Packet;
using netstack::PathMtuMode;
using netstack::Peer;
using netstack::View;

namespace {

constexpr size_t largest_payload = 65535;

// The program of SO_ATTACH_FILTER over a packet of the stack's.
class ProgramFilter final : public netstack::InputFilter {
 public:
  explicit ProgramFilter(Ref<kernel::bpf::SocketFilter> program) : program_(std::move(program)) {}
  size_t pass(netstack::IpInfo const& info, Bytes header, Packet const& p) override {
    std::vector<std::byte> bytes(header.size() + p.size());
    std::ranges::copy(header, bytes.begin());
    p.copy_to(std::span(bytes).subspan(header.size()));
    constexpr uint16_t ethernet_v4 = 0x0800, ethernet_v6 = 0x86dd, loopback = 772, ethernet = 1;
    kernel::bpf::PacketView view;
    view.bytes = bytes;
    view.protocol = info.destination.is_v4() ? ethernet_v4 : ethernet_v6;
    view.interface = info.interface->index();
    view.hardware_type = info.interface->is_loopback() ? loopback : ethernet;
    return program_->run(view);
  }

 private:
  Ref<kernel::bpf::SocketFilter> const program_;
};

}  // namespace

Result<void> DatagramSocket::set_filter(Ref<kernel::bpf::SocketFilter> const& program) {
  endpoint().set_filter(program ? Ref<netstack::InputFilter>(make_ref<ProgramFilter>(program))
                                : Ref<netstack::InputFilter>());
  return {};
}

Result<SocketAddress> DatagramSocket::local_address() { return to_sockaddr(endpoint().local(), domain()); }

Result<SocketAddress> DatagramSocket::peer_address() {
  auto remote = endpoint().remote();
  if (!remote) return fail(Errno::NotConn);
  return to_sockaddr(*remote, domain());
}

Result<void> DatagramSocket::shutdown(ShutdownHow how) {
  if (!endpoint().remote()) return fail(Errno::NotConn);
  endpoint().shutdown(how != ShutdownHow::Write, how != ShutdownHow::Read);
  return {};
}

uint32_t DatagramSocket::path_mtu() const {
  auto const remote = endpoint().remote();
  if (!remote) return 0;
  auto const path = stack().find_path(remote->address, endpoint().local().address, bound_interface_);
  return path ? path->mtu : 0;
}

// --- sending ---

// ip(7): IP_TTL, IP_TOS, IP_PKTINFO, IP_RETOPTS.
Result<void> DatagramSocket::ip_control(kernel::ControlData::Other const& c, SendParameters& to) const {
  auto& o = to.options;
  switch (c.type) {
    case IP_TTL: {
      int const value = TRY(option_value<int>(c.bytes));
      if (value < 1 || value > 255) return fail(Errno::Inval);
      o.ttl = static_cast<uint8_t>(value);
      o.host_only = false;
      return {};
    }
    case IP_TOS: {
      int const value = c.bytes.size() == 1 ? static_cast<int>(c.bytes[0]) : TRY(option_value<int>(c.bytes));
      if (value < 0 || value > 255) return fail(Errno::Inval);
      o.tos = static_cast<uint8_t>(value);
      return {};
    }
    case IP_PKTINFO: {
      if (c.bytes.size() != sizeof(in_pktinfo)) return fail(Errno::Inval);
      auto const info = TRY(option_value<in_pktinfo>(c.bytes));
      if (info.ipi_ifindex != 0) o.interface = static_cast<uint32_t>(info.ipi_ifindex);
      if (info.ipi_spec_dst.s_addr != 0) o.source = Address::v4(ntohl(info.ipi_spec_dst.s_addr));
      return {};
    }
    case IP_RETOPTS:
      to.header_options = TRY(checked_header_options(c.bytes));
      return {};
    default:
      return fail(Errno::Inval);
  }
}

// ipv6(7): IPV6_HOPLIMIT, IPV6_TCLASS, IPV6_PKTINFO, IPV6_DONTFRAG.
Result<void> DatagramSocket::ipv6_control(kernel::ControlData::Other const& c, SendParameters& to) const {
  auto& o = to.options;
  if (c.type == IPV6_PKTINFO) {
    auto const info = TRY(option_value<in6_pktinfo>(c.bytes));
    if (info.ipi6_ifindex != 0) o.interface = info.ipi6_ifindex;
    auto const source = Address::v6(std::as_bytes(std::span(&info.ipi6_addr, 1)));
    if (source != Address::any_v6()) o.source = source;
    return {};
  }
  if (c.type != IPV6_HOPLIMIT && c.type != IPV6_TCLASS && c.type != IPV6_DONTFRAG) return fail(Errno::Inval);
  if (c.bytes.size() != sizeof(int)) return fail(Errno::Inval);
  int const value = TRY(option_value<int>(c.bytes));
  if (value < -1 || value > 255) return fail(Errno::Inval);
  if (c.type == IPV6_HOPLIMIT) {
    o.host_only = value == 0;
    o.ttl = static_cast<uint8_t>(std::max(value, 0));
  } else if (c.type == IPV6_TCLASS) {
    o.tos = static_cast<uint8_t>(std::max(value, 0));
  } else {
    if (value != 0 && value != 1) return fail(Errno::Inval);
    o.path_mtu = value != 0 ? PathMtuMode::Do : o.path_mtu;
  }
  return {};
}

// v4: how the datagram goes, whatever the socket's family is.
Result<SendParameters> DatagramSocket::send_parameters(SendRequest const& request, bool multicast, bool v4) const {
  SendParameters p;
  auto& o = p.options;
  int const hops = v4 ? (multicast ? ip_.multicast_ttl.load() : int{ip_.ttl})
                      : (multicast ? ip_.multicast_hops.load() : ip_.hop_limit.load());
  bool const explicit_zero = hops == 0 && (multicast || !v4);  // for IPv4 0 stands for the default
  o.host_only = explicit_zero;
  o.ttl = static_cast<uint8_t>(hops < 0 ? (multicast ? 1 : 0) : hops);
  o.tos = v4 ? ip_.tos : ip_.traffic_class;
  o.path_mtu = static_cast<PathMtuMode>((v4 ? ip_.mtu_discover : ip_.mtu_discover6).load());
  if (!v4 && ip_.flags6.get(IPV6_DONTFRAG)) o.path_mtu = PathMtuMode::Do;
  o.fragment_size = v4 ? 0 : ip_.fragment_size6.load();
  o.loop = v4 ? ip_.multicast_loop : ip_.multicast_loop6;
  o.interface = multicast ? (v4 ? ip_.multicast_interface : ip_.multicast_interface6)
                          : (v4 ? ip_.unicast_interface : ip_.unicast_interface6);
  if (multicast && v4) {
    auto const source = ip_.multicast_source.with([](Address const& a) { return a; });
    if (!source.is_any()) o.source = source;
  }
  o.dont_route = dont_route_ || (request.flags & MSG_DONTROUTE);
  if (v4) p.header_options = ip_.header_options.with([](auto const& h) { return h; });
  for (auto const& c : request.control.others) {
    if (TRY(own_control(c, p))) continue;
    if (c.level == IPPROTO_IP && (is_v4() || v4))
      TRY(ip_control(c, p));
    else if (c.level == IPPROTO_IPV6 && !is_v4())
      TRY(ipv6_control(c, p));
    else if (c.level == SOL_SOCKET)
      return fail(Errno::Inval);  // SO_TIMESTAMPING: nothing is stamped on its way out
  }
  return p;
}

Result<size_t> DatagramSocket::send(Task& task, IoSource& from, SendRequest& request) {
  if (request.flags & MSG_OOB) return fail(Errno::OpNotSupp);
  size_t size = from.remaining();
  if (size > largest_payload) return fail(Errno::MsgSize);
  std::optional<Peer> to;
  if (request.address.length != 0) to = TRY(parse_destination(request.address));
  auto const target = to ? to : endpoint().remote();
  bool const v4 = target ? target->address.is_v4() : is_v4();
  auto parameters = TRY(send_parameters(request, target && target->address.is_multicast(), v4));
  parameters.options.ip_options = parameters.header_options;
  Chain payload;
  if (size != 0) {
    Chunk* chunk = Chunk::create(static_cast<uint32_t>(size), &stack().buffers());
    View view = View::adopt(chunk, 0, static_cast<uint32_t>(size));
    size_t got = TRY(from.get(std::span(chunk->data(), size)));
    if (got < size) return fail(Errno::Fault);
    chunk->set_used(static_cast<uint32_t>(size));
    payload.append(std::move(view));
  }
  auto sent = transmit(task, std::move(payload), to, parameters, request.flags);
  if (!sent && sent.error() == Errno::MsgSize && target) tell_of_size(*target);
  if (sent && (request.flags & MSG_ZEROCOPY) && size != 0) note_zero_copy();
  return sent;
}

// IP_RECVERR: what this host refuses to send is told as an error of the path, too.
void DatagramSocket::tell_of_size(Peer const& to) {
  bool const v4 = to.address.is_v4();
  if (!(v4 ? endpoint().wants_errors : endpoint().wants_errors6)) return;
  auto const path = stack().find_path(to.address, Address::any(v4), bound_interface_);
  netstack::ErrorRecord r;
  r.error = EMSGSIZE;
  r.origin = netstack::ErrorOrigin::Local;
  r.info = path ? path->mtu : 0;
  r.destination = to;
  r.at = stack().now();
  endpoint().queue_record(std::move(r));
}

// --- receiving ---

void DatagramSocket::add_ip_control(Datagram const& d, ReceiveResult& result) const {
  auto add = [&](int type, auto const& value) {
    auto b = std::as_bytes(std::span(&value, 1));
    result.control.others.push_back({IPPROTO_IP, type, {b.begin(), b.end()}});
  };
  auto const& f = ip_.flags;
  if (!f.any()) return;
  if (f.get(IP_PKTINFO)) {
    in_pktinfo info{};
    info.ipi_ifindex = static_cast<int>(d.interface);
    info.ipi_addr.s_addr = htonl(d.destination.address.v4());
    Address local = d.destination.address;
    auto const* i = stack().interface(d.interface);
    if (i && !stack().owns(local)) local = i->source_for(d.source.address);
    info.ipi_spec_dst.s_addr = htonl(local.v4());
    add(IP_PKTINFO, info);
  }
  if (f.get(IP_RECVTTL)) add(IP_TTL, int{d.ttl});
  if (f.get(IP_RECVTOS)) add(IP_TOS, d.tos);
  if (f.get(IP_RECVOPTS) && !d.ip_options.empty())
    result.control.others.push_back({IPPROTO_IP, IP_RECVOPTS, d.ip_options});
  if (f.get(IP_RETOPTS) && !d.ip_options.empty())
    result.control.others.push_back({IPPROTO_IP, IP_RETOPTS, d.ip_options});
  if (f.get(IP_RECVORIGDSTADDR)) {
    auto const address = to_sockaddr(d.destination, AF_INET);
    sockaddr_in in;
    std::memcpy(&in, &address.storage, sizeof in);
    add(IP_RECVORIGDSTADDR, in);
  }
}

void DatagramSocket::add_ipv6_control(Datagram const& d, ReceiveResult& result) const {
  auto add = [&](int type, auto const& value) {
    auto b = std::as_bytes(std::span(&value, 1));
    result.control.others.push_back({IPPROTO_IPV6, type, {b.begin(), b.end()}});
  };
  auto const& f = ip_.flags6;
  if (!f.any()) return;
  bool const four = d.destination.address.is_v4();
  if (f.get(IPV6_RECVPKTINFO)) {
    in6_pktinfo info{};
    info.ipi6_ifindex = d.interface;
    std::memcpy(&info.ipi6_addr, d.destination.address.bytes().data(), sizeof info.ipi6_addr);
    add(IPV6_PKTINFO, info);
  }
  if (f.get(IPV6_RECVHOPLIMIT) && !four) add(IPV6_HOPLIMIT, int{d.ttl});
  if (f.get(IPV6_RECVTCLASS) && !four) add(IPV6_TCLASS, int{d.tos});
  if (f.get(IPV6_RECVORIGDSTADDR)) {
    auto const address = to_sockaddr(d.destination, AF_INET6);
    sockaddr_in6 in;
    std::memcpy(&in, &address.storage, sizeof in);
    add(IPV6_RECVORIGDSTADDR, in);
  }
}

void DatagramSocket::add_control(Datagram const& d, ReceiveResult& result) const {
  timestamps_.add(d.arrival, result.control);
  if (tell_drops_ && d.dropped_before != 0) {
    auto const b = std::as_bytes(std::span(&d.dropped_before, 1));
    result.control.others.push_back({SOL_SOCKET, SO_RXQ_OVFL, {b.begin(), b.end()}});
  }
  add_own_control(d, result);
  if (!is_v4()) add_ipv6_control(d, result);
  if (d.destination.address.is_v4()) add_ip_control(d, result);
}

// from: where in the datagram to begin.
Result<Datagram> DatagramSocket::take(int flags, size_t& from) {
  int const offset = peek_offset_;
  if (!(flags & MSG_PEEK) || offset < 0) return endpoint().receive(flags & MSG_PEEK);
  from = static_cast<size_t>(offset);
  return endpoint().peek_at(from);
}

Result<ReceiveResult> DatagramSocket::deliver(Datagram& d, IoSink& to, int flags, size_t from) {
  ReceiveResult result;
  size_t const whole = d.payload.size(), n = std::min(whole - from, to.remaining());
  Result<void> copied;
  size_t arrived = 0;
  d.payload.for_range(from, n, [&](View const& v) {
    if (!copied || arrived == n) return;
    auto const put = to.put(v.bytes());
    if (!put || *put < v.size()) copied = fail(Errno::Fault);
    arrived += put.value_or(0);
  });
  TRY(copied);
  result.bytes = flags & MSG_TRUNC ? whole - from : n;
  if (n < whole - from) result.flags |= MSG_TRUNC;
  if (d.source.address != Address::any_v6()) result.address = source_of(d);
  if (int const offset = peek_offset_; offset >= 0) {
    if (flags & MSG_PEEK)
      peek_offset_ = offset + static_cast<int>(n);
    else
      peek_offset_ = std::max(0, offset - static_cast<int>(whole));
  }
  add_control(d, result);
  last_arrival_ = d.arrival;
  return result;
}

Result<ReceiveResult> DatagramSocket::receive_error(IoSink& to) {
  if (auto const done = zero_copies_.take()) return tell_error(*done, to, domain());
  return tell_error(TRY(endpoint().take_record()), to, domain());
}

Result<ReceiveResult> DatagramSocket::receive(Task& task, IoSink& to, int flags) {
  if (flags & MSG_OOB) return fail(Errno::OpNotSupp);
  if (flags & MSG_ERRQUEUE) return receive_error(to);
  bool nowait = (flags & MSG_DONTWAIT) || nonblocking();
  auto deadline = receive_deadline();
  for (;;) {
    size_t from = 0;
    auto d = take(flags, from);
    if (d) return deliver(*d, to, flags, from);
    if (d.error() != Errno::Again || nowait) return std::unexpected(d.error());
    auto const there = [&] {
      int const offset = flags & MSG_PEEK ? peek_offset_.load() : 0;
      return endpoint().has_at(static_cast<size_t>(std::max(0, offset)));
    };
    auto waited = task.wait_until(notifier_->queue, EPOLLIN, deadline, there, true);
    if (!waited) return std::unexpected(interrupted(waited.error(), receive_has_timeout()));
  }
}

kernel::PollMask DatagramSocket::poll() {
  auto m = poll_mask(endpoint().ready());
  if (!zero_copies_.empty()) m |= EPOLLERR;
  if (select_error_queue_ && (endpoint().has_records() || !zero_copies_.empty())) m |= EPOLLPRI;
  return m & EPOLLOUT ? m | EPOLLWRBAND : m;
}

Result<uint64_t> DatagramSocket::ioctl(Task& task, uint32_t request, uint64_t argument) {
  if (is_stamp_request(request)) return tell_stamp(task, request, argument, last_arrival_.load());
  return InetSocket::ioctl(task, request, argument);
}

// --- options ---

void DatagramSocket::socket_option_changed(int name, int value) {
  switch (name) {
    case SO_BROADCAST:
      endpoint().allow_broadcast = value != 0;
      return;
    case SO_DONTROUTE:
      dont_route_ = value != 0;
      return;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
      return endpoint().set_receive_limit(static_cast<size_t>(receive_buffer_.load()));
    default:
      return;
  }
}

void DatagramSocket::ip_options_changed() {
  auto& e = endpoint();
  e.v6_only = ip_.v6_only.load();
  e.wants_errors = ip_.flags.get(IP_RECVERR);
  e.wants_errors6 = ip_.flags6.get(IPV6_RECVERR);
  e.hears_other_groups = is_v4() ? ip_.multicast_all.load() : ip_.multicast_all6.load();
  e.any_source = ip_.flags.get(IP_TRANSPARENT) || ip_.flags6.get(IPV6_TRANSPARENT);
}

}  // namespace cofferdam::inet

#include "netstack/echo_endpoint.h"

#include <algorithm>
#include <utility>

namespace cofferdam::netstack {
namespace {

constexpr uint8_t echo_v4 = 8, echo_v6 = 128;

}  // namespace

Result<void> EchoEndpoint::bind_locked(BindRequest const& request) {
  auto bound = stack_.echo_ports().bind(request, this);
  if (!bound) return std::unexpected(bound.error());
  binding_ = std::move(*bound);
  local_address_ = bound_address_ = request.local;
  return {};
}

Result<void> EchoEndpoint::bind(BindRequest request) {
  TRY(check_bindable(request.local, request.any_address));
  MutexLock lock(mutex_);
  if (binding_) return fail(Errno::Inval);
  TRY(bind_locked(request));
  bound_by_user_ = true;
  return {};
}

Result<void> EchoEndpoint::connect(Peer const& to, BindRequest defaults) {
  Peer const remote = resolved(to);
  MutexLock lock(mutex_);
  auto path = TRY(path_to(remote, bound_address_, {}));
  if (!binding_) {
    defaults.local = bound_address_;
    defaults.port = 0;
    TRY(bind_locked(defaults));
  }
  if (bound_address_.is_any()) local_address_ = path.source;
  remote_ = remote;
  return {};
}

void EchoEndpoint::disconnect() {
  MutexLock lock(mutex_);
  remote_.reset();
  local_address_ = bound_address_;
}

void EchoEndpoint::close() {
  Ref<PortBinding> dropped;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    if (binding_) stack_.echo_ports().set_owner(*binding_, nullptr);
    dropped = std::move(binding_);
    clear_queue();
  }
  memberships.leave_all();
}

Result<size_t> EchoEndpoint::send(Chain message, std::optional<Peer> to, SendOptions options, BindRequest defaults) {
  size_t const size = message.size();
  if (size > 65535) return fail(Errno::MsgSize);
  if (size < IcmpHeader::size) return fail(Errno::Inval);
  std::vector<std::byte> b(size);
  message.copy_to(b);
  if (load8(b, 0) != (v4_ ? echo_v4 : echo_v6) || load8(b, 1) != 0) return fail(Errno::Inval);
  Stack::Visit visit(stack_);
  Peer remote;
  Address source;
  {
    MutexLock lock(mutex_);
    if (shut_write_) return fail(Errno::Pipe);
    if (error_ != 0) return fail_host(std::exchange(error_, 0));
    if (!to && !remote_) return fail(Errno::DestAddrReq);
    remote = resolved(to ? *to : *remote_);
    if (!binding_) {
      defaults.local = bound_address_;
      defaults.port = 0;
      TRY(bind_locked(defaults));
    }
    source = local_address_;
    store16(b, 4, binding_->port());
  }
  auto path = TRY(path_to(remote, source, options));
  store16(b, 2, 0);
  Checksum sum;
  if (!v4_) sum = pseudo_header(path.source, remote.address, protocol_icmpv6, size);
  sum.add(b);
  store16(b, 2, sum.value());
  auto p = std::make_unique<Packet>();
  p->append(View::copy_of(b));
  ++stack_.statistics().icmp_sent;
  TRY(stack_.send(path, path.source, remote.address, v4_ ? protocol_icmp : protocol_icmpv6, options, std::move(p)));
  return size;
}

void EchoEndpoint::deliver(IpInfo const& info, uint16_t identifier, Packet const& p) {
  auto copy = p.clone();
  Peer const source{info.source, 0, info.source.is_link_local() && !v4_ ? info.interface->index() : 0};
  enqueue(info, source, {info.destination, identifier, 0}, *copy);
}

void EchoEndpoint::on_icmp(Address const& remote, IcmpError const& error, Bytes transport) {
  bool connected;
  {
    MutexLock lock(mutex_);
    connected = remote_ && remote_->address == remote;
  }
  on_error({remote, 0, 0}, error, transport.subspan(std::min(transport.size(), IcmpHeader::size)), connected);
}

}  // namespace cofferdam::netstack

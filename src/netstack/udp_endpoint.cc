#include "netstack/udp_endpoint.h"

#include <algorithm>
#include <cerrno>

namespace cofferdam::netstack {

Ref<PortBinding> UdpEndpoint::binding() const {
  MutexLock lock(mutex_);
  return binding_;
}

Result<void> UdpEndpoint::bind_locked(BindRequest request) {
  request.interface = bound_interface;
  auto bound = stack_.udp_ports().bind(request, this);
  if (!bound) return std::unexpected(bound.error());
  binding_ = std::move(*bound);
  local_address_ = bound_address_ = request.local;
  return {};
}

Result<void> UdpEndpoint::bind(BindRequest request) {
  TRY(check_bindable(request.local, request.any_address));
  MutexLock lock(mutex_);
  if (binding_) return fail(Errno::Inval);
  if (request.address_only) {
    local_address_ = bound_address_ = request.local;
    return {};
  }
  TRY(bind_locked(request));
  bound_port_ = true;
  return {};
}

void UdpEndpoint::bind_to_interface(uint32_t interface) {
  MutexLock lock(mutex_);
  bound_interface = interface;
  if (binding_) binding_->interface = interface;
}

Result<void> UdpEndpoint::connect(Peer const& to, BindRequest defaults) {
  Peer const remote = resolved(to);
  MutexLock lock(mutex_);
  auto path = TRY(path_to(remote, bound_address_, {}));
  if (!binding_) {
    defaults.local = bound_address_;
    defaults.port = 0;
    TRY(bind_locked(defaults));
  }
  local_address_ = bound_address_.is_any() ? path.source : bound_address_;
  remote_ = remote;
  stack_.udp_ports().set_remote(*binding_, local_address_, remote);
  return {};
}

void UdpEndpoint::disconnect() {
  Ref<PortBinding> dropped;
  MutexLock lock(mutex_);
  if (!remote_) return;
  remote_.reset();
  local_address_ = bound_address_;
  if (bound_port_) {
    stack_.udp_ports().set_remote(*binding_, bound_address_, {});
    return;
  }
  stack_.udp_ports().set_owner(*binding_, nullptr);
  dropped = std::move(binding_);
}

void UdpEndpoint::close() {
  Ref<PortBinding> dropped;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    if (binding_) stack_.udp_ports().set_owner(*binding_, nullptr);
    dropped = std::move(binding_);
    clear_queue();
  }
  memberships.leave_all();
}

Result<size_t> UdpEndpoint::send(Chain payload, std::optional<Peer> to, SendOptions options, BindRequest defaults) {
  size_t size = payload.size();
  if (size > max_payload) return fail(Errno::MsgSize);
  Stack::Visit visit(stack_);
  Peer remote;
  Address source;
  uint16_t port;
  {
    MutexLock lock(mutex_);
    if (shut_write_) return fail(Errno::Pipe);
    if (error_ != 0) return fail_host(std::exchange(error_, 0));
    if (!to && !remote_) return fail(Errno::DestAddrReq);
    remote = to ? *to : *remote_;
    if (remote.port == 0) return fail(Errno::Inval);
    if (!binding_) {
      defaults.local = bound_address_;
      defaults.port = 0;
      TRY(bind_locked(defaults));
    }
    source = local_address_;
    port = binding_->port();
  }
  auto path = TRY(path_to(remote, source, options));
  auto p = std::make_unique<Packet>();
  p->append(payload, 0, size);
  UdpHeader h{port, remote.port, static_cast<uint16_t>(size + UdpHeader::size), 0};
  auto b = p->push(UdpHeader::size);
  h.write(b);
  Address const& destination = path.local ? path.next_hop : remote.address;
  if (path.local) {
    p->checksum_verified = true;
  } else {
    Checksum sum = pseudo_header(path.source, destination, protocol_udp, p->size());
    sum.add_rest(*p);
    uint16_t value = sum.value();
    bool const none = no_checksum && path.source.is_v4();
    if (!none) store16(b, 6, value == 0 ? 0xffff : value);
  }
  options.flow = static_cast<uint8_t>(port ^ remote.port);
  ++stack_.statistics().udp_sent;
  TRY(stack_.send(path, path.source, destination, protocol_udp, options, std::move(p)));
  return size;
}

void UdpEndpoint::deliver(IpInfo const& info, UdpHeader const& h, Packet& p) {
  Peer const source{info.source, h.source, info.source.is_link_local() ? info.interface->index() : 0};
  std::array<std::byte, UdpHeader::size> header;
  h.write(header);
  if (enqueue(info, source, {info.destination, h.destination, 0}, p, header))
    ++stack_.statistics().udp_received;
  else
    ++stack_.statistics().udp_receive_buffer_errors;
}

void UdpEndpoint::on_icmp(Peer const& from, IcmpError const& error, Bytes transport) {
  bool connected;
  {
    MutexLock lock(mutex_);
    connected = remote_ && remote_->port == from.port && remote_->address == from.address;
  }
  on_error(from, error, transport.subspan(std::min(transport.size(), UdpHeader::size)), connected);
}

void Stack::receive_udp(IpInfo const& info, PacketPtr p) {
  auto h = UdpHeader::parse(p->peek(UdpHeader::size));
  if (!h || h->length > p->size()) {
    ++statistics_.udp_input_errors;
    return;
  }
  p->truncate(h->length);
  // RFC 768: 0 is "no checksum"; not over IPv6 (RFC 8200 8.1).
  if (!p->checksum_verified && (h->checksum != 0 || !info.source.is_v4())) {
    Checksum sum = pseudo_header(info.source, info.destination, protocol_udp, p->size());
    sum.add_rest(*p);
    if (h->checksum == 0 || sum.value() != 0) {
      ++statistics_.udp_checksum_errors;
      return;
    }
  }
  Peer local{info.destination, h->destination, 0}, remote{info.source, h->source, 0};
  if (!info.to_one) {
    p->pull(UdpHeader::size);
    uint32_t const interface = info.interface->index();
    bool const group = info.destination.is_multicast();
    for (auto const& owner : udp_ports_.find_all(local, remote, interface)) {
      auto endpoint = ref_cast<UdpEndpoint>(owner);
      if (!endpoint) continue;
      bool const others = endpoint->hears_other_groups;
      if (group && !endpoint->memberships.hears(info.destination, info.source, interface, others)) continue;
      auto copy = p->clone();
      endpoint->deliver(info, *h, *copy);
    }
    return;
  }
  auto endpoint =
      ref_cast<UdpEndpoint>(udp_ports_.find(local, remote, info.interface->index(), hash_of(secret_, {local, remote})));
  if (!endpoint) {
    ++statistics_.udp_no_ports;
    bool four = info.destination.is_v4();
    return send_error(info, four ? 3 : 1, four ? 3 : 4, 0, *p);
  }
  p->pull(UdpHeader::size);
  endpoint->deliver(info, *h, *p);
}

}  // namespace cofferdam::netstack

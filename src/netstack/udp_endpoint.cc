#include "netstack/udp_endpoint.h"

#include <algorithm>
#include <cerrno>

namespace cofferdam::netstack {

UdpEndpoint::UdpEndpoint(Stack& stack, bool v4, Ref<EndpointObserver> observer)
    : stack_(stack),
      v4_(v4),
      observer_(std::move(observer)),
      local_address_(Address::any(v4)),
      bound_address_(Address::any(v4)) {}

UdpEndpoint::~UdpEndpoint() = default;

Ref<PortBinding> UdpEndpoint::binding() const {
  MutexLock lock(mutex_);
  return binding_;
}

Result<void> UdpEndpoint::bind_locked(BindRequest request) {
  auto bound = stack_.udp_ports().bind(request, this);
  if (!bound) return std::unexpected(bound.error());
  binding_ = std::move(*bound);
  local_address_ = bound_address_ = request.local;
  return {};
}

Result<void> UdpEndpoint::bind(BindRequest request) {
  Address const& a = request.local;
  bool group = a.is_multicast() || a.is_limited_broadcast();
  bool known = a.is_any() || group || stack_.owns(a);
  for (auto* i : stack_.interfaces()) known |= i->is_broadcast(a);
  if (!known) return fail(Errno::AddrNotAvail);
  MutexLock lock(mutex_);
  if (binding_) return fail(Errno::Inval);
  TRY(bind_locked(request));
  bound_port_ = true;
  return {};
}

Result<void> UdpEndpoint::connect(Peer const& to, BindRequest defaults) {
  Peer remote = to;
  if (remote.address.is_any())
    remote.address = remote.address.is_v4() ? Address::loopback_v4() : Address::loopback_v6();
  MutexLock lock(mutex_);
  uint32_t interface = bound_interface.load() != 0 ? bound_interface.load() : remote.scope;
  auto path = TRY(stack_.find_path(remote.address, bound_address_, interface));
  if (path.out->is_broadcast(remote.address) && !allow_broadcast) return fail(Errno::Acces);
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
  Ring<Datagram> queue;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    if (binding_) stack_.udp_ports().set_owner(*binding_, nullptr);
    dropped = std::move(binding_);
    queue.swap(queue_);
    stack_.charge(-static_cast<int64_t>(queued_));
    queued_ = 0;
  }
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
  if (source.is_multicast() || source.is_limited_broadcast()) source = Address::any(remote.address.is_v4());
  uint32_t interface = bound_interface.load() != 0 ? bound_interface.load() : remote.scope;
  auto path = TRY(stack_.find_path(remote.address, source, interface));
  bool broadcast = remote.address.is_limited_broadcast() || path.out->is_broadcast(remote.address);
  if (broadcast && !allow_broadcast) return fail(Errno::Acces);
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
    store16(b, 6, value == 0 ? 0xffff : value);
  }
  options.flow = static_cast<uint8_t>(port ^ remote.port);
  ++stack_.statistics().udp_sent;
  TRY(stack_.send(path, path.source, destination, protocol_udp, options, std::move(p)));
  return size;
}

Result<Datagram> UdpEndpoint::receive(bool peek) {
  MutexLock lock(mutex_);
  if (error_ != 0) return fail_host(std::exchange(error_, 0));
  if (queue_.empty()) {
    if (shut_read_) return Datagram();
    return fail(Errno::Again);
  }
  Datagram& first = queue_.front();
  if (peek) {
    Datagram copy;
    first.payload.for_range(0, first.payload.size(), [&](View v) { copy.payload.append(std::move(v)); });
    copy.source = first.source;
    copy.destination = first.destination;
    copy.interface = first.interface;
    copy.ttl = first.ttl;
    copy.tos = first.tos;
    copy.arrival = first.arrival;
    return copy;
  }
  Datagram taken = std::move(first);
  queue_.pop_front();
  size_t charge = taken.payload.size() + overhead;
  queued_ -= charge;
  stack_.charge(-static_cast<int64_t>(charge));
  return taken;
}

void UdpEndpoint::deliver(IpInfo const& info, UdpHeader const& h, Packet& p) {
  {
    MutexLock lock(mutex_);
    size_t charge = p.size() + overhead;
    bool full = queued_ + charge > receive_limit_.load(std::memory_order_relaxed) && !queue_.empty();
    if (closed_ || shut_read_ || full || !stack_.may_charge(charge)) {
      ++drops_;
      ++stack_.statistics().udp_receive_buffer_errors;
      return;
    }
    Datagram d;
    p.for_each([&](View const& v) { d.payload.append_or_copy(v); });
    d.source = {info.source, h.source, info.source.is_link_local() ? info.interface->index() : 0};
    d.destination = {info.destination, h.destination, 0};
    d.interface = info.interface->index();
    d.ttl = info.ttl;
    d.tos = info.tos;
    d.arrival = stack_.now();
    queued_ += charge;
    stack_.charge(static_cast<int64_t>(charge));
    queue_.push_back(std::move(d));
    ++stack_.statistics().udp_received;
  }
  observer_->on_events(event_in);
}

void UdpEndpoint::on_icmp(Peer const& from, IcmpError const& error) {
  {
    MutexLock lock(mutex_);
    if (closed_ || !remote_ || remote_->port != from.port || remote_->address != from.address) return;
    if (!error.hard && error.error != EMSGSIZE) return;
    error_ = error.error;
  }
  observer_->on_events(event_error | event_in | event_out);
}

Peer UdpEndpoint::local() const {
  MutexLock lock(mutex_);
  return {local_address_, binding_ ? binding_->port() : uint16_t{0}, 0};
}

std::optional<Peer> UdpEndpoint::remote() const {
  MutexLock lock(mutex_);
  return remote_;
}

Events UdpEndpoint::ready() const {
  MutexLock lock(mutex_);
  Events e = event_out;
  if (!queue_.empty() || shut_read_) e |= event_in;
  if (shut_read_) e |= event_read_hang_up;
  if (shut_read_ && shut_write_) e |= event_hang_up;
  if (error_ != 0) e |= event_error;
  return e;
}

int UdpEndpoint::take_error() {
  MutexLock lock(mutex_);
  return std::exchange(error_, 0);
}

size_t UdpEndpoint::next_size() const {
  MutexLock lock(mutex_);
  return queue_.empty() ? 0 : queue_.front().payload.size();
}

UdpEndpoint::Summary UdpEndpoint::summary() const {
  MutexLock lock(mutex_);
  return {{local_address_, binding_ ? binding_->port() : uint16_t{0}, 0}, remote_, queued_, drops_};
}

void UdpEndpoint::shutdown(bool read, bool write) {
  {
    MutexLock lock(mutex_);
    shut_read_ |= read;
    shut_write_ |= write;
  }
  observer_->on_events(event_in | event_out | event_read_hang_up | event_hang_up);
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
    for (auto const& owner : udp_ports_.find_all(local, remote))
      if (auto endpoint = ref_cast<UdpEndpoint>(owner)) {
        auto copy = p->clone();
        endpoint->deliver(info, *h, *copy);
      }
    return;
  }
  auto endpoint = ref_cast<UdpEndpoint>(udp_ports_.find(local, remote, hash_of(secret_, {local, remote})));
  if (!endpoint) {
    ++statistics_.udp_no_ports;
    bool four = info.destination.is_v4();
    return send_error(info, four ? 3 : 1, four ? 3 : 4, 0, *p);
  }
  p->pull(UdpHeader::size);
  endpoint->deliver(info, *h, *p);
}

}  // namespace cofferdam::netstack

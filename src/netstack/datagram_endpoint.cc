#include "netstack/datagram_endpoint.h"

#include <algorithm>
#include <utility>

namespace cofferdam::netstack {

Datagram Datagram::copy() const {
  Datagram c;
  payload.for_range(0, payload.size(), [&](View v) { c.payload.append(std::move(v)); });
  c.source = source;
  c.destination = destination;
  c.interface = interface;
  c.ttl = ttl;
  c.tos = tos;
  c.arrival = arrival;
  c.ip_options = ip_options;
  return c;
}

DatagramEndpoint::DatagramEndpoint(Stack& stack, bool v4, Ref<EndpointObserver> observer)
    : memberships(stack),
      stack_(stack),
      v4_(v4),
      observer_(std::move(observer)),
      local_address_(Address::any(v4)),
      bound_address_(Address::any(v4)) {}

Result<void> DatagramEndpoint::check_bindable(Address const& a) const {
  if (a.is_any() || a.is_multicast() || a.is_limited_broadcast() || stack_.owns(a)) return {};
  for (auto* i : stack_.interfaces())
    if (i->is_broadcast(a)) return {};
  return fail(Errno::AddrNotAvail);
}

Peer DatagramEndpoint::resolved(Peer p) {
  if (p.address.is_any()) p.address = p.address.is_v4() ? Address::loopback_v4() : Address::loopback_v6();
  return p;
}

Result<Path> DatagramEndpoint::path_to(Peer const& remote, Address source, SendOptions const& options) const {
  if (source.is_multicast() || source.is_limited_broadcast()) source = Address::any(remote.address.is_v4());
  if (options.source != Address::any_v6()) source = options.source;
  uint32_t interface = bound_interface.load();
  if (interface == 0) interface = options.interface != 0 ? options.interface : remote.scope;
  auto path = TRY(stack_.find_path(remote.address, source, interface));
  if (path.broadcast && !allow_broadcast) return fail(Errno::Acces);
  return path;
}

Result<Datagram> DatagramEndpoint::receive(bool peek) {
  MutexLock lock(mutex_);
  if (error_ != 0) return fail_host(std::exchange(error_, 0));
  if (queue_.empty()) {
    if (shut_read_) return Datagram();
    return fail(Errno::Again);
  }
  if (peek) return queue_.front().copy();
  Datagram taken = std::move(queue_.front());
  queue_.pop_front();
  size_t const charge = taken.payload.size() + overhead;
  queued_ -= charge;
  stack_.charge(-static_cast<int64_t>(charge));
  return taken;
}

bool DatagramEndpoint::enqueue(IpInfo const& info, Peer const& source, Peer const& destination, Packet& p) {
  {
    MutexLock lock(mutex_);
    size_t const charge = p.size() + overhead;
    bool const full = queued_ + charge > receive_limit_.load(std::memory_order_relaxed) && !queue_.empty();
    if (closed_ || shut_read_ || full || !stack_.may_charge(charge)) {
      ++drops_;
      return false;
    }
    Datagram d;
    p.for_each([&](View const& v) { d.payload.append_or_copy(v); });
    d.source = source;
    d.destination = destination;
    d.interface = info.interface->index();
    d.ttl = info.ttl;
    d.tos = info.tos;
    d.arrival = stack_.now();
    d.ip_options = info.ip_options;
    queued_ += charge;
    stack_.charge(static_cast<int64_t>(charge));
    queue_.push_back(std::move(d));
  }
  observer_->on_events(event_in);
  return true;
}

void DatagramEndpoint::clear_queue() {
  queue_.clear();
  stack_.charge(-static_cast<int64_t>(std::exchange(queued_, 0)));
}

void DatagramEndpoint::report(int error) {
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    error_ = error;
  }
  observer_->on_events(event_error | event_in | event_out);
}

Peer DatagramEndpoint::local() const {
  MutexLock lock(mutex_);
  return {local_address_, port_locked(), 0};
}

std::optional<Peer> DatagramEndpoint::remote() const {
  MutexLock lock(mutex_);
  return remote_;
}

Events DatagramEndpoint::ready() const {
  MutexLock lock(mutex_);
  Events e = event_out;
  if (!queue_.empty() || shut_read_) e |= event_in;
  if (shut_read_) e |= event_read_hang_up;
  if (shut_read_ && shut_write_) e |= event_hang_up;
  if (error_ != 0) e |= event_error;
  return e;
}

int DatagramEndpoint::take_error() {
  MutexLock lock(mutex_);
  return std::exchange(error_, 0);
}

size_t DatagramEndpoint::next_size() const {
  MutexLock lock(mutex_);
  return queue_.empty() ? 0 : queue_.front().payload.size();
}

DatagramEndpoint::Summary DatagramEndpoint::summary() const {
  MutexLock lock(mutex_);
  return {{local_address_, port_locked(), 0}, remote_, queued_, drops_};
}

void DatagramEndpoint::shutdown(bool read, bool write) {
  {
    MutexLock lock(mutex_);
    shut_read_ |= read;
    shut_write_ |= write;
  }
  observer_->on_events(event_in | event_out | event_read_hang_up | event_hang_up);
}

}  // namespace cofferdam::netstack

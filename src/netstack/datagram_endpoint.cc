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
  c.dropped_before = dropped_before;
  c.segment_size = segment_size;
  return c;
}

DatagramEndpoint::DatagramEndpoint(Stack& stack, bool v4, Ref<EndpointObserver> observer)
    : memberships(stack),
      stack_(stack),
      v4_(v4),
      observer_(std::move(observer)),
      local_address_(Address::any(v4)),
      bound_address_(Address::any(v4)) {}

Result<void> DatagramEndpoint::check_bindable(Address const& a, bool any_address) const {
  if (any_address || a.is_any() || a.is_multicast() || a.is_limited_broadcast() || stack_.owns(a)) return {};
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
  if (!source.is_any() && !any_source && !stack_.owns(source)) return fail(Errno::Inval);
  uint32_t interface = bound_interface.load();
  if (interface == 0) interface = options.interface != 0 ? options.interface : remote.scope;
  auto path = TRY(stack_.find_path(remote.address, source, interface));
  if (path.broadcast && !allow_broadcast) return fail(Errno::Acces);
  if (options.dont_route && !path.local && path.next_hop != remote.address) return fail(Errno::NetUnreach);
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

Result<Datagram> DatagramEndpoint::peek_at(size_t& offset) {
  MutexLock lock(mutex_);
  if (error_ != 0) return fail_host(std::exchange(error_, 0));
  if (Datagram const* d = find(offset)) return d->copy();
  offset = 0;
  if (shut_read_) return Datagram();
  return fail(Errno::Again);
}

bool DatagramEndpoint::has_at(size_t offset) const {
  MutexLock lock(mutex_);
  return error_ != 0 || shut_read_ || find(offset) != nullptr;
}

Datagram const* DatagramEndpoint::find(size_t& offset) const {
  for (size_t i = 0; i < queue_.size(); ++i) {
    size_t const size = queue_[i].payload.size();
    if (offset < size || (offset == 0 && size == 0)) return &queue_[i];
    offset -= size;
  }
  return nullptr;
}

// Joins what arrives with what came last, when a reader could not tell them from one large packet that was cut.
bool DatagramEndpoint::gather(Datagram const& like, Packet& p) {
  if (queue_.empty() || p.size() == 0) return false;
  Datagram& last = queue_.back();
  size_t const segment = last.segment_size != 0 ? last.segment_size : last.payload.size();
  bool const same = last.source == like.source && last.destination == like.destination && last.ttl == like.ttl &&
                    last.tos == like.tos && last.interface == like.interface && last.ip_options.empty() &&
                    like.ip_options.empty();
  if (!same || segment == 0 || p.size() > segment || last.payload.size() % segment != 0 ||
      last.payload.size() + p.size() > max_gathered)
    return false;
  last.segment_size = static_cast<uint32_t>(segment);
  queued_ += p.size();
  stack_.charge(static_cast<int64_t>(p.size()));
  p.for_each([&](View const& v) { last.payload.append_or_copy(v); });
  return true;
}

bool DatagramEndpoint::enqueue(IpInfo const& info, Peer const& source, Peer const& destination, Packet& p,
                               Bytes header) {
  {
    MutexLock lock(mutex_);
    if (filter_) {
      size_t const whole = header.size() + p.size(), passes = filter_->pass(info, header, p);
      if (passes == 0) {
        ++drops_;
        return true;
      }
      if (passes < whole) p.truncate(std::max(passes, header.size()) - header.size());
    }
    size_t const charge = p.size() + overhead;
    bool const full = queued_ + charge > receive_limit_.load(std::memory_order_relaxed) && !queue_.empty();
    if (closed_ || shut_read_ || full || !stack_.may_charge(charge)) {
      ++drops_;
      return false;
    }
    Datagram d;
    d.source = source;
    d.destination = destination;
    d.interface = info.interface->index();
    d.ttl = info.ttl;
    d.tos = info.tos;
    d.arrival = stack_.now();
    d.ip_options = info.ip_options;
    d.dropped_before = static_cast<uint32_t>(drops_);
    if (!gathers || !gather(d, p)) {
      p.for_each([&](View const& v) { d.payload.append_or_copy(v); });
      queued_ += charge;
      stack_.charge(static_cast<int64_t>(charge));
      queue_.push_back(std::move(d));
    }
  }
  observer_->on_events(event_in);
  return true;
}

void DatagramEndpoint::clear_queue() {
  stack_.charge(-static_cast<int64_t>(queued_));
  queued_ = 0;
  while (!queue_.empty()) queue_.pop_front();
  while (!records_.empty()) records_.pop_front();
}

void DatagramEndpoint::set_filter(Ref<InputFilter> filter) {
  MutexLock lock(mutex_);
  std::swap(filter_, filter);
}

void DatagramEndpoint::on_error(Peer const& destination, IcmpError const& e, Bytes payload, bool concerns) {
  bool const v4 = destination.address.is_v4();
  if (v4 ? wants_errors : wants_errors6) {
    ErrorRecord r;
    r.error = e.error;
    r.origin = v4 ? ErrorOrigin::Icmp : ErrorOrigin::IcmpV6;
    r.type = e.type;
    r.code = e.code;
    r.info = e.next_mtu;
    r.offender = e.reporter;
    r.destination = destination;
    r.payload.assign(payload.begin(), payload.end());
    r.at = stack_.now();
    r.interface = e.interface;
    queue_record(std::move(r));
    report(e.error);
  } else if (concerns && (e.hard || e.next_mtu != 0)) {
    report(e.error);
  }
}

void DatagramEndpoint::queue_record(ErrorRecord r) {
  {
    MutexLock lock(mutex_);
    if (closed_ || records_.size() >= max_records) return;
    records_.push_back(std::move(r));
  }
  observer_->on_events(event_error);
}

// As sock_dequeue_err_skb of Linux: the pending error is that of the next record, or none is left.
Result<ErrorRecord> DatagramEndpoint::take_record() {
  MutexLock lock(mutex_);
  if (records_.empty()) return fail(Errno::Again);
  ErrorRecord taken = std::move(records_.front());
  records_.pop_front();
  auto const is_icmp = [](ErrorRecord const& r) {
    return r.origin == ErrorOrigin::Icmp || r.origin == ErrorOrigin::IcmpV6;
  };
  if (!records_.empty() && is_icmp(records_.front()))
    error_ = records_.front().error;
  else if (is_icmp(taken))
    error_ = 0;
  return taken;
}

bool DatagramEndpoint::has_records() const {
  MutexLock lock(mutex_);
  return !records_.empty();
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
  if (error_ != 0 || !records_.empty()) e |= event_error;
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

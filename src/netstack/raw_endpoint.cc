#include "netstack/raw_endpoint.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cofferdam::netstack {

RawEndpoint::RawEndpoint(Stack& stack, bool v4, uint8_t protocol, Ref<EndpointObserver> observer)
    : DatagramEndpoint(stack, v4, std::move(observer)), protocol_(protocol) {
  header_included = protocol == any_header;
  if (!v4 && protocol == protocol_icmpv6) checksum_offset = 2;
  stack_.raw().add(protocol_, this);
}

RawEndpoint::~RawEndpoint() { close(); }

void RawEndpoint::close() {
  bool was_open;
  {
    MutexLock lock(mutex_);
    was_open = !std::exchange(closed_, true);
    clear_queue();
  }
  if (!was_open) return;
  stack_.raw().remove(protocol_, this);
  memberships.leave_all();
}

Result<void> RawEndpoint::bind(Address const& local, bool any_address) {
  TRY(check_bindable(local, any_address));
  MutexLock lock(mutex_);
  local_address_ = bound_address_ = local;
  return {};
}

Result<void> RawEndpoint::connect(Peer const& to) {
  Peer const remote = resolved(to);
  MutexLock lock(mutex_);
  auto path = TRY(path_to(remote, bound_address_, {}));
  if (bound_address_.is_any()) local_address_ = path.source;
  remote_ = remote;
  return {};
}

void RawEndpoint::disconnect() {
  MutexLock lock(mutex_);
  remote_.reset();
  local_address_ = bound_address_;
}

void RawEndpoint::set_icmp_filter(std::array<uint32_t, 8> const& blocked) {
  MutexLock lock(mutex_);
  icmp_filter_ = blocked;
}

std::array<uint32_t, 8> RawEndpoint::icmp_filter() const {
  MutexLock lock(mutex_);
  return icmp_filter_;
}

// --- sending ---

// The fields that the kernel fills in, whoever wrote the header (raw(7)).
Result<void> RawEndpoint::complete_header(std::vector<std::byte>& b, Path const& path) const {
  if (b.size() > path.out->mtu()) return fail(Errno::MsgSize);
  if (!v4_) return b.size() < Ipv6Header::size ? Result<void>(fail(Errno::Inval)) : Result<void>();
  size_t const length = Ipv4Header::length_of(b);
  if (length == 0 || length > b.size()) return fail(Errno::Inval);
  store16(b, 2, static_cast<uint16_t>(b.size()));
  if (load16(b, 4) == 0) store16(b, 4, static_cast<uint16_t>(stack_.random32()));
  if (load32(b, 12) == 0) std::ranges::copy(path.source.v4_bytes(), b.begin() + 12);
  store16(b, 10, 0);
  store16(b, 10, checksum_of(Bytes(b).first(length)));
  return {};
}

Result<void> RawEndpoint::fill_checksum(std::vector<std::byte>& b, Path const& path, Address const& to) const {
  int const offset = checksum_offset;
  if (v4_ || offset < 0) return {};
  auto const at = static_cast<size_t>(offset);
  if (at + 2 > b.size()) return fail(Errno::Inval);
  store16(b, at, 0);
  Checksum sum = pseudo_header(path.source, to, protocol_, b.size());
  sum.add(b);
  uint16_t const value = sum.value();
  store16(b, at, value == 0 ? 0xffff : value);
  return {};
}

Result<size_t> RawEndpoint::send(Chain payload, std::optional<Peer> to, SendOptions options) {
  size_t const size = payload.size();
  if (size > 65535) return fail(Errno::MsgSize);
  Stack::Visit visit(stack_);
  Peer remote;
  Address source;
  {
    MutexLock lock(mutex_);
    if (shut_write_) return fail(Errno::Pipe);
    if (error_ != 0) return fail_host(std::exchange(error_, 0));
    if (!to && !remote_) return fail(Errno::DestAddrReq);
    remote = resolved(to ? *to : *remote_);
    source = local_address_;
  }
  auto path = TRY(path_to(remote, source, options));
  std::vector<std::byte> b(size);
  payload.copy_to(b);
  bool const whole = header_included;
  if (whole)
    TRY(complete_header(b, path));
  else
    TRY(fill_checksum(b, path, remote.address));
  auto p = std::make_unique<Packet>();
  p->append(View::copy_of(b));
  if (whole)
    TRY(stack_.send_whole(path, remote.address, options, std::move(p)));
  else
    TRY(stack_.send(path, path.source, remote.address, protocol_, options, std::move(p)));
  return size;
}

// --- receiving ---

bool RawEndpoint::matches(IpInfo const& info) const {
  if (info.destination.is_v4() != v4_) return false;
  if (bound_interface != 0 && bound_interface != info.interface->index()) return false;
  MutexLock lock(mutex_);
  if (closed_ || (remote_ && remote_->address != info.source)) return false;
  return local_address_.is_any() || local_address_ == info.destination;
}

bool RawEndpoint::blocked(Packet& p) const {
  if (protocol_ != (v4_ ? protocol_icmp : protocol_icmpv6)) return false;
  Bytes const first = p.peek(1);
  if (first.empty()) return false;
  uint8_t const type = load8(first, 0);
  MutexLock lock(mutex_);
  if (v4_ && type >= 32) return false;
  return (icmp_filter_[type / 32] >> (type % 32)) & 1;
}

bool RawEndpoint::sum_is_right(IpInfo const& info, Packet const& p) const {
  if (v4_ || checksum_offset < 0 || p.checksum_verified) return true;
  Checksum sum = pseudo_header(info.source, info.destination, protocol_, p.size());
  auto copy = p.clone();
  sum.add_rest(*copy);
  return sum.value() == 0;
}

bool RawEndpoint::deliver(IpInfo const& info, Packet const& p) {
  if (!matches(info)) return false;
  auto copy = p.clone();
  bool const group = info.destination.is_multicast();
  if (group && !memberships.hears(info.destination, info.source, info.interface->index(), hears_other_groups))
    return true;
  if (blocked(*copy) || !sum_is_right(info, p)) return true;
  if (v4_) stack_.push_ip_header(info, *copy);
  Peer const source{info.source, 0, info.source.is_link_local() && !v4_ ? info.interface->index() : 0};
  enqueue(info, source, {info.destination, 0, 0}, *copy);
  return true;
}

bool Stack::deliver_raw(IpInfo const& info, Packet const& p) {
  bool taken = false;
  for (auto const& e : raw_.find(info.protocol)) taken |= e->deliver(info, p);
  return taken;
}

// raw_err of Linux: who does not ask for errors hears of those of its peer.
void RawEndpoint::on_icmp(Address const& remote, IcmpError const& error, Bytes transport) {
  bool connected;
  {
    MutexLock lock(mutex_);
    if (remote_ && remote_->address != remote) return;
    connected = remote_.has_value();
  }
  on_error({remote, 0, 0}, error, transport, connected);
}

}  // namespace cofferdam::netstack

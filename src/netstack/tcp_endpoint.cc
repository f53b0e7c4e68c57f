// The life of a TCP endpoint as its user sees it (RFC 9293 3.10.1 to 3.10.6).
#include "netstack/tcp_endpoint.h"

#include <algorithm>
#include <cerrno>

namespace cofferdam::netstack {
namespace {

constexpr Events all_events = event_in | event_out | event_error | event_hang_up | event_read_hang_up;
constexpr uint32_t loopback_mss_v4 = 65495, loopback_mss_v6 = 65475;  // an IP length is sixteen bits

}  // namespace

TcpEndpoint::Locked::Locked(TcpEndpoint& e) : endpoint(e) { e.mutex_.lock(); }

TcpEndpoint::Locked::~Locked() {
  Ref<EndpointObserver> observer;
  endpoint.settle_memory();
  Events events = std::exchange(endpoint.pending_events_, 0);
  if (events != 0) observer = endpoint.observer_;
  endpoint.mutex_.unlock();
  if (observer) observer->on_events(events);
}

TcpEndpoint::TcpEndpoint(Stack& stack, bool v4, Ref<EndpointObserver> observer)
    : stack_(stack),
      v4_(v4),
      observer_(std::move(observer)),
      snd_limit_(stack.settings().tcp_send_default),
      rcv_limit_(stack.settings().tcp_receive_default) {
  auto& s = stack.settings();
  tuple_.local.address = tuple_.remote.address = bound_address_ = Address::any(v4);
  options_.cubic = s.tcp_cubic;
  options_.keepalive_idle = s.tcp_keepalive_time;
  options_.keepalive_interval = s.tcp_keepalive_interval;
  options_.keepalive_probes = s.tcp_keepalive_probes;
  options_.syn_retries = s.tcp_syn_retries;
  options_.fin_wait2 = s.tcp_fin_timeout;
}

TcpEndpoint::~TcpEndpoint() {
  stack_.charge(-static_cast<int64_t>(charged_));
  if (counted_orphan_) stack_.orphan_count().fetch_sub(1);
}

void TcpEndpoint::settle_memory() {
  size_t now = snd_buffer_.size() + rcv_buffer_.size() + out_of_order_bytes_;
  if (now == charged_) return;
  stack_.charge(static_cast<int64_t>(now) - static_cast<int64_t>(charged_));
  charged_ = now;
}

bool TcpEndpoint::synchronized() const {
  return state_ != TcpState::Closed && state_ != TcpState::Listen && state_ != TcpState::SynSent &&
         state_ != TcpState::SynReceived;
}
bool TcpEndpoint::may_send_data() const { return state_ == TcpState::Established || state_ == TcpState::CloseWait; }

void TcpEndpoint::set_state(TcpState s) { state_ = s; }

void TcpEndpoint::leave_tables() {
  if (in_demux_) stack_.tcp().remove(tuple_, *this);
  in_demux_ = false;
  if (!bound_by_user_ || detached_) binding_ = {};
}

void TcpEndpoint::child_gone() {
  MutexLock lock(mutex_);
  if (listener_ && listener_->half_open != 0) --listener_->half_open;
}

// Nothing of it is left but what the user may still read.
void TcpEndpoint::die(int error) {
  if (state_ == TcpState::Closed) return;
  set_state(TcpState::Closed);
  if (error != 0) error_ = error;
  shut_read_ = shut_write_ = true;
  snd_buffer_.clear();
  board_.clear();
  out_of_order_.clear();
  out_of_order_bytes_ = 0;
  if (detached_) rcv_buffer_.clear();
  if (std::exchange(counted_orphan_, false)) stack_.orphan_count().fetch_sub(1);
  rto_at_ = probe_at_ = reorder_at_ = ack_at_ = persist_at_ = keepalive_at_ = cork_at_ = fin_wait_at_ = never;
  stalled_since_ = 0;
  leave_tables();
  stack_.wheel().cancel(*this);
  armed_for_ = never;
  if (auto parent = std::move(parent_)) parent->child_gone();
  notify(all_events);
}

void TcpEndpoint::abort_locked(int error) {
  if (synchronized() || state_ == TcpState::SynReceived) {
    ++stack_.statistics().tcp_resets_sent;
    send_control(snd_nxt_, TcpHeader::rst | TcpHeader::ack_flag);
  }
  die(error);
}

// --- naming ---

// As inet_bind of Linux: a group or a broadcast address can be bound to, though no connection comes of it; of IPv6 no
// group.
Result<void> TcpEndpoint::bind(BindRequest request) {
  Address const& a = request.local;
  if (a.is_multicast() && !a.is_v4()) return fail(Errno::Inval);
  bool const group = a.is_multicast() || a.is_limited_broadcast();
  if (!a.is_any() && !request.any_address && !group && !stack_.owns(a)) return fail(Errno::AddrNotAvail);
  request.interface = bound_interface;
  MutexLock lock(mutex_);
  if (state_ != TcpState::Closed || binding_) return fail(Errno::Inval);
  bound_address_ = request.local;
  if (request.address_only) {
    tuple_.local = {request.local, 0, 0};
    return {};
  }
  binding_ = TRY(stack_.tcp_ports().bind(request, this));
  bound_by_user_ = true;
  tuple_.local = {request.local, binding_->port(), 0};
  return {};
}

Result<void> TcpEndpoint::listen(size_t backlog, BindRequest defaults) {
  MutexLock lock(mutex_);
  if (listener_) {
    listener_->backlog = backlog;
    return {};
  }
  if (state_ != TcpState::Closed) return fail(Errno::Inval);
  if (!binding_) {
    defaults.interface = bound_interface;
    binding_ = TRY(stack_.tcp_ports().bind(defaults, this));
    tuple_.local = {defaults.local, binding_->port(), 0};
  }
  TRY(stack_.tcp_ports().listen(*binding_, this));
  listener_ = std::make_unique<Listener>();
  listener_->backlog = backlog;
  error_ = 0;
  shut_read_ = shut_write_ = false;
  set_state(TcpState::Listen);
  return {};
}

// Connections that nobody has accepted are reset.
void TcpEndpoint::stop_listening() {
  std::unique_ptr<Listener> gone;
  {
    Locked lock(*this);
    if (!listener_) return;
    gone = std::move(listener_);
    if (binding_) stack_.tcp_ports().set_owner(*binding_, nullptr);
    set_state(TcpState::Closed);
    if (!bound_by_user_ || detached_) binding_ = {};
    notify(all_events);
  }
  while (!gone->waiting.empty()) {
    gone->waiting.front()->close(true);
    gone->waiting.pop_front();
  }
}

Result<Ref<TcpEndpoint>> TcpEndpoint::accept() {
  MutexLock lock(mutex_);
  if (!listener_) return fail(Errno::Inval);
  if (listener_->waiting.empty()) return fail(Errno::Again);
  Ref<TcpEndpoint> child = std::move(listener_->waiting.front());
  listener_->waiting.pop_front();
  return child;
}

void TcpEndpoint::set_observer(Ref<EndpointObserver> observer) {
  MutexLock lock(mutex_);
  observer_ = std::move(observer);
}

// --- opening ---

Result<void> TcpEndpoint::connect(Peer const& to, BindRequest defaults) {
  Stack::Visit visit(stack_);
  Locked lock(*this);
  if (state_ == TcpState::SynSent || state_ == TcpState::SynReceived) return fail(Errno::Already);
  if (state_ != TcpState::Closed) return fail(Errno::IsConn);
  return connect_locked(to, defaults);
}

Result<void> TcpEndpoint::connect_locked(Peer remote, BindRequest& defaults) {
  if (remote.address.is_any())
    remote.address = remote.address.is_v4() ? Address::loopback_v4() : Address::loopback_v6();
  if (!remote.address.is_unicast()) return fail(Errno::NetUnreach);
  Address const wanted = bound_address_;
  if (!wanted.is_any() && !any_source && !stack_.owns(wanted)) return fail(Errno::Inval);
  uint32_t interface = bound_interface.load() != 0 ? bound_interface.load() : remote.scope;
  auto path = TRY(stack_.find_path(remote.address, wanted, interface));
  FourTuple tuple{{path.source, 0, 0}, remote};
  std::optional<SeqNum> behind;
  bool const chosen = bound_by_user_;
  auto try_port = [&](Ref<PortBinding> const& b) {
    tuple.local.port = b->port();
    if (stack_.tcp().insert(tuple, Ref<TcpReceiver>(this))) return true;
    auto there = stack_.tcp().find(tuple);
    auto* old = dynamic_cast<TcpTimeWait*>(there.get());
    if (!old) return false;
    behind = old->reusable(stack_.now(), chosen);
    return behind && stack_.tcp().replace(tuple, *old, Ref<TcpReceiver>(this));
  };
  if (binding_) {
    if (!try_port(binding_)) return fail(Errno::AddrNotAvail);
  } else {
    binding_ = TRY(stack_.tcp_ports().bind_for_connect(defaults, try_port));
  }
  in_demux_ = true;
  tuple_ = tuple;
  auto clock = static_cast<uint32_t>(stack_.now() >> 6);  // RFC 6528
  SeqNum iss(static_cast<uint32_t>(hash_of(stack_.secret(), tuple_, 1)) + clock);
  if (behind && iss <= *behind + reuse_distance) iss = *behind + reuse_distance;
  begin_connection(path, iss);
  ++stack_.statistics().tcp_active_opens;
  set_state(TcpState::SynSent);
  send_syn(false);
  rearm();
  return {};
}

void TcpEndpoint::begin_connection(Path const& path, SeqNum iss) {
  path_ = path;
  error_ = soft_error_ = 0;
  shut_read_ = shut_write_ = fin_received_ = fin_wanted_ = fin_sent_ = false;
  rcv_buffer_.clear();
  snd_buffer_.clear();
  board_.clear();
  iss_ = snd_una_ = snd_nxt_ = small_sent_ = recover_ = forward_ack_ = dsack_round_ = snd_urgent_ = iss;
  urgent_ = Urgent::None;
  ecn_ = ecn_seen_ = tell_congestion_ = tell_reduced_ = deferred_ = false;
  black_hole_mss_ = 0;
  ts_offset_ = static_cast<uint32_t>(hash_of(stack_.secret(), tuple_, 2));
  flow_ =
      static_cast<uint8_t>(tuple_.local.port ^ tuple_.remote.port ^ tuple_.local.port >> 8 ^ tuple_.remote.port >> 8);
  timestamps_ = stack_.settings().tcp_timestamps;
  sack_ok_ = stack_.settings().tcp_sack;
  scaling_ = stack_.settings().tcp_window_scaling;
  snd_scale_ = 0;
  // Enough for the largest window that tuning may come to (RFC 7323 2.3).
  rcv_scale_ = 0;
  size_t largest =
      options_.receive_size_fixed ? rcv_limit_ : std::max<size_t>(rcv_limit_, stack_.settings().tcp_receive_max);
  while (rcv_scale_ < 14 && (largest >> rcv_scale_) > 65535) ++rcv_scale_;
  peer_mss_ = tuple_.remote.address.is_v4() ? 536 : 1220;
  srtt_ = rttvar_ = 0;
  min_rtt_ = never;
  rto_ = second;
  backoff_ = retransmits_ = probes_ = duplicate_acks_ = 0;
  rcv_nxt_ = rcv_edge_ = last_ack_sent_ = SeqNum(0);
  snd_wnd_ = max_snd_wnd_ = 0;
  update_mss();
  advertised_mss_ = mss_ + static_cast<uint32_t>(option_size());
  bool four = tuple_.remote.address.is_v4();
  uint32_t link = path.mtu - (four ? 40 : 60);
  advertised_mss_ = std::min<uint32_t>({link, four ? loopback_mss_v4 : loopback_mss_v6, 65535u});
  if (options_.max_segment != 0) advertised_mss_ = std::min<uint32_t>(advertised_mss_, options_.max_segment);
  rcv_mss_ = std::min(advertised_mss_, 536u);
  quick_acks_ = path.local || !options_.quick_ack ? 0 : quick_acks_at_start;
  read_mark_ = last_received_ = stack_.now();
  read_since_ = 0;
  rcv_space_ = 0;
}

// --- sending ---

size_t TcpEndpoint::free_send_space() const {
  if (snd_buffer_.size() >= snd_limit_) return 0;
  size_t room = snd_limit_ - snd_buffer_.size();
  if (stack_.may_charge(room)) return room;
  // Too much is queued in all: a little, so that each connection goes on.
  return snd_buffer_.empty() ? std::min(room, stack_.settings().tcp_send_min.load()) : 0;
}

Result<size_t> TcpEndpoint::send_room() {
  MutexLock lock(mutex_);
  if (error_ != 0) return fail_host(std::exchange(error_, 0));
  if (shut_write_) return fail(Errno::Pipe);
  if (state_ == TcpState::SynSent || state_ == TcpState::SynReceived) {
    tell_writable_ = true;
    return 0;
  }
  if (!may_send_data()) return fail(Errno::Pipe);
  size_t room = free_send_space();
  if (room == 0) tell_writable_ = true;
  return room;
}

void TcpEndpoint::grow_send_buffer() {
  if (options_.send_size_fixed) return;
  size_t most = std::max<size_t>(snd_limit_, stack_.settings().tcp_send_max);
  snd_limit_ = std::clamp(2 * congestion_.window(), snd_limit_, most);
}

Result<void> TcpEndpoint::send(Chain data, bool more) {
  Stack::Visit visit(stack_);
  Locked lock(*this);
  if (shut_write_ || !may_send_data()) return fail(Errno::Pipe);
  snd_buffer_.append(std::move(data));
  more_coming_ = more;
  output();
  rearm();
  return {};
}

Result<void> TcpEndpoint::send_copy(Bytes data, bool more) {
  Stack::Visit visit(stack_);
  Locked lock(*this);
  if (shut_write_ || !may_send_data()) return fail(Errno::Pipe);
  snd_buffer_.append_copy(data);
  more_coming_ = more;
  output();
  rearm();
  return {};
}

Result<void> TcpEndpoint::send_urgent(Bytes data) {
  Stack::Visit visit(stack_);
  Locked lock(*this);
  if (shut_write_ || !may_send_data()) return fail(Errno::Pipe);
  snd_buffer_.append_copy(data);
  snd_urgent_ = snd_una_ + snd_buffer_.size();
  more_coming_ = false;
  output();
  rearm();
  return {};
}

// --- receiving ---

SeqNum TcpEndpoint::read_position() const {
  return rcv_nxt_ - static_cast<uint32_t>(rcv_buffer_.size()) - (fin_received_ ? 1 : 0);
}

bool TcpEndpoint::hides_urgent() const {
  return urgent_ != Urgent::None && !options_.urgent_inline && urgent_at_ == read_position() && !rcv_buffer_.empty();
}

bool TcpEndpoint::at_mark(size_t ahead) const {
  MutexLock lock(mutex_);
  return urgent_ != Urgent::None && urgent_at_ == read_position() + ahead;
}

std::vector<std::byte> TcpEndpoint::take_saved_syn(size_t room) {
  MutexLock lock(mutex_);
  if (saved_syn_.size() > room) return {};
  return std::exchange(saved_syn_, {});
}

size_t TcpEndpoint::saved_syn_size() const {
  MutexLock lock(mutex_);
  return saved_syn_.size();
}

// Reads go as far as the urgent byte, and then on behind it.
Result<Chain> TcpEndpoint::peek(size_t offset, size_t length, bool keep_error) {
  MutexLock lock(mutex_);
  if (hides_urgent()) ++offset;
  if (offset < rcv_buffer_.size()) {
    SeqNum const from = read_position() + offset;
    if (urgent_ != Urgent::None && urgent_at_ > from) length = std::min<size_t>(length, distance(from, urgent_at_));
    Chain part;
    rcv_buffer_.for_range(offset, length, [&](View v) { part.append(std::move(v)); });
    return part;
  }
  if (fin_received_) return Chain();
  if (error_ != 0) return fail_host(keep_error ? error_ : std::exchange(error_, 0));
  if (state_ == TcpState::Listen) return fail(Errno::NotConn);
  if (shut_read_) return Chain();
  if (state_ == TcpState::Closed) return fail(Errno::NotConn);
  return fail(Errno::Again);
}

Result<std::optional<std::byte>> TcpEndpoint::take_urgent(bool peek) {
  MutexLock lock(mutex_);
  if (options_.urgent_inline || urgent_ == Urgent::None || urgent_ == Urgent::Taken) return fail(Errno::Inval);
  if (urgent_ == Urgent::Here) {
    if (!peek) urgent_ = Urgent::Taken;
    return urgent_byte_;
  }
  if (state_ == TcpState::Closed || shut_read_ || fin_received_) return std::nullopt;
  return fail(Errno::Again);
}

// Dynamic right-sizing: what was read in a round trip tells how much may be on its way.
void TcpEndpoint::measure_reading(size_t n) {
  read_since_ += n;
  Time now = stack_.now();
  if (now - read_mark_ < std::max(srtt_, millisecond / 2)) return;
  if (read_since_ > rcv_space_) {
    rcv_space_ = read_since_;
    size_t most = std::max<size_t>(rcv_limit_, stack_.settings().tcp_receive_max);
    if (!options_.receive_size_fixed && stack_.may_charge(read_since_))
      rcv_limit_ = std::clamp(4 * read_since_ + size_t{32} * rcv_mss_, rcv_limit_, most);
  }
  read_since_ = 0;
  read_mark_ = now;
}

void TcpEndpoint::consume(size_t n) {
  Stack::Visit visit(stack_);
  Locked lock(*this);
  if (n != 0 && hides_urgent()) rcv_buffer_.trim_front(1);
  rcv_buffer_.trim_front(n);
  if (urgent_ != Urgent::None && read_position() > urgent_at_) urgent_ = Urgent::None;
  measure_reading(n);
  if (!synchronized() || fin_received_) return;
  // A window update, when the window has grown by enough to be worth it (RFC 9293 3.8.6.2.2).
  uint32_t known = rcv_edge_ > rcv_nxt_ ? distance(rcv_nxt_, rcv_edge_) : 0, open = receive_window();
  uint32_t step = std::min<uint32_t>(2 * rcv_mss_, static_cast<uint32_t>(rcv_limit_ / 4));
  if (open >= 2 * known && open >= known + step) send_ack();
  rearm();
}

// --- closing ---

void TcpEndpoint::finish_locked() {
  fin_wanted_ = true;
  more_coming_ = false;
  set_state(state_ == TcpState::CloseWait ? TcpState::LastAck : TcpState::FinWait1);
  output();
}

Result<void> TcpEndpoint::shutdown(bool read, bool write) {
  Stack::Visit visit(stack_);
  {
    Locked lock(*this);
    if (state_ == TcpState::Closed) return fail(Errno::NotConn);
    if (state_ != TcpState::Listen) {
      if (state_ == TcpState::SynSent) {
        die(0);
        return {};
      }
      shut_read_ |= read;
      shut_write_ |= write;
      if (write && (may_send_data() || state_ == TcpState::SynReceived)) finish_locked();
      notify(event_in | event_out | event_read_hang_up | (shut_read_ && shut_write_ ? event_hang_up : 0));
      rearm();
      return {};
    }
  }
  if (read) stop_listening();
  return {};
}

void TcpEndpoint::close(bool linger_zero) {
  Stack::Visit visit(stack_);
  bool was_listening;
  {
    Locked lock(*this);
    was_listening = listener_ != nullptr;
    detached_ = true;
    observer_ = {};
    if (!was_listening) {
      bool unread = !rcv_buffer_.empty();
      rcv_buffer_.clear();
      if (state_ == TcpState::Closed) {
        leave_tables();
      } else if (linger_zero || unread || state_ == TcpState::SynSent || state_ == TcpState::SynReceived) {
        abort_locked(0);
      } else {
        shut_read_ = shut_write_ = true;
        counted_orphan_ = true;
        if (stack_.orphan_count().fetch_add(1) >= stack_.settings().tcp_max_orphans) return abort_locked(0);
        if (may_send_data()) finish_locked();
        if (state_ == TcpState::FinWait2) {
          fin_wait_at_ = stack_.now() + std::max<Time>(options_.fin_wait2, 0);
          if (options_.fin_wait2 < 0) die(0);
        }
        rearm();
      }
    }
  }
  if (was_listening) stop_listening();
}

void TcpEndpoint::disconnect() {
  Stack::Visit visit(stack_);
  stop_listening();
  Locked lock(*this);
  if (state_ != TcpState::Closed) abort_locked(0);
  rcv_buffer_.clear();
  error_ = 0;
  shut_read_ = shut_write_ = fin_received_ = false;
  tuple_.remote = {Address::any(v4_), 0, 0};
  if (!bound_by_user_) {
    tuple_.local = {Address::any(v4_), 0, 0};
    bound_address_ = Address::any(v4_);
  }
}

// TIME-WAIT goes on in a smaller object, in this one's place.
void TcpEndpoint::enter_time_wait() {
  auto waiting = make_ref<TcpTimeWait>(stack_, tuple_, path_, binding_, snd_nxt_, rcv_nxt_,
                                       receive_window() >> rcv_scale_, timestamps_, ts_offset_, ts_recent_);
  Ref<TcpEndpoint> self(this);  // the table may hold the last reference
  if (in_demux_ && binding_ && stack_.tcp().replace(tuple_, *this, waiting)) {
    in_demux_ = false;
    ++stack_.statistics().tcp_time_waited;
    waiting->begin(TcpTimeWait::duration);
  }
  die(0);
}

}  // namespace cofferdam::netstack

// Connections that come in: the stack's part of TCP, listeners, SYN cookies (RFC 4987), resets.
#include <algorithm>
#include <cerrno>

#include "netstack/tcp_endpoint.h"

namespace cofferdam::netstack {
namespace {

constexpr std::array<uint16_t, 8> cookie_mss{536, 1220, 1300, 1440, 1460, 4312, 8960, 65475};
constexpr Time cookie_period = 64 * second;
constexpr uint32_t cookie_lifetime = 2;  // periods

uint32_t cookie_hash(Stack& stack, FourTuple const& t, uint32_t period, SeqNum peer) {
  return static_cast<uint32_t>(hash_of(stack.secret(), t, uint64_t{period} << 32 | peer.value())) & 0x07ffffff;
}

// 5 bits of the period, 27 of a hash, of which 3 carry the segment size.
SeqNum make_cookie(Stack& stack, TcpSegment const& s) {
  auto period = static_cast<uint32_t>(stack.now() / cookie_period);
  uint16_t offered = s.header.options.mss.value_or(536);
  uint32_t index = 0;
  while (index + 1 < cookie_mss.size() && cookie_mss[index + 1] <= offered) ++index;
  uint32_t hash = cookie_hash(stack, s.tuple(), period, s.header.sequence);
  return SeqNum((period & 31) << 27 | (hash ^ index << 24));
}

// The segment size that a cookie stands for; 0: it is none of ours.
uint16_t check_cookie(Stack& stack, TcpSegment const& s) {
  auto now = static_cast<uint32_t>(stack.now() / cookie_period);
  uint32_t cookie = (s.header.acknowledgment - 1).value();
  uint32_t age = (now - (cookie >> 27)) & 31;
  if (age >= cookie_lifetime) return 0;
  uint32_t rest = (cookie & 0x07ffffff) ^ cookie_hash(stack, s.tuple(), now - age, s.header.sequence - 1);
  return (rest & 0x00ffffff) != 0 ? 0 : cookie_mss[rest >> 24];
}

// Answers a segment without the help of any connection.
void send_bare(Stack& stack, TcpSegment const& s, TcpHeader h) {
  auto path = stack.find_path(s.source, s.destination, s.source.is_link_local() && !s.source.is_v4() ? s.interface : 0);
  if (!path) return;
  h.source = s.header.destination;
  h.destination = s.header.source;
  auto p = std::make_unique<Packet>();
  auto b = p->push(TcpHeader::minimum + h.options.length());
  h.write(b);
  p->checksum_verified = path->local;
  if (!path->local) {
    Checksum sum = pseudo_header(s.destination, s.source, protocol_tcp, p->size());
    sum.add_rest(*p);
    store16(b, 16, sum.value());
  }
  SendOptions o;
  o.path_mtu = PathMtuMode::Do;
  o.flow = static_cast<uint8_t>(h.source ^ h.destination ^ h.source >> 8 ^ h.destination >> 8);
  ++stack.statistics().tcp_segments_sent;
  static_cast<void>(stack.send(*path, s.destination, s.source, protocol_tcp, o, std::move(p)));
}

// The headers of a segment as they came.
std::vector<std::byte> whole_headers(IpInfo const& info, Bytes tcp) {
  Packet p;
  std::ranges::copy(tcp, p.push(tcp.size()).begin());
  Stack::push_ip_header(info, p);
  std::vector<std::byte> bytes(p.size());
  p.copy_to(bytes);
  return bytes;
}

}  // namespace

void send_reset(Stack& stack, TcpSegment const& s) {
  if (s.header.has(TcpHeader::rst)) return;
  TcpHeader h;
  if (s.header.has(TcpHeader::ack_flag)) {
    h.sequence = s.header.acknowledgment;
    h.flags = TcpHeader::rst;
  } else {
    h.acknowledgment = s.end();
    h.flags = TcpHeader::rst | TcpHeader::ack_flag;
  }
  ++stack.statistics().tcp_resets_sent;
  send_bare(stack, s, h);
}

void Stack::receive_tcp(IpInfo const& info, PacketPtr p) {
  if (!info.to_one || !info.source.is_unicast()) return;
  ++statistics_.tcp_segments_received;
  size_t length = TcpHeader::length_of(p->peek(TcpHeader::minimum));
  if (length == 0 || length > p->size()) {
    ++statistics_.tcp_input_errors;
    return;
  }
  if (!p->checksum_verified) {
    Checksum sum = pseudo_header(info.source, info.destination, protocol_tcp, p->size());
    sum.add_rest(*p);
    if (sum.value() != 0) {
      ++statistics_.tcp_checksum_errors;
      return;
    }
  }
  TcpSegment s;
  s.header = *TcpHeader::parse(p->peek(length));
  std::array<std::byte, 60> raw;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled where it is used
  bool const begins = s.header.has(TcpHeader::syn) && !s.header.has(TcpHeader::ack_flag);
  if (begins) std::ranges::copy(p->peek(length), raw.begin());
  p->pull(length);
  s.source = info.source;
  s.destination = info.destination;
  s.ttl = info.ttl;
  s.tos = info.tos;
  s.interface = info.interface->index();
  s.length = p->size();
  s.packet = std::move(p);
  FourTuple tuple = s.tuple();
  if (auto receiver = tcp_.find(tuple); receiver && receiver->receive(s)) return;
  Peer local{s.destination, s.header.destination, 0}, remote{s.source, s.header.source, 0};
  auto listener = ref_cast<TcpEndpoint>(tcp_ports_.find(local, remote, s.interface, hash_of(secret_, tuple)));
  if (!listener) return send_reset(*this, s);
  if (begins && listener->save_syn != 0) s.headers = whole_headers(info, Bytes(raw).first(length));
  listener->receive_for_listener(s);
}

// secs_to_retrans and retrans_to_secs of Linux: how often a SYN,ACK is repeated in so many seconds.
unsigned defer_from_seconds(unsigned seconds) {
  constexpr unsigned most = 255, longest = 120;
  if (seconds == 0) return 0;
  unsigned count = 1;
  for (unsigned timeout = 1, period = 1; seconds > period && count < most; ++count) {
    timeout = std::min(timeout * 2, longest);
    period += timeout;
  }
  return count;
}

unsigned defer_to_seconds(unsigned repetitions) {
  constexpr unsigned longest = 120;
  unsigned period = 0;
  for (unsigned timeout = 1; repetitions != 0; --repetitions, timeout = std::min(timeout * 2, longest))
    period += timeout;
  return period;
}

// What a connection takes over from its listener.
struct TcpEndpoint::Pattern {
  bool v4 = true;
  TcpOptionsSet options;
  size_t send_limit = 0, receive_limit = 0, low_water = 1;
  Ref<PortBinding> binding;
};

// RFC 9293 3.10.7.2
void TcpEndpoint::receive_for_listener(TcpSegment& s) {
  auto const& h = s.header;
  if (h.has(TcpHeader::rst)) return;
  if (h.has(TcpHeader::ack_flag)) {
    if (h.has(TcpHeader::syn)) return send_reset(stack_, s);
    return listener_ack(s);
  }
  if (h.has(TcpHeader::syn) && !h.has(TcpHeader::fin)) listener_syn(s);
}

void TcpEndpoint::listener_syn(TcpSegment& s) {
  Pattern pattern;
  bool cookie = false;
  {
    MutexLock lock(mutex_);
    if (!listener_) {
      lock.unlock();
      return send_reset(stack_, s);
    }
    if (listener_->waiting.size() > listener_->backlog) {
      ++stack_.statistics().tcp_listen_overflows;
      ++stack_.statistics().tcp_listen_drops;
      return;
    }
    size_t most = std::max<size_t>(stack_.settings().tcp_max_syn_backlog, 16);
    cookie = listener_->half_open >= most;
    if (cookie && !stack_.settings().tcp_syncookies) {
      ++stack_.statistics().tcp_listen_drops;
      return;
    }
    if (!cookie) ++listener_->half_open;
    pattern = {v4_, options_, snd_limit_, rcv_limit_, receive_low_water.load(), binding_};
  }
  if (cookie) {
    TcpHeader h;
    h.sequence = make_cookie(stack_, s);
    h.acknowledgment = s.header.sequence + 1;
    h.flags = TcpHeader::syn | TcpHeader::ack_flag;
    h.window = static_cast<uint16_t>(std::min<size_t>(pattern.receive_limit / 2, 65535));
    h.options.mss = s.source.is_v4() ? 1460 : 1440;
    ++stack_.statistics().tcp_syn_cookies_sent;
    return send_bare(stack_, s, h);
  }
  auto clock = static_cast<uint32_t>(stack_.now() >> 6);
  SeqNum iss(static_cast<uint32_t>(hash_of(stack_.secret(), s.tuple(), 1)) + clock);
  // In the place of one in TIME-WAIT: no number of that one's comes again soon (RFC 6191).
  if (s.begin_behind && iss <= *s.begin_behind + reuse_distance) iss = *s.begin_behind + reuse_distance;
  auto child = make_child(s, pattern, iss, true);
  if (!child) child_gone();
}

Ref<TcpEndpoint> TcpEndpoint::make_child(TcpSegment const& s, Pattern const& pattern, SeqNum iss, bool half_open) {
  uint32_t scope = s.source.is_link_local() && !s.source.is_v4() ? s.interface : 0;
  auto path = stack_.find_path(s.source, s.destination, scope);
  if (!path) return {};
  auto child = make_ref<TcpEndpoint>(stack_, pattern.v4, Ref<EndpointObserver>());
  Locked lock(*child);
  child->tuple_ = s.tuple();
  child->tuple_.remote.scope = scope;
  child->options_ = pattern.options;
  child->snd_limit_ = pattern.send_limit;
  child->rcv_limit_ = pattern.receive_limit;
  child->receive_low_water = pattern.low_water;
  child->binding_ = pattern.binding;
  child->bound_interface = bound_interface.load();
  child->begin_connection(*path, iss);
  child->saved_syn_ = s.headers;
  child->save_syn = save_syn.load();
  child->errors_at_once = errors_at_once.load();
  child->irs_ = s.header.sequence - (half_open ? 0 : 1);
  child->rcv_nxt_ = child->rcv_edge_ = child->last_ack_sent_ = child->irs_ + 1;
  child->snd_wnd_ = child->max_snd_wnd_ = s.header.window;
  child->snd_wl1_ = s.header.sequence;
  child->snd_wl2_ = iss;
  child->parent_ = Ref<TcpEndpoint>(this);
  child->set_state(TcpState::SynReceived);
  if (!stack_.tcp().insert(child->tuple_, child)) {  // somebody else was quicker
    child->parent_ = {};
    child->set_state(TcpState::Closed);
    return {};
  }
  child->in_demux_ = true;
  ++stack_.statistics().tcp_passive_opens;
  if (half_open) {
    child->take_peer_options(s.header.options);
    bool const asks = s.header.has(TcpHeader::ece) && s.header.has(TcpHeader::cwr) && (s.tos & 3) == 0;
    child->ecn_ = asks && stack_.settings().tcp_ecn != EcnMode::Never;
    child->send_syn(true);
    child->rearm();
  }
  return child;
}

// The ACK that ends a handshake by cookie.
void TcpEndpoint::listener_ack(TcpSegment& s) {
  uint16_t mss = stack_.settings().tcp_syncookies && stack_.statistics().tcp_syn_cookies_sent.value() != 0
                     ? check_cookie(stack_, s)
                     : uint16_t{0};
  if (mss == 0) {
    if (stack_.statistics().tcp_syn_cookies_sent.value() != 0) ++stack_.statistics().tcp_syn_cookies_failed;
    return send_reset(stack_, s);
  }
  Pattern pattern;
  {
    MutexLock lock(mutex_);
    if (!listener_) return;
    if (listener_->waiting.size() > listener_->backlog) {
      ++stack_.statistics().tcp_listen_overflows;
      return;
    }
    pattern = {v4_, options_, snd_limit_, rcv_limit_, receive_low_water.load(), binding_};
    ++listener_->half_open;
  }
  SeqNum iss = s.header.acknowledgment - 1;
  auto child = make_child(s, pattern, iss, false);
  if (!child) return child_gone();
  ++stack_.statistics().tcp_syn_cookies_accepted;
  {
    Locked lock(*child);
    TcpOptions none;
    none.mss = mss;
    child->take_peer_options(none);
    child->snd_nxt_ = iss + 1;
    child->board_.push(iss, child->snd_nxt_, stack_.now());
    child->rcv_edge_ = child->rcv_nxt_ + std::min<uint32_t>(child->receive_window(), 65535);
  }
  child->receive(s);
}

// The handshake of a child is complete. False: its listener has no room, the peer may ask again.
bool TcpEndpoint::hand_to_listener() {
  Ref<TcpEndpoint> parent = parent_;
  if (!parent->enqueue(*this, true)) return false;
  parent_ = {};
  return true;
}

bool TcpEndpoint::enqueue(TcpEndpoint& child, bool was_half_open) {
  Ref<EndpointObserver> observer;
  {
    MutexLock lock(mutex_);
    if (!listener_ || listener_->waiting.size() > listener_->backlog) {
      ++stack_.statistics().tcp_listen_overflows;
      return false;
    }
    if (was_half_open && listener_->half_open != 0) --listener_->half_open;
    listener_->waiting.push_back(Ref<TcpEndpoint>(&child));
    observer = observer_;
  }
  if (observer) observer->on_events(event_in);
  return true;
}

// --- TIME-WAIT ---

TcpTimeWait::TcpTimeWait(Stack& stack, FourTuple const& tuple, Path const& path, Ref<PortBinding> binding,
                         SeqNum snd_nxt, SeqNum rcv_nxt, uint32_t window, bool timestamps, uint32_t ts_offset,
                         uint32_t ts_recent)
    : stack_(stack),
      tuple_(tuple),
      path_(path),
      binding_(std::move(binding)),
      snd_nxt_(snd_nxt),
      rcv_nxt_(rcv_nxt),
      window_(static_cast<uint16_t>(std::min<uint32_t>(window, 65535))),
      timestamps_(timestamps),
      ts_offset_(ts_offset),
      ts_recent_(ts_recent),
      ts_recent_at_(stack.now()) {}

void TcpTimeWait::begin(Time how_long) {
  if (stack_.time_wait_count().fetch_add(1) >= stack_.settings().tcp_max_time_wait) return end();
  MutexLock lock(mutex_);
  until_ = stack_.now() + how_long;
  stack_.wheel().arm(*this, until_);
}

void TcpTimeWait::end() {
  stack_.wheel().cancel(*this);
  stack_.tcp().remove(tuple_, *this);
}

TcpTimeWait::~TcpTimeWait() { stack_.time_wait_count().fetch_sub(1); }

void TcpTimeWait::on_timer(Time now) {
  {
    MutexLock lock(mutex_);
    if (now < until_) {
      stack_.wheel().arm(*this, until_);
      return;
    }
  }
  stack_.tcp().remove(tuple_, *this);
}

// RFC 6191: timestamps tell old from new. Whoever has bound the port has chosen; others may take it after a second, and
// as tcp_tw_reuse says.
std::optional<SeqNum> TcpTimeWait::reusable(Time now, bool port_was_chosen) const {
  auto const mode = stack_.settings().tcp_time_wait_reuse.load();
  bool const local = tuple_.local.address.is_loopback() || tuple_.remote.address.is_loopback();
  bool const allowed = mode == ReuseMode::Always || (mode == ReuseMode::Loopback && local);
  MutexLock lock(mutex_);
  if (!timestamps_ || (!port_was_chosen && (!allowed || now - ts_recent_at_ < second))) return std::nullopt;
  return snd_nxt_;
}

void TcpTimeWait::answer(Time now, TcpSegment const& s) {
  bool const limited = s.length == 0 || s.header.has(TcpHeader::syn);
  if (limited && answered_at_ != 0 && now - answered_at_ < stack_.settings().tcp_invalid_interval) return;
  if (limited) answered_at_ = now;
  TcpHeader h;
  h.source = tuple_.local.port;
  h.destination = tuple_.remote.port;
  h.sequence = snd_nxt_;
  h.acknowledgment = rcv_nxt_;
  h.flags = TcpHeader::ack_flag;
  h.window = window_;
  if (timestamps_) {
    h.options.has_timestamps = true;
    h.options.timestamp = ts_offset_ + static_cast<uint32_t>(now / millisecond);
    h.options.echo = ts_recent_;
  }
  auto p = std::make_unique<Packet>();
  auto b = p->push(TcpHeader::minimum + h.options.length());
  h.write(b);
  p->checksum_verified = path_.local;
  if (!path_.local) {
    Checksum sum = pseudo_header(tuple_.local.address, tuple_.remote.address, protocol_tcp, p->size());
    sum.add_rest(*p);
    store16(b, 16, sum.value());
  }
  SendOptions o;
  o.path_mtu = PathMtuMode::Do;
  ++stack_.statistics().tcp_segments_sent;
  static_cast<void>(stack_.send(path_, tuple_.local.address, tuple_.remote.address, protocol_tcp, o, std::move(p)));
}

// RFC 9293 3.10.7.4 for TIME-WAIT, as Linux's tcp_timewait_state_process has it.
bool TcpTimeWait::receive(TcpSegment& s) {
  auto const& h = s.header;
  Time const now = stack_.now();
  bool const has_timestamp = timestamps_ && h.options.has_timestamps;
  {
    MutexLock lock(mutex_);
    auto const age = static_cast<int32_t>(h.options.timestamp - ts_recent_);
    bool const stale = has_timestamp && age < 0 && !h.has(TcpHeader::rst);
    bool const bare = s.end() == h.sequence || h.has(TcpHeader::rst);
    if (!stale && h.sequence == rcv_nxt_ && bare) {
      if (has_timestamp) ts_recent_ = h.options.timestamp;
      if (!h.has(TcpHeader::rst)) until_ = now + duration;
      if (!h.has(TcpHeader::rst) || stack_.settings().tcp_rfc1337) return true;
      lock.unlock();
      end();  // RFC 1337 has good reasons to go on all the same
      return true;
    }
    bool const plain_syn = h.has(TcpHeader::syn) && !h.has(TcpHeader::ack_flag) && !h.has(TcpHeader::rst);
    if (!plain_syn || stale || !(h.sequence > rcv_nxt_ || (has_timestamp && age > 0))) {
      if (h.has(TcpHeader::rst)) return true;
      if (stale || h.has(TcpHeader::ack_flag)) until_ = now + duration;
      answer(now, s);
      return true;
    }
    s.begin_behind = snd_nxt_;
  }
  end();  // a new connection begins
  return false;
}

}  // namespace cofferdam::netstack

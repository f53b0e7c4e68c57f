// What a TCP endpoint sends (RFC 9293 3.8, 3.10.2; Nagle and silly windows: RFC 1122 4.2.3.4).
#include <algorithm>

#include "netstack/tcp_endpoint.h"

namespace cofferdam::netstack {
namespace {

constexpr Time delayed_ack = 40 * millisecond, cork_limit = 200 * millisecond;
constexpr uint8_t ecn_mask = 3, ecn_capable = 2;  // in the type of service: ECT(0)
constexpr size_t bulk = 1024;  // segments of this size are worth an acknowledgment at once where it costs no wire

}  // namespace

uint32_t TcpEndpoint::timestamp() const { return ts_offset_ + static_cast<uint32_t>(stack_.now() / millisecond); }

size_t TcpEndpoint::option_size() const { return timestamps_ ? 12 : 0; }

// The largest segment that the path and the peer take, without options (RFC 6691).
void TcpEndpoint::update_mss() {
  uint32_t headers = tuple_.remote.address.is_v4() ? 40 : 60;
  uint32_t link = std::max<uint32_t>(path_.mtu, headers + 88) - headers;
  uint32_t whole = std::min({link, peer_mss_, uint32_t{65535} - headers + (headers == 60 ? 20 : 0)});
  if (options_.max_segment != 0) whole = std::min<uint32_t>(whole, options_.max_segment);
  // To a peer with a small window, so that more than one is on its way (Linux's tcp_bound_to_half_wnd).
  if (black_hole_mss_ != 0) whole = std::min(whole, black_hole_mss_);
  uint32_t const half = max_snd_wnd_ > 536 ? max_snd_wnd_ / 2 : max_snd_wnd_;
  if (half != 0 && !path_.local) whole = std::min<uint32_t>(whole, half + static_cast<uint32_t>(option_size()));
  whole = std::max<uint32_t>(whole, 88);
  mss_ = whole - static_cast<uint32_t>(option_size());
  congestion_.set_mss(mss_);
}

void TcpEndpoint::note_largest_window() {
  if (snd_wnd_ <= max_snd_wnd_) return;
  max_snd_wnd_ = snd_wnd_;
  uint32_t const before = mss_;
  update_mss();
  congestion_.rescale(before, mss_);
}

size_t TcpEndpoint::segment_limit() const {
  uint32_t gso = path_.out ? path_.out->facts().gso_max : 0;
  if (gso <= mss_ || path_.local) return mss_;
  return gso / mss_ * mss_;
}

uint32_t TcpEndpoint::receive_window() const {
  size_t space = rcv_limit_ / 2;
  if (options_.window_clamp != 0) space = std::min<size_t>(space, options_.window_clamp);
  size_t held = rcv_buffer_.size();
  size_t open = held >= space ? 0 : space - held;
  return static_cast<uint32_t>(std::min<size_t>(open, size_t{65535} << (scaling_ ? rcv_scale_ : 0)));
}

// The right edge never moves back, and forward only by steps that are worth it (RFC 9293 3.8.6.2.2).
uint16_t TcpEndpoint::window_to_advertise() {
  SeqNum edge = rcv_nxt_ + receive_window();
  uint32_t step = std::min<uint32_t>(rcv_mss_, static_cast<uint32_t>(rcv_limit_ / 4));
  if (edge < rcv_edge_ + step && rcv_edge_ > rcv_nxt_) edge = later(rcv_edge_, rcv_nxt_);
  if (edge < rcv_edge_) edge = rcv_edge_;
  uint8_t scale = scaling_ ? rcv_scale_ : 0;
  uint32_t open = distance(rcv_nxt_, edge);
  if (open > receive_window() && rcv_edge_ < edge) open = receive_window();
  auto field = std::min<uint32_t>(open >> scale, 65535);
  SeqNum told = rcv_nxt_ + (size_t{field} << scale);
  rcv_edge_ = later(rcv_edge_, told);
  return static_cast<uint16_t>(field);
}

// room: how many bytes of options the segment has left.
void TcpEndpoint::fill_sack(TcpOptions& o, size_t room) {
  constexpr size_t kind_and_length = 4, block = 8;  // the first with its padding
  if (!sack_ok_ || (out_of_order_.empty() && !duplicate_) || room < kind_and_length + block) return;
  size_t const most = std::min<size_t>(timestamps_ ? 3 : 4, (room - kind_and_length) / block);
  auto add = [&](SeqNum start, SeqNum end) {
    if (o.sack_count < most) o.sack[o.sack_count++] = {start, end};
  };
  if (duplicate_) add(duplicate_->start, duplicate_->end);  // RFC 2883
  size_t newest = 0;
  while (newest < out_of_order_.size() && out_of_order_[newest].start != newest_block_) ++newest;
  if (newest < out_of_order_.size()) add(out_of_order_[newest].start, out_of_order_[newest].end);
  for (size_t i = out_of_order_.size(); i-- > 0 && o.sack_count < most;)
    if (i != newest) add(out_of_order_[i].start, out_of_order_[i].end);
  duplicate_.reset();
}

void TcpEndpoint::send_packet(TcpHeader& h, PacketPtr p) {
  h.source = tuple_.local.port;
  h.destination = tuple_.remote.port;
  bool syn = h.has(TcpHeader::syn);
  if (h.has(TcpHeader::ack_flag)) {
    h.acknowledgment = rcv_nxt_;
    if (!h.has(TcpHeader::rst)) {
      h.window = syn ? static_cast<uint16_t>(std::min<uint32_t>(receive_window(), 65535)) : window_to_advertise();
      if (syn) rcv_edge_ = later(rcv_edge_, rcv_nxt_ + h.window);
      // Data leave as much room as they do: a full segment tells of no blocks, and each arrival out of order has its
      // own acknowledgment.
      size_t const payload = p->payload_size();
      size_t const room = payload == 0 ? TcpOptions::most : mss_ - std::min<size_t>(payload, mss_);
      if (!syn) fill_sack(h.options, room);
      last_ack_sent_ = rcv_nxt_;
      ack_at_ = never;
      if (quick_acks_ != 0) --quick_acks_;
    }
  }
  if (timestamps_ && !(h.has(TcpHeader::rst) && !h.has(TcpHeader::ack_flag))) {
    h.options.has_timestamps = true;
    h.options.timestamp = timestamp();
    h.options.echo = h.has(TcpHeader::ack_flag) ? ts_recent_ : 0;
  }
  ++stack_.statistics().tcp_segments_sent;
  ++totals_.segments_out;
  SendOptions o;
  o.ttl = options_.ttl;
  o.tos = options_.tos & ~ecn_mask;
  if (ecn_ && !syn) {
    // What is sent for the first time may be marked; nothing else is (RFC 3168 6.1.4, 6.1.5).
    bool const fresh = p->payload_size() != 0 && h.sequence >= snd_nxt_;
    if (fresh) o.tos |= ecn_capable;
    if (fresh && std::exchange(tell_reduced_, false)) h.flags |= TcpHeader::cwr;
    if (tell_congestion_) h.flags |= TcpHeader::ece;
  }
  auto b = p->push(TcpHeader::minimum + h.options.length());
  h.write(b);
  bool offload = path_.local || path_.out->facts().checksum_offload;
  p->checksum_verified = offload;
  if (!offload) {
    Checksum sum = pseudo_header(tuple_.local.address, tuple_.remote.address, protocol_tcp, p->size());
    sum.add_rest(*p);
    store16(b, 16, sum.value());
  }
  o.path_mtu = PathMtuMode::Do;
  o.flow = flow_;
  auto sent = stack_.send(path_, tuple_.local.address, tuple_.remote.address, protocol_tcp, o, std::move(p));
  if (!sent) soft_error_ = static_cast<int>(sent.error().code);
}

void TcpEndpoint::send_control(SeqNum sequence, uint8_t flags) {
  TcpHeader h;
  h.sequence = sequence;
  h.flags = flags;
  send_packet(h, std::make_unique<Packet>());
}

void TcpEndpoint::send_ack() { send_control(snd_nxt_, TcpHeader::ack_flag); }

void TcpEndpoint::send_syn(bool with_ack) {
  TcpHeader h;
  h.sequence = iss_;
  h.flags = with_ack ? TcpHeader::syn | TcpHeader::ack_flag : TcpHeader::syn;
  h.window = static_cast<uint16_t>(std::min<uint32_t>(receive_window(), 65535));
  h.options.mss = static_cast<uint16_t>(advertised_mss_);
  h.options.sack_permitted = sack_ok_;
  if (!with_ack) {
    // Who drops a SYN that asks may let one through that does not (RFC 3168 6.1.1.1).
    auto const& settings = stack_.settings();
    ecn_ = settings.tcp_ecn == EcnMode::Always && (retransmits_ == 0 || !settings.tcp_ecn_fallback);
    if (ecn_) h.flags |= TcpHeader::ece | TcpHeader::cwr;
  } else if (ecn_) {
    h.flags |= TcpHeader::ece;
  }
  if (scaling_) h.options.window_scale = rcv_scale_;
  Time now = stack_.now();
  if (snd_nxt_ == iss_) {
    snd_nxt_ = iss_ + 1;
    stalled_since_ = now;
    board_.push(iss_, snd_nxt_, now);
  }
  send_packet(h, std::make_unique<Packet>());
  rto_at_ = now + current_rto();
}

void TcpEndpoint::schedule_ack(bool now) {
  bool two_segments = distance(last_ack_sent_, rcv_nxt_) > rcv_mss_;
  if (now || quick_acks_ != 0 || two_segments || (path_.local && distance(last_ack_sent_, rcv_nxt_) >= bulk))
    return send_ack();
  ack_at_ = std::min(ack_at_, stack_.now() + delayed_ack);
}

void TcpEndpoint::set_quick_ack(bool on) {
  Stack::Visit visit(stack_);
  Locked lock(*this);
  options_.quick_ack = on;
  quick_acks_ = on ? quick_acks_at_start : 0;
  if (on && ack_at_ != never) send_ack();
  rearm();
}

// Sends bytes of the buffer, with a FIN when `flags` says so.
void TcpEndpoint::transmit(SeqNum sequence, size_t offset, size_t length, uint8_t flags) {
  TcpHeader h;
  h.sequence = sequence;
  h.flags = flags | TcpHeader::ack_flag;
  if (length != 0 && offset + length == snd_buffer_.size()) h.flags |= TcpHeader::psh;
  if (snd_urgent_ > sequence) {
    h.flags |= TcpHeader::urg;
    h.urgent = static_cast<uint16_t>(std::min<uint32_t>(distance(sequence, snd_urgent_), 0xffff));
  }
  auto p = std::make_unique<Packet>();
  p->append(snd_buffer_, offset, length);
  if (length > mss_) p->gso_size = static_cast<uint16_t>(mss_);
  if (length != 0) {
    ++totals_.data_segments_out;
    totals_.bytes_sent += length;
    last_sent_data_ = stack_.now();
    // A program that answers: what comes next can wait for its answer.
    if (last_data_received_ != 0 && last_sent_data_ - last_data_received_ < delayed_ack) quick_acks_ = 0;
  }
  send_packet(h, std::move(p));
}

// Without SACK each duplicate acknowledgment stands for a segment that has left the network.
size_t TcpEndpoint::pipe() const {
  size_t all = board_.pipe();
  return sack_ok_ ? all : all - std::min<size_t>(all, size_t{duplicate_acks_} * mss_);
}

// May a segment that is not full go now? last: nothing is queued behind it.
bool TcpEndpoint::nagle_allows(size_t length, bool last) const {
  if (length >= mss_) return true;
  if (fin_wanted_ && last) return true;
  if (snd_urgent_ > snd_una_) return true;
  if (options_.cork || more_coming_) return cork_since_ != 0 && stack_.now() - cork_since_ >= cork_limit;
  if (options_.no_delay || path_.local) return true;  // without a wire there is nothing to save
  return small_sent_ <= snd_una_;                     // Minshall's form: one small segment at a time
}

// One segment of what was never sent. False: nothing may go now.
bool TcpEndpoint::send_new_segment(bool force) {
  if (fin_sent_) return false;
  size_t offset = distance(snd_una_, snd_nxt_), queued = snd_buffer_.size();
  size_t available = queued > offset ? queued - offset : 0;
  Time now = stack_.now();
  if (available == 0) {
    if (!fin_wanted_) return false;
    transmit(snd_nxt_, offset, 0, TcpHeader::fin);
    board_.push(snd_nxt_, snd_nxt_ + 1, now);
    snd_nxt_ += 1;
    fin_sent_ = true;
    return true;
  }
  SeqNum edge = snd_una_ + snd_wnd_;
  size_t window = edge > snd_nxt_ ? distance(snd_nxt_, edge) : 0;
  size_t pipe = this->pipe(), cwnd = congestion_.window();
  size_t allowed = force ? mss_ : cwnd > pipe ? cwnd - pipe : 0;
  if (window == 0) {
    if (board_.empty()) arm_persist();
    return false;
  }
  // One that says CWR is not cut by the link: only its first piece might say it.
  size_t const most = ecn_ && tell_reduced_ ? mss_ : segment_limit();
  size_t length = std::min({available, most, window, allowed});
  if (length > mss_ && length < available) length = length / mss_ * mss_;
  bool last = length == available;
  if (length < mss_ && !last && !force) {
    // Cut short by the peer's window: half of the largest one seen is enough, or what it has when all else is done.
    bool by_window = window == length;
    if (!by_window || (length < max_snd_wnd_ / 2 && !board_.empty())) return false;
    if (length < max_snd_wnd_ / 2) {
      arm_persist();
      return false;
    }
  }
  if (length == 0) return false;
  if (last && !force && !nagle_allows(length, last)) {
    if (options_.cork || more_coming_) {
      if (cork_since_ == 0) cork_since_ = now;
      cork_at_ = cork_since_ + cork_limit;
    }
    return false;
  }
  cork_since_ = 0;
  cork_at_ = never;
  bool with_fin = last && fin_wanted_;
  transmit(snd_nxt_, offset, length, with_fin ? TcpHeader::fin : 0);
  if (board_.empty()) stalled_since_ = now;
  size_t span = length + (with_fin ? 1 : 0);
  board_.push(snd_nxt_, snd_nxt_ + span, now);
  snd_nxt_ += span;
  fin_sent_ |= with_fin;
  if (length < mss_) small_sent_ = snd_nxt_;
  persist_at_ = never;
  if (congestion_.state == CongestionState::Recovery) prr_out_ += length;
  return true;
}

void TcpEndpoint::retransmit(SentSegment& s) {
  Time now = stack_.now();
  ++stack_.statistics().tcp_retransmitted;
  ++totals_.retransmitted;
  if (s.start == iss_ && !synchronized()) {
    board_.mark_resent(s, now);
    return send_syn(state_ == TcpState::SynReceived);
  }
  size_t offset = distance(snd_una_, s.start), length = s.length();
  bool with_fin = fin_sent_ && s.end == snd_nxt_;
  if (with_fin) --length;
  totals_.bytes_retransmitted += length;
  transmit(s.start, offset, length, with_fin ? TcpHeader::fin : 0);
  board_.mark_resent(s, now);
  if (congestion_.state != CongestionState::Recovery) return;
  prr_out_ += length;
  if (!undo_) return;
  if (!std::exchange(undo_->resent, true)) undo_->first_stamp = timestamp();
  undo_->in_doubt += length;
}

// All that may go now: first what was lost, then what is new.
void TcpEndpoint::output() {
  if (!synchronized() || !path_.out) return;
  bool sent = false;
  for (size_t i = board_.first_lost(); i < board_.size(); i = board_.first_lost()) {
    size_t pipe = this->pipe(), cwnd = congestion_.window();
    SentSegment& s = board_[i];
    size_t length = s.length(), room = cwnd > pipe ? cwnd - pipe : 0;
    bool fits = room >= std::min<size_t>(length, mss_);
    if (!fits && !(i == 0 && pipe == 0)) break;
    size_t most = std::max<size_t>(std::min(segment_limit(), room) / mss_ * mss_, mss_);
    if (length > most) board_.split(i, static_cast<uint32_t>(most));
    retransmit(board_[i]);
    sent = true;
  }
  while (send_new_segment(false)) sent = true;
  if (sent) arm_probe_or_rto();
}

}  // namespace cofferdam::netstack

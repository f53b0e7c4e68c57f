// Segments that arrive (RFC 9293 3.10.7), with RFC 5961's defences and RFC 7323's timestamps.
#include <algorithm>
#include <cerrno>

#include "netstack/tcp_endpoint.h"

namespace cofferdam::netstack {
namespace {

constexpr Time timestamp_lifetime = 24 * 24 * 3600 * second;  // RFC 7323 5.5
constexpr Time min_rtt_window = 300 * second;

}  // namespace

bool TcpEndpoint::receive(TcpSegment& s) {
  Locked lock(*this);
  if (state_ == TcpState::Closed || state_ == TcpState::Listen) return false;
  ++totals_.segments_in;
  last_received_ = stack_.now();
  if (state_ == TcpState::SynSent)
    segment_syn_sent(s);
  else if (!segment_synchronized(s))
    return false;
  if (state_ != TcpState::Closed) rearm();
  return true;
}

void TcpEndpoint::take_peer_options(TcpOptions const& o) {
  timestamps_ &= o.has_timestamps;
  sack_ok_ &= o.sack_permitted;
  scaling_ &= o.window_scale.has_value();
  snd_scale_ = scaling_ ? *o.window_scale : 0;
  if (!scaling_) rcv_scale_ = 0;
  if (timestamps_) {
    ts_recent_ = o.timestamp;
    ts_recent_at_ = stack_.now();
  }
  uint32_t fallback = tuple_.remote.address.is_v4() ? 536 : 1220;
  peer_mss_ = std::max<uint32_t>(o.mss.value_or(static_cast<uint16_t>(fallback)), 88);
  update_mss();
}

void TcpEndpoint::become_established() {
  set_state(TcpState::Established);
  congestion_.begin(mss_, options_.cubic);
  forward_ack_ = small_sent_ = snd_una_;
  retransmits_ = backoff_ = 0;
  rto_at_ = never;
  if (board_.empty()) stalled_since_ = 0;
  grow_send_buffer();
  if (options_.keepalive) keepalive_at_ = stack_.now() + options_.keepalive_idle;
  notify(event_out);
}

// 3.10.7.3
void TcpEndpoint::segment_syn_sent(TcpSegment& s) {
  auto const& h = s.header;
  bool acceptable_ack = h.has(TcpHeader::ack_flag) && h.acknowledgment > iss_ && h.acknowledgment <= snd_nxt_;
  if (h.has(TcpHeader::ack_flag) && !acceptable_ack) {
    if (!h.has(TcpHeader::rst)) send_control(h.acknowledgment, TcpHeader::rst);
    return;
  }
  if (h.has(TcpHeader::rst)) {
    ++stack_.statistics().tcp_resets_received;
    if (acceptable_ack) die(ECONNREFUSED);
    return;
  }
  if (!h.has(TcpHeader::syn)) return;
  irs_ = h.sequence;
  rcv_nxt_ = rcv_edge_ = last_ack_sent_ = irs_ + 1;
  take_peer_options(h.options);
  ecn_ = ecn_ && h.has(TcpHeader::ece) && !h.has(TcpHeader::cwr) && acceptable_ack;
  snd_wnd_ = h.window;  // never scaled in a SYN
  note_largest_window();
  snd_wl1_ = h.sequence;
  snd_wl2_ = h.acknowledgment;
  if (!acceptable_ack) {  // both at once
    set_state(TcpState::SynReceived);
    return send_syn(true);
  }
  board_.acknowledge(h.acknowledgment, [&](SentSegment const& sent) NO_THREAD_SAFETY_ANALYSIS {
    if (!sent.retransmitted) sample_rtt(stack_.now() - sent.sent);
  });
  snd_una_ = h.acknowledgment;
  become_established();
  rcv_edge_ = rcv_nxt_ + std::min<uint32_t>(receive_window(), 65535);
  send_ack();
  if (s.length != 0 || h.has(TcpHeader::fin)) {
    s.header.sequence += 1;
    s.header.flags &= static_cast<uint8_t>(~TcpHeader::syn);
    process_data(s);
  }
}

// 3.10.7.4, first: is any of it in the window?
bool TcpEndpoint::acceptable(TcpSegment const& s) const {
  uint32_t window = rcv_edge_ > rcv_nxt_ ? distance(rcv_nxt_, rcv_edge_) : 0;
  SeqNum start = s.header.sequence, end = s.end();
  if (end == start) return window == 0 ? start == rcv_nxt_ : start >= rcv_nxt_ && start < rcv_nxt_ + window;
  if (window == 0) return false;
  return start < rcv_nxt_ + window && end > rcv_nxt_;
}

// PAWS (RFC 7323 5). False: the segment is of another time.
bool TcpEndpoint::check_timestamps(TcpSegment const& s) {
  auto const& o = s.header.options;
  if (!timestamps_) return true;
  if (!o.has_timestamps) return true;  // RFC 7323 3.2 would have it dropped; Linux takes it
  Time now = stack_.now();
  bool older = static_cast<int32_t>(o.timestamp - ts_recent_) < 0;
  if (older && now - ts_recent_at_ < timestamp_lifetime && !s.header.has(TcpHeader::rst)) {
    ++stack_.statistics().tcp_paws_rejected;
    return false;
  }
  if (!older && s.header.sequence <= last_ack_sent_) {
    ts_recent_ = o.timestamp;
    ts_recent_at_ = now;
  }
  return true;
}

// Acknowledges a segment that is not acceptable. Those without data not more often than tcp_invalid_ratelimit says,
// lest two ends that disagree answer each other for ever.
void TcpEndpoint::refuse_with_ack(TcpSegment const& s) {
  Time const now = stack_.now();
  if (s.length == 0 || s.header.has(TcpHeader::syn)) {
    if (refused_at_ != 0 && now - refused_at_ < stack_.settings().tcp_invalid_interval) return;
    refused_at_ = now;
  }
  send_ack();
}

// RFC 5961: the peer shall say it again with the right numbers.
void TcpEndpoint::challenge_ack() {
  Time const now = stack_.now();
  if (refused_at_ != 0 && now - refused_at_ < stack_.settings().tcp_invalid_interval) return;
  refused_at_ = now;
  ++stack_.statistics().tcp_challenge_acks;
  send_ack();
}

void TcpEndpoint::process_reset(TcpSegment const& s) {
  bool exact = s.header.sequence == rcv_nxt_;
  // At the end of what came out of order: the peer may know of no acknowledgment of less.
  if (!exact && sack_ok_ && !out_of_order_.empty()) exact = s.header.sequence == out_of_order_.back().end;
  if (!exact) return challenge_ack();
  end_by_reset();
}

void TcpEndpoint::end_by_reset() {
  ++stack_.statistics().tcp_resets_received;
  if (state_ == TcpState::SynReceived) return die(ECONNREFUSED);
  die(state_ == TcpState::CloseWait ? EPIPE : ECONNRESET);
}

bool TcpEndpoint::segment_synchronized(TcpSegment& s) {
  auto const& h = s.header;
  bool reset = h.has(TcpHeader::rst);
  if (!check_timestamps(s)) {
    if (!reset) refuse_with_ack(s);
    return true;
  }
  if (!acceptable(s)) {
    if (reset) {  // some send a reset behind their FIN with the FIN's own number
      bool const closing = state_ == TcpState::CloseWait || state_ == TcpState::LastAck || state_ == TcpState::Closing;
      if (closing && h.sequence == rcv_nxt_ - 1) end_by_reset();
      return true;
    }
    if (state_ == TcpState::SynReceived && h.has(TcpHeader::syn) && h.sequence == irs_) {
      if (h.has(TcpHeader::ack_flag) && h.acknowledgment == snd_nxt_) {  // both at once: the other's SYN,ACK
        process_ack(s);
        if (state_ != TcpState::Closed) send_ack();
        return true;
      }
      send_syn(true);
      return true;
    }
    if (s.length != 0 && s.end() <= rcv_nxt_ && sack_ok_) duplicate_ = SackBlock{h.sequence, s.end()};
    // With a closed window acknowledgments still count.
    bool probe = rcv_edge_ == rcv_nxt_ && h.sequence == rcv_nxt_;
    if (probe && h.has(TcpHeader::ack_flag) && !h.has(TcpHeader::syn)) process_ack(s);
    if (state_ == TcpState::Closed) return true;
    if (h.has(TcpHeader::syn))
      challenge_ack();
    else
      refuse_with_ack(s);
    return true;
  }
  if (reset) {
    process_reset(s);
    return true;
  }
  if (h.has(TcpHeader::syn)) {
    challenge_ack();
    return true;
  }
  if (!h.has(TcpHeader::ack_flag)) return true;
  if (!process_ack(s) || state_ == TcpState::Closed) return true;
  look_for_urgent(s);
  if (s.length != 0 || h.has(TcpHeader::fin)) process_data(s);
  if (state_ != TcpState::Closed) output();
  return true;
}

// 3.10.7.4, fifth. False: the segment is to be looked at no further.
bool TcpEndpoint::process_ack(TcpSegment const& s) {
  auto const& h = s.header;
  if (state_ == TcpState::SynReceived) {
    if (h.acknowledgment <= snd_una_ || h.acknowledgment > snd_nxt_) {
      send_control(h.acknowledgment, TcpHeader::rst);
      return false;
    }
    process_ack_of_syn_received(s);
    return state_ != TcpState::SynReceived && state_ != TcpState::Closed;
  }
  if (h.acknowledgment > snd_nxt_ || h.acknowledgment < snd_una_ - max_snd_wnd_) {  // RFC 5961 5
    challenge_ack();
    return false;
  }
  if (h.acknowledgment < snd_una_) return true;
  acknowledged(s);
  return true;
}

void TcpEndpoint::process_ack_of_syn_received(TcpSegment const& s) {
  if (parent_ && s.length == 0 && !s.header.has(TcpHeader::fin) && retransmits_ < options_.defer_accept) {
    deferred_ = true;  // not before there are data (TCP_DEFER_ACCEPT)
    return;
  }
  if (parent_ && !hand_to_listener()) return;
  board_.acknowledge(s.header.acknowledgment, [&](SentSegment const& sent) NO_THREAD_SAFETY_ANALYSIS {
    if (!sent.retransmitted) sample_rtt(stack_.now() - sent.sent);
  });
  snd_una_ = s.header.acknowledgment;
  bool closing = fin_wanted_;
  snd_wnd_ = uint32_t{s.header.window} << snd_scale_;
  note_largest_window();
  become_established();
  snd_wl1_ = s.header.sequence;
  snd_wl2_ = s.header.acknowledgment;
  if (closing) finish_locked();
}

void TcpEndpoint::sample_rtt(Time rtt) {
  rtt = std::max<Time>(rtt, microsecond);
  Time now = stack_.now();
  if (rtt <= min_rtt_ || now - min_rtt_at_ > min_rtt_window) {
    min_rtt_ = rtt;
    min_rtt_at_ = now;
  }
  if (srtt_ == 0) {  // RFC 6298 2.2
    srtt_ = rtt;
    rttvar_ = rtt / 2;
  } else {
    Time error = srtt_ > rtt ? srtt_ - rtt : rtt - srtt_;
    rttvar_ = (3 * rttvar_ + error) / 4;
    srtt_ = (7 * srtt_ + rtt) / 8;
  }
  rto_ = std::clamp(srtt_ + std::max<Time>(4 * rttvar_, minimum_rto), minimum_rto, maximum_rto);
}

// What acknowledges nothing new may open the window or close it, but not make it smaller (tcp_may_update_window of
// Linux).
void TcpEndpoint::update_send_window(TcpSegment const& s, bool advanced) {
  auto const& h = s.header;
  uint32_t const window = uint32_t{h.window} << snd_scale_;
  bool const newer = advanced || snd_wl1_ < h.sequence;
  if (!newer && (snd_wl1_ != h.sequence || (window <= snd_wnd_ && window != 0))) return;
  snd_wnd_ = window;
  note_largest_window();
  snd_wl1_ = h.sequence;
  snd_wl2_ = h.acknowledgment;
  if (snd_wnd_ != 0) {
    persist_at_ = never;
    if (probes_ != 0 && board_.empty()) backoff_ = 0;
  }
}

// A retransmission was needless: allow for more reordering, once per round trip (RFC 8985 6.2 step 4).
// Where no timestamps tell, a recovery of which all was needless is undone (tcp_try_undo_dsack of Linux).
void TcpEndpoint::duplicate_reported(SackBlock const& block) {
  constexpr unsigned most = 20;
  dsack_seen_ = true;
  if (undo_ && undo_->resent && !timestamps_) {
    undo_->in_doubt -= std::min<size_t>(undo_->in_doubt, distance(block.start, block.end));
    if (undo_->in_doubt == 0 && congestion_.state != CongestionState::Loss) undo_recovery();
  }
  if (dsack_round_ > snd_una_) return;
  dsack_round_ = snd_nxt_;
  reo_multiplier_ = std::min(reo_multiplier_ + 1, most);
  reo_recoveries_ = 0;
}

// An acknowledgment of something that is or was on its way: snd_una_ <= it <= snd_nxt_.
void TcpEndpoint::acknowledged(TcpSegment const& s) {
  auto const& h = s.header;
  Time now = stack_.now();
  probes_ = 0;
  size_t in_flight = board_.pipe(), lost_before = board_.lost_bytes(), delivered = 0;
  bool advanced = h.acknowledgment > snd_una_, outstanding = !board_.empty();
  bool filled = false;  // something that was sent again is there now
  uint32_t old_window = snd_wnd_;
  Time rtt = 0;
  auto took = [&](SentSegment const& sent) NO_THREAD_SAFETY_ANALYSIS {
    if (!sent.retransmitted) {
      rtt = now - sent.sent;
      if (sent.end < forward_ack_) reordering_seen_ = true;
    }
    forward_ack_ = later(forward_ack_, sent.end);
    delivered += sent.length();
    rack_update(sent, now, s);
  };
  if (sack_ok_ && h.options.sack_count != 0) {
    for (uint8_t i = 0; i < h.options.sack_count; ++i) {
      auto block = h.options.sack[i];
      if (block.end <= block.start) continue;
      if (i == 0 && block.end <= h.acknowledgment) duplicate_reported(block);
      if (block.start < snd_una_ || block.end > snd_nxt_) continue;
      board_.mark_sacked(block.start, block.end, mss_, took);
    }
  }
  if (advanced) {
    size_t bytes = distance(snd_una_, h.acknowledgment);
    bool fin_acked = fin_sent_ && h.acknowledgment == snd_nxt_;
    board_.acknowledge(h.acknowledgment, [&](SentSegment const& sent) NO_THREAD_SAFETY_ANALYSIS {
      if (!sent.sacked) took(sent);
      filled |= sent.retransmitted && !sent.sacked;
    });
    snd_buffer_.trim_front(bytes - (fin_acked ? 1 : 0));
    totals_.bytes_acked += bytes;
    snd_una_ = h.acknowledgment;
    // What is older is forgotten: after 2 GiB it would seem to lie ahead.
    if (small_sent_ < snd_una_) small_sent_ = snd_una_;
    if (snd_urgent_ < snd_una_) snd_urgent_ = snd_una_;
    if (recover_ < snd_una_ - 1) recover_ = snd_una_ - 1;
    if (backoff_ != 0) rto_ = current_rto();  // until a round trip is measured again (RFC 6298 5.7)
    retransmits_ = backoff_ = 0;
    stalled_since_ = board_.empty() ? 0 : now;
    if (rtt == 0 && timestamps_ && h.options.has_timestamps && h.options.echo != 0) {
      auto ms = static_cast<int32_t>(timestamp() - h.options.echo);
      if (ms >= 0 && ms < 600'000) rtt = ms * millisecond;
    }
  }
  if (rtt != 0) sample_rtt(rtt);
  update_send_window(s, advanced);
  if (advanced)
    duplicate_acks_ = 0;
  else if (outstanding && s.length == 0 && !h.has(TcpHeader::fin) && old_window == snd_wnd_ && !sack_ok_)
    ++duplicate_acks_;
  if (ecn_ && h.has(TcpHeader::ece) && !h.has(TcpHeader::syn)) reduce_once();
  if (outstanding) {
    detect_losses(now);
    size_t lost = board_.lost_bytes() > lost_before ? board_.lost_bytes() - lost_before : 0;
    if (!sack_ok_ && !advanced) delivered += mss_;
    look_for_needless_recovery(s, filled);
    adjust_recovery(delivered, lost, advanced);
    bool limited =
        congestion_.in_slow_start() ? in_flight * 2 >= congestion_.window() : in_flight + mss_ >= congestion_.window();
    bool const reducing =
        congestion_.state == CongestionState::Recovery || congestion_.state == CongestionState::Reduced;
    if (advanced && limited && !reducing) {
      congestion_.on_ack(delivered, now, srtt_);
      grow_send_buffer();
    }
  }
  if (advanced) {
    arm_probe_or_rto();
    // The peer has thrown away what it had told of, as it may (RFC 2018 8).
    if (!board_.empty() && board_.front().sacked) rto_at_ = now + std::max(srtt_ / 2, 10 * millisecond);
    after_fin_acked();
    Events e = state_ == TcpState::Closed ? 0 : ready_locked();
    if ((e & event_out) && tell_writable_) {
      tell_writable_ = false;
      notify(event_out);
    }
  }
  if (state_ != TcpState::Closed && options_.keepalive) keepalive_at_ = now + options_.keepalive_idle;
}

void TcpEndpoint::after_fin_acked() {
  if (!fin_sent_ || snd_una_ != snd_nxt_) return;
  if (state_ == TcpState::FinWait1) {
    set_state(TcpState::FinWait2);
    if (detached_) {
      if (options_.fin_wait2 < 0) return die(0);
      fin_wait_at_ = stack_.now() + options_.fin_wait2;
    }
    notify(event_out);
  } else if (state_ == TcpState::Closing) {
    enter_time_wait();
  } else if (state_ == TcpState::LastAck) {
    die(0);
  }
}

// --- errors of the network ---

void TcpEndpoint::on_icmp(SeqNum about, IcmpError const& error) {
  Locked lock(*this);
  if (state_ == TcpState::Closed || state_ == TcpState::Listen) return;
  if (about < snd_una_ || about >= snd_nxt_) return;  // about nothing that is on its way (RFC 5927 4.1)
  if (error.next_mtu != 0) return shrink_path(error.next_mtu);
  if (state_ == TcpState::SynSent) return die(error.error);  // also of what may pass: tcp_v4_err of Linux
  // Of a handshake that somebody else began, only what says that he cannot be reached.
  bool const unreachable = error.error == EHOSTUNREACH || error.error == ENETUNREACH || error.error == EPROTO;
  if (state_ == TcpState::SynReceived) {
    if (unreachable) die(error.error);
    return;
  }
  (errors_at_once ? error_ : soft_error_) = error.error;
  if (errors_at_once) notify(event_error);
  revert_backoff(about, error);
}

// What was too large is sent again at once in smaller segments; it is no sign of congestion (RFC 1191 6.4).
void TcpEndpoint::shrink_path(uint32_t mtu) {
  if (mtu >= path_.mtu) return;
  path_.mtu = mtu;
  stack_.routes().learn_path_mtu(tuple_.remote.address, mtu, stack_.now());
  uint32_t const old = mss_;
  update_mss();
  if (mss_ >= old) return;
  congestion_.rescale(old, mss_);
  if (!synchronized()) return;
  for (size_t i = 0; i < board_.size(); ++i)
    if (!board_[i].sacked) board_.mark_lost(board_[i]);
  output();
  rearm();
}

// RFC 6069: where a router says that the path is cut, time-outs tell nothing of congestion.
void TcpEndpoint::revert_backoff(SeqNum about, IcmpError const& error) {
  bool const path_cut = error.error == EHOSTUNREACH || error.error == ENETUNREACH;
  if (!path_cut || about != snd_una_ || retransmits_ == 0 || backoff_ == 0 || rto_at_ == never) return;
  --backoff_;
  rto_at_ = std::max(stack_.now() + millisecond, rto_at_ - current_rto());
  rearm();
}

}  // namespace cofferdam::netstack

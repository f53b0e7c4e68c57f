// Finding losses and repairing them: RACK-TLP (RFC 8985), PRR (RFC 6937), NewReno without SACK (RFC 6582), time-outs
// (RFC 6298).
#include <algorithm>
#include <cerrno>

#include "netstack/tcp_endpoint.h"

namespace cofferdam::netstack {
namespace {

constexpr Time worst_delayed_ack = 200 * millisecond;
constexpr unsigned duplicate_threshold = 3;
constexpr unsigned reo_patience = 16;  // recoveries without a needless retransmission (RFC 8985 6.2)

}  // namespace

// RFC 8985 6.2 steps 1 to 3.
void TcpEndpoint::rack_update(SentSegment const& s, Time now, TcpSegment const& by) {
  Time rtt = now - s.sent;
  if (s.retransmitted) {  // is it this transmission that was acknowledged?
    if (rtt < min_rtt_ && min_rtt_ != never) return;
    auto const& o = by.header.options;
    if (timestamps_ && o.has_timestamps &&
        static_cast<int32_t>(o.echo - (ts_offset_ + static_cast<uint32_t>(s.sent / millisecond))) < 0)
      return;
  }
  if (s.sent < rack_sent_ || (s.sent == rack_sent_ && s.end <= rack_end_)) return;
  rack_sent_ = s.sent;
  rack_end_ = s.end;
  rack_rtt_ = rtt;
}

// Steps 4 and 5: what was sent before something that has arrived, by more than reordering explains, is lost.
void TcpEndpoint::detect_losses(Time now) {
  reorder_at_ = never;
  if (board_.empty()) return;
  if (!sack_ok_) {
    bool const calm = congestion_.state == CongestionState::Open || congestion_.state == CongestionState::Reduced;
    if (duplicate_acks_ >= duplicate_threshold && calm && snd_una_ > recover_) {  // RFC 6582 3.2
      board_.mark_lost(board_.front());
      enter_recovery();
    }
    return;
  }
  unsigned sacked = 0;
  for (size_t i = 0; i < board_.size() && sacked < duplicate_threshold && board_.sacked_bytes() != 0; ++i)
    sacked += board_[i].sacked ? 1 : 0;
  bool repairing = congestion_.state == CongestionState::Recovery || congestion_.state == CongestionState::Loss;
  if (board_.sacked_bytes() == 0 && !repairing) return;
  Time window = 0;
  if (reordering_seen_ || (!repairing && sacked < duplicate_threshold))
    window = std::min(min_rtt_ == never ? 0 : min_rtt_ / 4 * reo_multiplier_, srtt_);
  size_t lost_before = board_.lost_bytes();
  for (size_t i = 0; i < board_.size(); ++i) {
    SentSegment& s = board_[i];
    if (!s.retransmitted && s.sent > rack_sent_) break;
    if (s.sacked || s.lost) continue;
    if (s.sent > rack_sent_ || (s.sent == rack_sent_ && s.end >= rack_end_)) continue;
    Time due = s.sent + rack_rtt_ + window;
    if (due <= now)
      board_.mark_lost(s);
    else
      reorder_at_ = std::min(reorder_at_, due);
  }
  if (board_.lost_bytes() > lost_before && !repairing) enter_recovery();
}

void TcpEndpoint::enter_recovery() {
  ++stack_.statistics().tcp_recoveries;
  undo_ = std::make_unique<Undo>(congestion_);
  undo_->before.state = CongestionState::Open;
  begin_reduction();
  congestion_.state = CongestionState::Recovery;
}

// Was what filled a hole sent before anything was sent again? Then it was late, not lost (the Eifel algorithm, RFC
// 3522). filled: something that was sent again is acknowledged now. When a recovery ends in which all was late, the
// window is what it was before (tcp_try_undo_recovery of Linux).
void TcpEndpoint::look_for_needless_recovery(TcpSegment const& s, bool filled) {
  if (!undo_ || !undo_->resent || !timestamps_) return;
  auto const& o = s.header.options;
  bool const told = o.has_timestamps && o.echo != 0;
  if (filled) {
    bool const late = told && static_cast<int32_t>(o.echo - undo_->first_stamp) < 0;
    (late ? undo_->late : undo_->lost) = true;
    reordering_seen_ |= late;
  }
  bool const over = congestion_.state == CongestionState::Recovery && snd_una_ >= recover_;
  if (over && undo_->late && !undo_->lost) undo_recovery();
}

void TcpEndpoint::undo_recovery() {
  congestion_.restore(undo_->before);
  undo_.reset();
  duplicate_acks_ = 0;
  dsack_seen_ = false;
}

// The window comes down to a new threshold within a round trip (RFC 6937).
void TcpEndpoint::begin_reduction() {
  recover_ = snd_nxt_;
  recover_flight_ = std::max<size_t>(board_.outstanding(), mss_);
  prr_delivered_ = prr_out_ = 0;
  congestion_.on_loss(stack_.now());
  tell_reduced_ = ecn_;
}

// The peer tells of a mark: as if something had been lost, but once per round trip (RFC 3168 6.1.2).
void TcpEndpoint::reduce_once() {
  if (congestion_.state != CongestionState::Open && congestion_.state != CongestionState::Disorder) return;
  undo_.reset();
  begin_reduction();
  congestion_.state = CongestionState::Reduced;
}

// Nothing comes through: perhaps a router on the way drops what is large and does not say so (RFC 4821 7.7).
void TcpEndpoint::suspect_black_hole() {
  auto const& settings = stack_.settings();
  if (!settings.tcp_mtu_probing || !silent_for(stack_.now(), settings.tcp_retries1)) return;
  uint32_t const options = static_cast<uint32_t>(option_size()), base = settings.tcp_base_mss;
  uint32_t const smaller = black_hole_mss_ == 0 ? base : std::max<uint32_t>(black_hole_mss_ / 2, 48 + options);
  if (smaller >= mss_ + options) return;
  black_hole_mss_ = smaller;
  update_mss();
}

void TcpEndpoint::leave_recovery() {
  if (congestion_.state == CongestionState::Recovery || congestion_.state == CongestionState::Reduced)
    congestion_.set_window(congestion_.threshold());
  congestion_.state = CongestionState::Open;
  if (++reo_recoveries_ >= reo_patience) reo_multiplier_ = 1;
  duplicate_acks_ = 0;
  dsack_seen_ = false;
}

void TcpEndpoint::adjust_recovery(size_t delivered, size_t newly_lost, bool advanced) {
  if (probe_end_ && snd_una_ >= *probe_end_) {
    // RFC 8985 7.4.2: a probe that sent something again and was needed has repaired a loss.
    if (probe_was_retransmission_ && !dsack_seen_ && congestion_.state == CongestionState::Open) {
      congestion_.on_loss(stack_.now());
      congestion_.set_window(std::min(congestion_.window(), congestion_.threshold()));
    }
    probe_end_.reset();
    dsack_seen_ = false;
  }
  if (congestion_.state == CongestionState::Open || congestion_.state == CongestionState::Disorder) return;
  if (snd_una_ >= recover_) return leave_recovery();
  bool const repairing = congestion_.state != CongestionState::Reduced;
  if (!sack_ok_ && advanced && repairing && !board_.empty()) board_.mark_lost(board_.front());  // a partial one
  if (congestion_.state == CongestionState::Loss) return;
  prr_delivered_ += delivered;
  size_t pipe = this->pipe(), target = congestion_.threshold();
  size_t may = 0;
  if (pipe > target) {
    size_t due = (prr_delivered_ * target + recover_flight_ - 1) / recover_flight_;
    may = due > prr_out_ ? due - prr_out_ : 0;
  } else {
    size_t limit = prr_delivered_ > prr_out_ ? prr_delivered_ - prr_out_ : 0;
    if (advanced && newly_lost == 0) limit = std::max(limit, delivered) + mss_;
    may = std::min(target - pipe, limit);
  }
  if (prr_out_ == 0 && repairing) may = std::max<size_t>(may, mss_);  // the first retransmission
  congestion_.set_window(pipe + may);
}

Time TcpEndpoint::current_rto() const { return std::min(rto_ << std::min(backoff_, 16u), maximum_rto); }

void TcpEndpoint::arm_rto() {
  probe_at_ = never;
  rto_at_ = never;
  if (board_.empty()) return;
  rto_at_ = until_user_timeout(stack_.now() + current_rto());
}

// RFC 8985 7.2: a probe before the time-out, where nothing tells of a loss yet.
void TcpEndpoint::arm_probe_or_rto() {
  arm_rto();
  if (board_.empty()) return;
  bool calm = sack_ok_ && congestion_.state == CongestionState::Open && board_.sacked_bytes() == 0 && !probe_end_ &&
              synchronized() && backoff_ == 0;
  if (!calm) return;
  Time timeout = srtt_ == 0 ? second : 2 * srtt_;
  if (board_.pipe() <= mss_) timeout += worst_delayed_ack;
  timeout = std::max(timeout, 2 * millisecond);
  Time at = stack_.now() + timeout;
  if (at >= rto_at_) return;
  probe_at_ = at;
  rto_at_ = never;
}

void TcpEndpoint::on_loss_probe(Time) {
  probe_at_ = never;
  if (board_.empty()) return;
  ++stack_.statistics().tcp_loss_probes;
  probe_was_retransmission_ = false;
  bool sent = send_new_segment(true);
  if (!sent) {
    size_t last = board_.size() - 1;
    if (board_[last].length() > mss_) {
      board_.split(last, board_[last].length() - mss_);
      ++last;
    }
    retransmit(board_[last]);
    probe_was_retransmission_ = true;
  }
  probe_end_ = snd_nxt_;
  arm_rto();
}

unsigned TcpEndpoint::handshake_limit() const {
  unsigned const usual = stack_.settings().tcp_synack_retries;
  return deferred_ ? std::max(usual, options_.defer_accept) : usual;
}

void TcpEndpoint::on_rto(Time now) {
  rto_at_ = never;
  if (board_.empty()) return;
  unsigned const linear = state_ == TcpState::SynSent ? stack_.settings().tcp_syn_linear_timeouts.load() : 0;
  unsigned limit = state_ == TcpState::SynSent       ? options_.syn_retries + linear
                   : state_ == TcpState::SynReceived ? handshake_limit()
                   : detached_                       ? stack_.settings().tcp_orphan_retries.load()
                                                     : stack_.settings().tcp_retries2.load();
  if (gave_up(now, limit)) return;
  ++stack_.statistics().tcp_timeouts;
  undo_.reset();
  if (retransmits_ == 0) repeated_since_ = now;
  ++retransmits_;
  if (backoff_ < 16 && retransmits_ > linear) ++backoff_;
  if (synchronized()) {
    if (board_.front().sacked) board_.clear_sacked();  // the peer has thrown away what it had told of
    if (congestion_.state != CongestionState::Loss || snd_una_ >= recover_) congestion_.on_timeout(now);
    congestion_.set_window(mss_);
    recover_ = snd_nxt_;
    duplicate_acks_ = 0;
    probe_end_.reset();
    tell_reduced_ = ecn_;
    suspect_black_hole();
    board_.mark_all_lost();
    if (board_.front().length() > mss_) board_.split(0, mss_);
  }
  // While a listener waits for data the peer is asked again only when the waiting ends.
  bool const waits = deferred_ && retransmits_ + 1 < options_.defer_accept;
  if (!waits) retransmit(board_.front());
  arm_rto();
}

}  // namespace cofferdam::netstack

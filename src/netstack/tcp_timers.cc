// The one timer of a TCP endpoint and what it looks after.
#include <algorithm>
#include <cerrno>

#include "netstack/tcp_endpoint.h"

namespace cofferdam::netstack {

void TcpEndpoint::rearm() {
  Time at = std::min({rto_at_, probe_at_, reorder_at_, ack_at_, persist_at_, keepalive_at_, cork_at_, fin_wait_at_});
  if (at == never || at >= armed_for_) return;
  armed_for_ = at;
  stack_.wheel().arm(*this, at);
}

void TcpEndpoint::on_timer(Time now) {
  Locked lock(*this);
  armed_for_ = never;
  auto due = [&](Time at) { return at <= now; };
  if (state_ != TcpState::Closed && due(ack_at_)) {
    ++stack_.statistics().tcp_delayed_acks;
    send_ack();
  }
  if (state_ != TcpState::Closed && due(reorder_at_)) {
    detect_losses(now);
    if (congestion_.state == CongestionState::Recovery) adjust_recovery(0, 1, false);
    output();
  }
  if (state_ != TcpState::Closed && due(probe_at_)) on_loss_probe(now);
  if (state_ != TcpState::Closed && due(rto_at_)) on_rto(now);
  if (state_ != TcpState::Closed && due(persist_at_)) on_persist(now);
  if (state_ != TcpState::Closed && due(cork_at_)) {
    cork_at_ = never;
    output();
  }
  if (state_ != TcpState::Closed && due(keepalive_at_)) on_keepalive(now);
  if (state_ == TcpState::FinWait2 && due(fin_wait_at_)) die(0);
  if (state_ != TcpState::Closed) rearm();
}

// Time to say that nobody is there? Ends the connection then (RFC 9293 3.8.3, RFC 5482).
bool TcpEndpoint::gave_up(Time now, unsigned retries) {
  bool over;
  if (options_.user_timeout != 0 && (synchronized() || state_ == TcpState::SynSent))
    over = stalled_since_ != 0 && now - stalled_since_ >= options_.user_timeout;
  else
    over = synchronized() ? silent_for(now, retries) : retransmits_ >= retries;
  if (!over) return false;
  die(soft_error_ != 0 ? soft_error_ : ETIMEDOUT);
  return true;
}

// Linux counts repetitions as the time that they take with the smallest time-out, doubled each time
// (retransmits_timed_out).
bool TcpEndpoint::silent_for(Time now, unsigned repetitions) const {
  if (retransmits_ == 0) return false;
  constexpr unsigned doublings = 9;  // until the longest time-out is reached
  Time const doubled = ((Time{2} << std::min(repetitions, doublings)) - 1) * minimum_rto;
  Time const rest = repetitions > doublings ? (repetitions - doublings) * maximum_rto : 0;
  return now - repeated_since_ >= doubled + rest;
}

// Nothing is due later than the end that the user has set (RFC 5482).
Time TcpEndpoint::until_user_timeout(Time at) const {
  if (options_.user_timeout == 0 || stalled_since_ == 0 || !(synchronized() || state_ == TcpState::SynSent)) return at;
  return std::min(at, std::max(stalled_since_ + options_.user_timeout, stack_.now() + millisecond));
}

// --- a peer whose window is closed ---

void TcpEndpoint::arm_persist() {
  if (persist_at_ == never) persist_at_ = until_user_timeout(stack_.now() + current_rto());
}

void TcpEndpoint::on_persist(Time now) {
  persist_at_ = never;
  size_t offset = distance(snd_una_, snd_nxt_);
  if (!board_.empty() || snd_buffer_.size() <= offset) return;
  SeqNum edge = snd_una_ + snd_wnd_;
  bool too_long = options_.user_timeout != 0 && stalled_since_ != 0 && now - stalled_since_ >= options_.user_timeout;
  unsigned most = detached_ ? stack_.settings().tcp_orphan_retries.load() : stack_.settings().tcp_retries2.load();
  if (too_long || probes_ >= most) return die(ETIMEDOUT);
  if (stalled_since_ == 0) stalled_since_ = now;
  ++probes_;
  if (edge > snd_nxt_) {  // a little room, which was too little to be worth it
    size_t length = std::min<size_t>({snd_buffer_.size() - offset, distance(snd_nxt_, edge), mss_});
    transmit(snd_nxt_, offset, length, 0);
    board_.push(snd_nxt_, snd_nxt_ + length, now);
    snd_nxt_ += length;
    return arm_rto();
  }
  ++stack_.statistics().tcp_zero_window_probes;
  send_control(snd_una_ - 1, TcpHeader::ack_flag);
  if (backoff_ < 16) ++backoff_;
  persist_at_ = until_user_timeout(now + std::min(rto_ << backoff_, maximum_rto));
}

// --- a peer who is silent (RFC 9293 3.8.4) ---

void TcpEndpoint::on_keepalive(Time now) {
  keepalive_at_ = never;
  if (!options_.keepalive || !synchronized()) return;
  if (!board_.empty() || snd_buffer_.size() > distance(snd_una_, snd_nxt_)) {  // its time-outs will tell
    keepalive_at_ = now + options_.keepalive_idle;
    return;
  }
  Time quiet = now - last_received_;
  if (quiet < options_.keepalive_idle) {
    probes_ = 0;
    keepalive_at_ = last_received_ + options_.keepalive_idle;
    return;
  }
  bool over =
      options_.user_timeout != 0 ? probes_ > 0 && quiet >= options_.user_timeout : probes_ >= options_.keepalive_probes;
  if (over) return abort_locked(soft_error_ != 0 ? soft_error_ : ETIMEDOUT);
  ++probes_;
  send_control(snd_nxt_ - 1, TcpHeader::ack_flag);
  keepalive_at_ = now + options_.keepalive_interval;
}

}  // namespace cofferdam::netstack

// What a TCP endpoint tells of itself: readiness, names, TCP_INFO.
#include <algorithm>

#include "netstack/tcp_endpoint.h"

namespace cofferdam::netstack {

Events TcpEndpoint::ready_locked() const {
  Events e = 0;
  if (error_ != 0) e |= event_error;
  if (state_ == TcpState::Listen) return !listener_->waiting.empty() ? e | event_in : e;
  bool no_more = shut_read_ || fin_received_;
  if (state_ == TcpState::Closed || (no_more && shut_write_)) e |= event_hang_up;
  if (no_more) e |= event_in | event_read_hang_up;
  if (state_ == TcpState::SynSent || state_ == TcpState::SynReceived) return e;
  size_t const readable = rcv_buffer_.size() - (hides_urgent() ? 1 : 0);
  if (readable != 0 && readable >= std::min<size_t>(receive_low_water, rcv_limit_ / 2)) e |= event_in;
  if (urgent_ == Urgent::Here) e |= event_urgent;
  size_t queued = snd_buffer_.size(), unsent = queued - std::min<size_t>(queued, board_.outstanding());
  bool room = snd_limit_ > queued && snd_limit_ - queued >= queued / 2 && unsent < options_.not_sent_low_water;
  if (shut_write_ || room) e |= event_out;
  return e;
}

Events TcpEndpoint::ready() const {
  MutexLock lock(mutex_);
  Events const e = ready_locked();
  if (!(e & event_out)) tell_writable_ = true;  // who looked may wait now, also where a send would still find some room
  return e;
}

int TcpEndpoint::take_error() {
  MutexLock lock(mutex_);
  return std::exchange(error_ != 0 ? error_ : soft_error_, 0);
}
TcpState TcpEndpoint::state() const {
  MutexLock lock(mutex_);
  return state_;
}
Peer TcpEndpoint::local() const {
  MutexLock lock(mutex_);
  return tuple_.local;
}
std::optional<Peer> TcpEndpoint::remote() const {
  MutexLock lock(mutex_);
  if (tuple_.remote.port == 0 || state_ == TcpState::Closed || state_ == TcpState::SynSent ||
      state_ == TcpState::Listen)
    return std::nullopt;
  return tuple_.remote;
}
void TcpEndpoint::bind_to_interface(uint32_t interface) {
  MutexLock lock(mutex_);
  bound_interface = interface;
  if (binding_ && bound_by_user_) binding_->interface = interface;
}
Ref<PortBinding> TcpEndpoint::binding() const {
  MutexLock lock(mutex_);
  return binding_;
}
size_t TcpEndpoint::readable_bytes() const {
  MutexLock lock(mutex_);
  size_t const all = rcv_buffer_.size();
  if (options_.urgent_inline || urgent_ == Urgent::None) return all;
  if (hides_urgent()) return all - 1;
  SeqNum const next = read_position();  // up to the mark, as SIOCINQ tells it
  return urgent_at_ > next && urgent_at_ < next + all ? distance(next, urgent_at_) : all;
}
size_t TcpEndpoint::unacked_bytes() const {
  MutexLock lock(mutex_);
  return snd_buffer_.size();
}
size_t TcpEndpoint::unsent_bytes() const {
  MutexLock lock(mutex_);
  return snd_buffer_.size() - std::min(snd_buffer_.size(), board_.outstanding());
}
size_t TcpEndpoint::accept_queue_length() const {
  MutexLock lock(mutex_);
  return listener_ ? listener_->waiting.size() : 0;
}
size_t TcpEndpoint::backlog() const {
  MutexLock lock(mutex_);
  return listener_ ? listener_->backlog : 0;
}
TcpOptionsSet TcpEndpoint::options() const {
  MutexLock lock(mutex_);
  return options_;
}
bool TcpEndpoint::closed_for_good() const {
  MutexLock lock(mutex_);
  return state_ == TcpState::Closed || state_ == TcpState::FinWait2 || state_ == TcpState::TimeWait;
}
std::pair<size_t, size_t> TcpEndpoint::buffer_sizes() const {
  MutexLock lock(mutex_);
  return {snd_limit_, rcv_limit_};
}

void TcpEndpoint::set_buffer_sizes(std::optional<size_t> send, std::optional<size_t> receive) {
  Locked lock(*this);
  if (send) {
    snd_limit_ = *send;
    options_.send_size_fixed = true;
    notify(ready_locked() & event_out);
  }
  if (receive) {
    rcv_limit_ = *receive;
    options_.receive_size_fixed = true;
  }
}

TcpInfo TcpEndpoint::info() const {
  MutexLock lock(mutex_);
  Time now = stack_.now();
  TcpInfo i;
  i.state = state_;
  i.congestion = congestion_.state;
  i.retransmits = static_cast<uint8_t>(std::min(retransmits_, 255u));
  i.probes = static_cast<uint8_t>(std::min(probes_, 255u));
  i.backoff = static_cast<uint8_t>(std::min(backoff_, 255u));
  i.timestamps = timestamps_;
  i.sack = sack_ok_;
  i.window_scale = scaling_;
  i.ecn = ecn_;
  i.ecn_seen = ecn_seen_;
  i.send_scale = snd_scale_;
  i.receive_scale = rcv_scale_;
  i.rto = rto_;
  i.ack_timeout = 40 * millisecond;
  i.smoothed_rtt = srtt_;
  i.rtt_variation = rttvar_;
  i.min_rtt = min_rtt_ == never ? 0 : min_rtt_;
  i.receive_rtt = rcv_rtt_;
  i.send_mss = mss_;
  i.receive_mss = rcv_mss_;
  i.advertised_mss = advertised_mss_;
  i.path_mtu = path_.mtu;
  i.cwnd_bytes = congestion_.window();
  i.ssthresh_bytes = congestion_.threshold();
  i.unacked = board_.outstanding();
  i.sacked = board_.sacked_bytes();
  i.lost = board_.lost_bytes();
  i.not_sent = snd_buffer_.size() - std::min(snd_buffer_.size(), board_.outstanding());
  i.retransmitted = totals_.retransmitted;
  i.bytes_acked = totals_.bytes_acked;
  i.bytes_received = totals_.bytes_received;
  i.bytes_sent = totals_.bytes_sent;
  i.bytes_retransmitted = totals_.bytes_retransmitted;
  i.segments_out = totals_.segments_out;
  i.segments_in = totals_.segments_in;
  i.data_segments_out = totals_.data_segments_out;
  i.data_segments_in = totals_.data_segments_in;
  i.send_window = snd_wnd_;
  i.receive_window = receive_window();
  i.receive_space = static_cast<uint32_t>(rcv_space_);
  i.reordering_seen = reordering_seen_ ? 1 : 0;
  i.last_data_sent = last_sent_data_ == 0 ? 0 : now - last_sent_data_;
  i.last_data_received = last_data_received_ == 0 ? 0 : now - last_data_received_;
  i.last_ack_received = now - last_received_;
  return i;
}

}  // namespace cofferdam::netstack

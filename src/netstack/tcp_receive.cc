// Data of segments that arrive, in order and out of it (RFC 9293 3.10.7.4; RFC 2018, RFC 2883).
#include <algorithm>

#include "netstack/tcp_endpoint.h"

namespace cofferdam::netstack {
namespace {

constexpr size_t max_gathered = 1024;  // pieces out of order

}  // namespace

void TcpEndpoint::accept_in_order(Packet& p, size_t skip) {
  if (skip != 0) p.pull(skip);
  size_t n = p.size();
  p.for_each([&](View const& v) NO_THREAD_SAFETY_ANALYSIS { rcv_buffer_.append_or_copy(v); });
  rcv_nxt_ += n;
  totals_.bytes_received += n;
}

// 3.10.7.4, seventh and eighth.
void TcpEndpoint::process_data(TcpSegment& s) {
  bool receiving = state_ == TcpState::Established || state_ == TcpState::FinWait1 || state_ == TcpState::FinWait2;
  if (!receiving) {
    if (s.length != 0 || s.header.sequence < rcv_nxt_) send_ack();
    return;
  }
  if (s.end() == s.header.sequence) return;
  if (detached_ && s.length != 0 && s.header.sequence + s.length > rcv_nxt_)
    return refuse_data(s);                         // nobody will ever read it (RFC 1122 4.2.2.13)
  if (s.header.sequence + s.length > rcv_edge_) {  // what is beyond the window is as if it had not come
    s.header.flags &= static_cast<uint8_t>(~TcpHeader::fin);
    size_t fits = s.header.sequence < rcv_edge_ ? distance(s.header.sequence, rcv_edge_) : 0;
    s.length = std::min(s.length, fits);
    s.packet->truncate(s.length);
  }
  if (!stack_.may_charge(s.length) && !rcv_buffer_.empty()) return;
  ++totals_.data_segments_in;
  last_data_received_ = stack_.now();
  note_congestion_mark(s);
  if (s.length > rcv_mss_) rcv_mss_ = static_cast<uint32_t>(std::min<size_t>(s.length, 65535));
  if (s.header.sequence > rcv_nxt_) {
    queue_out_of_order(s);
    return send_ack();
  }
  bool had_gap = !out_of_order_.empty();
  size_t skip = distance(s.header.sequence, rcv_nxt_);
  if (skip != 0 && sack_ok_) duplicate_ = SackBlock{s.header.sequence, earlier(s.end(), rcv_nxt_)};
  bool fin = s.header.has(TcpHeader::fin);
  bool fresh = skip < s.length;
  if (fresh) accept_in_order(*s.packet, skip);
  if (had_gap) drain_out_of_order();
  if (fin && s.header.sequence + s.length == rcv_nxt_) process_fin();
  // Below the low-water mark nobody is told by poll(2), but a reader that has taken a part already waits for the rest.
  if (fresh) notify(event_in);
  if (state_ == TcpState::Closed) return;
  bool const news = fresh || (fin && fin_received_);
  if (last_ack_sent_ != rcv_nxt_ || !news) schedule_ack(had_gap || !news);
}

// A mark of congestion on the peer's data is told until the peer says that it has reacted (RFC 3168 6.1.3).
void TcpEndpoint::note_congestion_mark(TcpSegment const& s) {
  constexpr uint8_t mask = 3, experienced = 3;
  if (!ecn_) return;
  if (s.header.has(TcpHeader::cwr)) tell_congestion_ = false;
  ecn_seen_ |= (s.tos & mask) != 0;
  if ((s.tos & mask) != experienced) return;
  if (!tell_congestion_) quick_acks_ = std::max(quick_acks_, 2u);
  tell_congestion_ = true;
}

// tcp_check_urg and tcp_urg of Linux: where the urgent byte is, and the byte once it is here.
void TcpEndpoint::look_for_urgent(TcpSegment const& s) {
  if (s.header.has(TcpHeader::urg)) {
    uint32_t back = s.header.urgent != 0 && !stack_.settings().tcp_standard_urgent ? 1 : 0;  // RFC 6093 3.1
    SeqNum const at = s.header.sequence + s.header.urgent - back;
    bool const known = urgent_ != Urgent::None && at <= urgent_at_;
    if (at >= read_position() && at >= rcv_nxt_ && !known) {
      if (hides_urgent()) rcv_buffer_.trim_front(1);  // one that nobody has read is not to be read as data now
      urgent_ = Urgent::Announced;
      urgent_at_ = at;
      notify(event_urgent);
    }
  }
  if (urgent_ != Urgent::Announced || urgent_at_ < s.header.sequence) return;
  size_t const offset = distance(s.header.sequence, urgent_at_);
  if (offset >= s.length) return;
  size_t at = 0;
  s.packet->for_each([&](View const& v) NO_THREAD_SAFETY_ANALYSIS {
    if (offset >= at && offset < at + v.size()) urgent_byte_ = v.bytes()[offset - at];
    at += v.size();
  });
  urgent_ = Urgent::Here;
  notify(event_urgent | event_in);
}

void TcpEndpoint::refuse_data(TcpSegment const& s) {
  ++stack_.statistics().tcp_aborts_on_data;
  send_reset(stack_, s);
  die(0);
}

void TcpEndpoint::process_fin() {
  rcv_nxt_ += 1;
  fin_received_ = true;
  out_of_order_.clear();
  out_of_order_bytes_ = 0;
  notify(event_in | event_read_hang_up | (shut_write_ ? event_hang_up : 0));
  switch (state_) {
    case TcpState::Established:
      set_state(TcpState::CloseWait);
      if (totals_.bytes_received == 0) return send_ack();
      quick_acks_ = 0;  // the program's answer, or its own FIN, may carry the acknowledgment
      return;
    case TcpState::FinWait1:
      set_state(TcpState::Closing);  // its FIN came before the ACK of ours, which was looked at already
      return send_ack();
    case TcpState::FinWait2:
      send_ack();
      return enter_time_wait();
    default:
      return;
  }
}

// What of [start, end) is there already, from piece i on (RFC 2883).
void TcpEndpoint::report_overlap(size_t i, SeqNum start, SeqNum end) {
  std::optional<SackBlock> twice;
  for (; i < out_of_order_.size() && out_of_order_[i].start < end; ++i) {
    auto const& there = out_of_order_[i];
    SeqNum const from = later(start, there.start), to = earlier(end, there.end);
    if (from < to) twice = SackBlock{twice ? twice->start : from, to};
  }
  if (twice) duplicate_ = twice;
}

// Keeps [sequence, end) until what is before it comes. What is there already stays; the new fills the gaps.
void TcpEndpoint::queue_out_of_order(TcpSegment& s) {
  SeqNum start = s.header.sequence, end = start + s.length;
  bool fin = s.header.has(TcpHeader::fin);
  size_t i = 0;
  while (i < out_of_order_.size() && out_of_order_[i].end < start) ++i;
  bool new_piece = i == out_of_order_.size() || out_of_order_[i].start > end;
  if (new_piece) {
    if (out_of_order_.size() >= max_gathered || (s.length == 0 && !fin)) return;
    Gathered g;
    g.start = start;
    g.end = end;
    g.fin = fin;
    s.packet->for_each([&](View const& v) NO_THREAD_SAFETY_ANALYSIS { g.data.append_or_copy(v); });
    out_of_order_bytes_ += g.data.size();
    out_of_order_.insert(i, std::move(g));
    newest_block_ = start;
    return;
  }
  Gathered& g = out_of_order_[i];
  report_overlap(i, start, end);
  if (start >= g.start && end <= g.end) {  // all of it again
    g.fin |= fin && end == g.end;
    newest_block_ = g.start;
    return;
  }
  Chain merged;
  if (start < g.start) {
    Chain all;
    s.packet->for_each([&](View const& v) NO_THREAD_SAFETY_ANALYSIS { all.append(v); });
    all.for_range(0, distance(start, g.start), [&](View const& v) NO_THREAD_SAFETY_ANALYSIS { merged.append(v); });
    out_of_order_bytes_ += merged.size();
    merged.append(std::move(g.data));
    g.data = std::move(merged);
    if (end > g.end) {
      size_t from = distance(start, g.end);
      size_t before = g.data.size();
      all.for_range(from, s.length - from, [&](View const& v) NO_THREAD_SAFETY_ANALYSIS { g.data.append_or_copy(v); });
      out_of_order_bytes_ += g.data.size() - before;
    }
    g.start = start;
  } else {
    size_t before = g.data.size();
    s.packet->pull(distance(start, g.end));
    s.packet->for_each([&](View const& v) NO_THREAD_SAFETY_ANALYSIS { g.data.append_or_copy(v); });
    out_of_order_bytes_ += g.data.size() - before;
  }
  if (end >= g.end) g.fin |= fin;
  g.end = later(g.end, end);
  newest_block_ = g.start;
  // What it has grown into.
  while (i + 1 < out_of_order_.size() && out_of_order_[i + 1].start <= out_of_order_[i].end) {
    Gathered& here = out_of_order_[i];
    Gathered& next = out_of_order_[i + 1];
    size_t overlap = std::min<size_t>(distance(next.start, here.end), next.data.size());
    out_of_order_bytes_ -= overlap;
    next.data.trim_front(overlap);
    here.data.append(std::move(next.data));
    if (next.end >= here.end) here.fin |= next.fin;
    here.end = later(here.end, next.end);
    out_of_order_.erase(i + 1);
  }
}

void TcpEndpoint::drain_out_of_order() {
  while (!out_of_order_.empty() && out_of_order_.front().start <= rcv_nxt_) {
    Gathered g = std::move(out_of_order_.front());
    out_of_order_.pop_front();
    out_of_order_bytes_ -= g.data.size();
    if (g.end > rcv_nxt_ || (g.fin && g.end == rcv_nxt_)) {
      size_t skip = distance(g.start, rcv_nxt_);
      g.data.trim_front(skip);
      size_t n = g.data.size();
      rcv_buffer_.append(std::move(g.data));
      rcv_nxt_ += n;
      totals_.bytes_received += n;
      if (g.fin) return process_fin();
    }
  }
}

}  // namespace cofferdam::netstack

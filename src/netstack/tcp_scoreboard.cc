#include "netstack/tcp_scoreboard.h"

namespace cofferdam::netstack {

void Scoreboard::push(SeqNum start, SeqNum end, Time sent) {
  SentSegment s;
  s.start = start;
  s.end = end;
  s.sent = sent;
  segments_.push_back(s);
  outstanding_ += s.length();
}

void Scoreboard::forget(SentSegment const& s) {
  outstanding_ -= s.length();
  if (s.sacked) sacked_ -= s.length();
  if (s.lost) lost_ -= s.length();
}

size_t Scoreboard::find(SeqNum at) const {
  size_t low = 0, high = segments_.size();
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (segments_[middle].end <= at)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void Scoreboard::split(size_t i, uint32_t length) {
  SentSegment rest = segments_[i];
  rest.start = rest.start + length;
  segments_[i].end = rest.start;
  segments_.insert(i + 1, rest);
}

void Scoreboard::mark_lost(SentSegment& s) {
  if (s.lost || s.sacked) return;
  s.lost = true;
  lost_ += s.length();
}

void Scoreboard::mark_resent(SentSegment& s, Time now) {
  if (s.lost) lost_ -= s.length();
  s.lost = false;
  s.retransmitted = true;
  s.sent = now;
}

void Scoreboard::mark_all_lost() {
  for (size_t i = 0; i < segments_.size(); ++i) mark_lost(segments_[i]);
}

void Scoreboard::clear_sacked() {
  for (size_t i = 0; i < segments_.size(); ++i) segments_[i].sacked = false;
  sacked_ = 0;
}

size_t Scoreboard::first_lost() const {
  if (lost_ == 0) return segments_.size();
  size_t i = 0;
  while (i < segments_.size() && !segments_[i].lost) ++i;
  return i;
}

void Scoreboard::clear() {
  segments_.clear();
  outstanding_ = sacked_ = lost_ = 0;
}

}  // namespace cofferdam::netstack

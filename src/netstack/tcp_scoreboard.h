// What was sent and not yet acknowledged, segment by segment: for SACK, RACK and the size of the pipe.
#pragma once

#include "netstack/ring.h"
#include "netstack/seqnum.h"
#include "netstack/time.h"

namespace cofferdam::netstack {

struct SentSegment {
  SeqNum start, end;
  Time sent = 0;
  bool sacked = false, lost = false, retransmitted = false;
  uint32_t length() const { return distance(start, end); }
};

class Scoreboard {
 public:
  static constexpr size_t max_segments = 16384;  // splitting stops here: a receiver cannot make it larger
  bool empty() const { return segments_.empty(); }
  size_t size() const { return segments_.size(); }
  SentSegment& operator[](size_t i) { return segments_[i]; }
  SentSegment const& operator[](size_t i) const { return segments_[i]; }
  SentSegment& front() { return segments_.front(); }
  SentSegment& back() { return segments_.back(); }
  void push(SeqNum start, SeqNum end, Time sent);

  size_t sacked_bytes() const { return sacked_; }
  size_t lost_bytes() const { return lost_; }  // and not sent again
  // Bytes on their way (RFC 6675's pipe).
  size_t pipe() const { return outstanding_ - sacked_ - lost_; }
  size_t outstanding() const { return outstanding_; }

  // Calls f for each segment that `ack` covers to its end, and forgets it; a segment covered in part is shortened.
  template <class F>
  void acknowledge(SeqNum ack, F&& f);
  // Marks what lies in [start, end), cutting segments at multiples of `unit` where it must; f for each newly marked.
  template <class F>
  void mark_sacked(SeqNum start, SeqNum end, uint32_t unit, F&& f);
  void mark_lost(SentSegment&);
  void mark_resent(SentSegment&, Time now);
  void mark_all_lost();
  void clear_sacked();
  // Cuts segment i so that its first part is `length` long.
  void split(size_t i, uint32_t length);
  // The first that is lost; size() when none is.
  size_t first_lost() const;
  void clear();

 private:
  size_t find(SeqNum) const;  // the segment that holds it or comes behind it
  void forget(SentSegment const&);
  Ring<SentSegment> segments_;  // contiguous, by sequence number
  size_t outstanding_ = 0, sacked_ = 0, lost_ = 0;
};

template <class F>
void Scoreboard::acknowledge(SeqNum ack, F&& f) {
  while (!segments_.empty() && segments_.front().start < ack) {
    SentSegment& s = segments_.front();
    if (s.end > ack) {
      uint32_t part = distance(s.start, ack);
      outstanding_ -= part;
      if (s.sacked) sacked_ -= part;
      if (s.lost) lost_ -= part;
      s.start = ack;
      return;
    }
    f(s);
    forget(s);
    segments_.pop_front();
  }
}

template <class F>
void Scoreboard::mark_sacked(SeqNum start, SeqNum end, uint32_t unit, F&& f) {
  for (size_t i = find(start); i < segments_.size() && segments_[i].start < end; ++i) {
    if (segments_[i].sacked) continue;
    if (segments_[i].start < start) {
      uint32_t before = (distance(segments_[i].start, start) + unit - 1) / unit * unit;
      if (before >= segments_[i].length() || segments_.size() >= max_segments) continue;
      split(i, before);
      continue;
    }
    if (segments_[i].end > end) {
      uint32_t covered = distance(segments_[i].start, end) / unit * unit;
      if (covered == 0 || segments_.size() >= max_segments) return;
      split(i, covered);
    }
    SentSegment& s = segments_[i];
    if (s.lost) lost_ -= s.length();
    f(s);
    s.lost = false;
    s.sacked = true;
    sacked_ += s.length();
  }
}

}  // namespace cofferdam::netstack

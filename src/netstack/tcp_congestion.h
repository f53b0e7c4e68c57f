// How much may be on its way: NewReno (RFC 5681) and CUBIC (RFC 9438), in bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "netstack/time.h"

namespace cofferdam::netstack {

enum class CongestionState : uint8_t { Open = 0, Disorder = 1, Reduced = 2, Recovery = 3, Loss = 4 };  // of TCP_INFO

class Congestion {
 public:
  void begin(uint32_t mss, bool cubic);
  void set_mss(uint32_t mss) { mss_ = mss; }
  // Segments have another size: as many of them as before.
  void rescale(uint32_t before, uint32_t now) {
    if (before != 0) window_ = window_ / before * now;
  }
  void set_cubic(bool on) { cubic_ = on; }
  bool cubic() const { return cubic_; }
  size_t window() const { return window_; }
  void set_window(size_t n) { window_ = n; }
  size_t threshold() const { return threshold_; }
  bool in_slow_start() const { return window_ < threshold_; }
  // n bytes were acknowledged while nothing is being repaired, and the window was in use.
  void on_ack(size_t n, Time now, Time smoothed_rtt);
  // A loss was found. Sets the threshold, not the window. The window is what counts (as in Linux), not what was on its
  // way: it grows only while it is used.
  void on_loss(Time now);
  void on_timeout(Time now);
  // There was no loss: all is as it was `before`, but for what has grown since.
  void restore(Congestion const& before);
  void after_idle(Time idle, Time rto);  // RFC 2861's halving, RFC 5681 4.1

  CongestionState state = CongestionState::Open;

 private:
  void cubic_ack(size_t n, Time now, Time smoothed_rtt);
  size_t initial_window() const;
  uint32_t mss_ = 536;
  bool cubic_ = true;
  size_t window_ = 0, threshold_ = SIZE_MAX;
  size_t acked_ = 0;  // bytes that have not yet made the window grow
  // CUBIC, in segments and seconds
  double w_max_ = 0, k_ = 0, w_epoch_ = 0, w_est_ = 0;
  Time epoch_ = 0;
};

}  // namespace cofferdam::netstack

#include "netstack/tcp_congestion.h"

#include <algorithm>
#include <cmath>

namespace cofferdam::netstack {
namespace {
constexpr double cubic_c = 0.4, cubic_beta = 0.7;
}

size_t Congestion::initial_window() const { return size_t{10} * mss_; }  // RFC 6928

void Congestion::begin(uint32_t mss, bool cubic) {
  mss_ = mss;
  cubic_ = cubic;
  window_ = initial_window();
  threshold_ = SIZE_MAX;
  state = CongestionState::Open;
}

void Congestion::on_ack(size_t n, Time now, Time smoothed_rtt) {
  if (in_slow_start()) {
    size_t grow = std::min(n, threshold_ - window_);
    window_ += grow;
    n -= grow;
    if (n == 0) return;
  }
  if (cubic_) return cubic_ack(n, now, smoothed_rtt);
  acked_ += n;
  if (acked_ >= window_) {
    acked_ -= window_;
    window_ += mss_;
  }
}

void Congestion::cubic_ack(size_t n, Time now, Time smoothed_rtt) {
  double segments = static_cast<double>(window_) / mss_, acked = static_cast<double>(n) / mss_;
  if (epoch_ == 0) {
    epoch_ = now;
    w_epoch_ = w_est_ = segments;
    k_ = w_max_ > segments ? std::cbrt((w_max_ - segments) / cubic_c) : 0;
    w_max_ = std::max(w_max_, segments);
  }
  double t = static_cast<double>(now - epoch_) / second, rtt = static_cast<double>(smoothed_rtt) / second;
  double ahead = t + rtt - k_;
  double target = std::clamp(cubic_c * ahead * ahead * ahead + w_max_, segments, 1.5 * segments);
  // As fast as Reno would be (4.3).
  double alpha = w_est_ >= w_max_ ? 1 : 3 * (1 - cubic_beta) / (1 + cubic_beta);
  w_est_ += alpha * acked / segments;
  double next = std::max(segments + (target - segments) / segments * acked, w_est_);
  next = std::min(next, segments + acked);  // never faster than slow start
  window_ = std::max(window_, static_cast<size_t>(next * mss_));
}

void Congestion::on_loss(Time) {
  acked_ = 0;
  if (!cubic_) {
    threshold_ = std::max<size_t>(window_ / 2, size_t{2} * mss_);
    return;
  }
  double segments = static_cast<double>(window_) / mss_;
  w_max_ = segments < w_max_ ? segments * (1 + cubic_beta) / 2 : segments;  // fast convergence (4.7)
  threshold_ = std::max<size_t>(static_cast<size_t>(segments * cubic_beta * mss_), size_t{2} * mss_);
  epoch_ = 0;
}

void Congestion::on_timeout(Time now) {
  on_loss(now);
  window_ = mss_;
  state = CongestionState::Loss;
}

void Congestion::restore(Congestion const& before) {
  size_t const window = std::max(window_, before.window_), threshold = std::max(threshold_, before.threshold_);
  uint32_t const mss = mss_;
  *this = before;
  window_ = window;
  threshold_ = threshold;
  mss_ = mss;
}

void Congestion::after_idle(Time idle, Time rto) {
  size_t restart = std::min(initial_window(), window_);
  threshold_ = std::max(threshold_ == SIZE_MAX ? 0 : threshold_, window_ / 4 * 3);
  while (idle > rto && window_ > restart) {
    window_ = std::max(window_ / 2, restart);
    idle -= rto;
  }
  epoch_ = 0;
}

}  // namespace cofferdam::netstack

// Options of level IPPROTO_TCP, and what of SOL_SOCKET concerns TCP (tcp(7)).
#include <linux/tcp.h>
#include <netinet/in.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "socket/inet/tcp_socket.h"

namespace cofferdam::inet {

using netstack::TcpInfo;
using netstack::TcpOptionsSet;
using netstack::Time;

namespace {

constexpr int max_keepalive_seconds = 32767, max_keepalive_probes = 127, max_syn_retries = 127;

uint32_t microseconds(Time t) { return static_cast<uint32_t>(t / netstack::microsecond); }
uint32_t milliseconds(Time t) { return static_cast<uint32_t>(t / netstack::millisecond); }
int seconds(Time t) { return static_cast<int>(t / netstack::second); }

}  // namespace

std::vector<std::byte> tcp_info_of(netstack::TcpEndpoint const& endpoint) {
  TcpInfo i = endpoint.info();
  struct ::tcp_info t{};
  auto mss = std::max<uint64_t>(i.send_mss, 1);
  t.tcpi_state = static_cast<uint8_t>(i.state);
  t.tcpi_ca_state = static_cast<uint8_t>(i.congestion);
  t.tcpi_retransmits = i.retransmits;
  t.tcpi_probes = i.probes;
  t.tcpi_backoff = i.backoff;
  t.tcpi_options = static_cast<uint8_t>((i.timestamps ? TCPI_OPT_TIMESTAMPS : 0) | (i.sack ? TCPI_OPT_SACK : 0) |
                                        (i.window_scale ? TCPI_OPT_WSCALE : 0));
  t.tcpi_snd_wscale = i.send_scale & 15;
  t.tcpi_rcv_wscale = i.receive_scale & 15;
  t.tcpi_rto = microseconds(i.rto);
  t.tcpi_ato = microseconds(i.ack_timeout);
  t.tcpi_snd_mss = i.send_mss;
  t.tcpi_rcv_mss = i.receive_mss;
  t.tcpi_unacked = static_cast<uint32_t>((i.unacked + mss - 1) / mss);
  t.tcpi_sacked = static_cast<uint32_t>(i.sacked / mss);
  t.tcpi_lost = static_cast<uint32_t>(i.lost / mss);
  if (i.state == netstack::TcpState::Listen) {  // tcp_get_info of Linux: the queue of who waits, and its limit
    t.tcpi_unacked = static_cast<uint32_t>(endpoint.accept_queue_length());
    t.tcpi_sacked = static_cast<uint32_t>(endpoint.backlog());
  }
  t.tcpi_last_data_sent = milliseconds(i.last_data_sent);
  t.tcpi_last_data_recv = milliseconds(i.last_data_received);
  t.tcpi_last_ack_recv = milliseconds(i.last_ack_received);
  t.tcpi_pmtu = endpoint.local().address.is_v4() ? std::min<uint32_t>(i.path_mtu, 65535) : i.path_mtu;  // IP_MAX_MTU
  t.tcpi_rtt = microseconds(i.smoothed_rtt);
  t.tcpi_rttvar = microseconds(i.rtt_variation);
  t.tcpi_snd_ssthresh = static_cast<uint32_t>(std::min<uint64_t>(i.ssthresh_bytes / mss, 0x7fffffff));
  t.tcpi_snd_cwnd = static_cast<uint32_t>(i.cwnd_bytes / mss);
  t.tcpi_advmss = i.advertised_mss;
  t.tcpi_reordering = 3;
  t.tcpi_rcv_rtt = microseconds(i.receive_rtt);
  t.tcpi_rcv_space = i.receive_space;
  t.tcpi_total_retrans = static_cast<uint32_t>(i.retransmitted);
  t.tcpi_pacing_rate = t.tcpi_max_pacing_rate = ~uint64_t{0};
  t.tcpi_bytes_acked = i.bytes_acked;
  t.tcpi_bytes_received = i.bytes_received;
  t.tcpi_segs_out = static_cast<uint32_t>(i.segments_out);
  t.tcpi_segs_in = static_cast<uint32_t>(i.segments_in);
  t.tcpi_notsent_bytes = static_cast<uint32_t>(i.not_sent);
  t.tcpi_min_rtt = microseconds(i.min_rtt);
  t.tcpi_data_segs_in = static_cast<uint32_t>(i.data_segments_in);
  t.tcpi_data_segs_out = static_cast<uint32_t>(i.data_segments_out);
  t.tcpi_bytes_sent = i.bytes_sent;
  t.tcpi_bytes_retrans = i.bytes_retransmitted;
  t.tcpi_reord_seen = i.reordering_seen;
  t.tcpi_snd_wnd = i.send_window;
  auto const bytes = std::as_bytes(std::span(&t, 1));
  return {bytes.begin(), bytes.end()};
}

Result<std::optional<std::vector<std::byte>>> TcpSocket::get_own_option(int level, int name, size_t room) {
  if (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF)) {
    auto [send_size, receive_size] = endpoint_->buffer_sizes();
    return option_bytes(static_cast<int>(name == SO_SNDBUF ? send_size : receive_size), room);
  }
  if (level != IPPROTO_TCP) return std::nullopt;
  TcpOptionsSet o = endpoint_->options();
  int value;
  switch (name) {
    case TCP_NODELAY:
      value = o.no_delay;
      break;
    case TCP_CORK:
      value = o.cork;
      break;
    case TCP_MAXSEG:
      value = static_cast<int>(endpoint_->info().send_mss);
      break;
    case TCP_KEEPIDLE:
      value = seconds(o.keepalive_idle);
      break;
    case TCP_KEEPINTVL:
      value = seconds(o.keepalive_interval);
      break;
    case TCP_KEEPCNT:
      value = static_cast<int>(o.keepalive_probes);
      break;
    case TCP_SYNCNT:
      value = static_cast<int>(o.syn_retries);
      break;
    case TCP_LINGER2:
      value = o.fin_wait2 < 0 ? -1 : seconds(o.fin_wait2);
      break;
    case TCP_WINDOW_CLAMP:
      value = static_cast<int>(o.window_clamp);
      break;
    case TCP_QUICKACK:
      value = o.quick_ack;
      break;
    case TCP_USER_TIMEOUT:
      value = static_cast<int>(milliseconds(o.user_timeout));
      break;
    case TCP_NOTSENT_LOWAT:
      value = static_cast<int>(o.not_sent_low_water == UINT32_MAX ? 0 : o.not_sent_low_water);
      break;
    case TCP_DEFER_ACCEPT:
      value = static_cast<int>(netstack::defer_to_seconds(o.defer_accept));
      break;
    case TCP_FASTOPEN:
      value = fast_open_queue_;
      break;
    case TCP_FASTOPEN_CONNECT:
      value = fast_open_connect_ ? 1 : 0;
      break;
    case tcp_fast_open_no_cookie:
      value = fast_open_without_cookie_ ? 1 : 0;
      break;
    case tcp_inq:
      value = tells_waiting_ ? 1 : 0;
      break;
    case TCP_SAVE_SYN:
      value = endpoint_->save_syn;
      break;
    case TCP_SAVED_SYN:
      if (endpoint_->saved_syn_size() > room) return fail(Errno::Inval);
      return endpoint_->take_saved_syn(room);
    case TCP_INFO: {
      auto info = tcp_info_of(*endpoint_);
      info.resize(std::min(info.size(), room));
      return info;
    }
    case TCP_CONGESTION: {
      char const text[16] = "cubic", reno[16] = "reno";
      auto b = std::as_bytes(o.cubic ? std::span(text) : std::span(reno)).first(std::min<size_t>(room, sizeof text));
      return std::vector<std::byte>(b.begin(), b.end());
    }
    default:
      return fail(Errno::NoProtoOpt);
  }
  return option_bytes(value, room);
}

Result<void> TcpSocket::set_tcp_option(int name, std::span<std::byte const> bytes) {
  if (name == TCP_CONGESTION) {
    if (bytes.empty()) return fail(Errno::Inval);
    std::string wanted(std::min<size_t>(bytes.size(), 15), 0);
    std::memcpy(wanted.data(), bytes.data(), wanted.size());
    wanted.resize(std::min(wanted.find('\0'), wanted.size()));
    if (wanted != "cubic" && wanted != "reno") return fail(Errno::NoEnt);
    endpoint_->change_options([&](TcpOptionsSet& o) { o.cubic = wanted == "cubic"; });
    return {};
  }
  int value = TRY(option_value<int>(bytes));
  auto change = [&](auto&& f) -> Result<void> {
    endpoint_->change_options(f);
    return {};
  };
  switch (name) {
    case TCP_NODELAY:
      return change([&](TcpOptionsSet& o) { o.no_delay = value != 0; });
    case TCP_CORK:
      return change([&](TcpOptionsSet& o) { o.cork = value != 0; });
    case TCP_MAXSEG:
      if (value != 0 && (value < 88 || value > 32767)) return fail(Errno::Inval);
      return change([&](TcpOptionsSet& o) { o.max_segment = static_cast<uint16_t>(value); });
    case TCP_KEEPIDLE:
      if (value < 1 || value > max_keepalive_seconds) return fail(Errno::Inval);
      return change([&](TcpOptionsSet& o) { o.keepalive_idle = value * netstack::second; });
    case TCP_KEEPINTVL:
      if (value < 1 || value > max_keepalive_seconds) return fail(Errno::Inval);
      return change([&](TcpOptionsSet& o) { o.keepalive_interval = value * netstack::second; });
    case TCP_KEEPCNT:
      if (value < 1 || value > max_keepalive_probes) return fail(Errno::Inval);
      return change([&](TcpOptionsSet& o) { o.keepalive_probes = static_cast<unsigned>(value); });
    case TCP_SYNCNT:
      if (value < 1 || value > max_syn_retries) return fail(Errno::Inval);
      return change([&](TcpOptionsSet& o) { o.syn_retries = static_cast<unsigned>(value); });
    case TCP_LINGER2:
      return change([&](TcpOptionsSet& o) {
        o.fin_wait2 = value < 0 ? -1 : std::min<Time>(value * netstack::second, 120 * netstack::second);
      });
    case TCP_WINDOW_CLAMP:
      if (value < 0) return fail(Errno::Inval);
      return change([&](TcpOptionsSet& o) {
        o.window_clamp = value == 0 ? 0 : std::max<uint32_t>(static_cast<uint32_t>(value), 1152);
      });
    case TCP_QUICKACK:
      endpoint_->set_quick_ack(value != 0);
      return {};
    case TCP_USER_TIMEOUT:
      if (value < 0) return fail(Errno::Inval);
      return change([&](TcpOptionsSet& o) { o.user_timeout = value * netstack::millisecond; });
    case TCP_NOTSENT_LOWAT:
      return change(
          [&](TcpOptionsSet& o) { o.not_sent_low_water = value == 0 ? UINT32_MAX : static_cast<uint32_t>(value); });
    case TCP_DEFER_ACCEPT:
      return change([&](TcpOptionsSet& o) {
        o.defer_accept = netstack::defer_from_seconds(static_cast<unsigned>(std::max(value, 0)));
      });
    case tcp_inq:
      if (value < 0 || value > 1) return fail(Errno::Inval);
      tells_waiting_ = value != 0;
      return {};
    case TCP_SAVE_SYN:
      if (value < 0 || value > 2) return fail(Errno::Inval);
      if (value == 2) return fail(Errno::OpNotSupp);  // with the link's header, which is not kept
      endpoint_->save_syn = static_cast<uint8_t>(value);
      return {};
    default:
      return fail(Errno::NoProtoOpt);
  }
}

// Who asks for it is kept; no connection begins with data, as with peers that do not know fast open.
Result<void> TcpSocket::set_fast_open(kernel::Task& task, int name, int value) {
  constexpr int largest_queue = 4096;  // net.core.somaxconn
  auto const state = endpoint_->state();
  bool const closed = state == netstack::TcpState::Closed, early = closed || state == netstack::TcpState::Listen;
  if (name == TCP_FASTOPEN) {
    if (value < 0 || !early) return fail(Errno::Inval);
    fast_open_queue_ = std::min(value, largest_queue);
    return {};
  }
  if (value < 0 || value > 1) return fail(Errno::Inval);
  if (name == tcp_fast_open_no_cookie) {
    if (!early) return fail(Errno::Inval);
    fast_open_without_cookie_ = value != 0;
    return {};
  }
  constexpr uint64_t by_clients = 1;  // TFO_CLIENT_ENABLE
  if (!(task.kernel().sysctls().number("net/ipv4/tcp_fastopen") & by_clients)) return fail(Errno::OpNotSupp);
  if (!closed) return fail(Errno::Inval);
  fast_open_connect_ = value != 0;
  return {};
}

Result<bool> TcpSocket::set_own_option(kernel::Task& task, int level, int name, std::span<std::byte const> bytes) {
  options_touched_ = true;
  if (level == SOL_SOCKET && name == SO_LINGER && bytes.size() >= sizeof(linger)) {
    auto l = TRY(option_value<linger>(bytes));
    linger_zero_ = l.l_onoff != 0 && l.l_linger == 0;
    linger_seconds_ = l.l_onoff != 0 ? std::max(l.l_linger, 0) : 0;
  }
  if (level != IPPROTO_TCP) return false;
  if (name == TCP_FASTOPEN || name == TCP_FASTOPEN_CONNECT || name == tcp_fast_open_no_cookie)
    TRY(set_fast_open(task, name, TRY(option_value<int>(bytes))));
  else
    TRY(set_tcp_option(name, bytes));
  return true;
}

void TcpSocket::ip_options_changed() {
  endpoint_->v6_only = ip_.v6_only.load();
  endpoint_->errors_at_once = is_v4() ? ip_.flags.get(IP_RECVERR) : ip_.flags6.get(IPV6_RECVERR);
  endpoint_->any_source = ip_.flags.get(IP_TRANSPARENT) || ip_.flags6.get(IPV6_TRANSPARENT);
  bool const four = is_v4();
  auto const ttl = static_cast<uint8_t>(four ? int{ip_.ttl} : std::max(ip_.hop_limit.load(), 0));
  uint8_t const tos = four ? ip_.tos : ip_.traffic_class;
  endpoint_->change_options([&](TcpOptionsSet& o) {
    o.ttl = ttl;
    o.tos = tos;
  });
}

void TcpSocket::socket_option_changed(int name, int value) {
  switch (name) {
    case SO_KEEPALIVE:
      return endpoint_->change_options([&](TcpOptionsSet& o) { o.keepalive = value != 0; });
    case SO_OOBINLINE:
      return endpoint_->change_options([&](TcpOptionsSet& o) { o.urgent_inline = value != 0; });
    case SO_REUSEADDR:
    case SO_REUSEPORT:
      if (auto b = endpoint_->binding()) {
        b->reuse_address = reuse_address_.load();
        b->reuse_port = reuse_port_.load();
      }
      return;
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
      return endpoint_->set_buffer_sizes(static_cast<size_t>(send_buffer_.load()), std::nullopt);
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
      return endpoint_->set_buffer_sizes(std::nullopt, static_cast<size_t>(receive_buffer_.load()));
    case SO_RCVLOWAT:
      endpoint_->receive_low_water = static_cast<size_t>(std::max(value, 1));
      return;
    default:
      return;
  }
}

}  // namespace cofferdam::inet

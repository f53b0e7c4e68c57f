// Counters of the stack: /proc/net/snmp and netstat.
#pragma once

#include <atomic>
#include <cstdint>

namespace cofferdam::netstack {

class Counter {
 public:
  void operator++() { add(1); }
  void add(uint64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct Statistics {
  Counter ip_received, ip_header_errors, ip_address_errors, ip_unknown_protocols, ip_discarded, ip_delivered, ip_sent,
      ip_no_routes, ip_reassembly_needed, ip_reassembled, ip_fragmented, ip_fragments_made;
  Counter icmp_received, icmp_errors, icmp_sent;
  Counter tcp_active_opens, tcp_passive_opens, tcp_attempt_failures, tcp_resets_received, tcp_segments_received,
      tcp_segments_sent, tcp_retransmitted, tcp_input_errors, tcp_resets_sent, tcp_checksum_errors,
      tcp_syn_cookies_sent, tcp_syn_cookies_accepted, tcp_syn_cookies_failed, tcp_listen_overflows, tcp_listen_drops,
      tcp_challenge_acks, tcp_timeouts, tcp_loss_probes, tcp_recoveries, tcp_time_waited, tcp_delayed_acks,
      tcp_paws_rejected, tcp_zero_window_probes, tcp_aborts_on_data;
  Counter udp_received, udp_no_ports, udp_input_errors, udp_sent, udp_receive_buffer_errors, udp_checksum_errors;
};

}  // namespace cofferdam::netstack

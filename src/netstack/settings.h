// /proc/sys/net: what endpoints begin with and are bounded by, and the names of it all (ip-sysctl of Linux).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "netstack/time.h"

namespace cofferdam::netstack {

enum class EcnMode : uint8_t { Never, Always, WhenAsked };   // tcp_ecn
enum class ReuseMode : uint8_t { Never, Always, Loopback };  // tcp_tw_reuse

struct Settings {  // sizes in bytes
  std::atomic<uint8_t> default_ttl{64}, default_hop_limit{64};
  std::atomic<size_t> tcp_send_min{4096}, tcp_send_default{16384}, tcp_send_max{4 << 20};
  std::atomic<size_t> tcp_receive_min{4096}, tcp_receive_default{131072}, tcp_receive_max{6 << 20};
  std::atomic<bool> tcp_timestamps{true}, tcp_sack{true}, tcp_window_scaling{true}, tcp_syncookies{true};
  std::atomic<bool> tcp_cubic{true};
  std::atomic<bool> tcp_rfc1337{false}, tcp_ecn_fallback{true}, tcp_mtu_probing{false}, tcp_standard_urgent{false};
  std::atomic<EcnMode> tcp_ecn{EcnMode::WhenAsked};
  std::atomic<ReuseMode> tcp_time_wait_reuse{ReuseMode::Loopback};
  std::atomic<unsigned> tcp_retries1{3}, tcp_base_mss{1024};
  std::atomic<unsigned> tcp_syn_retries{6}, tcp_syn_linear_timeouts{4}, tcp_synack_retries{5}, tcp_retries2{15},
      tcp_orphan_retries{8};
  std::atomic<Time> tcp_fin_timeout{60 * second}, tcp_keepalive_time{7200 * second},
      tcp_keepalive_interval{75 * second}, tcp_invalid_interval{500 * millisecond};
  std::atomic<unsigned> tcp_keepalive_probes{9};
  std::atomic<size_t> tcp_max_syn_backlog{1024}, tcp_max_time_wait{32768}, tcp_max_orphans{16384};
  std::atomic<bool> icmp_echo_ignore_all{false}, icmp_echo_ignore_broadcasts{true};
  std::atomic<bool> icmpv6_echo_ignore_all{false};
  std::atomic<Time> fragment_time{30 * second}, fragment_time_v6{60 * second};
  std::atomic<size_t> igmp_max_memberships{20}, igmp_max_sources{10};  // of a socket
  std::atomic<size_t> memory_limit{256 << 20};                         // of all queues together
};

// A file of numbers below /proc/sys.
struct SettingFile {
  std::string_view path;     // "net/ipv4/tcp_sack"
  std::string_view initial;  // numbers stand between tabs
  uint64_t least = 0, most = INT32_MAX;
  void (*apply)(Settings&, std::span<uint64_t const>) = nullptr;
};
std::span<SettingFile const> setting_files();
// The path's meaning for the stack. ENOENT: it is none of these; EINVAL: the numbers are too few, or one is too small
// or too large.
Result<void> apply_setting(Settings&, std::string_view path, std::span<uint64_t const> numbers);

}  // namespace cofferdam::netstack

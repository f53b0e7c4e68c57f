#include "netstack/settings.h"

#include <algorithm>

namespace cofferdam::netstack {
namespace {

template <auto Member>
void set(Settings& s, std::span<uint64_t const> v) {
  (s.*Member) = static_cast<decltype((s.*Member).load())>(v[0]);
}
template <auto Member>
void set_seconds(Settings& s, std::span<uint64_t const> v) {
  (s.*Member) = static_cast<Time>(v[0]) * second;
}
template <auto Member>
void set_milliseconds(Settings& s, std::span<uint64_t const> v) {
  (s.*Member) = static_cast<Time>(v[0]) * millisecond;
}
template <auto Least, auto Default, auto Most>
void set_sizes(Settings& s, std::span<uint64_t const> v) {
  (s.*Least) = v[0];
  (s.*Default) = v[1];
  (s.*Most) = std::max(v[1], v[2]);
}

// tcp_orphan_retries(): 0 is as 8.
void set_orphan_retries(Settings& s, std::span<uint64_t const> v) {
  s.tcp_orphan_retries = v[0] == 0 ? 8 : static_cast<unsigned>(v[0]);
}

using S = Settings;
constexpr uint64_t most_seconds = INT32_MAX / 1000;

// clang-format off: a table reads better in rows.
constexpr SettingFile files[] = {
    {"net/ipv4/icmp_echo_ignore_all", "0", 0, 1, set<&S::icmp_echo_ignore_all>},
    {"net/ipv4/icmp_echo_ignore_broadcasts", "1", 0, 1, set<&S::icmp_echo_ignore_broadcasts>},
    {"net/ipv4/ip_default_ttl", "64", 1, 255, set<&S::default_ttl>},
    {"net/ipv4/igmp_max_memberships", "20", 0, 1 << 16, set<&S::igmp_max_memberships>},
    {"net/ipv4/igmp_max_msf", "10", 0, 1 << 12, set<&S::igmp_max_sources>},
    {"net/ipv4/ipfrag_time", "30", 1, 255, set_seconds<&S::fragment_time>},
    {"net/ipv4/tcp_base_mss", "1024", 48, 65535, set<&S::tcp_base_mss>},
    {"net/ipv4/tcp_ecn", "2", 0, 2, set<&S::tcp_ecn>},
    {"net/ipv4/tcp_ecn_fallback", "1", 0, 1, set<&S::tcp_ecn_fallback>},
    {"net/ipv4/tcp_fin_timeout", "60", 0, most_seconds, set_seconds<&S::tcp_fin_timeout>},
    {"net/ipv4/tcp_invalid_ratelimit", "500", 0, most_seconds, set_milliseconds<&S::tcp_invalid_interval>},
    {"net/ipv4/tcp_keepalive_intvl", "75", 1, 32767, set_seconds<&S::tcp_keepalive_interval>},
    {"net/ipv4/tcp_keepalive_probes", "9", 0, 127, set<&S::tcp_keepalive_probes>},
    {"net/ipv4/tcp_keepalive_time", "7200", 1, 32767, set_seconds<&S::tcp_keepalive_time>},
    {"net/ipv4/tcp_max_orphans", "16384", 0, 1 << 18, set<&S::tcp_max_orphans>},
    {"net/ipv4/tcp_max_syn_backlog", "1024", 0, 1 << 18, set<&S::tcp_max_syn_backlog>},
    {"net/ipv4/tcp_max_tw_buckets", "32768", 0, 1 << 18, set<&S::tcp_max_time_wait>},
    {"net/ipv4/tcp_mtu_probing", "0", 0, 1, set<&S::tcp_mtu_probing>},
    {"net/ipv4/tcp_orphan_retries", "0", 0, 255, set_orphan_retries},
    {"net/ipv4/tcp_retries1", "3", 0, 255, set<&S::tcp_retries1>},
    {"net/ipv4/tcp_retries2", "15", 0, 255, set<&S::tcp_retries2>},
    {"net/ipv4/tcp_rmem", "4096\t131072\t6291456", 1, INT32_MAX, set_sizes<&S::tcp_receive_min, &S::tcp_receive_default, &S::tcp_receive_max>},
    {"net/ipv4/tcp_rfc1337", "0", 0, 1, set<&S::tcp_rfc1337>},
    {"net/ipv4/tcp_sack", "1", 0, 1, set<&S::tcp_sack>},
    {"net/ipv4/tcp_stdurg", "0", 0, 1, set<&S::tcp_standard_urgent>},
    {"net/ipv4/tcp_syn_linear_timeouts", "4", 0, 127, set<&S::tcp_syn_linear_timeouts>},
    {"net/ipv4/tcp_syn_retries", "6", 1, 127, set<&S::tcp_syn_retries>},
    {"net/ipv4/tcp_synack_retries", "5", 0, 255, set<&S::tcp_synack_retries>},
    {"net/ipv4/tcp_syncookies", "1", 0, 2, set<&S::tcp_syncookies>},
    {"net/ipv4/tcp_timestamps", "1", 0, 2, set<&S::tcp_timestamps>},
    {"net/ipv4/tcp_tw_reuse", "2", 0, 2, set<&S::tcp_time_wait_reuse>},
    {"net/ipv4/tcp_window_scaling", "1", 0, 1, set<&S::tcp_window_scaling>},
    {"net/ipv4/tcp_wmem", "4096\t16384\t4194304", 1, INT32_MAX, set_sizes<&S::tcp_send_min, &S::tcp_send_default, &S::tcp_send_max>},
    {"net/ipv6/icmp/echo_ignore_all", "0", 0, 1, set<&S::icmpv6_echo_ignore_all>},
    {"net/ipv6/ip6frag_time", "60", 1, 255, set_seconds<&S::fragment_time_v6>},
};
// clang-format on

}  // namespace

std::span<SettingFile const> setting_files() { return files; }

Result<void> apply_setting(Settings& settings, std::string_view path, std::span<uint64_t const> numbers) {
  auto const* file = std::ranges::find(files, path, &SettingFile::path);
  if (file == std::end(files)) return fail(Errno::NoEnt);
  size_t const wanted = 1 + static_cast<size_t>(std::ranges::count(file->initial, '\t'));
  if (numbers.size() != wanted) return fail(Errno::Inval);
  for (uint64_t const n : numbers)
    if (n < file->least || n > file->most) return fail(Errno::Inval);
  file->apply(settings, numbers);
  return {};
}

}  // namespace cofferdam::netstack

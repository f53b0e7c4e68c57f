#include "kernel/sysctls.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "kernel/ipc/sysv.h"

namespace cofferdam::kernel {
namespace {

template <std::atomic<uint64_t> sysv::Limits::* Member>
void set_limit(SysvIpc& ipc, std::span<uint64_t const> values) {
  (ipc.limits.*Member).store(values[0], std::memory_order_relaxed);
}

void set_semaphore_limits(SysvIpc& ipc, std::span<uint64_t const> values) {
  auto& limits = ipc.limits;
  limits.semaphores_per_set.store(values[0], std::memory_order_relaxed);
  limits.semaphores.store(values[1], std::memory_order_relaxed);
  limits.operations_per_call.store(values[2], std::memory_order_relaxed);
  limits.semaphore_sets.store(values[3], std::memory_order_relaxed);
}

constexpr uint64_t most_int = INT32_MAX;

// clang-format off: a table reads better in rows.
constexpr Sysctls::Setting all_settings[] = {
    {.path = "kernel/shmmax", .initial = "18446744073692774399", .apply = set_limit<&sysv::Limits::segment_bytes>},
    {.path = "kernel/shmall", .initial = "18446744073692774399", .apply = set_limit<&sysv::Limits::segment_pages>},
    {.path = "kernel/shmmni", .initial = "4096", .most = 32768, .apply = set_limit<&sysv::Limits::segments>},
    {.path = "kernel/shm_rmid_forced", .initial = "0", .most = 0},
    {.path = "kernel/msgmax", .initial = "8192", .most = 1 << 20, .apply = set_limit<&sysv::Limits::message_bytes>},
    {.path = "kernel/msgmnb", .initial = "16384", .most = most_int, .apply = set_limit<&sysv::Limits::queue_bytes>},
    {.path = "kernel/msgmni", .initial = "32000", .most = 32768, .apply = set_limit<&sysv::Limits::queues>},
    {.path = "kernel/sem", .initial = "32000\t1024000000\t500\t32000", .most = most_int, .apply = set_semaphore_limits},
    {.path = "fs/mqueue/msg_max", .initial = "10", .least = 1, .most = 65536},
    {.path = "fs/mqueue/msgsize_max", .initial = "8192", .least = 128, .most = 16 << 20},
    {.path = "fs/mqueue/queues_max", .initial = "256", .most = most_int},
    {.path = "fs/mqueue/msg_default", .initial = "10", .least = 1, .most = 65536},
    {.path = "fs/mqueue/msgsize_default", .initial = "8192", .least = 128, .most = 16 << 20},
    {.path = "net/core/somaxconn", .initial = "4096", .most = most_int},
    {.path = "net/core/rmem_default", .initial = "212992", .most = most_int},
    {.path = "net/core/rmem_max", .initial = "212992", .most = most_int},
    {.path = "net/core/wmem_default", .initial = "212992", .most = most_int},
    {.path = "net/core/wmem_max", .initial = "212992", .most = most_int},
    {.path = "net/core/optmem_max", .initial = "131072", .most = most_int},
    {.path = "net/unix/max_dgram_qlen", .initial = "512", .most = most_int},
    {.path = "net/ipv4/ip_local_port_range", .initial = "32768\t60999", .least = 1, .most = 65535},
    {.path = "net/ipv4/ip_forward", .initial = "0", .most = 1},
    {.path = "net/ipv4/ip_nonlocal_bind", .initial = "0", .most = 1},
    {.path = "net/ipv4/ip_unprivileged_port_start", .initial = "1024", .most = 65535},
    {.path = "net/ipv4/ping_group_range", .initial = "1\t0", .most = UINT32_MAX},
    {.path = "net/ipv4/tcp_syncookies", .initial = "1", .most = 2},
    {.path = "net/ipv4/tcp_rmem", .initial = "4096\t131072\t6291456", .least = 1, .most = most_int},
    {.path = "net/ipv4/tcp_wmem", .initial = "4096\t16384\t4194304", .least = 1, .most = most_int},
    {.path = "net/ipv4/tcp_fin_timeout", .initial = "60", .most = most_int},
    {.path = "net/ipv4/tcp_keepalive_time", .initial = "7200", .most = 32767},
    {.path = "net/ipv4/tcp_keepalive_intvl", .initial = "75", .most = 32767},
    {.path = "net/ipv4/tcp_keepalive_probes", .initial = "9", .most = 127},
    {.path = "net/ipv4/tcp_max_syn_backlog", .initial = "1024", .most = most_int},
    {.path = "net/ipv4/tcp_fastopen", .initial = "1", .most = most_int},
    {.path = "net/ipv4/tcp_tw_reuse", .initial = "2", .most = 2},
    {.path = "net/ipv4/tcp_window_scaling", .initial = "1", .most = 1},
    {.path = "net/ipv4/tcp_sack", .initial = "1", .most = 1},
    {.path = "net/ipv4/tcp_timestamps", .initial = "1", .most = 2},
    {.path = "net/ipv4/tcp_congestion_control", .initial = "cubic", .numeric = false},
    {.path = "net/ipv6/conf/all/disable_ipv6", .initial = "0", .most = 1},
    {.path = "net/ipv6/conf/default/disable_ipv6", .initial = "0", .most = 1},
    {.path = "net/ipv6/conf/lo/disable_ipv6", .initial = "0", .most = 1},
    {.path = "net/ipv6/conf/all/forwarding", .initial = "0", .most = 1},
};
// clang-format on

constexpr size_t longest_word = 64;

// Numbers between blanks; nothing when there is anything else.
std::vector<uint64_t> numbers_of(std::string_view text) {
  std::vector<uint64_t> out;
  auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\n'; };
  for (size_t at = 0; at < text.size();) {
    if (is_blank(text[at])) {
      ++at;
      continue;
    }
    uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
    if (error != std::errc() || (end != text.data() + text.size() && !is_blank(*end))) return {};
    at = static_cast<size_t>(end - text.data());
    out.push_back(value);
  }
  return out;
}

Result<std::string> word_of(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  bool good = !text.empty() && text.size() <= longest_word;
  for (char c : text) good = good && c > ' ' && c < 0x7f;
  if (!good) return fail(Errno::Inval);
  return std::string(text);
}

}  // namespace

std::span<Sysctls::Setting const> Sysctls::settings() { return all_settings; }

Sysctls::Setting const* Sysctls::find(std::string_view path) {
  auto const* found = std::ranges::find(all_settings, path, &Setting::path);
  return found == std::end(all_settings) ? nullptr : found;
}

std::string Sysctls::text(std::string_view path) const {
  auto const* setting = find(path);
  if (!setting) return {};
  return changed_.with([&](auto const& changed) {
    auto it = changed.find(path);
    return it == changed.end() ? std::string(setting->initial) : it->second;
  });
}

uint64_t Sysctls::number(std::string_view path, size_t index) const {
  auto const values = numbers_of(text(path));
  return index < values.size() ? values[index] : 0;
}

Result<void> Sysctls::set(std::string_view path, std::string_view text) {
  auto const* setting = find(path);
  if (!setting || scope_of(path) != scope_) return fail(Errno::NoEnt);
  if (adopted_.with([&](auto const& adopted) { return adopted.contains(path); })) return fail(Errno::Perm);
  std::vector<uint64_t> values;
  std::string canonical;
  if (setting->numeric) {
    values = numbers_of(text);
    if (values.size() != numbers_of(setting->initial).size()) return fail(Errno::Inval);
    for (uint64_t value : values) {
      if (value < setting->least || value > setting->most) return fail(Errno::Inval);
      canonical += (canonical.empty() ? "" : "\t") + std::to_string(value);
    }
  } else {
    canonical = TRY(word_of(text));
  }
  changed_.with([&](auto& changed) { changed.insert_or_assign(std::string(path), std::move(canonical)); });
  if (setting->apply && sysv_) setting->apply(*sysv_, values);
  return {};
}

void Sysctls::adopt(std::string_view path, std::string text) {
  changed_.with([&](auto& changed) { changed.insert_or_assign(std::string(path), std::move(text)); });
  adopted_.with([&](auto& adopted) { adopted.emplace(path); });
}

}  // namespace cofferdam::kernel

// Options of the levels IPPROTO_IP (ip(7)) and IPPROTO_IPV6 (ipv6(7)) as a socket was given them.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "netstack/address.h"

namespace cofferdam::inet {

// Of include/uapi that the C library does not have.
inline constexpr int ip_local_port_range = 51, ip_unicast_interface = 50, ipv6_unicast_interface = 76,
                     ipv6_multicast_all = 29, ipv6_freebind = 78;

// The bytes of an option's value, cut at the guest's room.
template <class T>
std::vector<std::byte> option_bytes(T const& value, size_t room) {
  auto all = std::as_bytes(std::span(&value, 1));
  auto some = all.first(std::min(room, all.size()));
  return {some.begin(), some.end()};
}
// EINVAL when there are too few.
template <class T>
Result<T> option_value(std::span<std::byte const> bytes) {
  if (bytes.size() < sizeof(T)) return fail(Errno::Inval);
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}
// IP-level options may be given as a byte or as an int.
Result<int> small_value(std::span<std::byte const> bytes);

// On/off options of one level, by their numbers (below 128).
class FlagOptions {
 public:
  bool get(int name) const { return (word(name).load(std::memory_order_relaxed) & bit(name)) != 0; }
  void set(int name, bool on) {
    if (on)
      words_[index(name)].fetch_or(bit(name), std::memory_order_relaxed);
    else
      words_[index(name)].fetch_and(~bit(name), std::memory_order_relaxed);
  }
  // Is any of them on? For who has to do something about each.
  bool any() const { return (words_[0] | words_[1]) != 0; }
  void copy_from(FlagOptions const& o) {
    words_[0] = o.words_[0].load();
    words_[1] = o.words_[1].load();
  }

 private:
  static size_t index(int name) { return static_cast<size_t>(name) / 64; }
  static uint64_t bit(int name) { return uint64_t{1} << (name % 64); }
  std::atomic<uint64_t> const& word(int name) const { return words_[index(name)]; }
  std::array<std::atomic<uint64_t>, 2> words_{};
};

struct IpOptions {
  // IPv4
  std::atomic<uint8_t> ttl{0}, tos{0}, minimum_ttl{0};  // ttl 0: the default
  std::atomic<int> multicast_ttl{1}, mtu_discover{IP_PMTUDISC_WANT};
  std::atomic<bool> multicast_loop{true}, multicast_all{true};
  std::atomic<uint32_t> unicast_interface{0}, multicast_interface{0}, port_range{0};
  FlagOptions flags;                               // IP_PKTINFO, IP_RECVTTL, …
  Guarded<std::vector<std::byte>> header_options;  // IP_OPTIONS: a multiple of four bytes
  Guarded<netstack::Address> multicast_source{netstack::Address::any_v4()};

  // IPv6. -1: the default.
  std::atomic<bool> v6_only{false}, multicast_loop6{true}, multicast_all6{true};
  std::atomic<int> hop_limit{-1}, multicast_hops{-1}, mtu_discover6{IPV6_PMTUDISC_WANT};
  std::atomic<uint8_t> traffic_class{0}, minimum_hops{0};
  std::atomic<uint32_t> unicast_interface6{0}, multicast_interface6{0};
  std::atomic<uint32_t> fragment_size6{0};  // IPV6_MTU
  FlagOptions flags6;                       // IPV6_RECVPKTINFO, IPV6_RECVERR, …

  // What an accepted connection has from its listener.
  void inherit(IpOptions const&);
};

// Options of an IPv4 header (RFC 791 3.1) as a guest gives them: EINVAL for what makes no sense. Padded to four bytes.
Result<std::vector<std::byte>> checked_header_options(std::span<std::byte const>);

}  // namespace cofferdam::inet

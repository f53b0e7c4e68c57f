// Options and ioctls of sockets of the host's: what host_calls.h lists goes there, the rest is refused.
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>

#include "host/unix_socket.h"
#include "kernel/task/task.h"
#include "socket/host/host_calls.h"
#include "socket/host/host_ioctl.h"
#include "socket/host/host_socket.h"

namespace cofferdam::host_sockets {

using kernel::Task;

namespace {

constexpr size_t largest_value = 16384;  // source filters of multicast groups

// Answered by kernel::Socket: the sentry waits itself, and the host's socket never does.
bool is_own(int level, int name) {
  constexpr int receive_timeout_new = 66, send_timeout_new = 67;
  return level == SOL_SOCKET &&
         (name == SO_RCVTIMEO || name == SO_SNDTIMEO || name == receive_timeout_new || name == send_timeout_new);
}

// Linux asks for CAP_NET_ADMIN, which a guest has in its own sandbox at most.
bool is_privileged(int level, int name) {
  return (level == SOL_SOCKET && (name == SO_MARK || name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE)) ||
         (level == IPPROTO_IP && name == IP_TRANSPARENT) || (level == IPPROTO_IPV6 && name == IPV6_TRANSPARENT);
}

}  // namespace

Result<std::vector<std::byte>> HostSocket::get_option(Task& task, int level, int name, size_t room) {
  if (is_own(level, name)) return Socket::get_option(task, level, name, room);
  if (!is_allowed(level, name, Access::Get)) return fail(Errno::NoProtoOpt);
  if (level == SOL_SOCKET && name == SO_LINGER && linger_seconds_ > 0) {
    linger const value{1, linger_seconds_};
    auto const bytes = std::as_bytes(std::span(&value, 1)).first(std::min(room, sizeof value));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  }
  return host::socket_option(fd_.get(), level, name, std::min(room, largest_value));
}

Result<std::vector<std::byte>> HostSocket::get_option_with(Task&, int level, int name,
                                                           std::span<std::byte const> given) {
  if (!is_allowed(level, name, Access::Get)) return fail(Errno::NoProtoOpt);
  return host::socket_option_with(fd_.get(), level, name, given.first(std::min(given.size(), largest_value)));
}

// A time to linger is the sentry's to wait for: on the host it would hold up one of its threads.
Result<void> HostSocket::set_linger(std::span<std::byte const> bytes) {
  linger value;
  if (bytes.size() < sizeof value) return fail(Errno::Inval);
  std::memcpy(&value, bytes.data(), sizeof value);
  linger const off{0, 0}, reset{1, 0};
  bool const waits = value.l_onoff != 0 && value.l_linger > 0;
  linger_seconds_ = waits ? value.l_linger : 0;
  linger const& told = value.l_onoff != 0 && !waits ? reset : off;
  return host::set_socket_option(fd_.get(), SOL_SOCKET, SO_LINGER, std::as_bytes(std::span(&told, 1)));
}

Result<void> HostSocket::set_option(Task& task, int level, int name, std::span<std::byte const> value) {
  if (is_own(level, name)) return Socket::set_option(task, level, name, value);
  if (is_privileged(level, name)) return fail(Errno::Perm);
  if (!is_allowed(level, name, Access::Set)) return fail(Errno::NoProtoOpt);
  if (level == SOL_SOCKET && name == SO_LINGER) return set_linger(value);
  TRY(host::set_socket_option(fd_.get(), level, name, value.first(std::min(value.size(), largest_value))));
  if (level == SOL_SOCKET && name == SO_RCVLOWAT && value.size() >= sizeof(int)) {
    int wanted;
    std::memcpy(&wanted, value.data(), sizeof wanted);
    low_water_ = wanted;
  }
  return {};
}

Result<uint64_t> HostSocket::ioctl(Task& task, uint32_t request, uint64_t argument) {
  if (request == SIOCINQ || request == SIOCOUTQ || request == SIOCATMARK) {
    int32_t value = 0;
    TRY(host::socket_ioctl(fd_.get(), request, std::as_writable_bytes(std::span(&value, 1))));
    if (request == SIOCINQ && holds_) {
      MutexLock lock(held_mutex_);
      value += static_cast<int32_t>(held_.size());
    }
    TRY(task.write(kernel::UserPtr<int32_t>(argument), value));
    return 0;
  }
  return host_interface_ioctl(task, fd_.get(), request, argument);
}

// SO_LINGER (socket(7)): the last close waits until all is sent and acknowledged, or the time is over.
Result<void> HostSocket::on_descriptor_close(Task& task) {
  int const seconds = linger_seconds_;
  if (seconds <= 0 || !is_stream() || ref_count() > 1) return {};
  static_cast<void>(host::shut_down(fd_.get(), SHUT_WR));
  auto const deadline = kernel::Deadline::after(seconds * kernel::ns_per_second);
  auto const all_gone = [&] {
    int32_t left = 0;
    auto asked = host::socket_ioctl(fd_.get(), SIOCOUTQ, std::as_writable_bytes(std::span(&left, 1)));
    return !asked || left == 0;
  };
  constexpr kernel::Nanoseconds first_pause = 1'000'000, longest_pause = 64'000'000;
  kernel::Nanoseconds pause = first_pause;
  while (!all_gone() && !deadline.expired()) {  // the host tells nobody of acknowledgments
    auto const until = std::min(*kernel::Deadline::after(pause).at_ns, *deadline.at_ns);
    auto waited = task.wait_until(queue_, 0, kernel::Deadline::at(until), [] { return false; });
    if (!waited && waited.error() != Errno::TimedOut) break;
    pause = std::min(2 * pause, longest_pause);
  }
  return {};
}

}  // namespace cofferdam::host_sockets

#include "kernel/ipc/socket.h"

#include <algorithm>

#include <fmt/core.h>

#include "kernel/ipc/anonymous_file.h"
#include "kernel/task/task.h"
#include "kernel/task/thread_group.h"

namespace cofferdam::kernel {
namespace {

constexpr int max_buffer = 212992;  // net.core.wmem_max, rmem_max
constexpr int min_send_buffer = 4608, min_receive_buffer = 2304;
constexpr int timeout_old_receive = 20, timeout_old_send = 21, timeout_new_receive = 66, timeout_new_send = 67;

// Options that are on or off, kept and given back; the bit is the option's number.
constexpr uint64_t flag_options_mask =
    uint64_t{1} << SO_DEBUG | uint64_t{1} << SO_REUSEADDR | uint64_t{1} << SO_DONTROUTE | uint64_t{1} << SO_BROADCAST |
    uint64_t{1} << SO_KEEPALIVE | uint64_t{1} << SO_OOBINLINE | uint64_t{1} << SO_REUSEPORT |
    uint64_t{1} << SO_TIMESTAMP | uint64_t{1} << SO_PASSSEC | uint64_t{1} << SO_TIMESTAMPNS;
bool is_flag_option(int name) { return name >= 0 && name < 64 && (flag_options_mask >> name) & 1; }

template <class T>
std::vector<std::byte> bytes_of(T const& value, size_t room) {
  auto all = std::as_bytes(std::span(&value, 1));
  auto some = all.first(std::min(room, all.size()));
  return {some.begin(), some.end()};
}

template <class T>
Result<T> value_of(std::span<std::byte const> bytes) {
  if (bytes.size() < sizeof(T)) return fail(Errno::Inval);
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

timeval as_timeval(int64_t ns) { return to_timeval(ns); }

Result<int64_t> timeout_of(std::span<std::byte const> bytes) {
  auto t = TRY(value_of<timeval>(bytes));
  if (t.tv_usec < 0 || t.tv_usec >= 1'000'000) return fail(Errno::Dom);
  if (t.tv_sec < 0) return 1;
  int64_t ns;
  if (__builtin_mul_overflow(t.tv_sec, ns_per_second, &ns) || __builtin_add_overflow(ns, t.tv_usec * 1000, &ns))
    return 0;
  return ns;
}

Deadline deadline_in(int64_t timeout_ns) { return timeout_ns == 0 ? Deadline::never() : Deadline::after(timeout_ns); }

}  // namespace

Socket::Socket(uint64_t inode, int domain, int type, int protocol, int flags, Credentials const& creator)
    : File(Path(), O_RDWR | (flags & O_NONBLOCK)),
      inode_(inode),
      domain_(domain),
      type_(type),
      protocol_(protocol),
      owner_uid_(creator.fsuid),
      owner_gid_(creator.fsgid) {}

Result<size_t> Socket::read(Task& task, IoSink& to, uint64_t, IoOptions options) {
  return TRY(receive(task, to, options.nowait ? MSG_DONTWAIT : 0)).bytes;
}

Result<size_t> Socket::write(Task& task, IoSource& from, uint64_t, IoOptions options) {
  SendRequest request;
  request.flags = options.nowait ? MSG_DONTWAIT : 0;
  return send(task, from, request);
}

Result<Attributes> Socket::attributes() {
  Attributes a;
  a.device = socket_device;
  a.inode = inode_;
  a.mode = S_IFSOCK | 0777;
  a.uid = owner_uid_;
  a.gid = owner_gid_;
  return a;
}

std::string Socket::anonymous_name() const { return fmt::format("socket:[{}]", inode_); }

Deadline Socket::receive_deadline() const { return deadline_in(receive_timeout_ns_.load(std::memory_order_relaxed)); }
Deadline Socket::send_deadline() const { return deadline_in(send_timeout_ns_.load(std::memory_order_relaxed)); }

Error Socket::interrupted(Error e, bool has_timeout) const {
  if (e == Errno::TimedOut) return Errno::Again;
  return has_timeout ? never_restarted(e) : e;
}

Result<std::vector<std::byte>> Socket::get_option(Task&, int level, int name, size_t room) {
  if (level != SOL_SOCKET) return fail(Errno::OpNotSupp);
  return get_socket_option(name, room);
}

Result<void> Socket::set_option(Task& task, int level, int name, std::span<std::byte const> value) {
  if (level != SOL_SOCKET) return fail(Errno::OpNotSupp);
  return set_socket_option(task, name, value);
}

Result<std::vector<std::byte>> Socket::get_socket_option(int name, size_t room) {
  if (is_flag_option(name)) {
    int on = static_cast<int>((flag_options_.load(std::memory_order_relaxed) >> name) & 1);
    return bytes_of(on, room);
  }
  int value;
  switch (name) {
    case SO_TYPE:
      value = type_;
      break;
    case SO_DOMAIN:
      value = domain_;
      break;
    case SO_PROTOCOL:
      value = protocol_;
      break;
    case SO_ERROR:
      value = take_error();
      break;
    case SO_ACCEPTCONN:
      value = listening() ? 1 : 0;
      break;
    case SO_SNDBUF:
      value = send_buffer_.load(std::memory_order_relaxed);
      break;
    case SO_RCVBUF:
      value = receive_buffer_.load(std::memory_order_relaxed);
      break;
    case SO_PRIORITY:
      value = priority_.load(std::memory_order_relaxed);
      break;
    case SO_MARK:
      value = mark_.load(std::memory_order_relaxed);
      break;
    case SO_RCVLOWAT:
      value = receive_low_water_.load(std::memory_order_relaxed);
      break;
    case SO_SNDLOWAT:
      value = 1;
      break;
    case SO_PASSCRED:
      value = pass_credentials_.load(std::memory_order_relaxed) ? 1 : 0;
      break;
    case SO_LINGER: {
      int seconds = linger_seconds_.load(std::memory_order_relaxed);
      return bytes_of(linger{seconds < 0 ? 0 : 1, std::max(seconds, 0)}, room);
    }
    case SO_COOKIE:
      if (room < sizeof(uint64_t)) return fail(Errno::Inval);
      return bytes_of(inode_, room);
    case timeout_old_receive:
    case timeout_new_receive:
      return bytes_of(as_timeval(receive_timeout_ns_.load(std::memory_order_relaxed)), room);
    case timeout_old_send:
    case timeout_new_send:
      return bytes_of(as_timeval(send_timeout_ns_.load(std::memory_order_relaxed)), room);
    default:
      return fail(Errno::NoProtoOpt);
  }
  return bytes_of(value, room);
}

Result<void> Socket::set_socket_option(Task& task, int name, std::span<std::byte const> bytes) {
  int value = TRY(value_of<int>(bytes));
  if (is_flag_option(name)) {
    uint64_t bit = uint64_t{1} << name;
    if (value != 0)
      flag_options_.fetch_or(bit, std::memory_order_relaxed);
    else
      flag_options_.fetch_and(~bit, std::memory_order_relaxed);
    return {};
  }
  // Linux takes any number, clamps it and doubles it for its own book-keeping (socket(7)).
  auto doubled = [](int n, int limit, int minimum) {
    return std::max(std::min(static_cast<int>(std::min<uint32_t>(static_cast<uint32_t>(n), INT32_MAX / 2)), limit) * 2,
                    minimum);
  };
  constexpr int unlimited = INT32_MAX / 2;
  switch (name) {
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
      if (name == SO_SNDBUFFORCE && !task.capable(CAP_NET_ADMIN)) return fail(Errno::Perm);
      send_buffer_.store(doubled(value, name == SO_SNDBUF ? max_buffer : unlimited, min_send_buffer));
      buffer_size_changed();
      return {};
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
      if (name == SO_RCVBUFFORCE && !task.capable(CAP_NET_ADMIN)) return fail(Errno::Perm);
      receive_buffer_.store(doubled(value, name == SO_RCVBUF ? max_buffer : unlimited, min_receive_buffer));
      return {};
    case SO_PRIORITY:
      if ((value < 0 || value > 6) && !task.capable(CAP_NET_ADMIN) && !task.capable(CAP_NET_RAW))
        return fail(Errno::Perm);
      priority_.store(value);
      return {};
    case SO_MARK:
      if (!task.capable(CAP_NET_ADMIN) && !task.capable(CAP_NET_RAW)) return fail(Errno::Perm);
      mark_.store(value);
      return {};
    case SO_RCVLOWAT:
      receive_low_water_.store(value < 0 ? INT32_MAX : std::max(value, 1));
      return {};
    case SO_PASSCRED:
      pass_credentials_.store(value != 0);
      return {};
    case SO_LINGER: {
      auto l = TRY(value_of<linger>(bytes));
      linger_seconds_.store(l.l_onoff ? std::max(l.l_linger, 0) : -1);
      return {};
    }
    case timeout_old_receive:
    case timeout_new_receive:
      receive_timeout_ns_.store(TRY(timeout_of(bytes)));
      return {};
    case timeout_old_send:
    case timeout_new_send:
      send_timeout_ns_.store(TRY(timeout_of(bytes)));
      return {};
    default:
      return fail(Errno::NoProtoOpt);
  }
}

Socket* socket_of(File& f) { return dynamic_cast<Socket*>(&f); }

SocketIdentity SocketIdentity::of(Task& task) {
  auto c = task.credentials();
  return {Ref<Pid>(&task.thread_group().pid()), c->euid, c->egid};
}

PeerCredentials SocketIdentity::seen_by(Task const& task) const {
  return {pid ? pid->number_in(task.pids()) : 0, uid, gid};
}

}  // namespace cofferdam::kernel

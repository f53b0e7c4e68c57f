// Options of SOL_SOCKET that are the internet's: devices, timestamps, filters, what is told beside the data
// (socket(7)).
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "kernel/task/task.h"
#include "socket/inet/inet_socket.h"

namespace cofferdam::inet {

using kernel::Task;
using kernel::UserAddr;
using kernel::bpf::SocketFilter;

namespace {

struct FilterProgram {  // struct sock_fprog
  uint16_t length = 0, padding[3] = {};
  uint64_t code = 0;
};
static_assert(sizeof(FilterProgram) == sizeof(sock_fprog));

std::string name_in(std::span<std::byte const> value) {
  std::string name;
  std::ranges::transform(value, std::back_inserter(name), [](std::byte b) { return std::to_integer<char>(b); });
  name.resize(std::min(name.find('\0'), std::min<size_t>(name.size(), IFNAMSIZ - 1)));
  return name;
}

}  // namespace

Result<std::optional<std::vector<std::byte>>> InetSocket::get_socket_level(int name, size_t room) {
  if (Timestamps::is_option(name)) return option_bytes(timestamps_.get(name), room);
  switch (name) {
    case SO_BINDTODEVICE: {
      auto* i = bound_interface_ == 0 ? nullptr : stack().interface(bound_interface_.load());
      if (!i) return std::vector<std::byte>();
      if (room < IFNAMSIZ) return fail(Errno::Inval);
      auto text = std::as_bytes(std::span(i->name().c_str(), i->name().size() + 1));
      return std::vector<std::byte>(text.begin(), text.end());
    }
    case SO_BINDTOIFINDEX:
      return option_bytes(static_cast<int>(bound_interface_.load()), room);
    case SO_NO_CHECK:
      if (!datagrams()) return fail(Errno::NoProtoOpt);
      return option_bytes(no_check_ ? 1 : 0, room);
    case SO_RXQ_OVFL:
      return option_bytes(tell_drops_ ? 1 : 0, room);
    case SO_PEEK_OFF:
      return option_bytes(peek_offset_.load(), room);
    case SO_SELECT_ERR_QUEUE:
      return option_bytes(select_error_queue_ ? 1 : 0, room);
    case SO_LOCK_FILTER: {
      MutexLock lock(filter_mutex_);
      return option_bytes(filter_locked_ ? 1 : 0, room);
    }
    case SO_ZEROCOPY:
      return option_bytes(zero_copy_ ? 1 : 0, room);
    case SO_INCOMING_CPU:
      return option_bytes(-1, room);  // none is kept
    case SO_MEMINFO: {
      auto const [received, sent] = queued_bytes();
      std::array<uint32_t, 9> m{};  // SK_MEMINFO_RMEM_ALLOC, RCVBUF, WMEM_ALLOC, SNDBUF, …
      m[0] = static_cast<uint32_t>(received);
      m[1] = static_cast<uint32_t>(receive_buffer_.load());
      m[2] = static_cast<uint32_t>(sent);
      m[3] = static_cast<uint32_t>(send_buffer_.load());
      return option_bytes(m, room);
    }
    default:
      return std::nullopt;
  }
}

Result<void> InetSocket::bind_to_device(Task& task, uint32_t index) {
  if (bound_interface_ != 0 && bound_interface_ != index && !task.capable(CAP_NET_RAW)) return fail(Errno::Perm);
  if (index != 0 && !stack().interface(index)) return fail(Errno::NoDev);
  bound_interface_ = index;
  set_bound_interface(index);
  return {};
}

// The program's instructions are elsewhere in the guest's memory.
Result<void> InetSocket::attach_filter(Task& task, OptionValue value) {
  auto const program = TRY(option_value<FilterProgram>(value));
  if (program.length == 0 || program.length > BPF_MAXINSNS) return fail(Errno::Inval);
  std::vector<sock_filter> code(program.length);
  TRY(task.copy_in(UserAddr{program.code}, std::as_writable_bytes(std::span(code))));
  auto const filter = TRY(SocketFilter::create(std::move(code)));
  MutexLock lock(filter_mutex_);
  if (filter_locked_) return fail(Errno::Perm);
  TRY(set_filter(filter));
  has_filter_ = true;
  return {};
}

Result<void> InetSocket::detach_filter() {
  MutexLock lock(filter_mutex_);
  if (filter_locked_) return fail(Errno::Perm);
  if (!has_filter_) return fail(Errno::NoEnt);
  TRY(set_filter({}));
  has_filter_ = false;
  return {};
}

Result<void> InetSocket::lock_filter(Task& task, bool on) {
  MutexLock lock(filter_mutex_);
  if (filter_locked_ && !on && !task.capable(CAP_NET_ADMIN)) return fail(Errno::Perm);
  filter_locked_ = on;
  return {};
}

// False: it is not one of these.
Result<bool> InetSocket::set_socket_level(Task& task, int name, OptionValue value) {
  if (name == SO_BINDTODEVICE) {
    std::string const wanted = name_in(value);
    auto* i = wanted.empty() ? nullptr : stack().interface(std::string_view(wanted));
    if (!wanted.empty() && !i) return fail(Errno::NoDev);
    TRY(bind_to_device(task, i ? i->index() : 0));
    return true;
  }
  if (name == SO_ATTACH_FILTER) {
    TRY(attach_filter(task, value));
    return true;
  }
  bool const known = Timestamps::is_option(name) || name == SO_BINDTOIFINDEX || name == SO_NO_CHECK ||
                     name == SO_RXQ_OVFL || name == SO_PEEK_OFF || name == SO_SELECT_ERR_QUEUE ||
                     name == SO_DETACH_FILTER || name == SO_LOCK_FILTER || name == SO_ZEROCOPY;
  if (!known) return false;
  int const number = TRY(option_value<int>(value));
  if (Timestamps::is_option(name)) {
    TRY(timestamps_.set(name, number));
    return true;
  }
  switch (name) {
    case SO_BINDTOIFINDEX:
      if (number < 0) return fail(Errno::Inval);
      TRY(bind_to_device(task, static_cast<uint32_t>(number)));
      return true;
    case SO_NO_CHECK:
      if (!datagrams()) return fail(Errno::NoProtoOpt);
      no_check_ = number != 0;
      socket_option_changed(name, number);
      return true;
    case SO_RXQ_OVFL:
      tell_drops_ = number != 0;
      return true;
    case SO_PEEK_OFF:
      if (protocol() != IPPROTO_TCP && protocol() != IPPROTO_UDP) return fail(Errno::OpNotSupp);
      peek_offset_ = number < 0 ? -1 : number;
      return true;
    case SO_ZEROCOPY: {
      bool const can = domain() != AF_PACKET && (protocol() == IPPROTO_TCP || protocol() == IPPROTO_UDP);
      if (!can) return fail(Errno::OpNotSupp);
      if (number < 0 || number > 1) return fail(Errno::Inval);
      zero_copy_ = number != 0;
      return true;
    }
    case SO_SELECT_ERR_QUEUE:
      select_error_queue_ = number != 0;
      return true;
    case SO_DETACH_FILTER:
      TRY(detach_filter());
      return true;
    default:
      TRY(lock_filter(task, number != 0));
      return true;
  }
}

}  // namespace cofferdam::inet

// socket(2), bind(2), connect(2), accept(2) and what describes a socket.
#include <netinet/in.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/thread_group.h"
#include "syscalls/socket_message.h"

namespace cofferdam::syscalls {
namespace {

using kernel::File;
using kernel::ShutdownHow;
using kernel::SocketAddress;
using kernel::SocketFamily;

constexpr int type_mask = 0xf, type_count = 11, family_count = 46;
constexpr int32_t max_option_length = 65536;

struct Wanted {
  SocketFamily* family;
  int type, flags;
};

Result<Wanted> check(Task& task, int32_t domain, int32_t type) {
  int flags = type & ~type_mask;
  if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) return fail(Errno::Inval);
  if (domain < 0 || domain >= family_count) return fail(Errno::AfNoSupport);
  if ((type & type_mask) >= type_count) return fail(Errno::Inval);
  auto* family = task.kernel().ipc().sockets.find(domain);
  if (!family) return fail(Errno::AfNoSupport);
  return Wanted{family, type & type_mask, flags};
}

Result<int> install(Task& task, Ref<File> file, bool close_on_exec) {
  return task.files()->install(std::move(file), close_on_exec, task.thread_group().limits.current(RLIMIT_NOFILE));
}

// The source filters of multicast groups, PACKET_HDRLEN: what is meant stands in the guest's buffer.
bool reads_its_buffer(int level, int name) {
  constexpr int packet_header_length = 11;  // PACKET_HDRLEN
  return (level == SOL_PACKET && name == packet_header_length) ||
         (level == IPPROTO_IP && (name == IP_MSFILTER || name == MCAST_MSFILTER)) ||
         (level == IPPROTO_IPV6 && name == MCAST_MSFILTER);
}

Result<int> accept(Task& task, Fd fd, UserAddr address, UserPtr<int32_t> length, uint64_t flags) {
  auto open = TRY(socket_at(task, fd));
  SocketAddress peer;
  auto socket = TRY(open.socket->accept(task, static_cast<int>(flags & SOCK_NONBLOCK), peer));
  if (address) TRY(write_address(task, peer, address, length));
  return install(task, std::move(socket), flags & SOCK_CLOEXEC);
}

}  // namespace

Result<int> sys_socket(Task& task, int32_t domain, int32_t type, int32_t protocol) {
  auto wanted = TRY(check(task, domain, type));
  auto socket = TRY(wanted.family->create(task, wanted.type, protocol, wanted.flags & SOCK_NONBLOCK));
  return install(task, std::move(socket), wanted.flags & SOCK_CLOEXEC);
}

Result<void> sys_socketpair(Task& task, int32_t domain, int32_t type, int32_t protocol, UserPtr<SocketPair> address) {
  auto wanted = TRY(check(task, domain, type));
  auto [first, second] = TRY(wanted.family->create_pair(task, wanted.type, protocol, wanted.flags & SOCK_NONBLOCK));
  bool close_on_exec = wanted.flags & SOCK_CLOEXEC;
  auto files = task.files();
  SocketPair fds{TRY(install(task, std::move(first), close_on_exec)), -1};
  auto other = install(task, std::move(second), close_on_exec);
  if (other) {
    fds.second = *other;
    auto written = task.write(address, fds);
    if (written) return {};
    static_cast<void>(files->remove(fds.second));
    other = std::unexpected(written.error());
  }
  static_cast<void>(files->remove(fds.first));
  return std::unexpected(other.error());
}

Result<void> sys_bind(Task& task, Fd fd, UserAddr address, int32_t length) {
  auto open = TRY(socket_at(task, fd));
  return open.socket->bind(task, TRY(read_address(task, address, length)));
}

Result<void> sys_listen(Task& task, Fd fd, int32_t backlog) {
  constexpr int32_t max_backlog = 4096;  // net.core.somaxconn
  auto open = TRY(socket_at(task, fd));
  return open.socket->listen(task, static_cast<uint32_t>(backlog) > max_backlog ? max_backlog : backlog);
}

Result<int> sys_accept(Task& task, Fd fd, UserAddr address, UserPtr<int32_t> length) {
  return accept(task, fd, address, length, 0);
}

Result<int> sys_accept4(Task& task, Fd fd, UserAddr address, UserPtr<int32_t> length,
                        Flags<struct AcceptFlags, SOCK_CLOEXEC | SOCK_NONBLOCK> flags) {
  return accept(task, fd, address, length, flags.bits);
}

Result<void> sys_connect(Task& task, Fd fd, UserAddr address, int32_t length) {
  auto open = TRY(socket_at(task, fd));
  return open.socket->connect(task, TRY(read_address(task, address, length)));
}

Result<void> sys_getsockname(Task& task, Fd fd, UserAddr address, UserPtr<int32_t> length) {
  auto open = TRY(socket_at(task, fd));
  return write_address(task, TRY(open.socket->local_address()), address, length);
}

Result<void> sys_getpeername(Task& task, Fd fd, UserAddr address, UserPtr<int32_t> length) {
  auto open = TRY(socket_at(task, fd));
  return write_address(task, TRY(open.socket->peer_address()), address, length);
}

Result<void> sys_shutdown(Task& task, Fd fd, int32_t how) {
  auto open = TRY(socket_at(task, fd));
  if (how < SHUT_RD || how > SHUT_RDWR) return fail(Errno::Inval);
  return open.socket->shutdown(static_cast<ShutdownHow>(how));
}

Result<void> sys_getsockopt(Task& task, Fd fd, int32_t level, int32_t name, UserAddr value, UserPtr<int32_t> length) {
  auto open = TRY(socket_at(task, fd));
  int32_t room = TRY(task.read(length));
  if (room < 0) return fail(Errno::Inval);
  std::vector<std::byte> bytes;
  if (reads_its_buffer(level, name)) {
    std::vector<std::byte> given(static_cast<size_t>(std::min(room, max_option_length)));
    if (!given.empty()) TRY(task.copy_in(value, given));
    bytes = TRY(open.socket->get_option_with(task, level, name, given));
    bytes.resize(std::min(bytes.size(), given.size()));
  } else {
    bytes = TRY(open.socket->get_option(task, level, name, static_cast<size_t>(room)));
  }
  TRY(task.copy_out(value, std::span<std::byte const>(bytes)));
  return task.write(length, static_cast<int32_t>(bytes.size()));
}

Result<void> sys_setsockopt(Task& task, Fd fd, int32_t level, int32_t name, UserAddr value, int32_t length) {
  auto open = TRY(socket_at(task, fd));
  if (length < 0) return fail(Errno::Inval);
  std::vector<std::byte> bytes(static_cast<size_t>(std::min(length, max_option_length)));
  if (!bytes.empty()) TRY(task.copy_in(value, bytes));
  return open.socket->set_option(task, level, name, bytes);
}

}  // namespace cofferdam::syscalls

#include "host/internet_socket.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

namespace cofferdam::host {

namespace {

sockaddr const* address_of(SocketName const& n) { return reinterpret_cast<sockaddr const*>(&n.storage); }
sockaddr* address_of(SocketName& n) { return reinterpret_cast<sockaddr*>(&n.storage); }

Result<void> outcome_of(int result) {
  if (result != 0) return fail_host(errno);
  return {};
}

}  // namespace

Result<OwnedFd> open_socket(int domain, int type, int protocol) {
  OwnedFd fd(::socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!fd) return fail_host(errno);
  return fd;
}

Result<void> bind_socket(int socket, SocketName const& name) {
  return outcome_of(::bind(socket, address_of(name), name.length));
}

Result<void> connect_socket(int socket, SocketName const& name) {
  return outcome_of(::connect(socket, address_of(name), name.length));
}

Result<void> listen_socket(int socket, int backlog) { return outcome_of(::listen(socket, backlog)); }

Result<OwnedFd> accept_socket(int socket, SocketName& peer) {
  peer.length = sizeof peer.storage;
  OwnedFd fd(::accept4(socket, address_of(peer), &peer.length, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) return fail_host(errno);
  return fd;
}

Result<SocketName> socket_name(int socket) {
  SocketName name;
  name.length = sizeof name.storage;
  TRY(outcome_of(::getsockname(socket, address_of(name), &name.length)));
  return name;
}

Result<SocketName> peer_name(int socket) {
  SocketName name;
  name.length = sizeof name.storage;
  TRY(outcome_of(::getpeername(socket, address_of(name), &name.length)));
  return name;
}

Result<std::vector<std::byte>> socket_option(int socket, int level, int name, size_t room) {
  return socket_option_with(socket, level, name, std::vector<std::byte>(room));
}

Result<std::vector<std::byte>> socket_option_with(int socket, int level, int name, std::span<std::byte const> given) {
  std::vector<std::byte> value(given.begin(), given.end());
  auto length = static_cast<socklen_t>(value.size());
  TRY(outcome_of(::getsockopt(socket, level, name, value.data(), &length)));
  value.resize(std::min<size_t>(length, value.size()));
  return value;
}

Result<void> set_socket_option(int socket, int level, int name, std::span<std::byte const> value) {
  return outcome_of(::setsockopt(socket, level, name, value.data(), static_cast<socklen_t>(value.size())));
}

Result<void> socket_ioctl(int socket, uint32_t request, std::span<std::byte> argument) {
  return outcome_of(::ioctl(socket, request, argument.data()));
}

Result<size_t> send_message(int socket, std::span<std::byte const> bytes, SocketName const& name,
                            std::span<std::byte const> control, int flags) {
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  SocketName to = name;
  msghdr message{};
  if (to.length != 0) {
    message.msg_name = &to.storage;
    message.msg_namelen = to.length;
  }
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!control.empty()) {
    message.msg_control = const_cast<std::byte*>(control.data());
    message.msg_controllen = control.size();
  }
  ssize_t n;
  do n = ::sendmsg(socket, &message, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) return fail_host(errno);
  return static_cast<size_t>(n);
}

Result<ReceivedMessage> receive_message(int socket, std::span<std::byte> to, std::span<std::byte> control, int flags) {
  ReceivedMessage received;
  iovec part{to.data(), to.size()};
  msghdr message{};
  message.msg_name = &received.name.storage;
  message.msg_namelen = sizeof received.name.storage;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n;
  do n = ::recvmsg(socket, &message, flags | MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n < 0) return fail_host(errno);
  received.bytes = static_cast<size_t>(n);
  received.flags = message.msg_flags;
  received.name.length = message.msg_namelen;
  received.control = message.msg_controllen;
  return received;
}

}  // namespace cofferdam::host

// Sockets of the host's kernel, as the bypass uses them (--network=host): each call is one system call, none waits.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::host {

struct SocketName {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

// Not blocking, closed on exec.
Result<OwnedFd> open_socket(int domain, int type, int protocol);
Result<void> bind_socket(int socket, SocketName const&);
Result<void> connect_socket(int socket, SocketName const&);  // EINPROGRESS
Result<void> listen_socket(int socket, int backlog);
Result<OwnedFd> accept_socket(int socket, SocketName& peer);  // EAGAIN
Result<SocketName> socket_name(int socket);
Result<SocketName> peer_name(int socket);
// The bytes of the value, at most `room`.
Result<std::vector<std::byte>> socket_option(int socket, int level, int name, size_t room);
// The same of an option that looks at what the buffer holds first.
Result<std::vector<std::byte>> socket_option_with(int socket, int level, int name, std::span<std::byte const> given);
Result<void> set_socket_option(int socket, int level, int name, std::span<std::byte const> value);
// With a structure as its argument, read and written.
Result<void> socket_ioctl(int socket, uint32_t request, std::span<std::byte> argument);

// MSG_DONTWAIT and MSG_NOSIGNAL are added. `name` may be empty.
Result<size_t> send_message(int socket, std::span<std::byte const> bytes, SocketName const& name,
                            std::span<std::byte const> control, int flags);
struct ReceivedMessage {
  size_t bytes = 0;  // stored; with MSG_TRUNC in the flags the whole length of a datagram
  int flags = 0;     // MSG_TRUNC, MSG_CTRUNC, …
  SocketName name;
  size_t control = 0;
};
Result<ReceivedMessage> receive_message(int socket, std::span<std::byte> to, std::span<std::byte> control, int flags);

}  // namespace cofferdam::host

// Connections to AF_UNIX sockets of the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::host {

// `place`: an O_PATH descriptor of the socket's file. The working directory must be a procfs of this pid namespace.
// Not blocking: EAGAIN when the listener's queue is full. type: SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM.
Result<OwnedFd> connect_unix(int place, int type);

// EAGAIN instead of waiting; EPIPE without a signal.
Result<size_t> send_bytes(int socket, std::span<std::byte const>);
struct ReceivedBytes {
  size_t stored = 0, whole = 0;  // of a message longer than the room, `whole` is its length
};
Result<ReceivedBytes> receive_bytes(int socket, std::span<std::byte> to, bool peek);
Result<void> shut_down(int socket, int how);  // SHUT_*

}  // namespace cofferdam::host

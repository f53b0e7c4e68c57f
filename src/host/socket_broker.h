// What the jailed sentry says to the broker of sockets (gofer/socket_broker.h): one packet each way over a
// SOCK_SEQPACKET connection, descriptors beside it.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "host/fd.h"
#include "host/internet_socket.h"

namespace cofferdam::host {

struct BrokerRequest {
  enum class Kind : uint32_t { Bind = 1, OpenRaw };
  Kind kind = Kind::Bind;
  int32_t domain = 0, protocol = 0;  // OpenRaw
  uint32_t name_length = 0;          // Bind, whose socket goes beside it
  sockaddr_storage name{};
};

// The sentry's side: waits for the answer.
Result<void> ask_to_bind(int broker, int socket, SocketName const&);
Result<OwnedFd> ask_for_raw_socket(int broker, int domain, int protocol);

// The broker's side. Nothing when the connection is over.
struct ReceivedRequest {
  BrokerRequest request;
  OwnedFd socket;
};
std::optional<ReceivedRequest> receive_request(int connection);
bool send_answer(int connection, int error, int socket);  // socket -1: none

}  // namespace cofferdam::host

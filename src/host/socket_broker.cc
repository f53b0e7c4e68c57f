#include "host/socket_broker.h"

#include <errno.h>
#include <sys/uio.h>

#include <cstring>

namespace cofferdam::host {

namespace {

template <class T>
bool send_packet(int connection, T const& packet, int descriptor) {
  T copy = packet;
  iovec part{&copy, sizeof copy};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(c), &descriptor, sizeof descriptor);
  }
  ssize_t n;
  do n = ::sendmsg(connection, &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n == sizeof copy;
}

// False at the end, and for a packet of another size.
template <class T>
bool receive_packet(int connection, T& packet, OwnedFd& descriptor) {
  iovec part{&packet, sizeof packet};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n;
  do n = ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  cmsghdr const* c = CMSG_FIRSTHDR(&message);
  if (n > 0 && c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
    descriptor = OwnedFd(fd);
  }
  return n == sizeof packet;
}

// The answer's descriptor, where there is one.
Result<OwnedFd> ask(int broker, BrokerRequest const& request, int socket) {
  int32_t error = 0;
  OwnedFd answer;
  if (!send_packet(broker, request, socket) || !receive_packet(broker, error, answer)) return fail(Errno::Acces);
  if (error != 0) return fail_host(error);
  return answer;
}

}  // namespace

Result<void> ask_to_bind(int broker, int socket, SocketName const& name) {
  BrokerRequest request;
  request.kind = BrokerRequest::Kind::Bind;
  request.name_length = name.length;
  request.name = name.storage;
  TRY(ask(broker, request, socket));
  return {};
}

Result<OwnedFd> ask_for_raw_socket(int broker, int domain, int protocol) {
  BrokerRequest request;
  request.kind = BrokerRequest::Kind::OpenRaw;
  request.domain = domain;
  request.protocol = protocol;
  auto socket = TRY(ask(broker, request, -1));
  if (!socket) return fail(Errno::Perm);
  return socket;
}

std::optional<ReceivedRequest> receive_request(int connection) {
  ReceivedRequest received;
  if (!receive_packet(connection, received.request, received.socket)) return std::nullopt;
  return received;
}

bool send_answer(int connection, int error, int socket) {
  return send_packet(connection, static_cast<int32_t>(error), socket);
}

}  // namespace cofferdam::host

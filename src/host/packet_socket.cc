#include "host/packet_socket.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include <absl/container/inlined_vector.h>

namespace cofferdam::host {

PacketSocket::PacketSocket(OwnedFd socket)
    : socket_(std::move(socket)), stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Result<size_t> PacketSocket::receive(std::span<std::byte> to) {
  ssize_t n;
  do n = ::recv(socket_.get(), to.data(), to.size(), MSG_DONTWAIT | MSG_TRUNC);
  while (n < 0 && errno == EINTR);
  if (n < 0) return fail_host(errno);
  return static_cast<size_t>(n);
}

bool PacketSocket::wait() {
  pollfd waits[] = {{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                    {.fd = stop_.get(), .events = POLLIN, .revents = 0}};
  int n;
  do n = ::poll(waits, 2, -1);
  while (n < 0 && errno == EINTR);
  return n > 0 && waits[1].revents == 0;
}

void PacketSocket::stop() {
  uint64_t const one = 1;
  [[maybe_unused]] auto n = ::write(stop_.get(), &one, sizeof one);
}

Result<void> PacketSocket::send(std::span<std::span<std::byte const> const> pieces) {
  absl::InlinedVector<iovec, 8> parts;
  for (auto piece : pieces) parts.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  ssize_t n;
  do n = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) return fail_host(errno);
  return {};
}

}  // namespace cofferdam::host

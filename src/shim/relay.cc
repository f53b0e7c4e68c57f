// The guest's part of port-forward: this runs inside the sandbox.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/fd.h"
#include "shim/port_forward.h"

namespace cofferdam::shim {

namespace {

host::OwnedFd connect_to(uint16_t port) {
  sockaddr_in const v4{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
  host::OwnedFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd && ::connect(fd.get(), reinterpret_cast<sockaddr const*>(&v4), sizeof v4) == 0) return fd;
  sockaddr_in6 const v6{.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  fd = host::OwnedFd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd && ::connect(fd.get(), reinterpret_cast<sockaddr const*>(&v6), sizeof v6) == 0) return fd;
  return {};
}

bool write_all(int fd, char const* bytes, size_t count) {
  while (count > 0) {
    ssize_t const n = ::write(fd, bytes, count);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes += n;
    count -= static_cast<size_t>(n);
  }
  return true;
}

// One portion; false at its end.
bool carry(int from, int to) {
  char buffer[32768];
  ssize_t const n = ::read(from, buffer, sizeof buffer);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  return n > 0 && write_all(to, buffer, static_cast<size_t>(n));
}

}  // namespace

int relay(uint16_t port) {
  host::OwnedFd const server = connect_to(port);
  if (!server) return 1;
  pollfd waits[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = server.get(), .events = POLLIN}};
  for (;;) {
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return 1;
    if (waits[0].revents && !carry(STDIN_FILENO, server.get())) {
      ::shutdown(server.get(), SHUT_WR);  // the answer may still come
      waits[0].fd = -1;
    }
    if (waits[1].revents && !carry(server.get(), STDOUT_FILENO)) return 0;
  }
}

}  // namespace cofferdam::shim

#include "host/unix_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>

#include <fmt/format.h>

namespace cofferdam::host {

Result<OwnedFd> connect_unix(int place, int type) {
  OwnedFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_host(errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // connect(2) takes no descriptor; the link in /proc leads to what the descriptor is open on, whatever its name is
  // now.
  auto const end = fmt::format_to_n(address.sun_path, sizeof address.sun_path - 1, "self/fd/{}", place);
  if (end.size >= sizeof address.sun_path) return fail(Errno::NameTooLong);
  if (::connect(fd.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0) return fail_host(errno);
  return fd;
}

Result<size_t> send_bytes(int socket, std::span<std::byte const> bytes) {
  ssize_t n = ::sendto(socket, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
  if (n < 0) return fail_host(errno);
  return static_cast<size_t>(n);
}

Result<ReceivedBytes> receive_bytes(int socket, std::span<std::byte> to, bool peek) {
  int const flags = MSG_DONTWAIT | MSG_TRUNC | (peek ? MSG_PEEK : 0);
  ssize_t n = ::recvfrom(socket, to.data(), to.size(), flags, nullptr, nullptr);
  if (n < 0) return fail_host(errno);
  return ReceivedBytes{std::min(static_cast<size_t>(n), to.size()), static_cast<size_t>(n)};
}

Result<void> shut_down(int socket, int how) {
  if (::shutdown(socket, how) != 0) return fail_host(errno);
  return {};
}

}  // namespace cofferdam::host

#include "host/terminal.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace cofferdam::host {

Result<abi::WindowSize> terminal_window_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) return fail_host(errno);
  return abi::WindowSize{size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel};
}

Result<OwnedFd> make_wakeup() {
  int const fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return fail_host(errno);
  return OwnedFd(fd);
}

void ring_wakeup(int fd) {
  uint64_t const one = 1;
  (void)!::write(fd, &one, sizeof one);  // full: it rings already
}

void clear_wakeup(int fd) {
  uint64_t count = 0;
  (void)!::read(fd, &count, sizeof count);
}

Readiness wait_for_two(int first, bool want_read, bool want_write, int second, int timeout_ms) {
  pollfd fds[2] = {{first, static_cast<short>((want_read ? POLLIN : 0) | (want_write ? POLLOUT : 0)), 0},
                   {second, POLLIN, 0}};
  if (::poll(fds, 2, timeout_ms) <= 0) return {};
  return {.first_readable = (fds[0].revents & POLLIN) != 0,
          .first_writable = (fds[0].revents & POLLOUT) != 0,
          .first_gone = (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0,
          .second_readable = (fds[1].revents & POLLIN) != 0};
}

Result<size_t> read_stream(int fd, std::span<std::byte> to) {
  ssize_t const n = ::read(fd, to.data(), to.size());
  if (n < 0) return fail_host(errno);
  return static_cast<size_t>(n);
}

Result<size_t> write_stream(int fd, std::span<std::byte const> from) {
  ssize_t const n = ::write(fd, from.data(), from.size());
  if (n < 0) return fail_host(errno);
  return static_cast<size_t>(n);
}

}  // namespace cofferdam::host

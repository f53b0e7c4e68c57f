#include "container/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <fmt/format.h>

namespace cofferdam::container {

Outcome<Pseudoterminal> open_pseudoterminal(std::optional<oci::ConsoleSize> size) {
  Pseudoterminal t;
  t.master = host::OwnedFd(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  int number = 0, unlock = 0;
  if (!t.master || ::ioctl(t.master.get(), TIOCSPTLCK, &unlock) != 0 || ::ioctl(t.master.get(), TIOCGPTN, &number) != 0)
    return refuse(fmt::format("cannot open a pseudoterminal: {}", strerror(errno)));
  t.name = fmt::format("/dev/pts/{}", number);
  t.slave = host::OwnedFd(::ioctl(t.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios mode{};
  if (!t.slave || ::tcgetattr(t.slave.get(), &mode) != 0)
    return refuse(fmt::format("cannot open pseudoterminal {}: {}", t.name, strerror(errno)));
  ::cfmakeraw(&mode);
  ::tcsetattr(t.slave.get(), TCSANOW, &mode);
  if (size) {
    winsize window{.ws_row = size->height, .ws_col = size->width};
    ::ioctl(t.master.get(), TIOCSWINSZ, &window);
  }
  return t;
}

Outcome<> send_console(std::string const& socket_path, Pseudoterminal const& terminal) {
  auto failed = [&] { return refuse(fmt::format("cannot use console socket {}: {}", socket_path, strerror(errno))); };
  sockaddr_un address{.sun_family = AF_UNIX};
  host::OwnedFd link(::open(socket_path.c_str(), O_PATH | O_CLOEXEC));
  if (!link) return failed();
  // Through its descriptor: sun_path holds 107 bytes only.
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", link.get());
  host::OwnedFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return failed();
  iovec part{const_cast<char*>(terminal.name.data()), terminal.name.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  auto* c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  int fd = terminal.master.get();
  memcpy(CMSG_DATA(c), &fd, sizeof fd);
  if (::sendmsg(socket.get(), &message, MSG_NOSIGNAL) < 0) return failed();
  return {};
}

Outcome<RawTerminal> RawTerminal::enter(int fd) {
  termios saved{};
  if (::tcgetattr(fd, &saved) != 0)
    return refuse(
        "a terminal is asked for, and standard input is none; run it from a terminal, give --console-socket, or "
        "set process.terminal to false");
  termios raw = saved;
  ::cfmakeraw(&raw);
  ::tcsetattr(fd, TCSANOW, &raw);
  return RawTerminal(fd, saved);
}

RawTerminal::~RawTerminal() {
  if (fd_ >= 0) ::tcsetattr(fd_, TCSANOW, &saved_);
}

std::optional<oci::ConsoleSize> window_size(int fd) {
  winsize window{};
  if (::ioctl(fd, TIOCGWINSZ, &window) != 0 || window.ws_row == 0) return std::nullopt;
  return oci::ConsoleSize{.height = window.ws_row, .width = window.ws_col};
}

}  // namespace cofferdam::container

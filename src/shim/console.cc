#include "shim/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

namespace cofferdam::shim {

namespace {

void make_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace

Outcome<ConsoleSocket> ConsoleSocket::listen(std::string path) {
  ConsoleSocket self;
  self.path_ = std::move(path);
  auto failed = [&] { return refuse(fmt::format("cannot make console socket {}: {}", self.path_, strerror(errno))); };
  ::unlink(self.path_.c_str());
  // Through its directory's descriptor: sun_path holds 107 bytes only.
  size_t const slash = self.path_.rfind('/');
  host::OwnedFd directory(::open(self.path_.substr(0, slash).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  sockaddr_un address{.sun_family = AF_UNIX};
  int const n = snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory.get(),
                         self.path_.c_str() + slash + 1);
  if (!directory || n >= static_cast<int>(sizeof address.sun_path)) return failed();
  self.listener_ = host::OwnedFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!self.listener_ || ::bind(self.listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(self.path_.c_str(), 0600) != 0 || ::listen(self.listener_.get(), 1) != 0)
    return failed();
  return self;
}

ConsoleSocket::~ConsoleSocket() {
  if (listener_) ::unlink(path_.c_str());
}

Outcome<host::OwnedFd> ConsoleSocket::take_master() const {
  host::OwnedFd const peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!peer) return refuse("the runtime has sent no terminal");
  char name[256];
  iovec part{.iov_base = name, .iov_len = sizeof name};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t const n = ::recvmsg(peer.get(), &message, MSG_CMSG_CLOEXEC);
  auto const* header = n > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len < CMSG_LEN(sizeof(int)))
    return refuse("the runtime has sent no terminal");
  int fd = -1;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return host::OwnedFd(fd);
}

Console::Console(EventLoop& loop, host::OwnedFd master, Stdio& stdio)
    : loop_(loop),
      master_(std::move(master)),
      input_{.theirs = std::move(stdio.stream(0).theirs), .mine = {}},
      output_(std::move(stdio.stream(1))) {
  in_.from = input_.theirs.get();
  in_.to = out_.from = master_.get();
  out_.to = output_.theirs.get();
  in_.ended = in_.from < 0;
  for (int fd : {in_.from, in_.to, out_.to})
    if (fd >= 0) make_nonblocking(fd);
  rearm();
}

Console::~Console() {
  for (int fd : {master_.get(), in_.from, out_.to})
    if (fd >= 0) loop_.forget(fd);
}

// Passes on as much as there is and as the other side takes.
void Console::pump(Flow& flow) {
  for (int round = 0; round < 16; ++round) {
    while (!flow.empty()) {
      // Nobody reads: the process is to run on, as without a terminal and /dev/null for output.
      ssize_t const n = flow.to < 0 ? static_cast<ssize_t>(flow.end - flow.start)
                                    : ::write(flow.to, flow.bytes.data() + flow.start, flow.end - flow.start);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0 && errno != EINTR) flow.start = flow.end;
      if (n > 0) flow.start += static_cast<size_t>(n);
    }
    flow.start = flow.end = 0;
    if (flow.ended) return;
    ssize_t const n = ::read(flow.from, flow.bytes.data(), flow.bytes.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      flow.ended = true;  // of a terminal: EIO, once nobody inside has it open
      return;
    }
    flow.end = static_cast<size_t>(n);
  }
}

// Waits for what can go on: room where bytes wait, bytes where there is room. What nothing is wanted of is not looked
// at: its hang-up would be reported again and again.
void Console::rearm() {
  if (drained_) return;
  if (out_.ended && out_.empty()) return end_output();
  if (in_.ended && in_.from >= 0) {
    loop_.forget(in_.from);
    in_.from = -1;
    input_.theirs.reset();
  }
  arm(master_.get(), (out_.empty() ? EPOLLIN : 0U) | (in_.empty() ? 0U : EPOLLOUT));
  arm(out_.to, out_.empty() ? 0U : EPOLLOUT);
  arm(in_.from, in_.empty() ? EPOLLIN : 0U);
}

void Console::arm(int fd, uint32_t events) {
  if (fd < 0) return;
  if (events == 0) return loop_.forget(fd);
  if (loop_.watching(fd)) return loop_.change(fd, events);
  loop_.watch(fd, events, [this](uint32_t) {
    pump(out_);
    pump(in_);
    rearm();
  });
}

void Console::end_output() {
  drained_ = true;
  loop_.forget(master_.get());
  if (in_.from >= 0) loop_.forget(in_.from);
  if (out_.to >= 0) loop_.forget(out_.to);
  in_.from = out_.to = -1;
  output_.theirs.reset();  // its reader sees the end of file
}

Outcome<> Console::resize(uint16_t columns, uint16_t rows) {
  winsize const size{.ws_row = rows, .ws_col = columns};
  if (::ioctl(master_.get(), TIOCSWINSZ, &size) == 0) return {};
  return refuse(fmt::format("cannot resize the terminal: {}", strerror(errno)));
}

}  // namespace cofferdam::shim

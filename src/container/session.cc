#include "container/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <fmt/format.h>

#include "container/standard.h"
#include "host/wait_status.h"

namespace cofferdam::container {

host::OwnedFd take_signals() {
  sigset_t all;
  sigfillset(&all);
  for (int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&all, fault);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  return host::OwnedFd(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
}

bool stays_here(int signal) { return signal == SIGCHLD || signal == SIGPIPE || signal == SIGURG; }

Outcome<ExecSession> ExecSession::start(StateDirectory const& record, ExecOptions o) {
  ExecSession self;
  self.record_ = &record;
  host::OwnedFd standard[3];
  std::vector<int> fds;
  for (int n = 0; n < 3; ++n) {
    standard[n] = sandbox_copy(n);
  }
  Pseudoterminal terminal;
  if (o.process.terminal && !o.console_socket.empty()) {
    terminal = ATTEMPT(open_pseudoterminal(o.process.console_size));
    ATTEMPT(send_console(o.console_socket, terminal));
    standard[0] = terminal_copy(terminal.slave.get());
  } else if (o.process.terminal) {
    self.raw_.emplace(ATTEMPT(RawTerminal::enter(0)));
    standard[0] = terminal_copy(0);
    if (!o.process.console_size) o.process.console_size = window_size(0);
  }
  fds.reserve(3 + o.preserve_fds);
  for (int n = 0; n < 3; ++n) fds.push_back(standard[n] ? standard[n].get() : n);
  for (unsigned n = 0; n < o.preserve_fds; ++n) {
    if (::fcntl(static_cast<int>(3 + n), F_GETFD) < 0)
      return refuse(fmt::format("--preserve-fds {}: descriptor {} is not open", o.preserve_fds, 3 + n));
    fds.push_back(static_cast<int>(3 + n));
  }
  // From before anybody can know of it: a signal to the host process that stands for it is not lost.
  self.signals_ = take_signals();
  self.socket_ = ATTEMPT(record.connect());
  ExecRequest request{
      .process = std::move(o.process), .ignore_paused = o.ignore_paused, .preserved_fds = o.preserve_fds};
  ATTEMPT(send_frame(self.socket_.get(), static_cast<uint32_t>(RequestKind::Exec), request.encode(), fds));
  Frame reply = ATTEMPT(receive_frame(self.socket_.get()));
  if (reply.kind != 0) return refuse(std::move(reply.payload));
  self.pid_ = static_cast<int32_t>(ATTEMPT(decode_number(reply.payload)));
  ATTEMPT(send_frame(self.socket_.get(), static_cast<uint32_t>(o.detached ? RequestKind::Hold : RequestKind::Wait),
                     encode_number(static_cast<uint32_t>(self.pid_))));
  return self;
}

Outcome<> ExecSession::tell(RequestKind kind, std::string const& payload) {
  ATTEMPT(call(*record_, kind, payload, {}, 5));
  return {};
}

void ExecSession::pass_on(int signals) {
  signalfd_siginfo info{};
  while (::read(signals, &info, sizeof info) == sizeof info) {
    int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGWINCH && raw_) {
      if (auto size = window_size(0))
        (void)tell(RequestKind::Resize,
                   ResizeRequest{.pid = pid_, .rows = size->height, .columns = size->width}.encode());
    } else if (!stays_here(signal)) {
      (void)tell(RequestKind::Signal, SignalRequest{.signal = signal, .pid = pid_}.encode());
    }
  }
}

Outcome<int> ExecSession::wait() {
  pollfd waits[2] = {{.fd = socket_.get(), .events = POLLIN}, {.fd = signals_.get(), .events = POLLIN}};
  while (!waits[0].revents) {
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return refuse(fmt::format("cannot wait: {}", strerror(errno)));
    if (waits[1].revents) pass_on(signals_.get());
  }
  auto reply = receive_frame(socket_.get());
  raw_.reset();
  if (!reply) return 128 + SIGKILL;  // the sandbox ended with it
  if (reply->kind != 0) return refuse(std::move(reply->payload));
  return host::shell_status(static_cast<int>(ATTEMPT(decode_number(reply->payload))));
}

}  // namespace cofferdam::container

#include "gofer/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "host/close_others.h"

namespace cofferdam::gofer {

namespace {

// Blocks until a byte comes (true) or the last writer is gone (false).
bool hear(int fd) {
  char byte = 0;
  ssize_t n;
  do n = ::read(fd, &byte, 1);
  while (n < 0 && errno == EINTR);
  return n == 1;
}

[[noreturn]] void keep(int command, int sandbox, std::function<void()> const& clean_up) {
  // Signals of the terminal are for the command; this process has to be there when it died of one.
  ::setsid();
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  ::prctl(PR_SET_NAME, "cofferdam-gofer", 0, 0, 0);
  // It must hold nobody's pipes open: all that it needs are these two.
  host::close_others({command, sandbox});
  if (hear(command)) ::_exit(0);
  while (hear(sandbox)) {
  }
  clean_up();
  ::_exit(0);
}

}  // namespace

Outcome<Keeper> Keeper::start(std::function<void()> const& clean_up) {
  int command[2], sandbox[2];
  if (::pipe2(command, O_CLOEXEC) != 0) return refuse(fmt::format("cannot make a pipe: {}", strerror(errno)));
  host::OwnedFd command_read(command[0]), command_write(command[1]);
  if (::pipe2(sandbox, O_CLOEXEC) != 0) return refuse(fmt::format("cannot make a pipe: {}", strerror(errno)));
  host::OwnedFd sandbox_read(sandbox[0]), sandbox_write(sandbox[1]);
  pid_t pid = ::fork();
  if (pid < 0) return refuse(fmt::format("cannot start the gofer: {}", strerror(errno)));
  if (pid == 0) keep(command_read.get(), sandbox_read.get(), clean_up);
  Keeper keeper;
  keeper.pid_ = pid;
  keeper.command_end_ = std::move(command_write);
  keeper.sandbox_end_ = std::move(sandbox_write);
  return keeper;
}

void Keeper::release() {
  if (pid_ == 0) return;
  [[maybe_unused]] ssize_t n = ::write(command_end_.get(), "r", 1);
  command_end_.reset();
  sandbox_end_.reset();
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

}  // namespace cofferdam::gofer

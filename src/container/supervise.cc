#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "container/launch.h"
#include "container/session.h"

namespace cofferdam::container {

namespace {

void pass_on(int signals, int startup, bool terminal) {
  signalfd_siginfo info{};
  while (::read(signals, &info, sizeof info) == sizeof info) {
    int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGWINCH && terminal) {
      if (auto size = window_size(0))
        (void)sentry::say(startup, sentry::Word::Resize, fmt::format("{} {}", size->height, size->width));
    } else if (!stays_here(signal)) {
      (void)sentry::say(startup, sentry::Word::Signal, fmt::format("{}", signal));
    }
  }
}

}  // namespace

Outcome<int> Sandbox::wait() {
  host::OwnedFd signals = take_signals();
  pollfd waits[2] = {{.fd = pidfd_.get(), .events = POLLIN}, {.fd = signals.get(), .events = POLLIN}};
  while (!(waits[0].revents & POLLIN)) {
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return refuse(fmt::format("cannot wait: {}", strerror(errno)));
    if (waits[1].revents & POLLIN) pass_on(signals.get(), startup_.get(), raw_.has_value());
  }
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
  raw_.reset();
  clean_up();
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  if (WTERMSIG(status) == SIGSYS)
    return refuse("the sandbox made a host call that its jail forbids, and was ended; run with --debug to see which");
  if (WTERMSIG(status) != SIGKILL)
    return refuse(fmt::format("the sandbox's kernel died of signal {}; this is a defect of cofferdam, please report it",
                              WTERMSIG(status)));
  return 128 + WTERMSIG(status);
}

}  // namespace cofferdam::container

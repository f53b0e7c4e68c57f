#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "container/launch.h"
#include "container/session.h"

extern "C" char const __executable_start, etext;  // of the linker: where the program's read-only part begins and ends

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

// Of the program's text a command that waits needs a page or two, and what else it touched on its way here is in
// nobody's interest: the pages go, and come back from the page cache when they are wanted.
void give_back_text() {
  constexpr uintptr_t page = 4096;
  uintptr_t const begin = reinterpret_cast<uintptr_t>(&__executable_start) & ~(page - 1);
  uintptr_t const end = reinterpret_cast<uintptr_t>(&etext) & ~(page - 1);
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

void Sandbox::keep_signals() { signals_ = take_signals(); }

Outcome<int> Sandbox::wait() {
  if (!signals_) keep_signals();
  give_back_text();
  pollfd waits[2] = {{.fd = pidfd_.get(), .events = POLLIN}, {.fd = signals_.get(), .events = POLLIN}};
  while (!(waits[0].revents & POLLIN)) {
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return refuse(fmt::format("cannot wait: {}", strerror(errno)));
    if (waits[1].revents & POLLIN) pass_on(signals_.get(), startup_.get(), raw_.has_value());
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

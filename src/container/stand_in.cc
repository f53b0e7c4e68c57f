#include "container/stand_in.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgroup/cgroup.h"
#include "container/session.h"
#include "host/close_others.h"
#include "host/wait_status.h"
#include "sentry/platforms.h"
#include "sentry/startup.h"

namespace cofferdam::container {

namespace {

using sentry::Word;

constexpr int answer_seconds = 10;

// The process that the container's will come from goes where these belong, before the first is made.
Outcome<> settle(HostPlace const& place, pid_t source_inside) {
  if (source_inside == 0) return {};
  pid_t const source = stub_of(place.sentry, source_inside);
  if (source == 0) return refuse("the sandbox names no process of its own for the container's to come from");
  if (place.oom_score_adj) ATTEMPT(set_oom_score(source, sentry::stub_oom_score(*place.oom_score_adj)));
  return cgroup::add_process(place.cgroups, source);
}

// The mounts are copied in a mount namespace of this process's own, which it leaves again: it must keep nothing busy.
Outcome<std::vector<gofer::DonatedMount>> donate(std::vector<gofer::MountRequest> const& mounts) {
  host::OwnedFd home(::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  if (!home || ::unshare(CLONE_NEWNS) != 0)
    return refuse(fmt::format("cannot make a mount namespace to copy the container's mounts in: {}", strerror(errno)));
  auto donated = gofer::donate_mounts(mounts);
  if (::setns(home.get(), CLONE_NEWNS) != 0 || ::chdir("/") != 0)
    return refuse(fmt::format("cannot leave the mount namespace of the copies: {}", strerror(errno)));
  return donated;
}

class StandIn {
 public:
  StandIn(StateDirectory const& own, host::OwnedFd sandbox, host::OwnedFd startup)
      : own_(own), sandbox_(std::move(sandbox)), startup_(std::move(startup)), signals_(take_signals()) {}

  Outcome<> join(JoinRequest& request, sentry::Descriptors& d, std::vector<gofer::MountRequest> const& mounts,
                 HostPlace const& place) {
    auto word = ATTEMPT(sentry::hear(startup_.get()));
    if (word.word != Word::Go) return refuse("unexpected word on the startup channel");
    auto donated = ATTEMPT(donate(mounts));
    std::vector<int> fds{d.control.get(), donated.front().fd.get()};
    fds.reserve(2 + donated.size() + 3 + d.preserved.size());
    for (size_t n = 1; n < donated.size(); ++n) {
      fds.push_back(donated[n].fd.get());
      request.binds_directory.push_back(donated[n].directory);
    }
    for (auto const& fd : d.standard)
      if (fd) fds.push_back(fd.get());
    for (auto const& fd : d.preserved) fds.push_back(fd.get());
    request.preserved_fds = static_cast<uint32_t>(d.preserved.size());
    ATTEMPT(send_frame(sandbox_.get(), static_cast<uint32_t>(RequestKind::Join), request.encode(), fds));
    Frame reply = ATTEMPT(receive_frame(sandbox_.get()));
    if (reply.kind != 0) return refuse(std::move(reply.payload));
    return settle(place, static_cast<pid_t>(ATTEMPT(decode_number(reply.payload))));
  }

  // Until the container, or the command that it is bound to, has ended. Gives the exit status.
  int serve() {
    for (;;) {
      pollfd waits[3] = {{.fd = sandbox_.get(), .events = POLLIN},
                         {.fd = startup_.get(), .events = POLLIN},
                         {.fd = signals_.get(), .events = POLLIN}};
      if (::poll(waits, 3, -1) < 0 && errno != EINTR) return 1;
      if (waits[0].revents) return status();
      if (waits[2].revents) pass_on();
      if (waits[1].revents && !on_startup()) return 1;
    }
  }

  int startup() const { return startup_.get(); }

 private:
  int status() {
    auto const reply = receive_frame(sandbox_.get());
    auto const number = reply ? decode_number(reply->payload) : std::unexpected(reply.error());
    if (!number) return 128 + SIGKILL;  // the sandbox ended with it
    return host::shell_status(static_cast<int>(*number));
  }

  void send_signal(int signal) {
    (void)call(own_, RequestKind::Signal, SignalRequest{.signal = signal}.encode(), {}, answer_seconds);
  }

  void pass_on() {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info)
      if (int const signal = static_cast<int>(info.ssi_signo); !stays_here(signal)) send_signal(signal);
  }

  void carry_out(RequestKind kind) {
    auto done = call(own_, kind, {});
    (void)sentry::say(startup_.get(), done ? Word::Done : Word::Failed, done ? "" : done.error());
  }

  // false: the command is gone that this container is bound to.
  bool on_startup() {
    auto const message = sentry::hear(startup_.get());
    if (!message) {
      startup_.reset();
      return !attached_;
    }
    switch (message->word) {
      case Word::Start:
        carry_out(RequestKind::Start);
        break;
      case Word::Check:
        carry_out(RequestKind::Check);
        break;
      case Word::Detached:
        attached_ = false;
        (void)sentry::say(startup_.get(), Word::Done);
        break;
      case Word::Signal:
        send_signal(::atoi(message->text.c_str()));
        break;
      case Word::Resize: {
        char* end = nullptr;
        auto const rows = ::strtoul(message->text.c_str(), &end, 10), columns = ::strtoul(end, nullptr, 10);
        ResizeRequest const request{.rows = static_cast<uint16_t>(rows), .columns = static_cast<uint16_t>(columns)};
        (void)call(own_, RequestKind::Resize, request.encode(), {}, answer_seconds);
        break;
      }
      default:
        break;
    }
    return true;
  }

  StateDirectory const& own_;
  host::OwnedFd sandbox_, startup_, signals_;
  bool attached_ = true;
};

// Engines wait until the command's output is closed by everybody.
void leave_standard_descriptors() {
  if (int const null = ::open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0)
    for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
}

}  // namespace

Outcome<> set_oom_score(pid_t pid, int score) {
  std::string const path = fmt::format("/proc/{}/oom_score_adj", pid), text = fmt::format("{}", score);
  host::OwnedFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) return {};
  return refuse(fmt::format("process.oomScoreAdj: the host does not let it be set to {}: {}", score, strerror(errno)));
}

void run_stand_in(JoinRequest request, StateDirectory const& own, host::OwnedFd sandbox, sentry::Descriptors d,
                  std::vector<gofer::MountRequest> const& mounts, HostPlace const& place) {
  ::setsid();
  ::prctl(PR_SET_NAME, "cofferdam-stand", 0, 0, 0);
  std::vector<int> keep = {
      0, 1, 2, d.startup.get(), d.control.get(), d.keeper.get(), sandbox.get(), own.directory_fd()};
  for (auto const& fd : d.standard) keep.push_back(fd.get());
  for (auto const& fd : d.preserved) keep.push_back(fd.get());
  host::close_others(std::move(keep));
  host::OwnedFd const keeper = std::move(d.keeper);
  StandIn self(own, std::move(sandbox), std::move(d.startup));
  auto const joined = self.join(request, d, mounts, place);
  if (!joined) {
    (void)sentry::say(self.startup(), Word::Failed, joined.error());
    ::_exit(1);
  }
  d = {};
  leave_standard_descriptors();
  (void)sentry::say(self.startup(), Word::Ready);
  ::_exit(self.serve());
}

}  // namespace cofferdam::container

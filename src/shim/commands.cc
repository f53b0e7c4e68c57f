#include "shim/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

namespace cofferdam::shim {

namespace {

constexpr size_t max_output_bytes = 1 << 20;

struct Running {
  pid_t pid = 0;
  host::OwnedFd output;
  CommandEnd end;
  OnCommandEnd on_end;
  EventLoop::TimerId timer = 0;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (auto& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// In the child. Descriptors are moved out of each other's way first.
[[noreturn]] void become(Command const& command, int output, std::vector<char*> const& words,
                         std::vector<char*> const& environment) {
  std::vector<std::pair<int, int>> moves;
  int const null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int n = 0; n < 3; ++n) {
    int const from = n == 1 && output >= 0 ? output : command.standard[n];
    moves.emplace_back(from >= 0 ? from : null, n);
  }
  moves.insert(moves.end(), command.descriptors.begin(), command.descriptors.end());
  int highest = 3;
  for (auto const& [from, to] : moves) highest = std::max(highest, to + 1);
  for (auto& [from, to] : moves) from = ::fcntl(from, F_DUPFD_CLOEXEC, highest);
  for (auto const& [from, to] : moves)
    if (from < 0 || ::dup2(from, to) < 0) ::_exit(126);
  for (int ignored : {SIGPIPE, SIGTERM, SIGINT, SIGHUP}) ::signal(ignored, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execvpe(words[0], words.data(), environment.data());
  ::_exit(127);
}

enum class Life { WithShim, OnItsOwn };

Outcome<pid_t> fork_command(Command const& command, int output, Life life) {
  std::vector<std::string> words = command.words, environment = command.environment;
  for (char** e = environ; *e != nullptr; ++e) environment.emplace_back(*e);
  auto const word_pointers = pointers(words), environment_pointers = pointers(environment);
  pid_t const parent = ::getpid(), pid = ::fork();
  if (pid < 0) return refuse(fmt::format("cannot start {}: {}", command.words[0], strerror(errno)));
  if (pid > 0) return pid;
  if (life == Life::OnItsOwn) {
    ::setsid();
  } else {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(126);
  }
  become(command, output, word_pointers, environment_pointers);
}

// A descendant may keep the pipe open: what is there when the command ends is all.
void take_output(Running& running) {
  char buffer[4096];
  for (ssize_t n; (n = ::read(running.output.get(), buffer, sizeof buffer)) > 0;)
    if (running.end.output.size() < max_output_bytes) running.end.output.append(buffer, static_cast<size_t>(n));
}

}  // namespace

Outcome<pid_t> run_command(EventLoop& loop, Command const& command, OnCommandEnd end) {
  auto running = std::make_shared<Running>();
  running->on_end = std::move(end);
  host::OwnedFd theirs;
  if (command.take_output) {
    int pair[2];
    if (::pipe2(pair, O_CLOEXEC) != 0) return refuse(fmt::format("cannot make a pipe: {}", strerror(errno)));
    running->output = host::OwnedFd(pair[0]);
    theirs = host::OwnedFd(pair[1]);
    ::fcntl(pair[0], F_SETFL, O_NONBLOCK);
  }
  loop.command_begins();
  auto pid = fork_command(command, theirs.get(), Life::WithShim);
  if (!pid) {
    loop.command_ends();
    return pid;
  }
  running->pid = *pid;
  if (running->output)
    loop.watch(running->output.get(), EPOLLIN, [running, &loop](uint32_t events) {
      take_output(*running);
      if (events & EPOLLHUP) loop.forget(running->output.get());
    });
  running->timer = loop.after(command.limit, [running] {
    running->end.timed_out = true;
    ::kill(running->pid, SIGKILL);
  });
  loop.on_exit(*pid, [running, &loop](int status) {
    loop.cancel(running->timer);
    if (running->output) {
      take_output(*running);
      loop.forget(running->output.get());
    }
    running->end.wait_status = status;
    running->on_end(std::move(running->end));
    loop.command_ends();
  });
  return pid;
}

Outcome<pid_t> spawn(Command const& command) { return fork_command(command, -1, Life::OnItsOwn); }

}  // namespace cofferdam::shim

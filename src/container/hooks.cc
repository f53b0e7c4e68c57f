#include "container/hooks.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "host/fd.h"

namespace cofferdam::container {

namespace {

std::vector<char*> pointers(std::vector<std::string> const& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (auto& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

Outcome<> run_hook(oci::Hook const& hook, std::string_view point, std::string const& state) {
  auto failed = [&](std::string const& why) { return refuse(fmt::format("{} hook {}: {}", point, hook.path, why)); };
  // A file rather than a pipe: a hook that reads nothing cannot stop us.
  host::OwnedFd input(::memfd_create("state", MFD_CLOEXEC));
  if (!input || ::write(input.get(), state.data(), state.size()) < 0 || ::lseek(input.get(), 0, SEEK_SET) != 0)
    return failed(strerror(errno));
  std::vector<std::string> const path_alone{hook.path};
  auto arguments = pointers(hook.args.empty() ? path_alone : hook.args), environment = pointers(hook.env);
  pid_t pid = ::fork();
  if (pid < 0) return failed(strerror(errno));
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::setpgid(0, 0);
    ::dup2(input.get(), 0);
    ::execve(hook.path.c_str(), arguments.data(), environment.data());
    ::_exit(127);
  }
  host::OwnedFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd wait{.fd = pidfd.get(), .events = POLLIN};
  int ready;
  do ready = ::poll(&wait, 1, hook.timeout_seconds ? *hook.timeout_seconds * 1000 : -1);
  while (ready < 0 && errno == EINTR);
  if (ready == 0) ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (ready == 0) return failed(fmt::format("not done after {} seconds", *hook.timeout_seconds));
  if (WIFSIGNALED(status)) return failed(fmt::format("ended by signal {}", WTERMSIG(status)));
  if (WEXITSTATUS(status) == 127) return failed("cannot be run, or exited with status 127");
  if (WEXITSTATUS(status) != 0) return failed(fmt::format("exited with status {}", WEXITSTATUS(status)));
  return {};
}

}  // namespace

Outcome<> run_hooks(std::vector<oci::Hook> const& hooks, std::string_view point, std::string const& state) {
  for (auto& hook : hooks) ATTEMPT(run_hook(hook, point, state));
  return {};
}

}  // namespace cofferdam::container

#include "container/host_network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

namespace cofferdam::container {

namespace {

host::OwnedFd open_space(char const* path) { return host::OwnedFd(::open(path, O_RDONLY | O_CLOEXEC)); }

}  // namespace

Outcome<host::OwnedFd> HostNetwork::make_connection(oci::Process const& process) {
  uint64_t const bounding = process.capabilities ? process.capabilities->bounding : 0;
  rights_ = {.reserved_ports = (bounding >> CAP_NET_BIND_SERVICE & 1) != 0,
             .raw_sockets = (bounding >> CAP_NET_RAW & 1) != 0};
  if (::geteuid() != 0 || (!rights_.reserved_ports && !rights_.raw_sockets)) return host::OwnedFd();
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return refuse(fmt::format("--network host: cannot make a socket pair: {}", strerror(errno)));
  broker_ = host::OwnedFd(pair[1]);
  return host::OwnedFd(pair[0]);
}

Outcome<jail::SandboxProcess> HostNetwork::fork() {
  if (!path_) return jail::fork_into_namespaces(jail::NetworkNamespace::Current);
  if (path_->empty()) return jail::fork_into_namespaces(jail::NetworkNamespace::New);
  host::OwnedFd const home = open_space("/proc/self/ns/net"), space = open_space(path_->c_str());
  if (!home || !space || ::setns(space.get(), CLONE_NEWNET) != 0)
    return refuse(fmt::format("--network host: cannot enter the network namespace {}: {}", *path_, strerror(errno)));
  auto process = jail::fork_into_namespaces(jail::NetworkNamespace::Current);
  if (process && process->pid != 0 && ::setns(home.get(), CLONE_NEWNET) != 0)
    return refuse(fmt::format("--network host: cannot leave the network namespace {}: {}", *path_, strerror(errno)));
  return process;
}

Outcome<> HostNetwork::start_broker(pid_t sandbox) {
  if (!broker_) return {};
  pid_ = ATTEMPT(gofer::start_socket_broker(std::move(broker_), sandbox, rights_));
  return {};
}

HostNetwork::~HostNetwork() {
  broker_.reset();
  while (pid_ > 0 && ::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace cofferdam::container

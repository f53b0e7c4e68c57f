#include "gofer/socket_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "host/close_others.h"
#include "host/socket_broker.h"
#include "jail/filter.h"

namespace cofferdam::gofer {

namespace {

using host::CallRule;
using host::is;

constexpr CallRule broker_rules[] = {
    {SYS_recvmsg, "requests"},
    {SYS_sendmsg, "answers"},
    {SYS_bind, "a socket of the sandbox's, to a reserved port"},
    {SYS_getsockname, "is it a socket of the internet?"},
    {SYS_socket, {is(0, AF_INET), is(1, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK)}, "a raw socket"},
    {SYS_socket, {is(0, AF_INET6), is(1, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK)}, "a raw socket"},
    {SYS_close, "what was passed to and fro"},
    {SYS_exit_group, "the sandbox is gone"},
#if defined(COFFERDAM_SANITIZED)
    {SYS_mmap, "shadow memory"},
    {SYS_munmap, "shadow memory"},
    {SYS_madvise, "shadow memory"},
#endif
};

uint16_t port_of(host::BrokerRequest const& r) {
  sockaddr_in in;  // the port stands at the same place in both families
  memcpy(&in, &r.name, sizeof in);
  return ntohs(in.sin_port);
}

// An error number, 0 for success.
int bind(host::ReceivedRequest const& r) {
  host::SocketName name{r.request.name, r.request.name_length};
  auto const own = host::socket_name(r.socket.get());
  bool const internet = own && (own->storage.ss_family == AF_INET || own->storage.ss_family == AF_INET6);
  if (!internet || name.length < sizeof(sockaddr_in) || name.length > sizeof name.storage ||
      own->storage.ss_family != name.storage.ss_family || port_of(r.request) >= IPPORT_RESERVED)
    return EACCES;
  auto bound = host::bind_socket(r.socket.get(), name);
  return bound ? 0 : static_cast<int>(bound.error().code);
}

void serve_one(int connection, host::ReceivedRequest const& r, BrokerRights rights) {
  host::OwnedFd raw;
  int error = EACCES;
  if (r.request.kind == host::BrokerRequest::Kind::Bind && rights.reserved_ports) error = bind(r);
  if (r.request.kind == host::BrokerRequest::Kind::OpenRaw) {
    bool const internet = r.request.domain == AF_INET || r.request.domain == AF_INET6;
    auto opened = internet && rights.raw_sockets ? host::open_socket(r.request.domain, SOCK_RAW, r.request.protocol)
                                                 : Result<host::OwnedFd>(fail(Errno::Perm));
    error = opened ? 0 : static_cast<int>(opened.error().code);
    if (opened) raw = std::move(*opened);
  }
  (void)host::send_answer(connection, error, raw ? raw.get() : -1);
}

bool keep_capabilities(BrokerRights rights) {
  uint32_t const bits =
      (rights.reserved_ports ? 1u << CAP_NET_BIND_SERVICE : 0u) | (rights.raw_sockets ? 1u << CAP_NET_RAW : 0u);
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};
  data[0].permitted = data[0].effective = bits;
  return ::syscall(SYS_capset, &header, data) == 0 && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

[[noreturn]] void serve(host::OwnedFd connection, int space, BrokerRights rights) {
  ::setsid();
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  ::prctl(PR_SET_NAME, "cofferdam-ports", 0, 0, 0);
  if (::setns(space, CLONE_NEWNET) != 0 || ::chdir("/") != 0) ::_exit(1);
  host::close_others({connection.get()});
  std::span<CallRule const> const sets[] = {broker_rules};
  if (!keep_capabilities(rights) || !jail::install_filter(sets, {}, {})) ::_exit(1);
  while (auto request = host::receive_request(connection.get())) serve_one(connection.get(), *request, rights);
  ::_exit(0);
}

}  // namespace

Outcome<pid_t> start_socket_broker(host::OwnedFd connection, pid_t sandbox, BrokerRights rights) {
  host::OwnedFd const space(::open(fmt::format("/proc/{}/ns/net", sandbox).c_str(), O_RDONLY | O_CLOEXEC));
  if (!space) return refuse(fmt::format("--network host: cannot open the network namespace: {}", strerror(errno)));
  pid_t const pid = ::fork();
  if (pid < 0) return refuse(fmt::format("--network host: cannot start the broker of sockets: {}", strerror(errno)));
  if (pid == 0) serve(std::move(connection), space.get(), rights);
  return pid;
}

}  // namespace cofferdam::gofer

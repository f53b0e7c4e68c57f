#include "sentry/host_network.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include "host/facts.h"
#include "kernel/sysctls.h"
#include "socket/host/host_calls.h"

namespace cofferdam::sentry {

Outcome<std::vector<host::CallRule>> open_host_network(Descriptors& d, int proc) {
  std::vector<host::CallRule> rules;
  d.proc_net = host::OwnedFd(::openat(proc, "self/net", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!d.proc_net) return refuse(fmt::format("--network host: cannot open /proc/self/net: {}", strerror(errno)));
  auto const add = [&](auto const& some) { rules.insert(rules.end(), std::begin(some), std::end(some)); };
  add(host_sockets::host_calls);
  add(host_sockets::get_option_rules);
  add(host_sockets::set_option_rules);
  return rules;
}

void read_network_settings(Descriptors& d) {
  for (auto const& setting : kernel::Sysctls::settings()) {
    if (!setting.path.starts_with("net/")) continue;
    auto const fd = host::open_fact(fmt::format("/proc/sys/{}", setting.path).c_str());
    if (!fd) continue;
    std::string text = host::read_fact(fd->get());
    while (text.ends_with('\n')) text.pop_back();
    d.network_settings.emplace_back(setting.path, std::move(text));
  }
}

Outcome<> start_loopback() {
  host::OwnedFd const socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  if (!socket || ::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0)
    return refuse(fmt::format("--network host: cannot ask for the loopback interface: {}", strerror(errno)));
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0)
    return refuse(fmt::format("--network host: cannot start the loopback interface: {}", strerror(errno)));
  return {};
}

}  // namespace cofferdam::sentry
